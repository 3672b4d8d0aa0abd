"""The key that whoever talks to a server of this program must bring."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

VARIABLE = "STEDOPT_API_KEY"
# 32 random bytes, as hexadecimal digits: not to be guessed.
_RANDOM_BYTES = 32
# What a header can carry without quoting; short keys can be guessed.
_ALLOWED = re.compile(r"[!-~]{16,256}")


class ApiKeyError(ValueError):
    """A key that cannot be used; one line that does not tell the key."""


def key_from(environment: Mapping[str, str], variable: str = VARIABLE) -> tuple[str, bool]:
    """Take the key from the environment, or make one.

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
        When the environment's key cannot be sent in a header, or is short.
    """
    key = environment.get(variable)
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
