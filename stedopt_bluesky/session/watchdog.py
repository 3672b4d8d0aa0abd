"""The watchdog process of a session: started before anything is switched on, released last.

While it lives, the death of this program, however it dies, switches the lasers off. See
:mod:`stedopt_bluesky.imspector.watchdog` for what it does then.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

from stedopt_bluesky.imspector.watchdog import Heard, Rules
from stedopt_bluesky.session.address import Address
from stedopt_bluesky.session.occupancy import lock_path
from stedopt_bluesky.session.watchdog_process import ARMED, Spec

_BEAT_S = 1.0
# Of the silence at which the watchdog acts: the program notices earlier, never later.
_NOTICED = 0.8
# Python and SpecPy are loaded, and Imspector answers, in this time, or something is wrong.
_READY_S = 60.0
# It ends in a moment once it is released.
_END_S = 5.0


class WatchdogError(RuntimeError):
    """A watchdog that cannot be started: nothing is switched on without it."""


class Watchdog:
    """The watchdog process of a microscope, from now on until it is released.

    As a context manager: left after :meth:`arm` and without :meth:`release`, it is as if the
    program had died.

    Parameters
    ----------
    address : Address
        A microscope that outlives this process.
    log : Path
        File that is appended to when the watchdog has had to act.
    rules : Rules
        Its patience.

    Raises
    ------
    WatchdogError
        When no process can be started.
    """

    def __init__(self, address: Address, log: Path, rules: Rules = Rules()) -> None:  # noqa: B008
        self._rules = rules
        self._lock = threading.Lock()
        self._armed = False
        self._left = threading.Event()
        self._answered = threading.Event()
        self._answer = self._acted = ""
        self._last_beat = time.monotonic()
        lock = str(lock_path(address, "watchdog"))
        spec = Spec(address, os.getpid(), str(log.absolute()), rules, lock)
        # -P: the folder that the program was started in is no place to import from.
        module = "stedopt_bluesky.session.watchdog_process"
        command = [sys.executable, "-P", "-m", module, spec.as_json()]
        apart: dict[str, Any] = {"start_new_session": True}
        if os.name == "nt":
            apart = {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own program
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, **apart
            )
        except OSError as error:
            raise WatchdogError(f"the watchdog cannot be started: {error}") from None
        _close_in_forks(self._process)
        for work, name in ((self._hear, "watchdog's words"), (self._beat, "watchdog's beat")):
            threading.Thread(target=work, name=name, daemon=True).start()

    def __enter__(self) -> Watchdog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._armed:
            self._leave("")
        else:
            self.release()

    def arm(self, measurement: str = "") -> None:
        """Say that lasers may be on from now on; until then it does nothing.

        Parameters
        ----------
        measurement : str
            Name of the session's own measurement, which it closes when it has had to act.
        """
        self._armed = True
        with self._lock:
            self._say(ARMED + " ".join(measurement.splitlines()))

    def wait_until_ready(self) -> None:
        """Wait until it has its own connection to the microscope.

        Raises
        ------
        WatchdogError
            When it has none.
        """
        if not self._answered.wait(_READY_S) or self._answer != "ready":
            why = self._answer.removeprefix("error: ") or "it does not answer"
            raise WatchdogError(f"the watchdog cannot be started: {why}")

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def why_not(self) -> str:
        """Say why nothing may be scanned: it is gone, or it has switched the lasers off."""
        if self._acted:
            return self._acted
        if self._process.poll() is not None:
            return "the watchdog has ended; open the session anew"
        self._check_gap()
        return self._acted

    def release(self) -> None:
        """Let it go without doing anything: the lasers are off."""
        self._leave(Heard.released.value)

    def _say(self, word: str) -> bool:
        """Write a line to the pipe; False when nobody reads it any more."""
        pipe = self._process.stdin
        if pipe is None:
            return False
        try:
            pipe.write(f"{word}\n".encode())
        except (OSError, ValueError):
            return False
        return True

    def _leave(self, last_word: str) -> None:
        """Close the pipe, and wait until it has done what it does then."""
        if self._left.is_set():
            return
        self._left.set()
        pipe = self._process.stdin
        if pipe is not None:
            with self._lock:
                if last_word:
                    self._say(last_word)
            with contextlib.suppress(OSError):
                pipe.close()
        # Longer than that it goes on without us; it tells a person itself.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)

    def _beat(self) -> None:
        while not self._left.wait(_BEAT_S):
            self._check_gap()
            # Before it is sent: the watchdog must not have waited longer than this program knows.
            self._last_beat = time.monotonic()
            with self._lock:
                if self._left.is_set() or not self._say(Heard.beat.value):
                    return

    def _check_gap(self) -> None:
        """Notice that this program stood still, which the watchdog may have noticed too."""
        silent_s = time.monotonic() - self._last_beat
        if silent_s > _NOTICED * self._rules.silence_s and not self._acted:
            self._acted = (
                f"this program stood still for {silent_s:.0f} s, the watchdog may have switched "
                "the lasers off; open the session anew"
            )

    def _hear(self) -> None:
        pipe = self._process.stdout
        if pipe is None:
            return
        with pipe, contextlib.suppress(OSError, ValueError):
            for raw in pipe:
                line = raw.decode(errors="replace").strip()
                if line.startswith("acted: "):
                    self._acted = line.removeprefix("acted: ")
                elif not self._answered.is_set():
                    self._answer = line
                    self._answered.set()
        self._answered.set()


def _close_in_forks(process: subprocess.Popen[bytes]) -> None:
    """Keep the pipe's writing end from copies of this process, which may outlive it."""
    known = weakref.ref(process)

    def close() -> None:
        copied = known()
        if copied is not None and copied.stdin is not None:
            with contextlib.suppress(OSError):
                copied.stdin.close()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=close)
