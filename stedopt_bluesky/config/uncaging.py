"""Glutamate uncaging at spines, and the Ca²⁺ frames before and after it."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from stedopt_bluesky.config.errors import FieldError
from stedopt_bluesky.config.lasers import (
    ExcitationConfig,
    LaserNumber,
    LaserWavelength,
    PowerLimit_uW,
)
from stedopt_bluesky.config.parameters import RANGES
from stedopt_bluesky.config.places import SpineConfig
from stedopt_bluesky.config.sections import Positive
from stedopt_bluesky.parameters import pixels_along

# Tiles of the Ca²⁺ objectives: frames must hold one at least.
TILE_PX = 8


class UncagingConfig(ExcitationConfig):
    """The 405-nm pulse near a spine; needs [calcium] for the frames around it."""

    enabled: bool = Field(False, description="Whether spines are uncaged at all.")
    laser: LaserNumber = 0
    wavelength_nm: LaserWavelength = 405
    power_limit_uW: PowerLimit_uW = 42.0
    power_uW: Positive = Field(20.0, description="Power of the pulse, µW, unless optimised.")
    distance_um: Annotated[float, Field(ge=0.3, le=5)] = Field(
        1.0,
        description="Distance of the spot from the centre of the spine's head, away from the "
        "dendrite, µm, 0.3 to 5, unless optimised.",
    )
    pulse_ms: Annotated[float, Field(gt=0, le=1000)] = Field(
        30.0, description="Length of the pulse, ms."
    )
    energy_limit_uJ: Positive = Field(
        1.5, description="Most energy of a pulse, µJ; no pulse above it is given."
    )
    spines: tuple[SpineConfig, ...] = Field(
        (), strict=False, description="Spines to use, in order; none: found on the overview."
    )
    spines_file: str = Field(
        "",
        description="CSV of the spines (x_um, y_um, axis_x, axis_y; stage_x_um, stage_y_um), in "
        "place of them; a relative path counts from this file's folder.",
    )
    cells: Annotated[int, Field(ge=1, le=10)] = Field(
        3, description="Dendrites of the twin's sample, each of its own cell (twin only)."
    )

    # The file is read where the configuration's own file is (config/files.py).
    @field_validator("spines_file")
    @classmethod
    def _no_file(cls, name: str) -> str:
        if name:
            raise ValueError("only in a configuration file, with which it is read")
        return name


class CalciumConfig(ExcitationConfig):
    """The Ca²⁺ indicator's frames before and after a pulse, and the overview for spines."""

    laser: LaserNumber = 1
    wavelength_nm: LaserWavelength = 485
    power_limit_uW: PowerLimit_uW = 15.0
    power_uW: Positive = Field(6.0, description="Power in the frames, µW.")
    band_low_nm: Annotated[float, Field(ge=300, le=1200)] = Field(
        500.0, description="Lower end of the detector's band, nm ..."
    )
    band_high_nm: Annotated[float, Field(ge=300, le=1200)] = Field(
        550.0, description="... and its upper end, nm."
    )
    size_um: Annotated[float, Field(ge=1, le=50)] = Field(
        9.6,
        description="Side of a frame, µm, 1 to 50. An odd number of tiles of 8 pixels has the "
        "head in the middle of one.",
    )
    pixel_size_nm: Annotated[float, Field(ge=20, le=500)] = Field(
        80.0, description="Pixel size, nm, 20 to 500."
    )
    frame_rate_Hz: Annotated[float, Field(gt=0, le=50)] = Field(
        4.0, description="Frames per second; the pixel dwelltime follows from it."
    )
    line_overhead_us: Annotated[float, Field(ge=0, le=10_000)] = Field(
        200.0, description="Time that the scanner needs between two lines, µs; the twin's is 200."
    )
    baseline_frames: Annotated[int, Field(ge=1, le=1000)] = Field(
        25, description="Frames before the pulse."
    )
    response_frames: Annotated[int, Field(ge=2, le=1000)] = Field(
        75, description="Frames after the pulse, 2 at least."
    )

    @property
    def pixels(self) -> int:
        """Pixels along a side of a frame."""
        return pixels_along(self.size_um, self.pixel_size_nm)

    @property
    def dwelltime_us(self) -> float:
        """Pixel dwelltime with which frames follow one another at the frame rate, µs."""
        line_us = 1e6 / self.frame_rate_Hz / self.pixels
        return (line_us - self.line_overhead_us) / self.pixels

    @model_validator(mode="after")
    def _check_frames(self) -> Self:
        if self.pixels < TILE_PX:
            raise FieldError("size_um", self.size_um, f"at least {TILE_PX} pixels of pixel_size_nm")
        if not self.band_low_nm < self.band_high_nm:
            raise FieldError("band_low_nm", self.band_low_nm, "below band_high_nm")
        if self.power_uW > self.power_limit_uW:
            raise FieldError("power_uW", self.power_uW, f"at most {self.power_limit_uW:g} µW")
        low, high = RANGES["dwelltime_us"]
        if not low <= self.dwelltime_us <= high:
            pixels = self.pixels
            fastest = 1e6 / (pixels * (pixels * low + self.line_overhead_us))
            slowest = 1e6 / (pixels * (pixels * high + self.line_overhead_us))
            raise FieldError(
                "frame_rate_Hz",
                self.frame_rate_Hz,
                f"{_down(slowest, up=True):g} to {_down(fastest):g} Hz with {pixels} × {pixels} "
                f"pixels, for a dwelltime of {low:g} to {high:g} µs",
            )
        return self


def _down(value: float, *, up: bool = False) -> float:
    """Round to three digits, down or up: what is said to be allowed is allowed."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return (math.ceil if up else math.floor)(value / step) * step
