"""A run that says why it ended, in the words of who knew it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import FailedStatus, MsgGenerator, RunEngineControlException


def recorded_run(plan: MsgGenerator[Any], md: Mapping[str, Any]) -> MsgGenerator[str]:
    """Enclose a plan in a run whose stop document gives a reason a person understands.

    Two things differ from Bluesky's own ``run_wrapper``: a device's failure is
    told by what made it fail, not by the name of its status; and the reason
    given to ``RE.abort`` reaches the stop document, because closing is then left
    to the RunEngine, which knows it.

    Parameters
    ----------
    plan : generator of Msg
        What is done in the run.
    md : mapping
        Goes into the start document.

    Returns
    -------
    str
        The run's uid.
    """
    uid = yield from bps.open_run(dict(md))

    def close_with_reason(error: Exception) -> MsgGenerator[None]:
        if not isinstance(error, RunEngineControlException):
            yield from bps.close_run(exit_status="fail", reason=str(error) or type(error).__name__)

    yield from bpp.contingency_wrapper(
        _plainly_failing(plan), except_plan=close_with_reason, else_plan=bps.close_run
    )
    return uid


def _plainly_failing(plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
    try:
        return (yield from plan)
    except FailedStatus as failure:
        raise (failure.__cause__ or failure) from failure
