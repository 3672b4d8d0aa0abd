"""A run that says why it ended, in the words of who knew it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import FailedPause, FailedStatus, MsgGenerator, RunEngineControlException

CANNOT_PAUSE = "paused where the plan has no checkpoint to go back to"


def recorded_run(plan: MsgGenerator[Any], md: Mapping[str, Any]) -> MsgGenerator[str]:
    """Enclose a plan in a run whose stop document gives a reason a person understands.

    Three things differ from Bluesky's own ``run_wrapper``: a device's failure is
    told by what made it fail, not by the name of its status; a pause where the plan
    cannot be resumed is told as what it is; and the reason given to ``RE.abort``
    reaches the stop document, because closing is then left to the RunEngine, which
    knows it.

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
        if isinstance(error, FailedPause):
            yield from bps.close_run(exit_status="abort", reason=CANNOT_PAUSE)
        elif not isinstance(error, RunEngineControlException):
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


def obeying(plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
    """Run a plan in which what a person asks for outranks what fails because of it.

    An abort stops the scan in progress, whose status then fails. Bluesky would throw that
    failure into the plan too, in the middle of its cleaning up, and report a failed run
    instead of an aborted one.
    """
    asked = False
    message = next(plan)
    while True:
        try:
            response = yield message
        except GeneratorExit:  # halted: there is no cleaning up
            plan.close()
            raise
        except RunEngineControlException as request:
            asked = True
            answer = partial(plan.throw, request)
        except Exception as error:
            answer = partial(plan.throw, error)
            if asked and isinstance(error, FailedStatus):
                answer = partial(plan.send, None)
        else:
            answer = partial(plan.send, response)
        try:
            message = answer()
        except StopIteration as end:
            return end.value
