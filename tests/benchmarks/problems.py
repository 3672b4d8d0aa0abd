"""Problems whose optimum is known: objectives on a grid, scaled to 0 … 1, all maximised.

Branin, Branin-Currin, DTLZ2, vehicle safety and Hartmann-6 are the field's test functions
(as in `botorch.test_functions`, which the tests hold them against) on a regular grid over
their bounds, turned to be maximised. The STED toy has two powers and a dwelltime, a
quality that too much light spoils, and photobleaching.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import moocore
import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.bandit import non_dominated
from stedopt_bluesky.parameters import Parameter, ParameterSpace

FloatArray = npt.NDArray[np.float64]

NOISE = 0.05
# Weight of the sum beside the worst objective in the hidden preference: it settles ties.
SUM_WEIGHT = 0.05
# How far the reference point lies under the front's nadir: 10 % of an objective's range.
REFERENCE_MARGIN = 0.1


@dataclass(frozen=True, eq=False)
class Problem:
    """Objectives of every configuration, and what an image with it is worth.

    Parameters
    ----------
    name : str
        What tables call it.
    space : ParameterSpace
        Grid of G configurations.
    values : ndarray, shape (G, M)
        Objectives without noise, each from 0 (worst) to 1 (best) over the grid.
    images : int
        Images of a trial.
    noise : tuple of float, shape (M,)
        Standard deviation of the noise of each objective.
    """

    name: str
    space: ParameterSpace
    values: FloatArray
    images: int
    noise: tuple[float, ...]

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The M objectives, with the published start of the noise bounds."""
        count = self.values.shape[1]
        return tuple(Objective(f"y{j}", "", "maximise", (0.0, 1.0)) for j in range(count))

    @cached_property
    def utility(self) -> FloatArray:
        """Hidden preference of every configuration without noise, shape (G,)."""
        return utility(self.values)

    @cached_property
    def regret(self) -> FloatArray:
        """What an image with each configuration costs: best utility minus its, shape (G,)."""
        return self.utility.max() - self.utility

    @cached_property
    def reference(self) -> FloatArray:
        """Reference point of the hypervolume, shape (M,): the front's nadir and a margin."""
        front = self.values[non_dominated(self.values, ["maximise"] * self.values.shape[1])]
        return front.min(axis=0) - REFERENCE_MARGIN

    def hypervolume(self, indices: npt.ArrayLike) -> float:
        """Hypervolume of some configurations' values without noise, over the best possible."""
        return self._hypervolume(self.values[np.unique(indices)]) / self._best_hypervolume

    @cached_property
    def _best_hypervolume(self) -> float:
        return self._hypervolume(self.values)

    def _hypervolume(self, values: FloatArray) -> float:
        return float(moocore.hypervolume(values, ref=self.reference, maximise=True))

    def measured(self, index: int, noise: FloatArray) -> FloatArray:
        """Objectives of an image, shape (M,), with standard normal numbers as its noise."""
        return self.values[index] + np.asarray(self.noise) * noise


def utility(values: FloatArray) -> FloatArray:
    """Hidden preference: the worst objective, and a little of all, shape (...).

    Parameters
    ----------
    values : ndarray, shape (..., M)
        With one objective this is the objective itself.
    """
    if values.shape[-1] == 1:
        return values[..., 0]
    # Column by column: a reduction over a short last axis takes three times as long, which
    # shows beside a decision on a million configurations.
    columns = np.moveaxis(values, -1, 0)
    worst, total = columns[0], columns[0]
    for column in columns[1:]:
        worst, total = np.minimum(worst, column), total + column
    return worst + SUM_WEIGHT * total


# --- the functions, each of x (G, D) -> (G, M) --------------------------------------------


def sted_toy(x: FloatArray) -> FloatArray:
    """Quality and remaining fluorescence by excitation, depletion and dwelltime, each 0 … 1.

    Both maximised; the toy of the peers' measurements.
    """
    excitation, depletion, dwelltime = 0.05 + 0.95 * x[:, 0], 20 * x[:, 1], 0.1 + 0.9 * x[:, 2]
    fwhm_nm = 250 / np.sqrt(1 + depletion)
    snr = np.sqrt(60 * excitation * dwelltime / (1 + 0.05 * depletion))
    quality = _logistic((90 - fwhm_nm) / 20) * _logistic((snr - 3) / 0.7)
    quality /= 1 + (60 * excitation / 45) ** 6  # saturation
    bleached = (1.2 * excitation + 0.08 * depletion * excitation) * dwelltime
    return np.stack([quality, np.exp(-bleached)], axis=1)


