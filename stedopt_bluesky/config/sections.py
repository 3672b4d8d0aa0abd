"""The sections of a configuration: every field with its unit, range and meaning."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stedopt_bluesky.config.errors import FieldError
from stedopt_bluesky.parameters import Parameter

# Each decision stores its cloud of options: 100,000 configurations × 4 objectives are 3.2 MB.
MAX_CONFIGURATIONS = 100_000

# What may be optimised, and its unit.
PARAMETER_UNITS = {
    "excitation_power_uW": "µW",
    "depletion_power_mW": "mW",
    "dwelltime_us": "µs",
    "line_steps": "lines",
}

# What may be imaged with, both ends included; powers have the lasers' limits.
RANGES = {"dwelltime_us": (1.0, 1000.0), "line_steps": (1.0, 64.0)}

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
# A TOML list; its entries are checked as strictly as any other field.
Numbers = Annotated[tuple[float, ...], Field(strict=False)]


class Section(BaseModel):
    """Fields that are checked, frozen, and refuse what they do not know.

    Strict: ``images = "60"`` and ``images = true`` are mistakes, not numbers.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, strict=True, allow_inf_nan=False
    )


def _increasing(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(values) < 2 or not all(b > a for a, b in itertools.pairwise(values)):
        raise ValueError("at least two values, strictly increasing")
    return values


class SampleConfig(Section):
    """What is under the objective."""

    name: str = Field(
        "actin",
        min_length=1,
        description="Name of the sample. On the twin: a generated structure (actin, tubulin, "
        "synapses) or the path of a 2-D image (TIFF or .npy) whose counts become the fluorophores.",
    )
    structure: str = Field("", description="Imaged structure, to search by; empty: the name.")
    pixel_size_nm: Positive = Field(20.0, description="Pixel size of an image file, nm.")


class MicroscopeConfig(Section):
    """Which microscope."""

    kind: Literal["twin", "specpy"] = Field(
        "twin", description="'twin': the digital twin; 'specpy': a running Imspector."
    )
    host: str = Field(
        "", description="Computer that Imspector runs on; empty: this one (specpy only)."
    )
    fluorophore: str = Field("STAR635P", description="Dye of the twin's sample (twin only).")
    field_um: Annotated[float, Field(gt=0, le=200)] = Field(
        80.0, description="Side of the twin's sample, µm, at most 200 (twin only)."
    )
    real_time: bool = Field(
        False, description="Scans take as long as on the microscope (twin only)."
    )


class LaserConfig(Section):
    """What excitation and depletion lasers have in common."""

    laser: Annotated[int, Field(ge=0, le=15)]
    wavelength_nm: Annotated[int, Field(ge=300, le=1200)]
    calibration_percent: Numbers

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


def _powers(power: tuple[float, ...]) -> tuple[float, ...]:
    if any(p < 0 for p in power):
        raise ValueError("none below 0")
    return _increasing(power)


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

    _increasing_powers = field_validator("calibration_power_uW")(_powers)

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

    _increasing_powers = field_validator("calibration_power_mW")(_powers)

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_calibration("calibration_power_mW", "power_limit_mW")
        return self


class ImagingConfig(Section):
    """The STED image and the confocal images before and after it."""

    region_size_um: Annotated[float, Field(ge=0.5, le=20)] = Field(
        4.48, description="Side of a region, µm, 0.5 to 20."
    )
    pixel_size_nm: Annotated[float, Field(ge=5, le=200)] = Field(
        20.0, description="Pixel size, nm, 5 to 200."
    )
    sted_images: Annotated[int, Field(ge=1, le=5)] = Field(
        1, description="STED images between the two confocal ones, 1 to 5."
    )
    excitation_power_uW: NotNegative = Field(
        10.0, description="STED excitation power, µW, unless optimised."
    )
    depletion_power_mW: NotNegative = Field(
        150.0, description="Depletion power, mW, unless optimised."
    )
    dwelltime_us: Annotated[float, Field(ge=1, le=1000)] = Field(
        20.0, description="STED pixel dwelltime, µs, 1 to 1000, unless optimised."
    )
    line_steps: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="How often each line is scanned, 1 to 64, unless optimised."
    )
    confocal_excitation_power_uW: Positive = Field(
        5.0, description="Excitation power of the confocal images, µW, fixed."
    )
    confocal_dwelltime_us: Annotated[float, Field(ge=1, le=1000)] = Field(
        10.0, description="Pixel dwelltime of the confocal images, µs, fixed."
    )

    @property
    def pixels(self) -> int:
        """Pixels along a side of a region."""
        return round(self.region_size_um * 1000 / self.pixel_size_nm)


