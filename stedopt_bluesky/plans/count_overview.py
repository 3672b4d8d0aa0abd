"""Overviews and nothing else: to look at the sample before anything bleaches it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bluesky import preprocessors as bpp
from bluesky.utils import MsgGenerator

from stedopt_bluesky.devices.station import Station
from stedopt_bluesky.plans.checks import checked_count
from stedopt_bluesky.plans.run import obeying, recorded_run
from stedopt_bluesky.plans.survey import take_overview

PLAN_NAME = "count_overview"


def count_overview(
    station: Station,
    *,
    overviews: int = 1,
    field_um: tuple[float, float] = (0.0, 0.0),
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[str]:
    """Take overviews of one field, each an Event of stream ``overview``; no region is imaged.

    Parameters
    ----------
    station : Station
        The devices.
    overviews : int
        How many, one after the other, at least 1.
    field_um : tuple of float
        Stage position (x, y), µm, from where the stage stood.
    md : mapping, optional
        Goes into the start document.

    Returns
    -------
    str
        The run's uid.

    Raises
    ------
    ValueError
        Before the run opens, when ``overviews`` is not a whole number from 1.
    LimitError
        Before the run opens, when the stage must not go there.
    BlankOverviewError, StageError
        As the optimisation has them.
    """
    overviews = checked_count(overviews, "overviews")
    for setting, value in zip(
        (station.stage.stage_x_um, station.stage.stage_y_um), field_um, strict=True
    ):
        setting.check_value(value)

    def take() -> MsgGenerator[None]:
        for _ in range(overviews):
            yield from take_overview(station, field_um)

    @bpp.stage_decorator([station.overview, station.microscope])
    def run() -> MsgGenerator[str]:
        return (yield from recorded_run(take(), {"plan_name": PLAN_NAME, **(md or {})}))

    return (yield from obeying(run()))
