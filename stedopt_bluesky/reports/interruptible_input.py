"""A line from who sits here: ``input()`` that ends when the line is not waited for any more."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

# How often it is looked whether the line still waits, s.
_LOOK_EVERY_S = 0.05
# How long an interruption that was sent may be on its way, s.
_SENT_S = 1.0


class InterruptHandled(KeyboardInterrupt):
    """Ctrl-C, or an interrupt of the kernel, that has been dealt with."""


class _Reading:
    """What goes on while a line is read."""

    def __init__(self) -> None:
        self.sent = self.delivered = self.handled = self.ended = False


def read_line(prompt: str, waits: Callable[[], bool]) -> str | None:
    """Read a line as ``input()`` does: in a notebook, in the box below the cell.

    In the main thread, SIGINT goes to who handles it (Bluesky's RunEngine pauses), and ends the
    reading. A terminal of Windows reads on until Enter, whatever happens meanwhile.

    Parameters
    ----------
    prompt : str
        What is asked.
    waits : callable
        Tells whether a line is still waited for.

    Returns
    -------
    str or None
        None when it is not waited for any more.

    Raises
    ------
    EOFError
        When no line can come: the input is at its end, or the frontend has none.
    InterruptHandled
        When somebody has interrupted, and who handles that did not raise anything.
    """
    if threading.current_thread() is not threading.main_thread():
        return _input(prompt)
    before = signal.getsignal(signal.SIGINT)
    reading, done = _Reading(), threading.Event()

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if reading.sent:
            reading.delivered = True
        else:
            if callable(before):
                before(number, frame)  # may raise what ends the reading as well
            reading.handled = True
        if not reading.ended:
            raise KeyboardInterrupt

    def watch() -> None:
        while not done.wait(_LOOK_EVERY_S):
            if not waits():
                reading.sent = True
                break
        # Again, where the first one came just before Python waited for the terminal.
        while reading.sent and not reading.delivered:
            _interrupt_main_thread()
            if done.wait(_LOOK_EVERY_S):
                return

    watching = threading.Thread(target=watch, name="line-waits", daemon=True)
    signal.signal(signal.SIGINT, on_interrupt)
    try:
        try:
            watching.start()
            return _input(prompt)
        finally:
            reading.ended = True
            done.set()
            watching.join()
            # One that comes when the handler is not there any more would pause a plan.
            until = time.monotonic() + _SENT_S
            while reading.sent and not reading.delivered and time.monotonic() < until:
                time.sleep(0.001)
            if reading.sent:
                time.sleep(0.01)
    except KeyboardInterrupt:
        if reading.handled:
            raise InterruptHandled from None
        if not reading.delivered:
            raise
        return None
    finally:
        signal.signal(signal.SIGINT, before)


def _input(prompt: str) -> str:
    try:
        return input(prompt)
    # Of a frontend without input (IPython's StdinNotImplementedError), or without a standard input.
    except (NotImplementedError, OSError, RuntimeError) as error:
        raise EOFError from error


def _interrupt_main_thread() -> None:
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, signal.SIGINT)  # wakes it where it waits for a terminal
    else:
        _thread.interrupt_main()
