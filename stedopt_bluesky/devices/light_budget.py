"""How much light the sample may get, and what it has got."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Positions that are the same region, µm.
_SAME_PLACE_DIGITS = 3


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
        self._regions_mJ: dict[tuple[float, float], float] = {}

    def begin_run(self) -> None:
        """Begin the run's sum anew; what regions have got is not forgotten."""
        self._run_mJ = 0.0

    def remember(self, place_um: tuple[float, float], dose_mJ: float) -> None:
        """Book what a region got before: in a run that is gone on with."""
        place = self._place(place_um)
        self._regions_mJ[place] = self._regions_mJ.get(place, 0.0) + dose_mJ

    @staticmethod
    def _place(place_um: tuple[float, float]) -> tuple[float, float]:
        x, y = (round(v, _SAME_PLACE_DIGITS) for v in place_um)
        return x, y

    def spend(self, place_um: tuple[float, float], sted_image_s: float, dose_mJ: float) -> None:
        """Book an exposure that is about to begin.

        Parameters
        ----------
        place_um : tuple of float
            The region's centre in the sample, µm.
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
        x, y = self._place(place_um)
        if not sted_image_s <= limits.sted_image_s:
            raise LightLimitError(
                f"a STED image of {sted_image_s:.3g} s: at most {limits.sted_image_s:g} s is "
                "allowed (limits.sted_image_s)"
            )
        before = self._regions_mJ.get((x, y), 0.0)
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
        self._regions_mJ[x, y] = before + dose_mJ
        self._run_mJ += dose_mJ
