"""A microscope that has no sample: it answers scans with images that were recorded.

It is a `TwinApplication` with the same parameters, signals and stacks; only the counts come from
elsewhere. What was recorded it gets as arrays, with where and with which configuration each was
taken; of runs and catalogues it knows nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.imspector.api import ParameterValue
from stedopt_bluesky.twin.acquisition import Frames
from stedopt_bluesky.twin.application import TwinApplication
from stedopt_bluesky.twin.instrument import LASERS
from stedopt_bluesky.twin.scan import ScanPlan

Image = npt.NDArray[np.int16]

# Places that differ by less are the same, m: a nanometre.
_SAME_PLACE_M = 1e-9


class Turns:
    """Things that are used in turn: each once before any is used twice.

    Parameters
    ----------
    count : int
        How many there are.
    """

    def __init__(self, count: int) -> None:
        self._uses = [0] * count

    def take(
        self,
        among: Sequence[int] | None = None,
        prefer: Callable[[int], Any] = lambda number: 0,
    ) -> int:
        """Use one and return its number: the least used, of those the most preferred, the first.

        Parameters
        ----------
        among : sequence of int, optional
            Numbers of those that may be used, ascending; all when left out.
        prefer : callable
            From a number to what is smaller for what is preferred.
        """
        candidates = range(len(self._uses)) if among is None else among
        number = min(candidates, key=lambda n: (self._uses[n], prefer(n)))
        self._uses[number] += 1
        return number

    def uses(self, number: int) -> int:
        """How often one was used."""
        return self._uses[number]


@dataclass(frozen=True, eq=False)
class RecordedRegion:
    """Images of one region, in the order in which they were scanned.

    Parameters
    ----------
    source : str
        Where they come from: what is replayed, or something else.
    number : int
        Of the region in its source.
    position : tuple of int, length D
        Its configuration: the number of each parameter's value, from 0.
    x_m, y_m : float
        Centre in the sample, from where the stage stood at the start, m.
    scans : tuple of (str, tuple of ndarray)
        Name of each scan's configuration, and its images (Y, X), channel by channel.
    """

    source: str
    number: int
    position: tuple[int, ...]
    x_m: float
    y_m: float
    scans: tuple[tuple[str, tuple[Image, ...]], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (Y, X) of its images."""
        return self.scans[0][1][0].shape

    def is_at(self, x_m: float, y_m: float) -> bool:
        """Whether that is its place."""
        return _same_place((x_m, y_m), (self.x_m, self.y_m))


@dataclass(frozen=True, eq=False)
class RecordedOverview:
    """An overview of a field.

    Parameters
    ----------
    x_m, y_m : float
        Centre in the sample, from where the stage stood at the start, m.
    image : ndarray, shape (Y, X)
        Photon counts of the first channel; that of the others is not recorded.
    """

    x_m: float
    y_m: float
    image: Image


@dataclass(frozen=True)
class Given:
    """Which recorded images a region was answered with.

    Parameters
    ----------
    source : str
        Of the recorded region.
    number : int
        Its number there.
    distance : int
        From the configuration that was asked for, in steps on the grid.
    same_place : bool
        Whether they were taken at the very place.
    use : int
        1 the first time that they are given.
    """

    source: str = ""
    number: int = 0
    distance: int = 0
    same_place: bool = False
    use: int = 0


