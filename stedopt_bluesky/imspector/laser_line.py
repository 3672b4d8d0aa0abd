"""One laser as the instrument knows it: its number, its calibration, its limit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stedopt_bluesky.imspector.calibration import PowerCalibration
from stedopt_bluesky.imspector.guard import PowerLimitError
from stedopt_bluesky.parameters import as_number


@dataclass(frozen=True)
class LaserLine:
    """One laser as the instrument knows it.

    Parameters
    ----------
    name : str
        For example ``"excitation"``.
    number : int
        Position in Imspector's list of lasers, from 0.
    calibration : PowerCalibration
        Percent ↔ power at the back aperture.
    power_limit : float
        Hard limit, in the calibration's unit.
    pulsed_in : str
        Name of the only configuration in which it may be on, for one pulse; empty: any.
    longest_pulse_s : float
        Longest pulse, s.
    pulse_energy_limit_uJ : float
        Most energy of a pulse, µJ.

    Raises
    ------
    ValueError
        When the limit is not above 0, or above what was calibrated.
    """

    name: str
    number: int
    calibration: PowerCalibration
    power_limit: float
    pulsed_in: str = ""
    longest_pulse_s: float = 0.0
    pulse_energy_limit_uJ: float = math.inf

    def __post_init__(self) -> None:
        highest = self.calibration.power[-1]
        if not 0 < self.power_limit <= highest:
            raise ValueError(
                f"{self.name} power limit = {self.power_limit:g} {self.calibration.unit}: above 0, "
                f"at most the highest calibrated power, {highest:g} {self.calibration.unit}"
            )

    def check(self, power: object) -> None:
        """Refuse a power that must not be sent.

        Raises
        ------
        PowerLimitError
            When the power is not a finite number from 0 to the limit.
        """
        unit = self.calibration.unit
        number = as_number(power)
        # The comparison refuses NaN and infinity too: the limit is finite.
        if number is None or not 0 <= number <= self.power_limit:
            shown = repr(power) if number is None else f"{number:g}"
            raise PowerLimitError(
                f"{self.name} power = {shown} {unit}: 0 to {self.power_limit:g} {unit} is allowed"
            )
