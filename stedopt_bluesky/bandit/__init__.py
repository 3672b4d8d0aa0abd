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

from stedopt_bluesky.bandit.baselines import RandomPolicy
from stedopt_bluesky.bandit.kernel_regression import KernelRegression
from stedopt_bluesky.bandit.noise import NoiseBounds, update_noise_bounds
from stedopt_bluesky.bandit.pareto import non_dominated
from stedopt_bluesky.bandit.strategy import ObjectiveValues, Strategy
from stedopt_bluesky.bandit.thompson import KernelTS

__all__ = [
    "KernelRegression",
    "KernelTS",
    "NoiseBounds",
    "ObjectiveValues",
    "RandomPolicy",
    "Strategy",
    "non_dominated",
    "update_noise_bounds",
]
