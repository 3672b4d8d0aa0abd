"""The project's own strategies, as methods of the benchmarks' loop, and the names of all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Options
from stedopt_bluesky.bandit import KernelTS, RandomPolicy
from stedopt_bluesky.bandit.nsga2 import NSGA2
from stedopt_bluesky.bandit.strategy import Strategy
from stedopt_bluesky.preference.hypervolume import HypervolumeRule
from tests.benchmarks import peers
from tests.benchmarks.problems import Problem, utility
from tests.benchmarks.trials import MakeMethod, Method

FloatArray = npt.NDArray[np.float64]


class StrategyMethod:
    """A strategy of ours with whoever chooses from its cloud.

    Parameters
    ----------
    strategy : Strategy
        Draws the cloud and learns.
    choose : callable
        Maps a cloud to a row of it.
    """

    def __init__(self, strategy: Strategy, choose: Callable[[Options], int]) -> None:
        self.strategy = strategy
        self.choose = choose

    def decide(self) -> int:
        """Draw the cloud, choose from it."""
        return self.choose(self.strategy.suggest())

    def learn(self, index: int, values: FloatArray) -> None:
        """Ingest an image."""
        self.strategy.ingest(index, values)


def by_preference(options: Options) -> int:
    """Choose as the hidden preference does; what is not on offer is NaN."""
    return int(np.nanargmax(utility(options.values)))


def empirical_bayes(problem: Problem, seed: int) -> Strategy:
    """Kernel TS as it is by default: it estimates noise, scale and bandwidths."""
    return KernelTS(problem.space, problem.objectives, seed)


def published(problem: Problem, seed: int) -> Strategy:
    """Kernel TS with the published noise bounds, norm bound and posterior deviation."""
    return KernelTS(
        problem.space, problem.objectives, seed, adaptation="published", exploration=1.0
    )


def noise_told(problem: Problem, seed: int) -> Strategy:
    """Published Kernel TS that is told the true noise, and the range as prior deviation.

    What the published method could do if somebody knew what empirical Bayes estimates.
    """
    objectives = [
        dataclasses.replace(objective, noise_bounds=(noise, noise))
        for objective, noise in zip(problem.objectives, problem.noise, strict=True)
    ]
    return KernelTS(
        problem.space, objectives, seed, norm_bound=1.0, adaptation="published", exploration=1.0
    )


def preferred(make: Callable[[Problem, int], Strategy]) -> MakeMethod:
    """Have the hidden preference choose from a strategy's cloud."""
    return lambda problem, seed: StrategyMethod(make(problem, seed), by_preference)


def mapping(make: Callable[[Problem, int], Strategy]) -> MakeMethod:
    """Have the largest sampled hypervolume improvement choose from a strategy's cloud."""

    def method(problem: Problem, seed: int) -> Method:
        rule = HypervolumeRule(problem.objectives, seed)
        return StrategyMethod(make(problem, seed), lambda options: rule(options).index)

    return method


def nsga2(problem: Problem, seed: int) -> Method:
    """NSGA-II with the paper's settings, but one image of an individual, as the others have."""
    return StrategyMethod(NSGA2(problem.space, problem.objectives, seed, repeats=1), by_preference)


def improvement(problem: Problem, seed: int) -> Method:
    """Noisy improvement of the hypervolume, of the best value where there is one objective."""
    if problem.values.shape[1] == 1:
        return peers.NoisyImprovement(problem, seed)
    return peers.NoisyHypervolumeImprovement(problem, seed)


def random(problem: Problem, seed: int) -> Method:
    """Every configuration as likely."""
    return StrategyMethod(RandomPolicy(problem.space, problem.objectives, seed), by_preference)


EMPIRICAL = "Kernel TS, empirical Bayes"
PUBLISHED = "Kernel TS, published"
NOISE_TOLD = "Kernel TS, noise told"
RANDOM = "random"
NSGA = "NSGA-II (pymoo)"
BOTORCH = "BoTorch GP + TS"
DENSE = "scikit-learn dense TS"
IMPROVEMENT = "qLogNEHVI / qLogNEI"

# With a preference: what samples offers a cloud to it, what acquires does not.
PREFERENCE: Mapping[str, MakeMethod] = {
    EMPIRICAL: preferred(empirical_bayes),
    PUBLISHED: preferred(published),
    NOISE_TOLD: preferred(noise_told),
    BOTORCH: peers.BoTorchSampling,
    DENSE: peers.ScikitLearnSampling,
    IMPROVEMENT: improvement,
    NSGA: nsga2,
    RANDOM: random,
}
# To map the front: nobody prefers anything.
MAPPING: Mapping[str, MakeMethod] = {
    EMPIRICAL: mapping(empirical_bayes),
    PUBLISHED: mapping(published),
    NOISE_TOLD: mapping(noise_told),
    IMPROVEMENT: improvement,
    NSGA: nsga2,
    RANDOM: random,
}
# Some hundred times as slow as the others: fewer seeds, as each table says.
SLOW = frozenset({BOTORCH, DENSE, IMPROVEMENT})
