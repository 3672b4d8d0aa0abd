"""The adaptive plan: optimise a STED microscope's parameters while it images."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import FailedStatus, MsgGenerator

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.bandit.strategy import Strategy
from stedopt_bluesky.devices.decision import Choose
from stedopt_bluesky.devices.light_budget import RegionSpentError
from stedopt_bluesky.devices.rating import Rate
from stedopt_bluesky.devices.station import Station
from stedopt_bluesky.imspector.scan import BadImageError
from stedopt_bluesky.parameters import ParameterSpace
from stedopt_bluesky.plans.acquire import acquire
from stedopt_bluesky.plans.exposure import ExposureInterruptedError, not_rewound, until_done
from stedopt_bluesky.plans.regions import ForegroundTiles
from stedopt_bluesky.plans.run import obeying, recorded_run

# So many regions in a row without a usable image are no accident.
MOST_BAD_IMAGES = 3


class Lay(Protocol):
    """Lays regions over an overview."""

    def __call__(
        self, overview: npt.NDArray[np.int16], pixel_size_nm: float, /
    ) -> Sequence[Region]:
        """Return the regions, in the order in which they are imaged."""

    def too_few(self, found: int) -> str:
        """Say what is missing where there are fewer regions than images."""


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
    region_size_um: float | None = None,
    minimum_foreground: float = 0.1,
    lay: Lay | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[str]:
    """Image region after region, each with the configuration that was chosen for it.

    For each image: options are drawn, somebody chooses one (an Event of stream
    ``decision``), its configuration is imaged on the next region and rated (an
    Event of stream ``primary``), and the strategy learns. A checkpoint stands
    before each image, and an exposure, which bleaches the sample, is never repeated:
    a deferred pause (Ctrl-C once) waits for the end of the image; a pause at once
    (Ctrl-C twice) during an exposure spoils the image, and resuming goes on with the
    next region.

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
        Regions to image, at least 1.
    regions : sequence of Region, optional
        Where, in order; without them an overview is taken and regions are laid
        over its foreground.
    region_size_um : float, optional
        Side of a region laid over the overview, µm; the scanner's field when left out.
    minimum_foreground : float
        Least share of foreground in such a region, 0 to 1.
    lay : callable, optional
        Lays regions over the overview in another way; see `Lay`.
    md : mapping, optional
        Goes into the start document.

    Returns
    -------
    str
        The run's uid.

    Raises
    ------
    LimitError
        Before the run opens, when a value of the grid or a region's position is outside
        a device's limits.
    ValueError
        Before the run opens, when ``images`` is not a whole number from 1, a parameter is
        not one of the station's, or a region has another size than the scanner's field.
    NotEnoughRegionsError
        When there are fewer regions than images: before the run opens when they are
        given, else once the overview is taken.
    """
    images = _checked_count(images)
    _check_grid(station, space)
    size_um = float(station.scanner.size_um.get() if region_size_um is None else region_size_um)
    _check_regions(station, regions, size_um, images)
    lay = lay or ForegroundTiles(size_um, minimum_foreground)

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
            places = yield from survey(station, lay)
        if places is None:
            return
        if len(places) < images:
            raise NotEnoughRegionsError(f"images = {images}: {lay.too_few(len(places))}")
        taken = bad = 0
        for place in places:
            yield from bps.checkpoint()
            try:
                yield from optimise_one(station, strategy, space, place, rate=rate, choose=choose)
            except ExposureInterruptedError:
                continue  # the next region has its turn
            except FailedStatus as failure:
                cause = failure.__cause__
                bad += isinstance(cause, BadImageError)
                if isinstance(cause, BadImageError) and bad < MOST_BAD_IMAGES:
                    continue  # bleached for nothing: the next region has its turn
                if isinstance(cause, RegionSpentError):
                    continue  # this region must not get more light
                raise
            taken += 1
            bad = 0
            if taken == images:
                return
        raise NotEnoughRegionsError(
            f"images = {images}: {taken} were taken, the other regions were lost (pauses, bad "
            "images) or may get no more light"
        )

    return (yield from obeying(run()))


def survey(station: Station, lay: Lay) -> MsgGenerator[Sequence[Region] | None]:
    """Take the overview, record it in stream ``overview`` and lay regions over it.

    Returns
    -------
    sequence of Region or None
        None when the plan is only looked at (``check_limits``), not run.
    """
    overview = station.overview

    def take() -> MsgGenerator[Any]:
        # Not abandoned after a pause: no laser is switched off that the overview needs.
        status = yield from bps.trigger(overview, wait=True)
        yield from until_done(status)
        yield from bps.create("overview")
        reading = yield from bps.read(overview)
        yield from bps.save()
        return reading

    reading = yield from not_rewound(take())
    if reading is None or overview.image is None:
        return None
    return lay(overview.image, overview.settings.pixel_size_nm)


def optimise_one(
    station: Station,
    strategy: Strategy,
    space: ParameterSpace,
    region: Region,
    *,
    rate: Rate,
    choose: Choose,
) -> MsgGenerator[None]:
    """Draw options, have one chosen, image its configuration, learn from it.

    Raises
    ------
    ExposureInterruptedError
        When a pause has spoilt the images; nothing is learnt.
    """
    options = strategy.suggest()
    yield from bps.abs_set(station.decision, options, choose=choose, wait=True)
    index = int(station.decision.index.get())

    def image_it() -> MsgGenerator[dict[str, float] | None]:
        yield from bps.create("decision")
        yield from bps.read(station.decision)
        yield from bps.save()
        label = station.label
        yield from bps.mv(label.iteration, options.iteration, label.configuration_index, index)
        return (yield from acquire(station, region, space.configuration(index), rate))

    # A decision is recorded once, as the image is taken once.
    values = yield from not_rewound(image_it())
    if values is not None:
        strategy.ingest(index, values)


def _checked_count(images: int) -> int:
    try:
        count = operator.index(images)
    except TypeError:
        raise ValueError(f"images = {images!r}: a whole number, at least 1") from None
    if count < 1:
        raise ValueError(f"images = {count}: at least 1")
    return count


def _check_grid(station: Station, space: ParameterSpace) -> None:
    """Refuse a grid with a value that a device would refuse, before anything moves."""
    settings = station.settings
    for parameter in space:
        if parameter.name not in settings:
            raise ValueError(
                f"parameter {parameter.name!r}: this station has {', '.join(settings)}"
            )
        for value in parameter.values:
            settings[parameter.name].check_value(value)


def _check_regions(
    station: Station, regions: Sequence[Region] | None, size_um: float, images: int
) -> None:
    """Refuse regions that the scanner cannot image as they are, before anything moves."""
    field_um = float(station.scanner.size_um.get())
    for size in {size_um, *(region.size_um for region in regions or ())}:
        if not math.isclose(size, field_um, rel_tol=1e-6):
            raise ValueError(
                f"a region of {size:g} µm: the scanner's field is set to {field_um:g} µm "
                "(scanner.size_um), regions must be of that size"
            )
    if regions is None:
        return
    for region in regions:
        for setting, value in station.place(region):
            setting.check_value(value)
    if len(regions) < images:
        raise NotEnoughRegionsError(f"images = {images}: only {len(regions)} regions are given")
