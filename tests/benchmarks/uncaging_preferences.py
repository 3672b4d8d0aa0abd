"""Which preference finds local responses: several, on random pulses of the twin.

``python -m tests.benchmarks.uncaging_preferences`` gives the pulses itself, 16 runs of 80; with
files of earlier ones, as ``stedopt experiment uncaging --strategy random --json`` writes them, it
takes those. Every trial draws the response to a pulse from those random pulses that were given
with the same or nearly the same power and distance.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.bandit import KernelTS
from stedopt_bluesky.config import preset
from stedopt_bluesky.experiments.uncaging import UncagingExperiment, run_once
from stedopt_bluesky.objectives import OBJECTIVES
from stedopt_bluesky.objectives.calcium import is_local
from stedopt_bluesky.preference.local import WANTED_SIZE, local_utilities

STRENGTH, SIZE = (OBJECTIVES[n].objective for n in ("df_over_f_peak", "response_size_ratio"))
SUCCESS = Objective("local", "", "maximise", (0.0, 1.0), (0.001, 0.5))
BOTH = (STRENGTH, SIZE)
IMAGES, COUNT = 80, 20
# Of the experiment that gives new pulses.
RUNS = 16
# Nearest random pulses that a response is drawn from, by distance in steps of the grid.
NEAREST = 40

Prefer = Callable[[np.ndarray], np.ndarray]


def weighted(strength: float, size: float) -> Prefer:
    """Linear rule of both objectives, each over its usual range."""
    return lambda v: strength * np.minimum(v[:, 0] / 10, 1) + size * np.minimum(1 - v[:, 1], 1)


def strongest_below(limit: float) -> Prefer:
    """Highest ΔF/F of those with a ratio below a limit."""
    return lambda v: np.where(v[:, 1] < limit, v[:, 0], -100 - v[:, 1])


def local_rule(values: np.ndarray) -> np.ndarray:
    """The package's rule, with its way out where nothing is desirable."""
    utility = local_utilities(values, BOTH, {})
    return utility if utility.max() > 0 else -np.abs(values[:, 1] - WANTED_SIZE)


PREFERENCES: dict[str, tuple[Sequence[Objective], Prefer]] = {
    "rule local": (BOTH, local_rule),
    "strongest, ratio below 0.3": (BOTH, strongest_below(0.3)),
    "ratio nearest to 0.3": (BOTH, lambda v: -np.abs(v[:, 1] - 0.3)),
    "strongest, ratio below 0.6": (BOTH, strongest_below(0.6)),
    "success itself": ((SUCCESS,), lambda v: v[:, 0]),
    "weighted 1 : 1": (BOTH, weighted(1, 1)),
    "weighted 1 : 0.8": (BOTH, weighted(1, 0.8)),
}


def main(paths: Sequence[Path] = (), trials: int = 24) -> None:
    """Run all preferences and print a table.

    Parameters
    ----------
    paths : sequence of Path
        Of experiments whose random pulses are taken; none: new ones are given.
    trials : int
        Of each preference.
    """
    space = preset("uncaging").space
    pulses = np.array([p for path in paths for p in _pulses(path)] or _new_pulses())
    local = np.array([is_local(r) for r in pulses[:, 2]])
    steps = [np.ptp(p.values) / (len(p.values) - 1) for p in space]
    away = ((space.grid[:, None] - pulses[None, :, :2]) / steps) ** 2
    nearest = np.argsort(away.sum(axis=2), axis=1, kind="stable")[:, :NEAREST]
    rates = local[nearest].mean(axis=1)
    best = space.configuration(int(rates.argmax()))
    print(
        f"{len(pulses)} random pulses, {local.mean():.1%} local; best {rates.max():.0%} at {best}"
    )
    for name, (objectives, prefer) in PREFERENCES.items():
        hits = np.array(
            [_trial(k, space, pulses[nearest], objectives, prefer) for k in range(trials)]
        )
        first, last = hits[:, :COUNT].mean(axis=1), hits[:, -COUNT:].mean(axis=1)
        error = last.std(ddof=1) / np.sqrt(len(last))
        print(f"{name:28s} first {first.mean():.1%}  last {last.mean():.1%} ± {error:.1%}")


def _new_pulses() -> list[tuple[float, float, float, float]]:
    """Give random pulses on the twin, as `_pulses` reads them."""
    experiment = UncagingExperiment(runs=RUNS)
    runs = [run_once(experiment, ("random", number), lambda _: None) for number in range(RUNS)]
    return [
        row
        for run in runs
        for row in zip(run.power_uW, run.distance_um, run.ratio, run.df_over_f, strict=True)
        if not np.isnan(row).any()
    ]


def _pulses(path: Path) -> list[tuple[float, float, float, float]]:
    """Power, distance, ratio and ΔF/F of each random pulse of an experiment."""
    runs = json.loads(path.read_text("utf-8"))["strategies"]["random"]["runs"]
    keys = ("uncaging_power_uW", "uncaging_distance_um", "response_size_ratio", "df_over_f_peak")
    return [
        row
        for run in runs
        for row in zip(*(run[key] for key in keys), strict=True)
        if None not in row
    ]


def _trial(number, space, responses, objectives, prefer) -> np.ndarray:
    """Whether each response of one trial is local, shape (IMAGES,)."""
    rng = np.random.default_rng([9, number])
    learner = KernelTS(space, objectives, number)
    hits = np.zeros(IMAGES)
    for t in range(IMAGES):
        utility = prefer(learner.suggest().values)
        index = int(rng.choice(np.flatnonzero(utility == utility.max())))
        _, _, ratio, strength = responses[index][rng.integers(NEAREST)]
        hits[t] = is_local(ratio)
        known = {"df_over_f_peak": strength, "response_size_ratio": ratio, "local": hits[t]}
        learner.ingest(index, {o.name: known[o.name] for o in objectives})
    return hits


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pulses", type=Path, nargs="*")
    parser.add_argument("--trials", type=int, default=24)
    options = parser.parse_args()
    main(options.pulses, options.trials)
