"""Two methods compared seed by seed: what one spares, and whether that can be chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import wilcoxon

from tests.benchmarks.trials import Trial, problem_of


@dataclass(frozen=True)
class Comparison:
    """Regret of one method less that of another, on the seeds that both have run.

    Parameters
    ----------
    seeds : int
        Number of pairs.
    difference : float
        Mean regret of the first less that of the second: negative where the first is better.
    better : int
        Pairs in which the first has the lower regret.
    p_value : float
        Of the two-sided Wilcoxon signed-rank test; 1 where all pairs are equal. With n pairs
        it cannot be below 2 / 2^n: 0.03 with six.
    """

    seeds: int
    difference: float
    better: int
    p_value: float


def compare(first: Sequence[Trial], second: Sequence[Trial]) -> Comparison | None:
    """Compare two methods' trials of one problem; None when they have no seed in common."""
    ours, theirs = ({t.seed: _regret(t) for t in trials} for trials in (first, second))
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        return None
    differences = np.array([ours[seed] - theirs[seed] for seed in common])
    p_value = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
    better = int(np.sum(differences < 0))
    return Comparison(len(common), float(differences.mean()), better, p_value)


def print_comparisons(
    trials: Sequence[Trial], problems: Sequence[str], reference: str, others: Sequence[str]
) -> None:
    """Print the comparison of one method with others, a line for each problem and method."""
    print(f"Regret of {reference} against the other methods, paired by seed; p of Wilcoxon's")
    print("signed-rank test, two-sided.\n")
    print("| problem | against | pairs | difference of regret | lower in | p |")
    print("|---|---|---|---|---|---|")
    for problem in problems:
        for other in others:
            first, second = (
                [t for t in trials if (t.problem, t.method) == (problem, method)]
                for method in (reference, other)
            )
            found = compare(first, second)
            if found is not None:
                print(
                    f"| {problem} | {other} | {found.seeds} | {found.difference:+.1f} "
                    f"| {found.better} | {found.p_value:.2g} |"
                )


def _regret(trial: Trial) -> float:
    return float(problem_of(trial.problem).regret[list(trial.indices)].sum())
