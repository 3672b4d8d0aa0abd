"""Trials of methods on problems: one loop for all of them, in parallel, stored as they end.

A method decides which configuration to image and learns what the image gave; both are
timed. The noise of image t of a seed is the same for every method. A trial is stored as
the configurations it imaged, so that any table can be printed from stored trials.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tests.benchmarks.problems import RECIPES, Problem, make_problem
from tests.benchmarks.twin_problem import NAME as TWIN
from tests.benchmarks.twin_problem import make_twin_problem

FloatArray = npt.NDArray[np.float64]

PROBLEMS = (*RECIPES, TWIN)

# Sets the noise apart from the strategies' own streams, default_rng([seed, iteration]).
NOISE_STREAM = 1_000_003


class Method(Protocol):
    """Who optimises: a strategy and whoever chooses, or a peer that does both."""

    def decide(self) -> int:
        """Row of the grid to image next."""
        ...

    def learn(self, index: int, values: FloatArray) -> None:
        """Learn the objectives of an image, shape (M,)."""
        ...


MakeMethod = Callable[[Problem, int], Method]


@dataclass(frozen=True)
class Task:
    """A trial to run."""

    problem: str
    method: str
    seed: int


@dataclass(frozen=True)
class Trial(Task):
    """A trial that has been run.

    Parameters
    ----------
    indices : tuple of int
        Rows of the grid in the order of imaging.
    decision_s : float
        Mean time of a decision, learning included, in s.
    """

    indices: tuple[int, ...]
    decision_s: float


def problem_of(name: str) -> Problem:
    """Make one of `PROBLEMS`."""
    return make_twin_problem() if name == TWIN else make_problem(name)


def run_trial(task: Task, make: MakeMethod, images: int | None = None) -> Trial:
    """Run one trial.

    Parameters
    ----------
    task : Task
        What to run.
    make : callable
        Makes the method of a problem and a seed; not timed.
    images : int, optional
        Number of images; the problem's own by default.
    """
    problem = problem_of(task.problem)
    images = images or problem.images
    noise = np.random.default_rng([task.seed, NOISE_STREAM])
    method = make(problem, task.seed)
    indices: list[int] = []
    elapsed = 0.0
    for _ in range(images):
        start = perf_counter()
        index = method.decide()
        elapsed += perf_counter() - start
        values = problem.measured(index, noise.standard_normal(problem.values.shape[1]))
        start = perf_counter()
        method.learn(index, values)
        elapsed += perf_counter() - start
        indices.append(index)
    return Trial(task.problem, task.method, task.seed, tuple(indices), elapsed / images)


def run_trials(
    tasks: Iterable[Task],
    run: Callable[[Task], Trial],
    workers: int = 1,
    out: Path | None = None,
) -> list[Trial]:
    """Run trials that are not stored yet, each stored as it ends.

    Parameters
    ----------
    tasks : iterable of Task
        Trials wanted.
    run : callable
        Runs one; at the top of a module, so that processes can find it.
    workers : int
        Number of processes.
    out : path, optional
        File of stored trials, one JSON object per line; read first, then appended to.

    Returns
    -------
    list of Trial
        All that are wanted, stored ones included, in the order of ``tasks``.
    """
    tasks = list(tasks)
    for name in {task.problem for task in tasks}:
        problem_of(name)  # here first, so that processes need not make the twin's images each
    done = {Task(t.problem, t.method, t.seed): t for t in stored(out)}
    missing = [task for task in tasks if task not in done]
    with_progress = _each(missing, run, workers)
    for number, trial in enumerate(with_progress, start=1):
        done[Task(trial.problem, trial.method, trial.seed)] = trial
        print(
            f"{number}/{len(missing)} {trial.problem}, {trial.method}, seed {trial.seed}: "
            f"{1000 * trial.decision_s:.1f} ms per decision",
            file=sys.stderr,
            flush=True,
        )
        if out is not None:
            with out.open("a") as file:
                file.write(json.dumps(asdict(trial)) + "\n")
    return [done[task] for task in tasks]


def _each(tasks: list[Task], run: Callable[[Task], Trial], workers: int) -> Iterator[Trial]:
    if workers <= 1:
        yield from map(run, tasks)
        return
    # Spawned, not forked: libraries with threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        for future in as_completed([pool.submit(run, task) for task in tasks]):
            yield future.result()


def stored(path: Path | None) -> list[Trial]:
    """Trials of a file, none where there is none."""
    if path is None or not path.exists():
        return []
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return [Trial(**(row | {"indices": tuple(row["indices"])})) for row in rows]


def one_thread() -> None:
    """One thread for the numerical libraries of this process and of those it starts."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def mean_sd(values: Iterable[float], digits: int) -> str:
    """Mean ± standard deviation over trials; the mean alone of a single one."""
    array = np.array(list(values))
    text = f"{array.mean():.{digits}f}"
    return text + (f" ± {array.std(ddof=1):.{digits}f}" if len(array) > 1 else "")


def fastest_ms(trials: Iterable[Trial]) -> float:
    """Mean time of a decision in the fastest trial, ms: what else ran slowed the others."""
    return 1e3 * min(trial.decision_s for trial in trials)
