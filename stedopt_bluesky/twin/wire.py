"""How a served twin and its clients talk: lines of JSON, and raw bytes for the pixels.

A message is one JSON object on a line of its own, in ASCII. Its member ``bytes``, where it
is there, says how many raw bytes follow. Nothing of it is code, and nothing is unpickled.
The first line of a connection is the client's greeting, with the key.
"""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

import numpy as np
import numpy.typing as npt

PROTOCOL = 1
HOST = "127.0.0.1"
# The largest parameter tree has some 100 kB, the largest image 2 bytes × 4000².
MAX_LINE = 16 * 2**20
MAX_BYTES = 256 * 2**20
# A greeting holds a key of 256 characters and little more.
MAX_GREETING = 1024
# How long a greeting, and the answer to it, may take, s.
GREETING_S = 5.0

Message = dict[str, Any]


class WireError(ConnectionError):
    """The other end is gone, or does not speak as it should."""


class Wire:
    """One connection; one thread at a time sends, and one receives.

    Parameters
    ----------
    connected : socket.socket
        Closed with the wire.
    """

    def __init__(self, connected: socket.socket) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._file = connected.makefile("rb")

    def patience(self, seconds: float | None) -> None:
        """Give up on the other end after so many seconds; None: never."""
        self._socket.settimeout(seconds)

    def send(self, message: Message, data: bytes = b"") -> None:
        """Send one message, with raw bytes if there are any.

        Raises
        ------
        OSError
            When the other end is gone.
        ValueError, TypeError
            When JSON has no such value; nothing is sent then.
        """
        if data:
            message = {**message, "bytes": len(data)}
        line = json.dumps(message, separators=(",", ":")).encode("ascii")
        self._socket.sendall(b"".join((line, b"\n", data)))

    def receive(self, longest: int = MAX_LINE, most: int = MAX_BYTES) -> tuple[Message, bytes]:
        """Wait for one message.

        Parameters
        ----------
        longest : int
            Longest line that is read, in bytes.
        most : int
            Most raw bytes that may follow it.

        Raises
        ------
        WireError
            When the other end is gone, or has sent something else than a message.
        OSError
            When it takes too long.
        """
        line = self._file.readline(longest)
        if not line.endswith(b"\n"):
            raise WireError("the line is too long" if line else "the connection was closed")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            raise WireError("a line that is not JSON") from None
        if not isinstance(message, dict):
            raise WireError("a line that is no JSON object")
        size = message.get("bytes", 0)
        if type(size) is not int or not 0 <= size <= most:
            raise WireError(f"bytes = {size!r}: 0 to {most}")
        data = self._file.read(size) if size else b""
        if len(data) != size:
            raise WireError("the connection was closed")
        return message, data

    def close(self) -> None:
        """End the connection; whoever waits at either end is told."""
        with contextlib.suppress(OSError):  # the other end was faster
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def described(array: npt.NDArray[Any]) -> tuple[Message, bytes]:
    """Describe an array of numbers for `rebuilt`, and give its bytes, in C order."""
    return {"dtype": array.dtype.str, "shape": list(array.shape)}, array.tobytes()


def rebuilt(described: Any, data: bytes) -> npt.NDArray[Any]:
    """Make an array of its description and its bytes.

    Raises
    ------
    WireError
        When they do not fit, or the type is none of numbers.
    """
    try:
        dtype = np.dtype(str(described["dtype"]))
        if dtype.kind not in "iuf":
            raise WireError(f"dtype = {described['dtype']!r}: numbers are needed")
        # A copy: the array can be written to, as the twin's own can.
        return np.frombuffer(data, dtype).reshape(described["shape"]).copy()
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"no array: {error}") from None
