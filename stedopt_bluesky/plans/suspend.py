"""Wait for a person while the interlock is open, or after it was: nothing resumes by itself."""

from __future__ import annotations

import logging
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import FailedStatus, MsgGenerator

from stedopt_bluesky.devices.microscope import Microscope
from stedopt_bluesky.imspector.interlock import InterlockOpenError

_log = logging.getLogger(__name__)


def suspended_by(failure: FailedStatus) -> str:
    """Say what the interlock let fail; "" when it was something else."""
    cause = failure.__cause__
    return str(cause) if isinstance(cause, InterlockOpenError) else ""


def suspend_while_open(microscope: Microscope, why: str = "") -> MsgGenerator[Any]:
    """Pause while the interlock is open; each time until a person resumes.

    The RunEngine is paused as by a person. Who runs the plan finds the reason in
    ``microscope.suspended``, and in the log.

    Parameters
    ----------
    microscope : Microscope
        Whose interlock it is.
    why : str
        What the interlock has interrupted: paused once even when it is closed again.
    """
    while why := why or microscope.interlock_open():
        microscope.suspended = f"suspended: {why}"
        _log.warning("%s; lasers are off, it goes on when you resume it", microscope.suspended)
        # Nothing is repeated on resuming: what came before has been recorded.
        yield from bps.checkpoint()
        yield from bps.pause()
        microscope.suspended = why = ""
