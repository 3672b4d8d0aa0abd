"""RESCue on the twin: a pixel that gives no light early on is left before its time is over.

Staudt et al., Opt. Express 19:5644 (2011): what is not illuminated does not bleach. How Imspector
derives its thresholds from the two numbers of its window is not documented; this is the twin's own
reading of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import pdtr

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RescueRule:
    """When a pixel is left.

    Parameters
    ----------
    signal_level : float
        Photons that a pixel on a structure gives in its whole dwelltime.
    strength : float
        How early it is decided: after ``1 / (1 + strength)`` of the dwelltime.
    """

    signal_level: float
    strength: float

    @property
    def probed(self) -> float:
        """Share of the dwelltime after which it is decided, 0 to 1."""
        return 1 / (1 + self.strength)

    def dwelled(self, photons: FloatArray) -> FloatArray:
        """Mean share of the dwelltime that is spent on each pixel.

        Parameters
        ----------
        photons : ndarray
            Expected in the whole dwelltime.

        Returns
        -------
        ndarray
            From `probed` (always left) to 1 (never).
        """
        # At least one photon, else no pixel would ever be left.
        needed = max(1.0, np.ceil(self.signal_level * self.probed))
        left = pdtr(needed - 1, photons * self.probed)
        return np.asarray(1 - left * (1 - self.probed))


def rescue_of(channel: Mapping[str, Any]) -> RescueRule | None:
    """Rule of a channel's parameters; None where it is off."""
    rescue = channel["rescue"]
    if not rescue["rescue_mode"] or rescue["signal_level"] <= 0 or rescue["strength"] <= 0:
        return None
    return RescueRule(float(rescue["signal_level"]), float(rescue["strength"]))
