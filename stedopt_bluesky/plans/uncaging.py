"""The adaptive plan of uncaging: spine by spine, each with the pulse that was chosen for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bluesky.utils import MsgGenerator

from stedopt_bluesky.bandit.strategy import Strategy
from stedopt_bluesky.devices.station import Station
from stedopt_bluesky.parameters import ParameterSpace
from stedopt_bluesky.plans.optimize import optimize_sted
from stedopt_bluesky.plans.placing_by_hand import ExpertSurvey
from stedopt_bluesky.plans.survey import Lay

PLAN_NAME = "optimize_uncaging"


def optimize_uncaging(
    station: Station,
    strategy: Strategy,
    space: ParameterSpace,
    *,
    sites: Lay | ExpertSurvey,
    md: Mapping[str, Any] | None = None,
    **settings: Any,
) -> MsgGenerator[str]:
    """Uncage at spine after spine, each with the power and distance that were chosen for it.

    The plan is :func:`~stedopt_bluesky.plans.optimize.optimize_sted`; what is imaged are spines,
    and the microscope gives a pulse between its two STED images. Per spine: options are drawn
    and one is chosen; confocal and STED images, baseline, pulse and response, STED and confocal
    images; the rating; one primary Event; the strategy learns.

    Parameters
    ----------
    station : Station
        With an uncaging spot.
    strategy, space, **settings
        Those of :func:`~stedopt_bluesky.plans.optimize.optimize_sted`.
    sites : Lay or ExpertSurvey
        Which spines; not looked at where ``regions`` are given.
    md : mapping, optional
        Goes into the start document.

    Returns
    -------
    str
        The run's uid.

    Raises
    ------
    ValueError
        When the station has no uncaging spot; otherwise as ``optimize_sted``.
    SpineRefusedError
        Once the overview is taken, when a spine of a list has no free axis.
    """
    if station.spot is None:
        raise ValueError("this station has no uncaging spot")
    return (
        yield from optimize_sted(
            station,
            strategy,
            space,
            lay=sites,
            md={"plan_name": PLAN_NAME, **(md or {})},
            **settings,
        )
    )