def branin(x: FloatArray) -> FloatArray:
    """Branin function, bounds [-5, 10] × [0, 15], maximised by its sign."""
    bent = x[:, 1] - 5.1 / (4 * math.pi**2) * x[:, 0] ** 2 + 5 / math.pi * x[:, 0] - 6
    return -(bent**2 + 10 * (1 - 1 / (8 * math.pi)) * np.cos(x[:, 0]) + 10)[:, None]


def branin_currin(x: FloatArray) -> FloatArray:
    """Branin and Currin functions, bounds [0, 1]², maximised by their signs."""
    a, b = x[:, 0], x[:, 1]
    with np.errstate(divide="ignore"):  # exp(-1/0) is 0, the limit
        factor = 1 - np.exp(-1 / (2 * b))
    above = 2300 * a**3 + 1900 * a**2 + 2092 * a + 60
    below = 100 * a**3 + 500 * a**2 + 4 * a + 20
    first = branin(np.stack([15 * a - 5, 15 * b], axis=1))
    return np.concatenate([first, -(factor * above / below)[:, None]], axis=1)


def dtlz2(x: FloatArray) -> FloatArray:
    """DTLZ2 of two objectives, bounds [0, 1]^D, maximised by their signs."""
    radius = 1 + ((x[:, 1:] - 0.5) ** 2).sum(axis=1)
    angle = x[:, 0] * math.pi / 2
    return -np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def vehicle_safety(x: FloatArray) -> FloatArray:
    """Mass, acceleration and intrusion of a car by five thicknesses, bounds [1, 3]⁵.

    Tanabe and Ishibuchi, Appl. Soft Comput. 89:106078 (2020), RE3-5-4; by their signs
    maximised.
    """
    a, b, c, d, e = x.T
    mass = 1640.2823 + x @ [2.3573285, 2.3220035, 4.5688768, 7.7213633, 4.4559504]
    acceleration = 6.5856 + x @ [1.15, -1.0427, 0.9738, 0.8364, 0.0]
    acceleration += -0.3695 * a * d + 0.0861 * a * e + 0.3628 * b * d
    acceleration += -0.1106 * a**2 - 0.3437 * c**2 + 0.1764 * d**2
    intrusion = -0.0551 + x @ [0.0181, 0.1024, 0.0421, 0.0, 0.0]
    intrusion += -0.0073 * a * b + 0.024 * b * c - 0.0118 * b * d - 0.0204 * c * d
    intrusion += -0.008 * c * e - 0.0241 * b**2 + 0.0109 * d**2
    return -np.stack([mass, acceleration, intrusion], axis=1)


HARTMANN_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
HARTMANN_A = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
HARTMANN_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann6(x: FloatArray) -> FloatArray:
    """Hartmann function of six parameters, bounds [0, 1]⁶, maximised by its sign."""
    distances = (HARTMANN_A * (x[:, None, :] - HARTMANN_P) ** 2).sum(axis=2)
    return (np.exp(-distances) @ HARTMANN_WEIGHTS)[:, None]


def _logistic(x: FloatArray) -> FloatArray:
    return 1 / (1 + np.exp(-x))


# --- the problems ---------------------------------------------------------------------------

Bounds = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Recipe:
    """How a problem is made: function, bounds, points per parameter, images of a trial."""

    function: Callable[[FloatArray], FloatArray]
    bounds: Bounds
    shape: tuple[int, ...]
    images: int


UNIT = (0.0, 1.0)
RECIPES = {
    "STED toy": Recipe(sted_toy, (UNIT,) * 3, (8, 8, 12), 100),
    "BraninCurrin": Recipe(branin_currin, (UNIT,) * 2, (24, 32), 100),
    "DTLZ2": Recipe(dtlz2, (UNIT,) * 3, (7, 7, 7), 80),
    "VehicleSafety": Recipe(vehicle_safety, ((1.0, 3.0),) * 5, (4,) * 5, 100),
    "Branin": Recipe(branin, ((-5.0, 10.0), (0.0, 15.0)), (24, 32), 100),
    "Hartmann6": Recipe(hartmann6, (UNIT,) * 6, (3,) * 6, 100),
}


@cache
def make_problem(name: str) -> Problem:
    """Make one of `RECIPES` by its name."""
    recipe = RECIPES[name]
    space = ParameterSpace(
        [
            Parameter.linear(f"x{i}", "", low, high, points)
            for i, ((low, high), points) in enumerate(zip(recipe.bounds, recipe.shape, strict=True))
        ]
    )
    raw = recipe.function(space.grid)
    low, high = raw.min(axis=0), raw.max(axis=0)
    values = (raw - low) / (high - low)
    values.flags.writeable = False
    return Problem(name, space, values, recipe.images, (NOISE,) * values.shape[1])
