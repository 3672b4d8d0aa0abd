"""The lasers: their numbers in Imspector, their limits and their calibrations."""

from __future__ import annotations

import itertools
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from stedopt_bluesky.config.errors import FieldError
from stedopt_bluesky.config.sections import Numbers, Positive, Section


def _increasing(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(values) < 2 or not all(b > a for a, b in itertools.pairwise(values)):
        raise ValueError("at least two values, strictly increasing")
    return values


def _increasing_powers(power: tuple[float, ...]) -> tuple[float, ...]:
    """Refuse powers that do not rise from one calibrated point to the next."""
    if any(p < 0 for p in power):
        raise ValueError("none below 0")
    return _increasing(power)


# What each laser has a default of its own for.
LaserNumber = Annotated[
    int, Field(ge=0, le=15, description="Number of the laser in Imspector's list, from 0.")
]
LaserWavelength = Annotated[int, Field(ge=300, le=1200, description="Wavelength, nm.")]
PowerLimit_uW = Annotated[
    Positive, Field(description="Hard limit, µW: nothing above it is ever sent.")
]


class LaserConfig(Section):
    """What all lasers have in common."""

    laser: LaserNumber
    wavelength_nm: LaserWavelength
    calibration_percent: Numbers = Field(
        (0.0, 100.0), description="Measured calibration: Imspector's percent at each of its powers."
    )
    calibration_file: str = Field(
        "",
        description="CSV of the measured points, in place of calibration_percent and its powers; a "
        "relative path counts from this file's folder.",
    )

    # The file is read where the configuration's own file is (config/files.py), and only its points
    # are kept: a name left here would be a calibration that nobody looks at.
    @field_validator("calibration_file")
    @classmethod
    def _file(cls, name: str) -> str:
        if name:
            raise ValueError("only in a configuration file, with which it is read")
        return name

    @field_validator("calibration_percent")
    @classmethod
    def _percent(cls, percent: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= p <= 100 for p in percent):
            raise ValueError("each from 0 to 100 %")
        return _increasing(percent)

    def _check_calibration(self, power_field: str, limit_field: str) -> None:
        power: tuple[float, ...] = getattr(self, power_field)
        limit: float = getattr(self, limit_field)
        if len(self.calibration_percent) != len(power):
            raise FieldError(
                power_field,
                power,
                f"one per calibration_percent, {len(self.calibration_percent)}",
            )
        if limit > power[-1]:
            raise FieldError(
                limit_field,
                limit,
                f"at most {power[-1]:g}, the highest calibrated power ({power_field})",
            )


class ExcitationConfig(LaserConfig):
    """The excitation laser; powers at the objective's back aperture."""

    laser: LaserNumber = 5
    wavelength_nm: LaserWavelength = 640
    power_limit_uW: PowerLimit_uW = 30.0
    calibration_power_uW: Numbers = Field(
        (0.0, 50.0), description="Power measured at each calibration_percent, µW."
    )

    _powers = field_validator("calibration_power_uW")(_increasing_powers)

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_calibration("calibration_power_uW", "power_limit_uW")
        return self


class DepletionConfig(LaserConfig):
    """The depletion (STED) laser; powers at the objective's back aperture."""

    laser: LaserNumber = 6
    wavelength_nm: LaserWavelength = 775
    power_limit_mW: Positive = Field(
        380.0, description="Hard limit, mW: nothing above it is ever sent."
    )
    calibration_power_mW: Numbers = Field(
        (0.0, 400.0), description="Power measured at each calibration_percent, mW."
    )

    _powers = field_validator("calibration_power_mW")(_increasing_powers)

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_calibration("calibration_power_mW", "power_limit_mW")
        return self
