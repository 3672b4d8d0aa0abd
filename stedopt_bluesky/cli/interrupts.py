"""Signals: Ctrl-C once finishes the image in progress, twice abandons it; SIGTERM abandons it."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bluesky import RunEngine

    from stedopt_bluesky.session.run_control import RunControl

INTERRUPTED = "interrupted by the user (Ctrl-C)"
ABANDONED = "interrupted by the user (Ctrl-C twice): the image in progress was abandoned"
TERMINATED = "terminated (SIGTERM)"

# Shells' exit codes of a program that a signal ended: 128 + the signal's number.
EXIT_CODES = {
    INTERRUPTED: 128 + signal.SIGINT,
    ABANDONED: 128 + signal.SIGINT,
    TERMINATED: 128 + signal.SIGTERM,
}
# What is said of a microscope that failed, after why the run had ended.
MICROSCOPE_FAILED = "the microscope failed"

# Two signals within this time, s, are one key press that came by two ways
# (from the terminal and from `make`, say).
_BOUNCE_S = 0.1
# How often the main thread wakes up while a plan runs, s: Python's handlers of signals run
# in it only, and a system may deliver a signal to another thread without waking it.
_WAKE_EVERY_S = 0.1
# From this press of Ctrl-C on, the program is left as it is: something hangs.
_GIVE_UP_AT = 5


def exit_code(problem: str) -> int:
    """Exit code of a run that did not go well, by the reason why.

    An abort on the page counts as Ctrl-C does: a person has ended the run.
    """
    from stedopt_bluesky.session.run_control import ABORTED_BY

    if problem.startswith(ABORTED_BY) and MICROSCOPE_FAILED not in problem:
        return EXIT_CODES[INTERRUPTED]
    return EXIT_CODES.get(problem, 1)


def make_engine() -> RunEngine:
    """Make a RunEngine that leaves signals to :class:`Interrupts`."""
    from bluesky import RunEngine
    from bluesky.utils import DuringTask

    class WakingUp(DuringTask):
        def block(self, blocking_event: threading.Event) -> None:
            while not blocking_event.wait(_WAKE_EVERY_S):
                pass

    return RunEngine({}, context_managers=[], during_task=WakingUp())


class Interrupts:
    """While entered, turns signals into requests to whoever controls the plan that runs.

    It takes the place of Bluesky's own handler, which is made for a person who then
    decides at a prompt whether to resume.

    Parameters
    ----------
    control : RunControl
        Of the plan.
    say : callable
        Tells the user, in a line, what happens now.
    """

    def __init__(self, control: RunControl, say: Callable[[str], None]) -> None:
        self._control = control
        self._say = say
        self._presses = 0
        self._last_press = -math.inf
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        handlers = {signal.SIGINT: self._on_interrupt, signal.SIGTERM: self._on_terminate}
        self._before = {number: signal.signal(number, h) for number, h in handlers.items()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_interrupt(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last_press < _BOUNCE_S:
            return
        self._last_press = now
        self._presses += 1
        if self._presses >= _GIVE_UP_AT:
            raise KeyboardInterrupt
        if self._control.reason:
            _in_thread(self._control.abort_whenever, ABANDONED)
        else:
            self._control.reason = INTERRUPTED
            _in_thread(self._pause)

    def _on_terminate(self, _number: int, _frame: FrameType | None) -> None:
        _in_thread(self._control.abort_whenever, TERMINATED)

    def _pause(self) -> None:
        if self._control.state != "paused":
            self._say("finishing the image in progress; Ctrl-C once more abandons it")
            self._control.finish_image()


def _in_thread(call: Callable[..., object], *args: object) -> None:
    """Call without waiting: a handler of signals must wait for nothing."""
    threading.Thread(target=call, args=args, daemon=True).start()


@contextlib.contextmanager
def calling(leave: Callable[[int], object], *numbers: int) -> Iterator[None]:
    """Have signals call a function, with the signal's number, in place of what they did.

    Parameters
    ----------
    leave : callable
        Called in the main thread.
    *numbers : int
        The signals.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        leave(number)

    before: dict[int, Any] = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def terminate_cleanly() -> contextlib.AbstractContextManager[None]:
    """Have SIGTERM leave by way of every ``finally``, as Ctrl-C does, also outside of a run."""
    return calling(lambda _: sys.exit(EXIT_CODES[TERMINATED]), signal.SIGTERM)
