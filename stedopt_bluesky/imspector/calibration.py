"""Laser power calibration: Imspector's percent ↔ power at the objective's back aperture.

Imspector speaks percent of calibrated power; the paper and this package speak
µW (excitation) and mW (depletion), measured at the back aperture. A few
measured points join them, piecewise linear between the points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PowerCalibration:
    """Measured points of one laser.

    Parameters
    ----------
    percent : sequence of float
        Imspector's setting, %, strictly increasing.
    power : sequence of float
        Power measured at each setting, in ``unit``, strictly increasing.
    unit : str
        ``"µW"`` or ``"mW"``.

    Raises
    ------
    ValueError
        When there are fewer than two points, lengths differ or an order is broken.
    """

    percent: Sequence[float]
    power: Sequence[float]
    unit: str

    def __post_init__(self) -> None:
        if len(self.percent) != len(self.power) or len(self.percent) < 2:
            raise ValueError(
                f"a calibration needs at least two points, as many percents ({len(self.percent)}) "
                f"as powers ({len(self.power)})"
            )
        for name, values in (("percent", self.percent), ("power", self.power)):
            if not np.all(np.isfinite(values)) or np.any(np.diff(values) <= 0):
                raise ValueError(f"calibration {name} must increase strictly, got {list(values)}")

    def to_percent(self, power: float) -> float:
        """Setting (%) that gives ``power`` (in ``unit``).

        Raises
        ------
        ValueError
            When the power is outside the measured points: nothing is extrapolated.
        """
        return _interpolate(power, self.power, self.percent, self.unit)

    def to_power(self, percent: float) -> float:
        """Power (in ``unit``) at a setting (%).

        Raises
        ------
        ValueError
            When the setting is outside the measured points: nothing is extrapolated.
        """
        return _interpolate(percent, self.percent, self.power, "%")


def _interpolate(x: float, xs: Sequence[float], ys: Sequence[float], unit: str) -> float:
    if not xs[0] <= x <= xs[-1]:  # also refuses NaN
        raise ValueError(f"{x:g} {unit} is outside the calibration, {xs[0]:g} to {xs[-1]:g} {unit}")
    return float(np.interp(x, xs, ys))
