"""Somebody rates the images of a region; the objectives become part of the Event."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ophyd import Device, Signal
from ophyd.status import Status

from stedopt_bluesky.acquisition import ImageSet, Invalid, Objective, invalid_reason
from stedopt_bluesky.devices.background import complete_in_background

Rate = Callable[[ImageSet], Mapping[str, float]]

INVALID_BECAUSE = "invalid_because"

logger = logging.getLogger(__name__)


class Rating(Device):
    """Set the images of a region, and it is done when they have been rated.

    An objective that cannot be rated is NaN: the image is kept, the models do
    not learn from it, and the run goes on. The reasons stand beside the values, under the
    data key ``invalid_because``: ``""`` when all are valid, else
    ``"<objective>: <reason>; …"``, or the exception of a rater that failed.

    Parameters
    ----------
    objectives : sequence of Objective
        What is rated; the values appear as ``<name>_<objective>`` in documents.
    """

    def __init__(self, *, objectives: Sequence[Objective], name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.objectives = tuple(objectives)
        self._values = {o.name: math.nan for o in self.objectives}
        self._invalid_because = "no images were rated yet"
        self._timestamp = 0.0
        self.rewindable = Signal(name=f"{name}_rewindable", value=False)

    @property
    def values(self) -> dict[str, float]:
        """Objectives of the last images, by name, each in its unit."""
        return dict(self._values)

    @property
    def invalid_because(self) -> str:
        """Why objectives of the last images are invalid; ``""`` when all are valid."""
        return self._invalid_because

    def check_value(self, images: Any) -> None:
        """Accept any images; there is no limit to check."""

    def set(self, images: ImageSet, *, rate: Rate) -> Status:
        """Have ``rate`` rate the images, in a thread; done when it has."""

        def rated() -> None:
            try:
                values, reasons = self._sorted(rate(images))
            except Exception as error:
                logger.exception("the images could not be rated and count as invalid")
                values = {o.name: math.nan for o in self.objectives}
                reasons = f"{type(error).__name__}: {error}"
            self._values, self._invalid_because = values, reasons
            self._timestamp = time.time()

        return complete_in_background(self, rated)

    def _sorted(self, found: Mapping[str, float]) -> tuple[dict[str, float], str]:
        """Objectives in their order as plain numbers, and why some are invalid."""
        rated = {o.name: found.get(o.name, Invalid("not rated")) for o in self.objectives}
        # Before float(), which drops the reason.
        reasons = {name: invalid_reason(value) for name, value in rated.items()}
        because = "; ".join(f"{name}: {reason}" for name, reason in reasons.items() if reason)
        return {name: float(value) for name, value in rated.items()}, because

    def _key(self, objective: Objective) -> str:
        return f"{self.name}_{objective.name}"

    def read(self) -> dict[str, Any]:
        """Read the objectives of the last images, and why some are invalid."""
        values = {self._key(o): self._values[o.name] for o in self.objectives}
        read = {**values, INVALID_BECAUSE: self._invalid_because}
        return {key: {"value": value, "timestamp": self._timestamp} for key, value in read.items()}

    def describe(self) -> dict[str, Any]:
        """Describe each objective with its unit, and the reasons."""
        objectives = {
            self._key(o): {
                "source": f"objective:{o.name}",
                "dtype": "number",
                "shape": [],
                "units": o.unit,
            }
            for o in self.objectives
        }
        because = {"source": "objective:invalid", "dtype": "string", "shape": []}
        return {**objectives, INVALID_BECAUSE: because}
