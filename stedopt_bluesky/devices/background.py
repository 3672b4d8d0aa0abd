"""Run a function in a thread and complete a Status with its outcome."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from ophyd.status import Status

# A scan that was stopped ends within a line, a file is written in milliseconds: what
# goes on for longer than this hangs, and nothing waits for it.
_SETTLE_S = 5.0


def complete_in_background(
    device: Any, work: Callable[[], None], status: Status | None = None
) -> Status:
    """Start ``work`` in a thread of its own; the Status ends when it ends.

    The RunEngine stays free meanwhile: it can be paused, stopped or aborted.

    Parameters
    ----------
    device : object
        Whose status it is, for messages.
    work : callable
        Without arguments; an exception becomes the status's failure.
    status : Status, optional
        The one to complete; a new one when left out.

    Returns
    -------
    Status
        Finished when ``work`` has returned.
    """
    completed = Status(device) if status is None else status

    def run() -> None:
        try:
            work()
        except Exception as error:
            completed.set_exception(error)
        else:
            completed.set_finished()

    threading.Thread(target=run, name=f"{device.name}-work", daemon=True).start()
    return completed


def settled(status: Status | None, timeout_s: float = _SETTLE_S) -> bool:
    """Wait until background work has ended, well or not; whether it has, in time.

    Parameters
    ----------
    status : Status or None
        Of the work; None when there is none.
    timeout_s : float
        Longest time to wait, s.
    """
    if status is None:
        return True
    # How the work ended is told to whoever waits for its Status.
    with contextlib.suppress(Exception):
        status.wait(timeout_s)
    return bool(status.done)
