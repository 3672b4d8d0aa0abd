"""Where to image: fields of the stage, regions and spines by hand, one region again."""

from __future__ import annotations

import math
import sys
from typing import Annotated, Self

from pydantic import Field, model_validator

from stedopt_bluesky.config.errors import FieldError
from stedopt_bluesky.config.sections import Positive, Section

# A million steps of the stage's grid are no sample.
MOST_FIELDS = 400


class StageConfig(Section):
    """Fields that are imaged one after the other, by moves of the stage."""

    columns: Annotated[int, Field(ge=1, le=MOST_FIELDS)] = Field(
        1, description="Fields along x; the first one is where the stage stands."
    )
    rows: Annotated[int, Field(ge=1, le=MOST_FIELDS)] = Field(1, description="Fields along y.")
    step_um: Positive | None = Field(
        None, description="Distance of neighbouring fields, µm; left out: the overview's side."
    )
    reach_um: Positive = Field(
        5000.0, description="Farthest move from where the stage stands, µm, along x or y."
    )
    autofocus: bool = Field(
        True, description="Whether the autofocus follows the sample once the stage has moved."
    )


class RegionConfig(Section):
    """A region chosen by hand, by its centre in the field of the stage's position."""

    x_um: float = Field(description="Centre along x, µm, from the field's middle.")
    y_um: float = Field(description="Centre along y, µm.")
    stage_x_um: float = Field(0.0, description="Stage along x, µm, from where it stands.")
    stage_y_um: float = Field(0.0, description="Stage along y, µm.")


class RectangleConfig(RegionConfig):
    """A rectangle drawn by hand; as many regions as it holds are laid in it."""

    width_um: Positive = Field(description="Side along x, µm; at least a region's.")
    height_um: Positive = Field(description="Side along y, µm; at least a region's.")


class SpineConfig(RegionConfig):
    """A spine chosen by hand, by the centre of its head in the field of the stage's position."""

    axis_x: float = Field(description="Direction away from the dendrite, of any length ...")
    axis_y: float = Field(description="... along y.")

    @property
    def axis(self) -> tuple[float, float]:
        """Unit vector (x, y) away from the dendrite."""
        length = math.hypot(self.axis_x, self.axis_y)
        return self.axis_x / length, self.axis_y / length

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_axis(self.axis_x, self.axis_y)
        return self


def check_axis(axis_x: float, axis_y: float) -> None:
    """Refuse what tells no direction.

    Raises
    ------
    FieldError
        When the vector's length is zero, not finite, or too small to be divided by.
    """
    if not sys.float_info.min <= math.hypot(axis_x, axis_y) <= sys.float_info.max:
        raise FieldError(
            "axis_x", axis_x, f"with axis_y = {axis_y:g} a vector of finite length, not 0"
        )


class TimeLapseConfig(Section):
    """How often each region is imaged before the next one has its turn."""

    images_per_region: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1, description="Images of each region; the experiment's images: a time-lapse at one region."
    )
    interval_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        0.0,
        description="Time from the beginning of one image to that of the next, s, at least; 0 to "
        "86,400.",
    )
