"""How errors of other packages are told."""

import pytest

from stedopt_bluesky.errors import in_one_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a\n  b\r\n\tc "), "a b c"),
        (ValueError(), "ValueError"),
        (KeyError("key"), "'key'"),
        (RuntimeError(" \n"), "RuntimeError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_every_error_is_one_line(error, line):
    assert in_one_line(error) == line
