"""How much light the sample may get, and what it has got."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Exposures that have room at first.
_FIRST_ROOM = 256
# Regions that share less than this along an axis only touch one another, µm.
_TOUCHING_UM = 1e-3


class LightLimitError(RuntimeError):
    """An exposure that would exceed a limit of the light; it is not begun."""


class RegionSpentError(LightLimitError):
    """A region that must not get so much light any more; others may."""


@dataclass(frozen=True)
class LightLimits:
    """Limits of the light; infinite: none.

    Parameters
    ----------
    sted_image_s : float
        Longest STED image, s.
    region_dose_mJ : float
        Most energy on one region, mJ.
    run_dose_mJ : float
        Most energy on all regions of a run together, mJ.
    """

    sted_image_s: float = math.inf
    region_dose_mJ: float = math.inf
    run_dose_mJ: float = math.inf


class LightBudget:
    """Adds up the light, and refuses an exposure before it begins.

    An exposure counts from its beginning, also when it is stopped.

    Parameters
    ----------
    limits : LightLimits
        What is allowed.
    """

    def __init__(self, limits: LightLimits) -> None:
        self._limits = limits
        self._run_mJ = 0.0  # mJ is the unit's own name
        # Of each exposure: centre, side, dose. In an array that is doubled when it is full: all are
        # looked through at each, and after 10,000 of them that must not be noticed.
        self._room = np.empty((_FIRST_ROOM, 4))
        self._count = 0

    @property
    def exposures(self) -> npt.NDArray[np.float64]:
        """Each exposure so far, shape (N, 4): x, y and side of the square lit, µm; dose, mJ."""
        return self._room[: self._count]

    def begin_run(self) -> None:
        """Begin the run's sum anew; what regions have got is not forgotten."""
        self._run_mJ = 0.0

    def remember(self, place_um: tuple[float, float], size_um: float, dose_mJ: float) -> None:
        """Book what a region got before: in a run that is gone on with."""
        if self._count == len(self._room):
            self._room = np.concatenate([self._room, np.empty_like(self._room)])
        self._room[self._count] = (*place_um, size_um, dose_mJ)
        self._count += 1

    def _before(self, place_um: tuple[float, float], size_um: float) -> float:
        """Light on a region so far, mJ: that of all exposures that overlap with it."""
        x_um, y_um, sizes_um, doses_mJ = self.exposures.T
        apart_um = np.maximum(np.abs(x_um - place_um[0]), np.abs(y_um - place_um[1]))
        overlapping = apart_um < (sizes_um + size_um) / 2 - _TOUCHING_UM
        return sum(doses_mJ[overlapping].tolist())

    def spend(
        self,
        place_um: tuple[float, float],
        size_um: float,
        sted_image_s: float,
        dose_mJ: float,
    ) -> None:
        """Book an exposure that is about to begin.

        Parameters
        ----------
        place_um : tuple of float
            The region's centre in the sample, µm.
        size_um : float
            Its side, µm; what overlaps with it counts as the same region.
        sted_image_s : float
            Time of one STED image, s.
        dose_mJ : float
            Energy of all images of the region, mJ.

        Raises
        ------
        LightLimitError
            When a limit would be exceeded; nothing is booked then.
        """
        limits = self._limits
        x, y = place_um
        if not sted_image_s <= limits.sted_image_s:
            raise LightLimitError(
                f"a STED image of {sted_image_s:.3g} s: at most {limits.sted_image_s:g} s is "
                "allowed (limits.sted_image_s)"
            )
        before = self._before(place_um, size_um)
        if not before + dose_mJ <= limits.region_dose_mJ:
            raise RegionSpentError(
                f"light on the region at ({x:g}, {y:g}) µm: {dose_mJ:.3g} mJ more on "
                f"{before:.3g} mJ, at most {limits.region_dose_mJ:g} mJ is allowed "
                "(limits.region_dose_mJ)"
            )
        if not self._run_mJ + dose_mJ <= limits.run_dose_mJ:
            raise LightLimitError(
                f"light of the run: {dose_mJ:.3g} mJ more on {self._run_mJ:.3g} mJ, at most "
                f"{limits.run_dose_mJ:g} mJ is allowed (limits.run_dose_mJ)"
            )
        self.remember(place_um, size_um, dose_mJ)
        self._run_mJ += dose_mJ