class OverviewConfig(Section):
    """The confocal overview on which the regions are laid."""

    size_um: Annotated[float, Field(gt=0, le=200)] = Field(
        80.0, description="Side of the overview, µm, at most 200."
    )
    pixel_size_nm: Annotated[float, Field(ge=20, le=2000)] = Field(
        160.0, description="Pixel size, nm, 20 to 2000."
    )
    excitation_power_uW: Positive = Field(2.0, description="Excitation power, µW.")
    dwelltime_us: Annotated[float, Field(ge=1, le=1000)] = Field(
        5.0, description="Pixel dwelltime, µs, 1 to 1000."
    )
    minimum_foreground: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="Least share of a region that must be foreground, 0 to 1."
    )


class ParameterConfig(Section):
    """One optimised parameter: ``points`` values from ``low`` to ``high``, or ``values``."""

    name: Literal["excitation_power_uW", "depletion_power_mW", "dwelltime_us", "line_steps"]
    low: float | None = None
    high: float | None = None
    points: Annotated[int, Field(ge=1, le=MAX_CONFIGURATIONS)] | None = None
    spacing: Literal["linear", "log"] = "linear"
    values: Numbers | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.values is None:
            self._check_ends()
        else:
            self._check_values(self.values)
        self._check_range()
        if self.name == "line_steps":
            self._check_whole()
        return self

    def _check_ends(self) -> None:
        low, high, points = self.low, self.high, self.points
        if (low, high, points) == (None, None, None):
            raise ValueError("either low, high and points, or values")
        if low is None or high is None or points is None:
            raise ValueError("low, high and points are needed together")
        if low > high:
            raise FieldError("low", low, f"at most high, {high:g}")
        if self.spacing == "log" and low <= 0:
            raise FieldError("low", low, "above 0 where the spacing is log")
        if points == 1 and low != high:
            raise FieldError("points", points, f"at least 2 from {low:g} to {high:g}")
        try:
            _ = self.parameter
        except ValueError:
            raise FieldError(
                "points", points, f"there are not so many numbers from {low!r} to {high!r}"
            ) from None

    def _check_values(self, values: tuple[float, ...]) -> None:
        if (self.low, self.high, self.points) != (None, None, None):
            raise ValueError("either low, high and points, or values")
        if not values or any(b <= a for a, b in itertools.pairwise(values)):
            raise FieldError("values", values, "at least one, strictly increasing")

    def _check_range(self) -> None:
        minimum, maximum = RANGES.get(self.name, (0.0, math.inf))
        for field, value in self.ends:
            if value < minimum:
                raise FieldError(field, value, f"at least {minimum:g} {PARAMETER_UNITS[self.name]}")
            if value > maximum:
                raise FieldError(field, value, f"at most {maximum:g} {PARAMETER_UNITS[self.name]}")

    def _check_whole(self) -> None:
        values = self.parameter.values
        if any(not v.is_integer() for v in values):
            field, value = ("points", self.points) if self.values is None else ("values", values)
            raise FieldError(field, value, "line steps are whole numbers")

    @property
    def ends(self) -> tuple[tuple[str, float], tuple[str, float]]:
        """Lowest and highest value, each with the field that says it."""
        low, high = self.parameter.values[0], self.parameter.values[-1]
        if self.values is None:
            return ("low", low), ("high", high)
        return ("values", low), ("values", high)

    @property
    def parameter(self) -> Parameter:
        """The parameter with its values."""
        unit = PARAMETER_UNITS[self.name]
        if self.values is not None:
            return Parameter(self.name, unit, self.values)
        assert self.low is not None  # noqa: S101  _check has seen to it
        assert self.high is not None  # noqa: S101
        assert self.points is not None  # noqa: S101
        if self.points == 1:
            return Parameter(self.name, unit, (self.low,))
        if self.spacing == "log":
            return Parameter(self.name, unit, tuple(np.geomspace(self.low, self.high, self.points)))
        return Parameter.linear(self.name, unit, self.low, self.high, self.points)


class ObjectiveConfig(Section):
    """One objective, its weight in the rule that chooses, and its noise."""

    name: str
    weight: NotNegative = 1.0
    noise_upper_bound: Positive | None = None


class ChoiceConfig(Section):
    """Who picks the trade-off from the cloud of options."""

    rule: Literal["weighted", "random"] = Field(
        "weighted", description="'weighted': the highest weighted utility; 'random'."
    )


class BanditConfig(Section):
    """Kernel Thompson Sampling."""

    strategy: Literal["kernel_ts", "random"] = Field(
        "kernel_ts", description="'kernel_ts', or 'random' as a baseline."
    )
    norm_bound: Positive = Field(5.0, description="Bound C on the functions' norm.")
    bandwidth: Annotated[tuple[Positive, ...], Field(strict=False)] | None = Field(
        None,
        description="Kernel bandwidth per parameter, in its unit; "
        "left out: range × number of parameters / 3.",
    )
