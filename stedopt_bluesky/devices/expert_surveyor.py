"""A person who says which regions of a field are imaged; who, how long and how becomes an Event."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Region, Spine
from stedopt_bluesky.devices.question import Answered, RecordedQuestion, named

Mask = npt.NDArray[np.bool_]
# From a threshold, in units of the automatic one, to foreground (Y, X) and regions.
Propose = Callable[[float], tuple[Mask, Sequence[Region]]]


@dataclass(frozen=True, eq=False)
class FieldToSurvey:
    """What a person is shown.

    Parameters
    ----------
    number : int
        Number of the field, from 1.
    overview : ndarray, shape (Y, X)
        Photon counts; the field's centre is in the middle.
    pixel_size_nm : float
        Of the overview, nm.
    stage_um : tuple of float
        Where the stage is, (x, y), µm.
    size_um : float
        Side of a region, µm.
    wanted : int
        How many are imaged, at most.
    propose : callable
        Gives foreground and regions by a threshold; 1 is the automatic one.
    check : callable
        Refuses regions that cannot be imaged, by a ValueError.
    spines : bool
        Whether regions are spines, which are found and not placed by hand.
    """

    number: int
    overview: npt.NDArray[Any]
    pixel_size_nm: float
    stage_um: tuple[float, float]
    size_um: float
    wanted: int
    propose: Propose
    check: Callable[[Sequence[Region]], None]
    spines: bool = False

    @property
    def side_um(self) -> tuple[float, float]:
        """Width and height of the field, µm."""
        height, width = self.overview.shape
        return width * self.pixel_size_nm / 1000, height * self.pixel_size_nm / 1000

    def check_inside(self, regions: Sequence[Region]) -> None:
        """Refuse regions that leave the field, where the scanner does not reach.

        Raises
        ------
        ValueError
            With the first one, and what is allowed.
        """
        for n, region in enumerate(regions, start=1):
            places_um = (region.x_um, region.y_um)
            for axis, at_um, side_um in zip("xy", places_um, self.side_um, strict=True):
                most_um = (side_um - region.size_um) / 2
                if not abs(at_um) <= most_um * (1 + 1e-9):
                    raise ValueError(
                        f"region {n}, {axis} = {at_um:.4g} µm: -{most_um:.4g} to {most_um:.4g} "
                        "µm, else it leaves the field"
                    )


@dataclass(frozen=True)
class Places:
    """What a person says of a field.

    Parameters
    ----------
    regions : tuple of Region
        What is imaged, in this order; empty: nothing in this field.
    chosen_by : str
        Who says so.
    threshold : float
        With which regions were proposed, in units of the automatic one.
    shown : str
        How the field was shown.
    """

    regions: tuple[Region, ...]
    chosen_by: str
    threshold: float = 1.0
    shown: str = ""


class ExpertSurveyor(RecordedQuestion[FieldToSurvey, Places]):
    """Set a field, and it is done when somebody has called :meth:`place`.

    What is suggested are the regions that are proposed with the automatic threshold. Read it once
    the question has ended.
    """

    awaited, numbered_by = "choice of regions", "field"

    def __init__(self, *, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.keep(_entries(-1, None, ()))

    def number_of(self, what: FieldToSurvey) -> int:
        """Number of a field, from 1."""
        return what.number

    def place(self, number: int, places: Places) -> None:
        """Answer.

        Parameters
        ----------
        number : int
            Of the field that is meant.
        places : Places
            What is imaged there.

        Raises
        ------
        NoQuestionError
            When nothing is asked, or another field.
        ValueError
            When a region cannot be imaged, or nobody is named.
        """

        def answer(field: FieldToSurvey) -> Places:
            if not field.spines:
                field.check_inside(places.regions)
            field.check(places.regions)
            return Places(
                tuple(places.regions),
                named(places.chosen_by, "chosen_by"),
                float(places.threshold),
                places.shown,
            )

        self._reply(operator.index(number), answer)

    def withdraw(self) -> Places | None:
        """End the question and keep what is to be read of it; the answer, None without one."""
        with self._lock:
            field, proposed = self._what, self._suggestion or ()
        answered = self.end()
        self.keep(_entries(-1 if field is None else field.number, answered, proposed))
        return None if answered is None else answered.answer


def _entries(
    number: int, answered: Answered[Places] | None, proposed: Sequence[Region]
) -> dict[str, Any]:
    places = Places((), "") if answered is None else answered.answer
    kept = set(_centres(proposed)) & set(_centres(places.regions))
    return {
        "field": number,
        "places": json.dumps([_place(region) for region in places.regions]),
        "count": len(places.regions),
        "suggested": len(proposed),
        "suggested_kept": len(kept),
        "threshold": places.threshold,
        "chosen_by": places.chosen_by,
        "took_s": 0.0 if answered is None else answered.took_s,
        "taken_back": 0 if answered is None else answered.taken_back,
        "shown": places.shown,
    }


def _place(region: Region) -> dict[str, float]:
    place = {"x_um": region.x_um, "y_um": region.y_um}
    if isinstance(region, Spine):
        place |= {"axis_x": region.axis_x, "axis_y": region.axis_y, "free_um": region.free_um}
    return place


def _centres(regions: Sequence[Region]) -> list[tuple[float, float]]:
    return [(region.x_um, region.y_um) for region in regions]
