"""The optimised parameters: their names, units and ranges, and the values of each."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from stedopt_bluesky.config.errors import FieldError, allowed_text
from stedopt_bluesky.config.sections import MAX_CONFIGURATIONS, Numbers, Section
from stedopt_bluesky.parameters import Parameter

# What may be optimised, and its unit.
PARAMETER_UNITS = {
    "excitation_power_uW": "µW",
    "depletion_power_mW": "mW",
    "dwelltime_us": "µs",
    "line_steps": "lines",
    "frames": "frames",
    "pixel_size_nm": "nm",
    "region_size_um": "µm",
    "gate_delay_ns": "ns",
    "gate_width_ns": "ns",
    "pinhole_um": "µm",
    "spectral_min_nm": "nm",
    "spectral_max_nm": "nm",
    "rescue_mode": "",
    "rescue_probe_mode": "",
    "rescue_signal_level": "",
    "rescue_strength": "",
    "rescue_lower_thresholds": "",
    "rescue_lower_threshold_1": "counts",
    "rescue_lower_threshold_2": "counts",
    "rescue_lower_threshold_3": "counts",
    "rescue_lower_threshold_4": "counts",
    "rescue_lower_time_percent_1": "%",
    "rescue_lower_time_percent_2": "%",
    "rescue_lower_time_percent_3": "%",
    "rescue_lower_time_percent_4": "%",
    "rescue_upper_threshold": "counts",
    "focus_um": "µm",
    "uncaging_power_uW": "µW",
    "uncaging_distance_um": "µm",
}
# Of these each further channel has its own: ``<channel>_excitation_power_uW``.
CHANNEL_PARAMETERS = (
    "excitation_power_uW",
    "depletion_power_mW",
    "gate_delay_ns",
    "gate_width_ns",
    "spectral_min_nm",
    "spectral_max_nm",
    *(name for name in PARAMETER_UNITS if name.startswith("rescue_")),
)
# Fields of section ``imaging`` that may be optimised.
IMAGING_PARAMETERS = (
    "excitation_power_uW",
    "depletion_power_mW",
    "dwelltime_us",
    "line_steps",
    "frames",
    "pixel_size_nm",
    "region_size_um",
)
# How many, counts and modes.
WHOLE_NUMBERS = tuple(
    name
    for name, unit in PARAMETER_UNITS.items()
    if unit in ("lines", "frames", "counts") or name.endswith(("_mode", "_thresholds"))
)

# What may be imaged with, both ends included; powers have the lasers' limits.
RANGES = {
    "dwelltime_us": (1.0, 1000.0),
    "line_steps": (1.0, 64.0),
    "frames": (1.0, 100.0),
    "pixel_size_nm": (5.0, 200.0),
    "region_size_um": (0.5, 20.0),
    "gate_delay_ns": (0.0, 25.0),
    "gate_width_ns": (0.1, 25.0),
    "pinhole_um": (1.0, 500.0),
    "spectral_min_nm": (300.0, 1000.0),
    "spectral_max_nm": (300.0, 1000.0),
    "rescue_mode": (0.0, 10.0),
    "rescue_probe_mode": (0.0, 10.0),
    "rescue_signal_level": (0.0, 1e6),
    "rescue_strength": (0.0, 1e3),
    "rescue_lower_thresholds": (0.0, 4.0),
    **{f"rescue_lower_threshold_{number}": (1.0, 65535.0) for number in range(1, 5)},
    **{f"rescue_lower_time_percent_{number}": (0.1, 99.9) for number in range(1, 5)},
    "rescue_upper_threshold": (1.0, 65535.0),
    "focus_um": (-100.0, 100.0),
    "uncaging_distance_um": (0.3, 5.0),
}


def split_parameter(name: str) -> tuple[str, str]:
    """Split a parameter's name into its channel's, ``""`` for the first one, and its own.

    Raises
    ------
    ValueError
        When there is no such parameter.
    """
    if name in PARAMETER_UNITS:
        return "", name
    channel, _, own = name.partition("_")
    if channel and own in CHANNEL_PARAMETERS:
        return channel, own
    raise ValueError(allowed_text(name, PARAMETER_UNITS))


def parameter_unit(name: str) -> str:
    """Unit of a parameter, of whichever channel; ValueError when there is no such parameter."""
    return PARAMETER_UNITS[split_parameter(name)[1]]


class ParameterConfig(Section):
    """One optimised parameter: ``points`` values from ``low`` to ``high``, or ``values``."""

    name: str = Field(
        description="excitation_power_uW, depletion_power_mW, dwelltime_us, line_steps, "
        "gate_delay_ns, ...; the reference lists all. Of a further channel: its name before it, "
        "as orange_excitation_power_uW."
    )
    low: float | None = Field(None, description="Lowest value, in the unit of the name.")
    high: float | None = Field(None, description="Highest value, in the unit of the name.")
    points: Annotated[int, Field(ge=1, le=MAX_CONFIGURATIONS)] | None = Field(
        None, description="Number of values, both ends included."
    )
    spacing: Literal["linear", "log"] = Field(
        "linear", description="'linear', or 'log': equal ratios."
    )
    values: Numbers | None = Field(
        None, description="The values themselves, in place of low, high and points."
    )

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        split_parameter(name)
        return name

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.values is None:
            self._check_ends()
        else:
            self._check_values(self.values)
        self._check_range()
        if split_parameter(self.name)[1] in WHOLE_NUMBERS:
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
        minimum, maximum = RANGES.get(split_parameter(self.name)[1], (0.0, math.inf))
        unit = parameter_unit(self.name)
        for field, value in self.ends:
            if value < minimum:
                raise FieldError(field, value, f"at least {minimum:g} {unit}".rstrip())
            if value > maximum:
                raise FieldError(field, value, f"at most {maximum:g} {unit}".rstrip())

    def _check_whole(self) -> None:
        values = self.parameter.values
        if any(not v.is_integer() for v in values):
            if self.values is not None:
                raise FieldError("values", values, "whole numbers")
            raise FieldError("points", self.points, "so many that all values are whole numbers")

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
        unit = parameter_unit(self.name)
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
