"""What the watchdog process does: wait for the controlling program to die, then lasers off.

The controlling program sends a beat every second through a pipe of which it alone has the
writing end. The operating system closes that end when the program ends, however it ends:
the watchdog then stops every scan and zeroes every laser, over a connection of its own.
So it does when the beats stop while a laser is on: the program hangs. Until the program says
that it has a measurement of its own, what is on is somebody else's, and left alone.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from stedopt_bluesky.imspector.api import Application
from stedopt_bluesky.imspector.lasers_off import any_laser_on, switch_everything_off


class Heard(Enum):
    """What has come through the pipe."""

    beat = "."
    released = "q"
    died = ""


@dataclass(frozen=True)
class Armed:
    """The program has a measurement of its own: lasers may be on from now on.

    Parameters
    ----------
    measurement : str
        Its name; empty: none is closed.
    """

    measurement: str = ""


class _Messages(Protocol):
    def get(self, block: bool = ..., timeout: float | None = ...) -> Heard | Armed: ...


@dataclass(frozen=True)
class Rules:
    """How patient the watchdog is.

    Parameters
    ----------
    silence_s : float
        Longest time without a beat, s, while a laser is on.
    retry_s : float
        How long after a vain attempt the next one comes, s.
    settle_s : float
        How long after a success everything is looked at once more, s: what the program asked
        for last may still have been on its way.
    give_up_s : float
        How long it is tried, s.
    close_s : float
        How long the program's own measurement may take to close afterwards, s.
    """

    silence_s: float = 10.0
    retry_s: float = 0.2
    settle_s: float = 0.2
    give_up_s: float = 60.0
    close_s: float = 3.0


@dataclass(frozen=True)
class Darkened:
    """What came of switching everything off.

    Parameters
    ----------
    failure : str
        Why lasers may be on; empty: all were read back as off, and nothing scans.
    seconds : float
        How long it took until the last laser was read back as off, s.
    """

    failure: str
    seconds: float


def watch(
    messages: _Messages,
    connect: Callable[[], Application],
    tell: Callable[[str], None],
    rules: Rules = Rules(),
) -> bool:
    """Watch until the program releases the watchdog or dies; whether the lasers are off then.

    Parameters
    ----------
    messages : queue of Heard or Armed
        What comes through the pipe; the death of the program comes last.
    connect : callable
        Makes a connection of the watchdog's own.
    tell : callable
        Takes what the watchdog has done, in one line.
    rules : Rules
        Its patience.
    """
    dark = Dark(connect, rules)
    armed: Armed | None = None
    while True:
        try:
            heard = messages.get(timeout=rules.silence_s)
        except queue.Empty:
            if armed is not None and dark.is_due():
                _tell(f"nothing was heard of it for {rules.silence_s:g} s", dark.make(), tell)
            continue
        if isinstance(heard, Armed):
            armed = heard
        elif heard is Heard.released or (heard is Heard.died and armed is None):
            return True
        elif heard is Heard.died and armed is not None:
            done = dark.make()
            closed = "" if done.failure else dark.close(armed.measurement)
            return _tell("it has ended without a word", done, tell, closed)


def _tell(why: str, done: Darkened, tell: Callable[[str], None], closed: str = "") -> bool:
    if done.failure:
        tell(f"{why}: LASERS MAY BE ON, switch them off by hand: {done.failure}")
    else:
        off = f"every scan was stopped and all lasers are at zero ({done.seconds:.2f} s)"
        tell(f"{why}: {off}{closed and '; '}{closed}")
    return not done.failure


class Dark:
    """Makes a microscope dark, over a connection that is made anew when it fails.

    Parameters
    ----------
    connect : callable
        Makes a connection; it is called at once.
    rules : Rules
        How often and how long it is tried.

    Raises
    ------
    Exception
        Whatever `connect` raises.
    """

    def __init__(self, connect: Callable[[], Application], rules: Rules) -> None:
        self._connect = connect
        self._rules = rules
        self._application: Application | None = connect()

    def is_due(self) -> bool:
        """Whether a laser is on; also when the microscope does not say."""
        try:
            return any_laser_on(self._connected())
        except Exception:
            self._application = None
            return True

    def make(self) -> Darkened:
        """Stop every scan and switch every laser off, again and again until it is so."""
        begin = time.monotonic()
        tried: list[str] = []
        done = threading.Event()
        stop = threading.Event()
        off_s: list[float] = []

        def work() -> None:
            while not stop.is_set():
                failure = self._attempt(begin, off_s)
                if not failure:
                    done.set()
                    return
                tried.append(failure)
                stop.wait(self._rules.retry_s)

        # A call to a microscope that has died may never return: nobody waits for it longer.
        threading.Thread(target=work, name="lasers off", daemon=True).start()
        if done.wait(self._rules.give_up_s):
            return Darkened("", off_s[0])
        stop.set()
        return Darkened(tried[-1] if tried else "it does not answer", time.monotonic() - begin)

    def close(self, name: str) -> str:
        """Close a measurement, if it is open; say what came of it, "" when it was not."""
        said: list[str] = []

        def work() -> None:
            try:
                application = self._connected()
                if name in application.measurement_names():
                    application.close(application.measurement(name))
                    said.append(f"{name} was closed")
                else:
                    said.append("")
            except Exception as error:
                said.append(f"{name} stays open: {str(error) or type(error).__name__}")

        if not name:
            return ""
        thread = threading.Thread(target=work, name="close", daemon=True)
        thread.start()
        thread.join(self._rules.close_s)
        return said[0] if said else f"{name} stays open: it does not answer"

    def _attempt(self, begin: float, off_s: list[float]) -> str:
        """Try once, and look again when it has gone well; return what is not as it should be."""
        try:
            application = self._connected()
            for pause_s in (self._rules.settle_s, 0.0):
                if failures := switch_everything_off(application):
                    off_s.clear()
                    return "; ".join(failures)
                off_s.append(time.monotonic() - begin)
                time.sleep(pause_s)
        except Exception as error:
            self._application = None
            off_s.clear()
            return str(error) or type(error).__name__
        return ""

    def _connected(self) -> Application:
        if self._application is None:
            self._application = self._connect()
        return self._application
