"""To map the front: the hypervolume of the configurations imaged, over the best possible.

Nobody prefers anything: Kernel TS takes the option of largest sampled hypervolume
improvement (`stedopt_bluesky.preference.hypervolume`), the peers their own criterion. The
regret of the hidden utility, which none of them knows, stands beside it: what mapping
costs who wanted one good compromise.

``python -m tests.benchmarks.front_mapping [--seeds N] [--slow-seeds N] [--out FILE]``
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.methods import MAPPING
from tests.benchmarks.preference_regret import arguments, seeds_of
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

# Those with more than one objective.
FRONTS = tuple(name for name in PROBLEMS if name not in ("Branin", "Hartmann6"))


def run(task: Task) -> Trial:
    """Run one trial of this table."""
    return run_trial(task, MAPPING[task.method])


def row(problem_name: str, method: str, trials: Sequence[Trial]) -> str:
    """Make a line of the table, of one method on one problem."""
    problem = problem_of(problem_name)
    volumes = [problem.hypervolume(t.indices) for t in trials]
    regrets = [problem.regret[list(t.indices)].sum() for t in trials]
    return (
        f"| {problem_name} | {method} | {len(trials)} | {mean_sd(volumes, 3)} "
        f"| {mean_sd(regrets, 1)} | {fastest_ms(trials):.1f} |"
    )


def main(
    problems: Sequence[str] = FRONTS,
    methods: Sequence[str] = tuple(MAPPING),
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
    print("| problem | method | seeds | HV | regret | ms per decision |")
    print("|---|---|---|---|---|---|")
    for problem, method, _ in cells:
        ours = [t for t in trials if (t.problem, t.method) == (problem, method)]
        if ours:
            print(row(problem, method, ours))


if __name__ == "__main__":
    main(**arguments(__doc__, tuple(MAPPING), FRONTS))
