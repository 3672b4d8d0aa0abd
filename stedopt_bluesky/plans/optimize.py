"""The adaptive plan: optimise a STED microscope's parameters while it images."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import FailedStatus, MsgGenerator

from stedopt_bluesky.acquisition import Choice, Options, Region
from stedopt_bluesky.bandit.strategy import Strategy
from stedopt_bluesky.devices.light_budget import RegionSpentError
from stedopt_bluesky.devices.station import Station
from stedopt_bluesky.imspector.scan import BadImageError
from stedopt_bluesky.parameters import ParameterSpace
from stedopt_bluesky.plans.acquire import Rater, acquire
from stedopt_bluesky.plans.asking import Chooser, ExpertChoice
from stedopt_bluesky.plans.checks import (
    check_grid,
    check_regions,
    check_room,
    checked_count,
    field_um_of,
)
from stedopt_bluesky.plans.exposure import ExposureInterruptedError, not_rewound
from stedopt_bluesky.plans.placing_by_hand import ExpertSurvey
from stedopt_bluesky.plans.regions import RegionLayout
from stedopt_bluesky.plans.run import obeying, recorded_run
from stedopt_bluesky.plans.survey import Lay, survey, take_overview
from stedopt_bluesky.plans.suspend import suspend_while_open, suspended_by

# So many regions in a row without a usable image are no accident.
MOST_BAD_IMAGES = 3


class NotEnoughRegionsError(RuntimeError):
    """The overview shows fewer regions than images are planned."""


def optimize_sted(
    station: Station,
    strategy: Strategy,
    space: ParameterSpace,
    *,
    rate: Rater,
    choose: Chooser,
    images: int = 60,
    regions: Sequence[Region] | None = None,
    fields: Sequence[tuple[float, float]] | None = None,
    lay: Lay | ExpertSurvey | None = None,
    interval_s: float = 0.0,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[str]:
    """Image region after region, each with the configuration that was chosen for it.

    For each image: options are drawn, somebody chooses one (an Event of stream
    ``decision``), its configuration is imaged on the next region and rated (an
    Event of stream ``primary``), and the strategy learns. A checkpoint stands
    before each image, and an exposure, which bleaches the sample, is never repeated:
    a deferred pause (Ctrl-C once) waits for the end of the image; a pause at once
    (Ctrl-C twice) during an exposure spoils the image, and resuming goes on with the
    next region. An open interlock pauses the plan in the same way.

    Parameters
    ----------
    station : Station
        The devices.
    strategy : Strategy
        Draws options and learns; may have learnt from an earlier run.
    space : ParameterSpace
        The grid that the strategy's options index.
    rate : callable
        From an :class:`~stedopt_bluesky.acquisition.ImageSet` to objectives by name; or an
        :class:`~stedopt_bluesky.plans.rating_by_hand.ExpertRating`, for whom the plan waits.
    choose : callable
        From :class:`~stedopt_bluesky.acquisition.Options` to a
        :class:`~stedopt_bluesky.acquisition.Choice`; or an
        :class:`~stedopt_bluesky.plans.asking.ExpertChoice`, for whom the plan waits.
    images : int
        Regions to image, at least 1.
    regions : sequence of Region, optional
        Where, in order; one that is there twice is imaged twice.
    fields : sequence of tuple of float, optional
        Stage positions (x, y), µm, from where the stage stood: after the regions, an overview is
        taken at each of them in turn, and regions are laid over its foreground, until all images
        are taken. Left out: where the stage stood, unless regions are given.
    lay : callable, optional
        Lays regions over an overview; see `Lay`. Left out: squares over the foreground. Or an
        :class:`~stedopt_bluesky.plans.placing_by_hand.ExpertSurvey`, for whom the plan waits: of
        fewer regions than images in the last field, each is imaged, and the run ends.
    interval_s : float
        Time from the beginning of an image to that of the next one of the same region, s, at
        least.
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
        given and no fields, else as soon as it is known.
    BlankOverviewError
        When the detector has counted nothing at all, or as much as it can everywhere.
    StageError
        When the stage has not arrived, or the focus was lost.
    """
    images = checked_count(images)
    check_grid(station, space)
    check_room(station, space)
    lay = lay or RegionLayout(field_um_of(station, space))
    fields = tuple(fields if fields is not None else () if regions is not None else ((0.0, 0.0),))
    check_regions(station, space, regions, lay.size_um)
    for x_um, y_um in fields:
        station.stage.stage_x_um.check_value(x_um)
        station.stage.stage_y_um.check_value(y_um)
    if regions is not None and not fields and len(regions) < images:
        raise NotEnoughRegionsError(f"images = {images}: only {len(regions)} regions are given")

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
        tally = Tally(images)
        if regions is not None:
            yield from image_places(regions, tally)
        for number, field_um in enumerate(fields, start=1):
            if tally.done:
                return
            last = number == len(fields)
            places, by_hand = yield from places_in(
                station, space, field_um, lay, number, tally.left
            )
            if places is None:
                return
            if by_hand and last:
                tally.images = min(tally.images, tally.taken + len(places))
            if not by_hand and not tally.begun and last and len(places) < images:
                raise NotEnoughRegionsError(f"images = {images}: {lay.too_few(len(places))}")
            yield from image_places(places, tally)
        if not tally.done:
            raise NotEnoughRegionsError(
                f"images = {images}: {tally.taken} were taken, the other regions were lost "
                "(pauses, bad images) or may get no more light"
                if len(fields) < 2
                else f"images = {images}: {tally.taken} were taken; {len(fields)} fields have no "
                "more regions"
            )

    def image_places(places: Sequence[Region], tally: Tally) -> MsgGenerator[None]:
        before: Region | None = None
        begun_s = 0.0
        for place in places:
            if tally.done:
                return
            yield from bps.checkpoint()
            if place == before:
                yield from bps.sleep(max(0.0, begun_s + interval_s - time.monotonic()))
            yield from suspend_while_open(station.microscope)
            before, begun_s = place, time.monotonic()
            tally.begun = True
            try:
                yield from optimise_one(station, strategy, space, place, rate=rate, choose=choose)
            except ExposureInterruptedError:
                continue  # the next region has its turn
            except FailedStatus as failure:
                if why := suspended_by(failure):
                    yield from suspend_while_open(station.microscope, why)
                    continue  # as after a pause
                tally.excuse(failure)
                continue
            tally.count()

    return (yield from obeying(run()))


def places_in(
    station: Station,
    space: ParameterSpace,
    field_um: tuple[float, float],
    lay: Lay | ExpertSurvey,
    number: int,
    wanted: int,
) -> MsgGenerator[tuple[Sequence[Region] | None, bool]]:
    """Take the overview of a field and have regions laid over it, or say which by a person.

    Returns
    -------
    sequence of Region or None
        None when the plan is only looked at (``check_limits``), not run.
    bool
        Whether a person has said so.
    """
    if not isinstance(lay, ExpertSurvey):
        return (yield from survey(station, field_um, lay)), False
    image = yield from take_overview(station, field_um)
    if image is None:
        return None, False
    return (
        yield from lay.ask(
            image,
            station.overview.settings.pixel_size_nm,
            field_um,
            number=number,
            wanted=wanted,
            check=lambda regions: check_regions(station, space, regions, lay.size_um),
        )
    )


@dataclass
class Tally:
    """Images of a run so far.

    Parameters
    ----------
    images : int
        How many are wanted.
    """

    images: int
    taken: int = 0
    begun: bool = False
    bad: int = 0

    @property
    def left(self) -> int:
        """How many images are still to be taken."""
        return self.images - self.taken

    @property
    def done(self) -> bool:
        """Whether all images are taken."""
        return self.taken >= self.images

    def count(self) -> None:
        """Count an image."""
        self.taken += 1
        self.bad = 0

    def excuse(self, failure: FailedStatus) -> None:
        """Let the next region have its turn, where only this one is lost; else raise.

        Raises
        ------
        FailedStatus
            When the third region in a row has given no usable image, or for another reason.
        """
        cause = failure.__cause__
        if isinstance(cause, RegionSpentError):
            return  # this region must not get more light
        if isinstance(cause, BadImageError):
            self.bad += 1
            if self.bad < MOST_BAD_IMAGES:
                return  # bleached for nothing
        raise failure


def optimise_one(
    station: Station,
    strategy: Strategy,
    space: ParameterSpace,
    region: Region,
    *,
    rate: Rater,
    choose: Chooser,
) -> MsgGenerator[None]:
    """Draw options, have one chosen, image its configuration, learn from it.

    Raises
    ------
    ExposureInterruptedError
        When a pause has spoilt the images; nothing is learnt.
    """
    options = strategy.suggest()
    asked = choose if isinstance(choose, ExpertChoice) else None
    if isinstance(choose, ExpertChoice):
        chosen = yield from choose.ask(options, getattr(strategy, "posterior", None))
        choose = partial(_repeat, chosen)
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
        if asked is not None:
            asked.expert.settle()
        strategy.ingest(index, values)


def _repeat(chosen: Choice, _: Options) -> Choice:
    """Choose what was chosen."""
    return chosen
