"""The watchdog's own process: ``python -m stedopt_bluesky.session.watchdog_process SPEC``.

It is started by :class:`~stedopt_bluesky.session.watchdog.Watchdog` and by nobody else. The
program that it watches writes to its standard input and reads ``ready`` and what it has done
from its standard output. A person is told on standard error, and in a file that outlasts it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from stedopt_bluesky.errors import in_one_line
from stedopt_bluesky.imspector.watchdog import Armed, Heard, Rules, watch
from stedopt_bluesky.session import shared_lock
from stedopt_bluesky.session.address import Address

# Begins the line that names the session's measurement.
ARMED = "a"
_STDIN, _STDOUT, _STDERR = 0, 1, 2
# The watchdog of an earlier session is done by then, or the session was refused.
_LOCK_S = 10.0


@dataclass(frozen=True)
class Spec:
    """What a watchdog is told at its start, in JSON.

    Parameters
    ----------
    address : Address
        The microscope.
    pid : int
        Of the program that is watched, for messages.
    log : str
        File that is appended to when the watchdog has had to act; its folder is made.
    rules : Rules
        Its patience.
    lock : str
        Lock file that it holds while it lives; its folder is made by the session.
    """

    address: Address
    pid: int
    log: str
    rules: Rules
    lock: str

    def as_json(self) -> str:
        """Write it for the command line; it holds no secret."""
        parts = {"address": vars(self.address), "rules": vars(self.rules)}
        return json.dumps({**parts, "pid": self.pid, "log": self.log, "lock": self.lock})

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """Read what `as_json` wrote."""
        told = json.loads(text)
        address, rules = Address(**told["address"]), Rules(**told["rules"])
        return cls(address, told["pid"], told["log"], rules, told["lock"])


def main() -> None:
    """Watch, and end the process."""
    _leave_signals_to_the_program()
    spec = Spec.from_json(sys.argv[1])
    messages: queue.SimpleQueue[Heard | Armed] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(messages,), daemon=True).start()
    lock = None
    try:
        lock = shared_lock.hold(Path(spec.lock), _LOCK_S)
        if lock is None:
            raise RuntimeError("the watchdog of an earlier session is still there")
        ok = watch(messages, _connecting(spec.address), _telling(spec), spec.rules)
    except Exception as error:
        _write(_STDOUT, f"error: {in_one_line(error)}")
        ok = False
    if lock is not None:
        lock.let_go()
    # A call to a dead microscope may hang in a thread: nobody waits for it.
    os._exit(0 if ok else 1)


def _leave_signals_to_the_program() -> None:
    """Outlive what ends the program: Ctrl-C, SIGTERM and a closed terminal."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, signal.SIG_IGN)


def _listen(messages: queue.SimpleQueue[Heard | Armed]) -> None:
    # A thread: a pipe cannot be waited for with a timeout on Windows.
    rest = b""
    while data := os.read(_STDIN, 4096):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            messages.put(heard_in(line))
    messages.put(Heard.died)


def heard_in(line: bytes) -> Heard | Armed:
    """Read a line of the pipe: a word of `Heard`, or a measurement's name after ``a``."""
    text = line.decode(errors="replace")
    if text.startswith(ARMED):
        return Armed(text[1:])
    return Heard.released if text == Heard.released.value else Heard.beat


def _connecting(address: Address) -> Any:
    """Return what connects, and says so the first time."""
    words = ["ready"]

    def connect() -> Any:
        application = address.connect()
        while words:
            _write(_STDOUT, words.pop())
        return application

    return connect


def _telling(spec: Spec) -> Any:
    def tell(done: str) -> None:
        line = f"watchdog of process {spec.pid} at {spec.address.name}: {done}"
        _write(_STDOUT, f"acted: {line}")
        _write(_STDERR, line)
        with contextlib.suppress(OSError):
            path = Path(spec.log)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}\n")

    return tell


def _write(descriptor: int, line: str) -> None:
    with contextlib.suppress(OSError):  # the program is gone, and its terminal too
        os.write(descriptor, f"{line}\n".encode())


if __name__ == "__main__":
    main()
