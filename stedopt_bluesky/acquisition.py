"""What passes between the rooms: regions, images, options, choices, objectives.

Plain frozen data with units in the names; no behaviour beyond checks. What holds
arrays is equal to itself only: arrays have no single answer to ``==``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.integer] | npt.NDArray[np.floating]


@dataclass(frozen=True)
class Region:
    """A square piece of the sample, by its centre in the scanner's field.

    Parameters
    ----------
    x_um, y_um : float
        Centre relative to the field's centre, in µm.
    size_um : float
        Side, in µm.
    """

    x_um: float
    y_um: float
    size_um: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x_um) and math.isfinite(self.y_um)):
            raise ValueError(f"a region's centre must be finite, got ({self.x_um}, {self.y_um}) µm")
        if not (math.isfinite(self.size_um) and self.size_um > 0):
            raise ValueError(f"a region's side must be positive and finite, got {self.size_um} µm")


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
    """

    confocal1: Image
    sted: tuple[Image, ...]
    confocal2: Image
    pixel_size_nm: float
    dwelltime_us: float
    line_steps: int = 1


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
    """Which option was chosen, and by whom.

    Parameters
    ----------
    index : int
        Row of the cloud of options, 0 … G-1.
    chosen_by : str
        Who or what chose, for example ``"weighted_rule"``.
    """

    index: int
    chosen_by: str


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
