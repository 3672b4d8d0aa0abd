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


def increasing_powers(power: tuple[float, ...]) -> tuple[float, ...]:
    """Refuse powers that do not rise from one calibrated point to the next."""
    if any(p < 0 for p in power):
        raise ValueError("none below 0")
    return _increasing(power)


class LaserConfig(Section):
    """What all lasers have in common."""

    laser: Annotated[int, Field(ge=0, le=15)]
    wavelength_nm: Annotated[int, Field(ge=300, le=1200)]
    calibration_percent: Numbers

    # The file is read where the configuration's own file is (config/files.py), and only its points
    # are kept: a name left here would be a calibration that nobody looks at.
    @field_validator("calibration_file", check_fields=False)
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

    laser: Annotated[int, Field(ge=0, le=15)] = Field(
        5, description="Number of the laser in Imspector's list, from 0."
    )
    wavelength_nm: Annotated[int, Field(ge=300, le=1200)] = Field(
        640, description="Wavelength, nm."
    )
    power_limit_uW: Positive = Field(
        30.0, description="Hard limit, µW: nothing above it is ever sent."
    )
    calibration_percent: Numbers = Field(
        (0.0, 100.0), description="Measured calibration: Imspector's percent ..."
    )
    calibration_power_uW: Numbers = Field(
        (0.0, 50.0), description="... and the power measured at each, µW."
    )
    calibration_file: str = Field(
        "",
        description="CSV of the measured points, in place of calibration_percent and "
        "calibration_power_uW; a relative path counts from this file's folder.",
    )

    _increasing_powers = field_validator("calibration_power_uW")(increasing_powers)

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_calibration("calibration_power_uW", "power_limit_uW")
        return self


class DepletionConfig(LaserConfig):
    """The depletion (STED) laser; powers at the objective's back aperture."""

    laser: Annotated[int, Field(ge=0, le=15)] = Field(
        6, description="Number of the laser in Imspector's list, from 0."
    )
    wavelength_nm: Annotated[int, Field(ge=300, le=1200)] = Field(
        775, description="Wavelength, nm."
    )
    power_limit_mW: Positive = Field(
        380.0, description="Hard limit, mW: nothing above it is ever sent."
    )
    calibration_percent: Numbers = Field(
        (0.0, 100.0), description="Measured calibration: Imspector's percent ..."
    )
    calibration_power_mW: Numbers = Field(
        (0.0, 400.0), description="... and the power measured at each, mW."
    )
    calibration_file: str = Field(
        "",
        description="CSV of the measured points, in place of calibration_percent and "
        "calibration_power_mW; a relative path counts from this file's folder.",
    )

    _increasing_powers = field_validator("calibration_power_mW")(increasing_powers)

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_calibration("calibration_power_mW", "power_limit_mW")
        return self
