"""Clouds of options as real runs have them: Kernel Thompson Sampling on random samples.

Each run has a sample of its own: how dye, structure and microscope turn powers and dwelltime into
quality and photobleaching. Somebody chooses, the "image" of the choice is rated with noise, and
the models learn, as in a run at the microscope.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.bandit.thompson import Adaptation, KernelTS
from stedopt_bluesky.networks.clouds import Clouds
from stedopt_bluesky.objectives import OBJECTIVES
from stedopt_bluesky.parameters import Parameter, ParameterSpace

FloatArray = npt.NDArray[np.float64]

Choose = Callable[[FloatArray], int]
# Makes who chooses in a run.
MakeChoose = Callable[[np.random.Generator], Choose]

# Images after which a cloud is kept: from knowing nothing to the end of a run.
STAGES = (0, 1, 2, 4, 7, 12, 20, 33, 54)
# Points of a grid: 768 configurations are the paper's fixed far-red experiment, the demo's too.
GRID = (8, 8, 12)
# Sides of 2 to 4.5 µm at 20 nm: with up to 100 µs a pixel, images of 0.05 to 5 s.
SIDES_PX = (100, 224)
# Standard deviation of what an image's objectives tell of their configuration.
NOISE = {"quality": 0.07, "photobleaching": 0.05, "quality_last": 0.07}
CONFOCAL_FWHM_NM = 230.0


@dataclass(frozen=True)
class CloudTask:
    """Which clouds are drawn.

    Parameters
    ----------
    runs : int
        Each gives a cloud at each of `STAGES`.
    seed : int
        Run k is drawn from ``default_rng([seed, k])``.
    with_time : bool
        Whether the imaging time is the third objective.
    with_last : bool
        Whether there are two STED images, and the quality of the last one is the third objective.
    adaptations : tuple of str
        Of `KernelTS`, in turn: the published one offers wide clouds, empirical Bayes narrow ones.
    grid : tuple of int
        Points of excitation, depletion and dwelltime.
    """

    runs: int
    seed: int
    with_time: bool = False
    with_last: bool = False
    adaptations: tuple[Adaptation, ...] = ("empirical_bayes", "published")
    grid: tuple[int, int, int] = GRID

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Columns of the clouds."""
        names = ["quality", "photobleaching"]
        names += ["imaging_time_s"] if self.with_time else []
        names += ["quality_last"] if self.with_last else []
        return tuple(OBJECTIVES[name].objective for name in names)


def draw_clouds(
    task: CloudTask, make_choose: MakeChoose, advance: Callable[[int], None] = lambda _: None
) -> Clouds:
    """Draw clouds and have somebody choose.

    Parameters
    ----------
    task : CloudTask
        Which clouds.
    make_choose : callable
        Takes the run's generator, returns who chooses in it: takes a cloud (G, M), returns a row.
    advance : callable
        Told the number of runs that have just been drawn: 1.
    """
    clouds: list[FloatArray] = []
    chosen: list[int] = []
    for number in range(task.runs):
        for cloud, row in _one_run(task, number, make_choose):
            clouds.append(cloud)
            chosen.append(row)
        advance(1)
    names = tuple(o.name for o in task.objectives)
    return Clouds(
        tuple(clouds),
        np.array(chosen),
        names,
        tuple(objective.unit for objective in task.objectives),
    )


def _one_run(task: CloudTask, number: int, make_choose: MakeChoose) -> list[tuple[FloatArray, int]]:
    rng = np.random.default_rng([task.seed, number])
    space = _space(task.grid)
    truth = random_sample(rng, space, with_last=task.with_last)
    choose = make_choose(rng)
    known = {"imaging_time_s": imaging_times_s(rng, space)} if task.with_time else None
    strategy = KernelTS(
        space,
        task.objectives,
        int(rng.integers(2**31)),
        deterministic=known,
        adaptation=task.adaptations[number % len(task.adaptations)],
    )
    kept = []
    for image in range(STAGES[-1] + 1):
        cloud = strategy.suggest().values
        row = choose(cloud)
        if image in STAGES:
            kept.append((cloud, row))
        measured = {name: v[row] + rng.normal(0, NOISE[name]) for name, v in truth.items()}
        strategy.ingest(row, measured)
    return kept


def _space(grid: tuple[int, int, int]) -> ParameterSpace:
    """Ranges of the paper's fixed far-red experiment."""
    excitation, depletion, dwelltime = grid
    return ParameterSpace(
        [
            Parameter.linear("excitation_power_uW", "µW", 0.65, 26.8, excitation),
            Parameter.linear("depletion_power_mW", "mW", 59.0, 360.0, depletion),
            Parameter.linear("dwelltime_us", "µs", 5.0, 100.0, dwelltime),
        ]
    )


def imaging_times_s(rng: np.random.Generator, space: ParameterSpace) -> FloatArray:
    """Time of a square image of random size with each configuration, in s, shape (G,)."""
    side = int(rng.integers(SIDES_PX[0], SIDES_PX[1] + 1))
    return np.asarray(space.grid[:, 2] * 1e-6 * side**2)


def random_sample(
    rng: np.random.Generator, space: ParameterSpace, *, with_last: bool = False
) -> dict[str, FloatArray]:
    """Draw how a sample answers to the parameters.

    The resolution is that of a saturated depletion, ``230 nm / √(1 + P / P_sat)``; a quality needs
    it to be fine enough for the structure and the photons, ``E · t``, to be enough; too much
    excitation spoils it. Photobleaching is exponential in the dose and rises with depletion. The
    last of two STED images has as many photons less as the first one has bleached, half of all.

    Returns
    -------
    dict of str to ndarray, each of shape (G,)
        Quality and photobleaching without noise, 0 to 1; with ``with_last`` also the last quality.
    """
    excitation, depletion, dwelltime = space.grid.T
    fwhm_nm = CONFOCAL_FWHM_NM / np.sqrt(1 + depletion / _log_uniform(rng, 8, 60))
    detail_nm, softness_nm = rng.uniform(50, 120), rng.uniform(6, 20)
    dose = excitation * dwelltime / np.median(excitation * dwelltime)
    enough, photon_slope = _log_uniform(rng, 0.05, 0.6), rng.uniform(1.5, 4)
    resolved = rng.uniform(0.6, 1.0) * _logistic((detail_nm - fwhm_nm) / softness_nm)
    spoilt = 1 + (excitation / rng.uniform(20, 60)) ** 4

    def quality(photons: FloatArray) -> FloatArray:
        return resolved * _logistic(photon_slope * np.log(photons / enough)) / spoilt

    rate = _log_uniform(rng, 0.05, 0.7)
    by_depletion = rng.uniform(0.5, 3) * depletion / depletion.max()
    bleached = rate * dose ** rng.uniform(0.5, 1) * (0.3 + by_depletion)
    truth = {"quality": quality(dose), "photobleaching": 1 - np.exp(-bleached)}
    if with_last:
        truth["quality_last"] = quality(dose * np.exp(-bleached / 2))
    return truth


def _logistic(x: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-x)))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
