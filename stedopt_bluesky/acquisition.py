"""What passes between the rooms: regions, images, values, options, choices, objectives.

Plain frozen data with units in the names; no behaviour beyond checks. What holds
arrays is equal to itself only: arrays have no single answer to ``==``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.integer] | npt.NDArray[np.floating]


class Invalid(float):
    """A value that there is not, and why: NaN with a reason.

    It is a NaN wherever a float is expected; what is computed from it is a plain NaN.

    Parameters
    ----------
    reason : str
        Why the images give no value, for a person to read.

    Raises
    ------
    ValueError
        When the reason is empty.
    """

    __slots__ = ("reason",)
    reason: str

    def __new__(cls, reason: str) -> Invalid:
        """Make a NaN and keep the reason."""
        if not reason:
            raise ValueError("an invalid value needs a reason, got ''")
        self = super().__new__(cls, math.nan)
        self.reason = reason
        return self

    def __repr__(self) -> str:
        return f"Invalid({self.reason!r})"

    def __reduce__(self) -> tuple[type[Invalid], tuple[str]]:
        # A copy or a pickle of a float would keep the NaN and lose the reason.
        return Invalid, (self.reason,)


def invalid_reason(value: float) -> str:
    """Say why a value is invalid: ``""`` where it is valid, ``"invalid"`` for a plain NaN."""
    if isinstance(value, Invalid):
        return value.reason
    return "invalid" if math.isnan(value) else ""


@dataclass(frozen=True)
class Region:
    """A square piece of the sample, by its centre in the scanner's field.

    Parameters
    ----------
    x_um, y_um : float
        Centre relative to the field's centre, in µm.
    size_um : float
        Side, in µm.
    stage_x_um, stage_y_um : float
        Where the stage is for that field, from where it stood at the start, in µm.
    """

    x_um: float
    y_um: float
    size_um: float
    stage_x_um: float = field(default=0.0, kw_only=True)
    stage_y_um: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.stage_x_um) and math.isfinite(self.stage_y_um)):
            raise ValueError(
                "a region's stage position must be finite, got "
                f"({self.stage_x_um}, {self.stage_y_um}) µm"
            )
        if not (math.isfinite(self.x_um) and math.isfinite(self.y_um)):
            raise ValueError(f"a region's centre must be finite, got ({self.x_um}, {self.y_um}) µm")
        if not (math.isfinite(self.size_um) and self.size_um > 0):
            raise ValueError(f"a region's side must be positive and finite, got {self.size_um} µm")


@dataclass(frozen=True)
class Spine(Region):
    """A dendritic spine: the region around its head, and where it points.

    Parameters
    ----------
    axis_x, axis_y : float
        Unit vector from the dendrite to the head.
    free_um : float
        Distance from the head's centre up to which there is nothing else on the axis, and the
        field does not end, µm: as far away a spot may lie.
    """

    axis_x: float
    axis_y: float
    free_um: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.free_um >= 0:
            raise ValueError(f"a spine's free_um must be at least 0, got {self.free_um}")
        length = math.hypot(self.axis_x, self.axis_y)
        # Also where it is not a number.
        if not abs(length - 1) <= 1e-6:
            raise ValueError(
                f"a spine's axis must be a unit vector, got ({self.axis_x}, {self.axis_y})"
            )

    def spot_um(self, distance_um: float) -> tuple[float, float]:
        """Position on the axis at a distance from the head's centre, away from the dendrite."""
        return self.x_um + distance_um * self.axis_x, self.y_um + distance_um * self.axis_y


@dataclass(frozen=True)
class Line:
    """A straight line in an image, between the centres of two pixels or anywhere between.

    Parameters
    ----------
    y0, x0, y1, x1 : float
        Its two ends, in pixels; (0, 0) is the centre of the first pixel.
    """

    y0: float
    x0: float
    y1: float
    x1: float

    def __post_init__(self) -> None:
        ends = (self.y0, self.x0), (self.y1, self.x1)
        if not all(math.isfinite(value) for end in ends for value in end):
            raise ValueError(f"a line's ends must be finite, got {ends[0]} and {ends[1]} pixels")
        if ends[0] == ends[1]:
            raise ValueError(f"a line needs two ends, got {ends[0]} pixels twice")