class RecordedImages:
    """Answers the scans of a `TwinApplication`.

    A region gets the images of the nearest configuration, in steps on the grid, those of the
    first source before others', and of those that were taken at the place before others. Of one
    configuration, all are used once before any is used twice, as in the replay experiment.

    Parameters
    ----------
    regions : sequence of RecordedRegion
        At least one, all of the same kinds of scans; the first one's source is what is replayed.
    overviews : sequence of RecordedOverview
        In the order in which they were taken.
    overview : str
        Name of the overview's configuration.
    position : callable
        From Imspector's parameters, by the name of the configuration, to the configuration that
        they are nearest to, as the number of each parameter's value.
    """

    def __init__(
        self,
        regions: Sequence[RecordedRegion],
        overviews: Sequence[RecordedOverview],
        *,
        overview: str,
        position: Callable[[Mapping[str, ParameterValue]], tuple[int, ...]],
    ) -> None:
        self._regions = tuple(regions)
        self._overviews = tuple(overviews)
        self._overview = overview
        self._position = position
        self._turns = Turns(len(self._regions))
        self._overview_turns = Turns(len(self._overviews))
        self._region: RecordedRegion | None = None
        self._at = (0.0, 0.0)
        self._scanned = 0
        # What the region in progress, or the last one, is answered with.
        self.given = Given()

    def begin(
        self, configuration: str, parameters: Mapping[str, ParameterValue], plan: ScanPlan
    ) -> Frames:
        """Return what a scan counts.

        Parameters
        ----------
        configuration : str
            Name of the configuration that is scanned.
        parameters : mapping
            Those of all configurations of the measurement, by name.
        plan : ScanPlan
            What is scanned.

        Raises
        ------
        RuntimeError
            When nothing was recorded that fits.
        """
        at = (plan.x_m, plan.y_m)
        if configuration == self._overview:
            self._region = None
            return _frames((self._take_overview(at, plan).image,), plan)
        if self._region is None or not self._goes_on(configuration, at):
            self._region = self._take_region(at, parameters, plan)
            self._at, self._scanned = at, 0
        expected, images = self._region.scans[self._scanned]
        if expected != configuration:
            raise RuntimeError(
                f"a {configuration} scan was not recorded here: a region begins with {expected}"
            )
        self._scanned += 1
        return _frames(images, plan)

    def _goes_on(self, configuration: str, at: tuple[float, float]) -> bool:
        """Whether a scan is the next one of the region in progress."""
        assert self._region is not None  # noqa: S101  asked for then alone
        scans = self._region.scans
        return (
            self._scanned < len(scans)
            and scans[self._scanned][0] == configuration
            and _same_place(at, self._at)
        )

    def _take_overview(self, at: tuple[float, float], plan: ScanPlan) -> RecordedOverview:
        there = [
            i
            for i, overview in enumerate(self._overviews)
            if _same_place(at, (overview.x_m, overview.y_m)) and overview.image.shape == plan.shape
        ]
        if not there:
            raise RuntimeError(
                f"no overview of {plan.shape[0]} × {plan.shape[1]} pixels was recorded at "
                f"({at[0] * 1e6:g}, {at[1] * 1e6:g}) µm"
            )
        return self._overviews[self._overview_turns.take(there)]

    def _take_region(
        self,
        at: tuple[float, float],
        parameters: Mapping[str, ParameterValue],
        plan: ScanPlan,
    ) -> RecordedRegion:
        wanted = self._position(parameters)
        regions = self._regions
        fitting = [i for i, region in enumerate(regions) if region.shape == plan.shape]
        if not fitting:
            raise RuntimeError(f"no image of {plan.shape[0]} × {plan.shape[1]} pixels was recorded")
        distances = {i: _distance(regions[i].position, wanted) for i in fitting}
        nearest = min(distances.values())
        own = regions[0].source
        number = self._turns.take(
            [i for i in fitting if distances[i] == nearest],
            lambda i: (regions[i].source != own, not regions[i].is_at(*at)),
        )
        taken = regions[number]
        self.given = Given(
            taken.source, taken.number, nearest, taken.is_at(*at), self._turns.uses(number)
        )
        return taken


def recorded_application(
    images: RecordedImages, channels: Sequence[str] = ("Ch1",), lasers: int = len(LASERS)
) -> TwinApplication:
    """Make the microscope that answers with recorded images.

    Parameters
    ----------
    images : RecordedImages
        What was recorded.
    channels : sequence of str
        Names of the channels of a new measurement.
    lasers : int
        How many lasers the microscope has that recorded the images, at least as many as the twin;
        of further ones nothing but their number counts.
    """
    further = [
        dataclasses.replace(LASERS[-1], id=f"LAS{number}") for number in range(len(LASERS), lasers)
    ]
    return TwinApplication((), channels=channels, lasers=(*LASERS, *further), recording=images)


def _same_place(place: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two places (x, y), m, are one."""
    return max(abs(a - b) for a, b in zip(place, other, strict=True)) < _SAME_PLACE_M


def _distance(position: Sequence[int], other: Sequence[int]) -> int:
    return sum(abs(a - b) for a, b in zip(position, other, strict=True))


def _frames(images: Sequence[Image], plan: ScanPlan) -> Frames:
    """Give the counts in the first frame: of several frames, their sum is what was recorded."""
    for image in images:
        if image.shape != plan.shape:
            raise RuntimeError(
                f"an image of {image.shape[0]} × {image.shape[1]} pixels was recorded, the scan "
                f"has {plan.shape[0]} × {plan.shape[1]}"
            )

    def counts(frame: int, channel: int) -> Image:
        if frame > 0 or channel >= len(images):
            return np.zeros(plan.shape, dtype=np.int16)
        return images[channel]

    return counts
