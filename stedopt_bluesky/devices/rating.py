"""Somebody rates the images of a region; the objectives become part of the Event."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ophyd import Device, Signal
from ophyd.status import Status

from stedopt_bluesky.acquisition import ImageSet, Objective
from stedopt_bluesky.devices.background import complete_in_background

Rate = Callable[[ImageSet], Mapping[str, float]]

logger = logging.getLogger(__name__)


class Rating(Device):
    """Set the images of a region, and it is done when they have been rated.

    An objective that cannot be rated is NaN: the image is kept, the models do
    not learn from it, and the run goes on.

    Parameters
    ----------
    objectives : sequence of Objective
        What is rated; the values appear as ``<name>_<objective>`` in documents.
    """

    def __init__(self, *, objectives: Sequence[Objective], name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.objectives = tuple(objectives)
        self._values = {o.name: math.nan for o in self.objectives}
        self._timestamp = 0.0
        self.rewindable = Signal(name=f"{name}_rewindable", value=False)

    @property
    def values(self) -> dict[str, float]:
        """Objectives of the last images, by name, each in its unit."""
        return dict(self._values)

    def check_value(self, images: Any) -> None:
        """Accept any images; there is no limit to check."""

    def set(self, images: ImageSet, *, rate: Rate) -> Status:
        """Have ``rate`` rate the images, in a thread; done when it has."""

        def rated() -> None:
            try:
                found = rate(images)
                values = {o.name: float(found.get(o.name, math.nan)) for o in self.objectives}
            except Exception:
                logger.exception("the images could not be rated and count as invalid")
                values = {o.name: math.nan for o in self.objectives}
            self._values = values
            self._timestamp = time.time()

        return complete_in_background(self, rated)

    def _key(self, objective: Objective) -> str:
        return f"{self.name}_{objective.name}"

    def read(self) -> dict[str, Any]:
        """Read the objectives of the last images."""
        return {
            self._key(o): {"value": self._values[o.name], "timestamp": self._timestamp}
            for o in self.objectives
        }

    def describe(self) -> dict[str, Any]:
        """Describe each objective with its unit."""
        return {
            self._key(o): {
                "source": f"objective:{o.name}",
                "dtype": "number",
                "shape": [],
                "units": o.unit,
            }
            for o in self.objectives
        }