@dataclass(frozen=True, eq=False)
class CalciumFrames:
    """Confocal frames of a Ca²⁺ indicator around the uncaging pulse.

    Parameters
    ----------
    baseline : ndarray, shape (T1, Y, X)
        Photon counts before the pulse; 25 frames in Durand et al. (2018).
    response : ndarray, shape (T2, Y, X)
        Photon counts after it; 75 frames there.
    """

    baseline: Image
    response: Image

    def __post_init__(self) -> None:
        shapes = np.shape(self.baseline), np.shape(self.response)
        if any(len(shape) != 3 for shape in shapes) or shapes[0][1:] != shapes[1][1:]:
            raise ValueError(
                "Ca²⁺ frames have shape (T, Y, X), Y and X the same before and after the pulse, "
                f"got baseline {shapes[0]}, response {shapes[1]}"
            )


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The images of one region: confocal before, STED (one or more), confocal after.

    Parameters
    ----------
    confocal1, confocal2 : ndarray, shape (Y, X)
        Photon counts with the fixed reference settings.
    sted : tuple of ndarray, each of shape (Y, X)
        Photon counts with the configuration under test, in order of acquisition.
    pixel_size_nm : float
        Side of a pixel, in nm.
    dwelltime_us : float
        Pixel dwelltime of the STED images, in µs.
    line_steps : int
        Line repetitions of the STED images.
    frames : int
        Frames that each STED image is the sum of.
    lines : tuple of Line
        Lines that a person drew for the objectives of line profiles; none: lines are laid
        automatically.
    excitation_power_uW : float
        Excitation power of the STED images, in µW; NaN where it is not known.
    depletion_power_mW : float
        Depletion power of the STED images, in mW; NaN where it is not known.
    calcium : CalciumFrames, optional
        Ca²⁺ frames of the region, where there was an uncaging pulse.
    channels : mapping of str to ImageSet
        Images of further channels of the same scans, by the channel's name.
    """

    confocal1: Image
    sted: tuple[Image, ...]
    confocal2: Image
    pixel_size_nm: float
    dwelltime_us: float
    line_steps: int = 1
    frames: int = 1
    lines: tuple[Line, ...] = ()
    excitation_power_uW: float = math.nan
    depletion_power_mW: float = math.nan
    calcium: CalciumFrames | None = None
    channels: Mapping[str, ImageSet] = field(default_factory=dict)


@dataclass(frozen=True)
class Objective:
    """One objective of the optimisation.

    Parameters
    ----------
    name : str
        Name with its unit as a suffix where it has one, for example ``"resolution_nm"``.
    unit : str
        Unit, ``""`` for a pure number.
    direction : {"maximise", "minimise"}
        What is better.
    range : tuple of float
        Low and high end of what is usual, in ``unit``; for axes and for utilities, not a limit.
    noise_bounds : tuple of float
        Lower and upper bound of the noise's standard deviation, in ``unit``
        (start values of the published program).
    modelled : bool
        False for an objective that is known exactly from the configuration (imaging time).
    """

    name: str
    unit: str
    direction: Literal["maximise", "minimise"]
    range: tuple[float, float]
    noise_bounds: tuple[float, float] = (0.001, 0.3)
    modelled: bool = True


@dataclass(frozen=True, eq=False)
class Options:
    """The cloud of options: one sampled value per objective and configuration.

    Parameters
    ----------
    values : ndarray, shape (G, M)
        Sampled objectives, each column in its objective's unit. A row of NaN is not on offer:
        a strategy that prescribes its next configuration offers that one alone.
    configurations : ndarray, shape (G, D)
        The grid, each column in its parameter's unit.
    iteration : int
        Number of images ingested before these options were drawn.
    objectives : tuple of str
        Names of the M columns of ``values``.
    parameters : tuple of str
        Names of the D columns of ``configurations``.
    imaged : tuple of int
        Rows that were imaged before, each once, for those who choose by what is new.
    """

    values: npt.NDArray[np.float64]
    configurations: npt.NDArray[np.float64]
    iteration: int
    objectives: tuple[str, ...]
    parameters: tuple[str, ...]
    imaged: tuple[int, ...] = ()


@dataclass(frozen=True)
class Choice:
    """Which option was chosen, by whom, and how that came about.

    Two choices are equal when the same option was chosen by the same.

    Parameters
    ----------
    index : int
        Row of the cloud of options, 0 … G-1.
    chosen_by : str
        Who or what chose, for example ``"weighted_rule"``.
    took_s : float
        Time from the question to the answer that counted, s; 0 where nobody was asked.
    suggested_index : int
        Row that was suggested to who chose; -1: none was.
    suggested_by : str
        Who or what suggested it.
    taken_back : int
        How many answers were taken back before this one.
    shown : str
        How the options were shown to who chose.
    """

    index: int
    chosen_by: str
    took_s: float = field(default=0.0, compare=False, kw_only=True)
    suggested_index: int = field(default=-1, compare=False, kw_only=True)
    suggested_by: str = field(default="", compare=False, kw_only=True)
    taken_back: int = field(default=0, compare=False, kw_only=True)
    shown: str = field(default="", compare=False, kw_only=True)


@dataclass(frozen=True, eq=False)
class PriorObservation:
    """Objectives that an earlier experiment measured with one configuration.

    Parameters
    ----------
    configuration : mapping of parameter's name to value
        Each in its parameter's unit; on the grid or between its values.
    values : mapping of objective's name to value
        Each in its objective's unit, finite.
    weight : float
        How many observations of this run it counts for, above 0: 1 as an image of this
        run, 0.25 as a quarter of one (its noise is then taken to be twice as large).
    """

    configuration: Mapping[str, float]
    values: Mapping[str, float]
    weight: float = 1.0
