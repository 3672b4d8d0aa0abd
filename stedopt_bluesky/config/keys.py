"""The key that whoever talks to a server of this program must bring."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from stedopt_bluesky.config.errors import ConfigError

VARIABLE = "STEDOPT_API_KEY"
# 32 random bytes, as hexadecimal digits: not to be guessed.
_RANDOM_BYTES = 32
# What a header can carry without quoting; short keys can be guessed.
_ALLOWED = re.compile(r"[!-~]{16,256}")


class ApiKeyError(ConfigError):
    """A key that cannot be used; one line that does not tell the key."""


def secret_from(environment: Mapping[str, str], variable: str) -> str | None:
    """Take a secret from a variable, or from the file that ``<variable>_FILE`` names.

    Files are what systemd (``LoadCredential=``) and containers hand secrets over in: what is in
    the environment, every child has, and ``systemctl show`` tells.

    Parameters
    ----------
    environment : mapping of str to str
        As ``os.environ``.
    variable : str
        Name of the variable. Blanks and line ends around the file's text do not count.

    Returns
    -------
    str or None
        The secret; ``None`` where neither variable is set.

    Raises
    ------
    ApiKeyError
        When both are set, or the file cannot be read or is empty.
    """
    named = f"{variable}_FILE"
    path = environment.get(named)
    if path is None:
        return environment.get(variable)
    if variable in environment:
        raise ApiKeyError(f"{variable}, {named}: one of the two, not both")
    try:
        secret = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ApiKeyError(f"{named} = {path!r}: cannot be read ({reason})") from None
    if not secret:
        raise ApiKeyError(f"{named} = {path!r}: it is empty")
    return secret


def key_from(environment: Mapping[str, str], variable: str = VARIABLE) -> tuple[str, bool]:
    """Take the key from the environment (:func:`secret_from`), or make one.

    Parameters
    ----------
    environment : mapping of str to str
        As ``os.environ``.
    variable : str
        Which of its variables holds the key.

    Returns
    -------
    tuple of str and bool
        The key, and whether it was made here and must be told to the user.

    Raises
    ------
    ApiKeyError
        When the environment's key cannot be sent in a header, or is short, or its file not read.
    """
    key = secret_from(environment, variable)
    if key is None:
        return secrets.token_hex(_RANDOM_BYTES), True
    if not _ALLOWED.fullmatch(key):
        raise ApiKeyError(
            f"{variable}: 16 to 256 letters, digits and signs of ASCII, no blanks "
            f"(it has {len(key)} characters); unset it to have a key made"
        )
    return key, False


def is_same(given: str, key: str) -> bool:
    """Whether a key is the one that is wanted, in a time that does not tell how much of it is."""
    # As bytes: the comparison of texts refuses letters that are not ASCII.
    return secrets.compare_digest(given.encode(errors="surrogatepass"), key.encode())


# The key with which the catalogue's Tiled server lets a program write.
CATALOG_VARIABLE = "STEDOPT_CATALOG_KEY"
# The key with which it lets a program read, and nothing else.
READ_VARIABLE = "STEDOPT_READ_KEY"
