"""Regret with a preference: the hidden utility picks from the cloud of options.

Regret is what the sample pays while imaging: the sum over the images of a trial of the best
utility less the utility of the configuration imaged, both without noise. Who has no cloud
to pick from, the acquisition functions, NSGA-II and random, is rated alike. Protocol, one
thread per trial; the number of seeds stands in each row, noise paired by seed. A second
table compares the default, empirical Bayes, with each other method seed by seed.

``python -m tests.benchmarks.preference_regret [--seeds N] [--slow-seeds N] [--out FILE]``
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.methods import EMPIRICAL, PREFERENCE, SLOW
from tests.benchmarks.paired import print_comparisons
from tests.benchmarks.trials import (
    PROBLEMS,
    Task,
    Trial,
    fastest_ms,
    mean_sd,
    one_thread,
    problem_of,
    run_trial,
    run_trials,
)

LAST = 20


def run(task: Task) -> Trial:
    """Run one trial of this table."""
    return run_trial(task, PREFERENCE[task.method])


def seeds_of(method: str, seeds: int, slow_seeds: int, first_seed: int = 0) -> range:
    """Seeds of a method."""
    return range(first_seed, first_seed + (slow_seeds if method in SLOW else seeds))


def row(problem_name: str, method: str, trials: Sequence[Trial]) -> str:
    """Make a line of the table, of one method on one problem."""
    problem = problem_of(problem_name)
    regrets = np.array([problem.regret[list(t.indices)] for t in trials])
    volume = ""
    if problem.values.shape[1] > 1:
        volume = f"{np.mean([problem.hypervolume(t.indices) for t in trials]):.3f}"
    return (
        f"| {problem_name} | {method} | {len(trials)} | {mean_sd(regrets.sum(axis=1), 1)} "
        f"| {regrets[:, -LAST:].mean():.3f} | {volume} "
        f"| {fastest_ms(trials):.1f} |"
    )


def main(
    problems: Sequence[str] = PROBLEMS,
    methods: Sequence[str] = tuple(PREFERENCE),
    seeds: int = 20,
    slow_seeds: int = 2,
    first_seed: int = 0,
    workers: int = 2,
    out: Path | None = None,
) -> None:
    """Run what is not stored and print the table."""
    one_thread()
    cells = [(p, m, seeds_of(m, seeds, slow_seeds, first_seed)) for p in problems for m in methods]
    tasks = [Task(p, m, seed) for p, m, range_ in cells for seed in range_]
    trials = run_trials(tasks, run, workers, out)
    print(f"| problem | method | seeds | regret | last {LAST} | HV | ms per decision |")
    print("|---|---|---|---|---|---|---|")
    for problem, method, _ in cells:
        ours = [t for t in trials if (t.problem, t.method) == (problem, method)]
        if ours:
            print(row(problem, method, ours))
    if EMPIRICAL in methods:
        print()
        print_comparisons(trials, problems, EMPIRICAL, [m for m in methods if m != EMPIRICAL])


def arguments(
    description: str | None, methods: Sequence[str], problems: Sequence[str]
) -> dict[str, Any]:
    """Arguments of the command line, as those of `main`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--problems", nargs="+", choices=problems, default=problems)
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--slow-seeds", type=int, default=2, help="of the slow peers")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, help="file of trials: read, then appended to")
    return vars(parser.parse_args())


if __name__ == "__main__":
    main(**arguments(__doc__, tuple(PREFERENCE), PROBLEMS))
