"""Expose once: what bleaches the sample is never repeated, whoever pauses when."""

from __future__ import annotations

from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.protocols import Triggerable
from bluesky.utils import MsgGenerator, short_uid

# How often a status is looked at after a pause has cut the waiting for it short, s.
_LOOK_EVERY_S = 0.02


class ExposureInterruptedError(RuntimeError):
    """A pause has come during an exposure and switched the lasers off: the image is spoilt."""


def not_rewound(plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
    """Run a part of a plan that a pause at once, and resuming, does not repeat.

    After a pause Bluesky repeats what came since the last checkpoint, exposures too.
    """
    return (yield from bpp.rewindable_wrapper(plan, False))


def expose_once(device: Triggerable) -> MsgGenerator[None]:
    """Trigger a device and wait until it is done.

    Raises
    ------
    ExposureInterruptedError
        When the plan was paused meanwhile, once it is resumed and the device is idle.
    """
    group = short_uid("exposure")
    status = yield from bps.trigger(device, group=group)
    # A wait that a pause has cut short is not answered. Neither is any message of a
    # plan that is only looked at (`check_limits`); then there is no status.
    waited = yield from bps.wait(group=group)
    if status is not None and not waited:
        yield from until_done(status)
        raise ExposureInterruptedError("a pause has interrupted the exposure")


def until_done(status: Any) -> MsgGenerator[None]:
    """Wait on for a status, when a pause has cut the waiting for it short.

    Resuming goes on behind the message during which the pause came. A status that fails
    makes the RunEngine raise here.
    """
    while status is not None and not status.done:
        yield from bps.sleep(_LOOK_EVERY_S)
