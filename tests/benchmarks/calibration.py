"""How well each adaptation knows what it does not know: the posterior against the truth.

Both adaptations learn the same images, at random configurations. Then their posterior is
held against the exact values of all configurations: the error of the mean (root mean
square, in widths of the objective's range), the mean deviation that the posterior states,
how many configurations lie within its central 90 %, and the mean negative log density (less
is better). Mean over objectives and seeds.

``python -m tests.benchmarks.calibration [--problems ...] [--seeds N]``
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from stedopt_bluesky.bandit import KernelTS
from stedopt_bluesky.bandit.thompson import Adaptation
from tests.benchmarks.trials import NOISE_STREAM, PROBLEMS, one_thread, problem_of

FloatArray = npt.NDArray[np.float64]

AFTER = (10, 30, 100)
PART = 0.9
# Smallest deviation in the density, in widths of the range: below, a configuration that is
# known up to rounding would decide the mean.
LEAST_DEVIATION = 1e-3
ADAPTATIONS: tuple[Adaptation, ...] = ("empirical_bayes", "published")


def scores(truth: FloatArray, mean: FloatArray, std: FloatArray) -> FloatArray:
    """Error, stated deviation, part within the interval, negative log density, shape (4,).

    Parameters
    ----------
    truth, mean, std : ndarray, shape (G, M)
    """
    std = np.maximum(std, LEAST_DEVIATION)
    standard = (truth - mean) / std
    within = np.abs(standard) < norm.ppf((1 + PART) / 2)
    density = norm.logpdf(standard) - np.log(std)
    error = np.sqrt(np.mean((truth - mean) ** 2))
    return np.array([error, std.mean(), within.mean(), -density.mean()])


def trial(problem_name: str, adaptation: Adaptation, seed: int) -> FloatArray:
    """Scores after each number of images of `AFTER`, shape (len(AFTER), 4)."""
    problem = problem_of(problem_name)
    strategy = KernelTS(problem.space, problem.objectives, seed, adaptation=adaptation)
    noise = np.random.default_rng([seed, NOISE_STREAM])
    indices = np.random.default_rng([seed, 4]).integers(problem.space.size, size=max(AFTER))
    found = []
    for number, index in enumerate(indices, start=1):
        values = problem.measured(index, noise.standard_normal(problem.values.shape[1]))
        strategy.ingest(int(index), values)
        if number in AFTER:
            found.append(scores(problem.values, *strategy.posterior()))
    return np.array(found)


def main(problems: Sequence[str] = PROBLEMS, seeds: int = 5) -> None:
    """Print the table."""
    one_thread()
    print(f"Seeds 0-{seeds - 1}; a posterior that is right has {PART:.0%} within its interval.\n")
    print("| problem | adaptation | images | error | stated | within 90 % | -log density |")
    print("|---|---|---|---|---|---|---|")
    for problem in problems:
        for adaptation in ADAPTATIONS:
            means = np.mean([trial(problem, adaptation, s) for s in range(seeds)], axis=0)
            for images, (error, stated, within, density) in zip(AFTER, means, strict=True):
                print(
                    f"| {problem} | {adaptation} | {images} | {error:.3f} | {stated:.3f} "
                    f"| {within:.2f} | {density:+.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=PROBLEMS)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    main(arguments.problems, arguments.seeds)
