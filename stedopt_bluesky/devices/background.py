"""Run a function in a thread and complete a Status with its outcome."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ophyd.status import Status


def complete_in_background(device: Any, work: Callable[[], None]) -> Status:
    """Start ``work`` in a thread of its own; the Status ends when it ends.

    The RunEngine stays free meanwhile: it can be paused, stopped or aborted.

    Parameters
    ----------
    device : object
        Whose status it is, for messages.
    work : callable
        Without arguments; an exception becomes the status's failure.

    Returns
    -------
    Status
        Finished when ``work`` has returned.
    """
    status = Status(device)

    def run() -> None:
        try:
            work()
        except Exception as error:
            status.set_exception(error)
        else:
            status.set_finished()

    threading.Thread(target=run, name=f"{device.name}-work", daemon=True).start()
    return status
