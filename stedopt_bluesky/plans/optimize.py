"""The adaptive plan: optimise a STED microscope's parameters while it images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import MsgGenerator

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.bandit.strategy import Strategy
from stedopt_bluesky.devices.decision import Choose
from stedopt_bluesky.devices.rating import Rate
from stedopt_bluesky.devices.station import Station
from stedopt_bluesky.parameters import ParameterSpace
from stedopt_bluesky.plans.acquire import acquire
from stedopt_bluesky.plans.regions import lay_regions
from stedopt_bluesky.plans.run import recorded_run


class NotEnoughRegionsError(RuntimeError):
    """The overview shows fewer regions than images are planned."""


def optimize_sted(
    station: Station,
    strategy: Strategy,
    space: ParameterSpace,
    *,
    rate: Rate,
    choose: Choose,
    images: int = 60,
    regions: Sequence[Region] | None = None,
    region_size_um: float = 4.48,
    minimum_foreground: float = 0.1,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[str]:
    """Image region after region, each with the configuration that was chosen for it.

    For each image: options are drawn, somebody chooses one (an Event of stream
    ``decision``), its configuration is imaged on the next region and rated (an
    Event of stream ``primary``), and the strategy learns. A checkpoint stands
    before each image and nowhere else: an exposure bleaches the sample and is
    never repeated.

    Parameters
    ----------
    station : Station
        The devices.
    strategy : Strategy
        Draws options and learns; may have learnt from an earlier run.
    space : ParameterSpace
        The grid that the strategy's options index.
    rate : callable
        From an :class:`~stedopt_bluesky.acquisition.ImageSet` to objectives by name.
    choose : callable
        From :class:`~stedopt_bluesky.acquisition.Options` to a
        :class:`~stedopt_bluesky.acquisition.Choice`.
    images : int
        Regions to image.
    regions : sequence of Region, optional
        Where, in order; without them an overview is taken and regions are laid
        over its foreground.
    region_size_um : float
        Side of a region laid over the overview, µm.
    minimum_foreground : float
        Least share of foreground in such a region, 0 to 1.
    md : mapping, optional
        Goes into the start document.

    Returns
    -------
    str
        The run's uid.

    Raises
    ------
    LimitError
        Before the run opens, when a value of the grid is outside a device's limits.
    NotEnoughRegionsError
        When there are fewer regions than images.
    """
    if images < 1:
        raise ValueError(f"images = {images}: at least 1")
    for parameter in space:
        setting = station.settings[parameter.name]
        for value in parameter.values:
            setting.check_value(value)

    metadata = {
        "plan_name": "optimize_sted",
        "images_planned": images,
        "parameters": list(space.names),
        "objectives": [o.name for o in station.rating.objectives],
        **(md or {}),
    }

    # The microscope is unstaged first: whatever fails afterwards, the lasers are off.
    @bpp.stage_decorator([station.decision, station.overview, station.microscope])
    def run() -> MsgGenerator[str]:
        return (yield from recorded_run(image_regions(), metadata))

    def image_regions() -> MsgGenerator[None]:
        places = regions
        if places is None:
            places = yield from survey(station, region_size_um, minimum_foreground)
        if places is None:
            return
        if len(places) < images:
            raise NotEnoughRegionsError(
                f"{images} images are planned, but only {len(places)} regions of "
                f"{region_size_um:g} µm hold at least {minimum_foreground:.0%} foreground: "
                "plan fewer images, or lower overview.minimum_foreground"
            )
        for place in places[:images]:
            yield from bps.checkpoint()
            yield from optimise_one(station, strategy, space, place, rate=rate, choose=choose)

    return (yield from run())


def survey(
    station: Station, region_size_um: float, minimum_foreground: float
) -> MsgGenerator[list[Region] | None]:
    """Take the overview, record it in stream ``overview`` and lay regions over it.

    Returns
    -------
    list of Region or None
        None when the plan is only looked at (``check_limits``), not run.
    """
    overview = station.overview
    yield from bps.trigger_and_read([overview], name="overview")
    if overview.image is None:
        return None
    return lay_regions(
        overview.image, overview.settings.pixel_size_nm, region_size_um, minimum_foreground
    )


def optimise_one(
    station: Station,
    strategy: Strategy,
    space: ParameterSpace,
    region: Region,
    *,
    rate: Rate,
    choose: Choose,
) -> MsgGenerator[None]:
    """Draw options, have one chosen, image its configuration, learn from it."""
    options = strategy.suggest()
    yield from bps.abs_set(station.decision, options, choose=choose, wait=True)
    yield from bps.create("decision")
    yield from bps.read(station.decision)
    yield from bps.save()
    index = int(station.decision.index.get())
    label = station.label
    yield from bps.mv(label.iteration, options.iteration, label.configuration_index, index)
    values = yield from acquire(station, region, space.configuration(index), rate)
    strategy.ingest(index, values)
