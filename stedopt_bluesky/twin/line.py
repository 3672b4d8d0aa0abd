"""The line to a served twin: its connections, and calls over them.

Every call goes out on a connection that no other call uses meanwhile. What goes wrong on the way
is a `RuntimeError`, as with SpecPy.
"""

from __future__ import annotations

import socket
import threading
from typing import Any

from stedopt_bluesky.twin.wire import GREETING_S, PROTOCOL, Message, Wire

# No call but `run` takes longer, s; the twin needs a second for the largest image.
_ANSWER_S = 60.0


class NoTwinError(RuntimeError):
    """No twin answers at an address, or it does not let this program in."""


class RefusedByTwinError(NoTwinError):
    """A twin that answers, and does not let this program in."""


class Line:
    """Connections to a served twin: one per call in progress, kept for the next ones.

    Parameters
    ----------
    host, port
        Where the twin is served.
    key : str
        The key that it wants.
    """

    def __init__(self, host: str, port: int, key: str) -> None:
        self.address = f"{host}:{port}"
        self._where = (host, port)
        self._key = key
        self._lock = threading.Lock()
        self._idle: list[Wire] = []

    def dial(self, role: str) -> tuple[Wire, Any]:
        """Open a connection; return it and what the twin says of itself.

        Parameters
        ----------
        role : {"calls", "signals"}
            What it is for.

        Raises
        ------
        NoTwinError
            When no twin answers there.
        RefusedByTwinError
            When it does not take the key.
        """
        try:
            wire = Wire(socket.create_connection(self._where, timeout=GREETING_S))
        except OSError as error:
            raise NoTwinError(f"no twin answers at {self.address} ({_reason(error)})") from None
        try:
            wire.send({"protocol": PROTOCOL, "key": self._key, "role": role})
            answer, _ = wire.receive()
        except OSError as error:
            wire.close()
            raise NoTwinError(f"no twin answers at {self.address} ({_reason(error)})") from None
        if "result" not in answer:
            wire.close()
            raise RefusedByTwinError(f"the twin at {self.address} refuses: {answer.get('error')}")
        return wire, answer["result"]

    def call(
        self, of: int, name: str, arguments: tuple[Any, ...], patience_s: float | None = _ANSWER_S
    ) -> tuple[Message, bytes]:
        """Have something called; return the answer and its bytes.

        Parameters
        ----------
        of : int
            Number of the object; 0: the application.
        name : str
            What is called, with ``arguments`` that JSON has.
        patience_s : float or None
            Longest time to wait for the answer, s; None: for ever.

        Raises
        ------
        RuntimeError
            What the twin refuses, in its words; or that the connection is gone. The call may have
            reached the twin then. The next one is made on a new connection.
        """
        message = {"of": of, "call": name, "arguments": list(arguments)}
        with self._lock:
            wire = self._idle.pop() if self._idle else None
        if wire is None:
            wire, _ = self.dial("calls")
        try:
            wire.patience(patience_s)
            wire.send(message)
            answer, data = wire.receive()
        except OSError as error:
            wire.close()
            raise RuntimeError(f"the twin at {self.address}: {_reason(error)}") from None
        except BaseException:
            # Interrupted (Ctrl-C): an answer that nobody reads would be the next call's.
            wire.close()
            raise
        with self._lock:
            self._idle.append(wire)
        if "error" in answer:
            raise RuntimeError(str(answer["error"]))
        return answer, data

    def hang_up(self) -> None:
        """Close the connections that no call uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for wire in idle:
            wire.close()


def _reason(error: OSError) -> str:
    return str(getattr(error, "strerror", None) or error)
