"""One trial of a replay experiment: a strategy chooses, and is given images taken earlier.

A trial is a pure function of the experiment, the strategy's name and the trial's number: it
gives the same numbers in this process, in another one and on another machine of the kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.bandit.baselines import GridSearch, RandomPolicy
from stedopt_bluesky.bandit.kernel_ucb import KernelUCB
from stedopt_bluesky.bandit.strategy import Strategy
from stedopt_bluesky.bandit.thompson import KernelTS
from stedopt_bluesky.parameters import ParameterSpace
from stedopt_bluesky.twin.recorded import Turns

FloatArray = npt.NDArray[np.float64]

# (name of a strategy, number of a trial)
Job = tuple[str, int]


@dataclass(frozen=True, eq=False)
class ReplayExperiment:
    """What every trial has in common; small, so that it can be sent to where trials run.

    Parameters
    ----------
    space : ParameterSpace
        Grid of G configurations.
    objective : Objective
        What is optimised.
    queues : tuple of ndarray, length G
        Ratings of each configuration's images, in the objective's unit; NaN where invalid.
    images : int
        Images of a trial, T.
    seed : int
        Trial k draws from ``numpy.random.default_rng([seed, k])`` alone.
    repeats : int
        Images per configuration of the grid search.
    """

    space: ParameterSpace
    objective: Objective
    queues: tuple[FloatArray, ...]
    images: int
    seed: int
    repeats: int = 5


@dataclass(frozen=True, eq=False)
class Trial:
    """What became of one trial.

    Parameters
    ----------
    configurations : ndarray of int, shape (T,)
        Row of the grid that each image was taken with.
    values : ndarray, shape (T,)
        Ratings of these images; NaN where invalid.
    estimates : ndarray, shape (G,)
        What the strategy believes of each configuration at the end: the posterior mean, or
        the mean of its images; NaN where it knows nothing.
    """

    configurations: npt.NDArray[np.int64]
    values: FloatArray
    estimates: FloatArray


def _kernel_ts(experiment: ReplayExperiment, seed: int) -> Strategy:
    return KernelTS(experiment.space, [experiment.objective], seed)


def _kernel_ucb(experiment: ReplayExperiment, seed: int) -> Strategy:
    return KernelUCB(experiment.space, [experiment.objective], seed)


def _grid_search(experiment: ReplayExperiment, _: int) -> Strategy:
    return GridSearch(experiment.space, [experiment.objective], repeats=experiment.repeats)


def _random(experiment: ReplayExperiment, seed: int) -> Strategy:
    return RandomPolicy(experiment.space, [experiment.objective], seed)


STRATEGIES: dict[str, Callable[[ReplayExperiment, int], Strategy]] = {
    "kernel_ts": _kernel_ts,
    "kernel_ucb": _kernel_ucb,
    "grid_search": _grid_search,
    "random": _random,
}


def run_trial(experiment: ReplayExperiment, strategy: str, number: int) -> Trial:
    """Run one trial.

    The queues are shuffled once; all strategies meet the same order in the trial of the same
    number. A queue that is used up begins again from its first image.

    Parameters
    ----------
    experiment : ReplayExperiment
        What is replayed.
    strategy : str
        A name in `STRATEGIES`.
    number : int
        Of the trial, from 0.
    """
    rng = np.random.default_rng([experiment.seed, number])
    queues = [rng.permutation(queue) for queue in experiment.queues]
    learner = STRATEGIES[strategy](experiment, int(rng.integers(2**32)))
    chosen = np.empty(experiment.images, dtype=np.int64)
    values = np.empty(experiment.images)
    turns = [Turns(len(queue)) for queue in queues]
    for t in range(experiment.images):
        index = _best(learner.suggest(), experiment.objective)
        value = float(queues[index][turns[index].take()])
        learner.ingest(index, [value])
        chosen[t], values[t] = index, value
    return Trial(chosen, values, _estimates(learner, chosen, values, len(queues)))


def run_trials(experiment: ReplayExperiment, jobs: Sequence[Job]) -> list[Trial]:
    """Run some trials one after another, in the order of ``jobs``."""
    return [run_trial(experiment, strategy, number) for strategy, number in jobs]


def _best(options: Options, objective: Objective) -> int:
    """Option of the best value among those on offer.

    Not the weighted rule: it gives all values beyond the usual range the same utility, and
    the first samples, of a wide prior, are mostly beyond.
    """
    values = options.values[:, 0]
    pick = np.nanargmax if objective.direction == "maximise" else np.nanargmin
    return int(pick(values))


def _estimates(
    learner: Any, chosen: npt.NDArray[np.int64], values: FloatArray, configurations: int
) -> FloatArray:
    """What is believed of each configuration, shape (G,)."""
    if hasattr(learner, "posterior"):
        mean: FloatArray = learner.posterior()[0][:, 0]
        return mean
    valid = ~np.isnan(values)
    counts = np.bincount(chosen[valid], minlength=configurations)
    sums = np.bincount(chosen[valid], weights=values[valid], minlength=configurations)
    return np.divide(sums, counts, out=np.full(configurations, np.nan), where=counts > 0)
