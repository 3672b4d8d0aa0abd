"""The key that every request must bring."""

from __future__ import annotations

from collections.abc import Mapping

from stedopt_bluesky.config.keys import is_same

_SCHEME = "apikey "


def is_allowed(headers: Mapping[str, str], key: str) -> bool:
    """Whether a request brings the key: ``Authorization: Apikey KEY`` or ``X-API-Key: KEY``.

    Parameters
    ----------
    headers : mapping of str to str
        Of the request; names in any case, as Starlette's.
    key : str
        What it must bring.
    """
    given = headers.get("x-api-key")
    authorization = headers.get("authorization", "")
    if given is None and authorization.lower().startswith(_SCHEME):
        given = authorization[len(_SCHEME) :]
    if given is None:
        return False
    return is_same(given.strip(), key)
