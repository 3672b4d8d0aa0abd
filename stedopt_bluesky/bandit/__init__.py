"""Kernel Thompson Sampling: which configuration to image next.

The mathematician's room: kernel regression of each objective over the grid of
configurations, clouds of options sampled from it, Pareto fronts, and baselines. It knows
nothing of devices, documents or images.

>>> from stedopt_bluesky.bandit import KernelTS
>>> from stedopt_bluesky.parameters import Parameter, ParameterSpace
>>> space = ParameterSpace([Parameter.linear("depletion_power_mW", "mW", 59, 360, 12)])
>>> strategy = KernelTS(space, ["quality", "photobleaching"], seed=1)
>>> options = strategy.suggest()
>>> strategy.ingest(int(options.values[:, 0].argmax()), [0.7, 0.2])
>>> strategy.iteration
1
"""

from stedopt_bluesky.bandit.adaptive import AdaptiveOptimizer
from stedopt_bluesky.bandit.baselines import GridSearch, RandomPolicy
from stedopt_bluesky.bandit.botorch_ts import BoTorchTS
from stedopt_bluesky.bandit.empirical_bayes import EmpiricalBayes
from stedopt_bluesky.bandit.kernel_regression import KernelRegression
from stedopt_bluesky.bandit.kernel_ucb import KernelUCB
from stedopt_bluesky.bandit.noise import NoiseBounds, update_noise_bounds
from stedopt_bluesky.bandit.nsga2 import NSGA2
from stedopt_bluesky.bandit.pareto import hypervolume, non_dominated, reference_point
from stedopt_bluesky.bandit.regret import (
    FirstAgainstLast,
    bootstrap_interval,
    cumulative_regret,
    failures,
    first_against_last,
    growth_exponent,
)
from stedopt_bluesky.bandit.strategy import ObjectiveValues, Strategy
from stedopt_bluesky.bandit.thompson import KernelTS

__all__ = [
    "NSGA2",
    "AdaptiveOptimizer",
    "BoTorchTS",
    "EmpiricalBayes",
    "FirstAgainstLast",
    "GridSearch",
    "KernelRegression",
    "KernelTS",
    "KernelUCB",
    "NoiseBounds",
    "ObjectiveValues",
    "RandomPolicy",
    "Strategy",
    "bootstrap_interval",
    "cumulative_regret",
    "failures",
    "first_against_last",
    "growth_exponent",
    "hypervolume",
    "non_dominated",
    "reference_point",
    "update_noise_bounds",
]
