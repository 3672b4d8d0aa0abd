"""Image one region with one configuration, rate it, and keep both in one Event."""

from __future__ import annotations

from collections.abc import Mapping

from bluesky import plan_stubs as bps
from bluesky.utils import MsgGenerator, RunEngineControlException

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.devices.rating import Rate
from stedopt_bluesky.devices.station import Station
from stedopt_bluesky.plans.exposure import expose_once, not_rewound, until_done
from stedopt_bluesky.plans.rating_by_hand import ExpertRating, nothing_valid

Rater = Rate | ExpertRating


def acquire(
    station: Station,
    region: Region,
    configuration: Mapping[str, float],
    rate: Rater,
) -> MsgGenerator[dict[str, float] | None]:
    """Move, image, rate, record.

    Nothing of it is repeated when the plan is paused at once (not deferred to the next
    checkpoint) and resumed: an exposure bleaches the sample.

    Parameters
    ----------
    station : Station
        What is moved and read.
    region : Region
        Where.
    configuration : mapping of parameter's name to value
        Each in its unit; parameters that are not in it stay as they are.
    rate : callable or ExpertRating
        From the images to the objectives; or a person, for whom the plan waits.

    Returns
    -------
    dict of str to float or None
        Objectives by name, NaN where invalid; None when the plan is only looked at
        (``check_limits``), not run.

    Raises
    ------
    ExposureInterruptedError
        When a pause has spoilt the images; there is no Event of them.
    NobodyAnsweredError
        When nobody rated them in time and the run is to end then; the images are kept.
    """
    return (yield from not_rewound(_acquire(station, region, configuration, rate)))


def arrive(station: Station) -> MsgGenerator[None]:
    """Wait until the stage is where it was sent and the focus holds.

    Raises
    ------
    FailedStatus
        Of a :class:`~stedopt_bluesky.devices.stage.StageError`, when it is not.
    """
    status = yield from bps.trigger(station.stage, wait=True)
    yield from until_done(status)


def _acquire(
    station: Station, region: Region, configuration: Mapping[str, float], rate: Rater
) -> MsgGenerator[dict[str, float] | None]:
    moves = [(station.settings[name], value) for name, value in configuration.items()]
    moves += station.place(region)
    yield from bps.mv(*(item for move in moves for item in move))
    yield from arrive(station)
    yield from expose_once(station.microscope)
    if not isinstance(rate, ExpertRating):
        yield from _rate(station, rate)
        return (yield from _record(station))
    names = [objective.name for objective in station.rating.objectives]
    by_hand: Rate | None = None
    try:
        by_hand = yield from rate.ask(
            station.microscope.images, int(station.label.iteration.get()), names
        )
        yield from _rate(station, by_hand)
    except Exception as ended:
        # The sample has been bleached for these images: they are kept, whatever ends the run.
        if by_hand is None:
            why = (
                "the run was ended" if isinstance(ended, RunEngineControlException) else str(ended)
            )
            by_hand = nothing_valid(names, f"not rated: {why}")
        yield from _rate(station, by_hand)
        yield from _record(station)
        raise
    return (yield from _record(station))


def _rate(station: Station, rate: Rate) -> MsgGenerator[None]:
    rating = yield from bps.abs_set(station.rating, station.microscope.images, rate=rate, wait=True)
    yield from until_done(rating)


def _record(station: Station) -> MsgGenerator[dict[str, float] | None]:
    yield from bps.create("primary")
    for device in station.read:
        yield from bps.read(device)
    rated = yield from bps.read(station.rating)
    yield from bps.save()
    # Nobody answers a plan that is only looked at.
    return None if rated is None else station.rating.values
