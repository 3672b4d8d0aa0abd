"""Where to image: fields of the stage, regions and rectangles by hand, one region again."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

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
