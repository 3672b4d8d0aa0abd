"""Groups of stored runs told apart: the paper's statistics on any set of runs.

Cumulative regret of failures with its bootstrap interval over runs; Kruskal-Wallis tests of the
first images against the last ones within each group, and of the last ones between the groups;
the hypervolume of objective space that a run has come to dominate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.bandit.pareto import hypervolume
from stedopt_bluesky.bandit.regret import (
    FirstAgainstLast,
    bootstrap_interval,
    cumulative_regret,
    failures,
    first_against_last,
    growth_exponent,
)

FloatArray = npt.NDArray[np.float64]

# Failures in the paper's fully automated runs: quality below 60 %, photobleaching above 60 %.
DEFAULT_THRESHOLDS = {"quality": 0.6, "photobleaching": 0.6}
# First and last images that are compared, in the paper.
COUNT = 20
# Below five values a group, the χ² distribution of Kruskal and Wallis's H is too rough
# (scipy.stats.kruskal, notes).
_SMALLEST_GROUP = 5


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """One optimisation, the runs that it was resumed in put together.

    Parameters
    ----------
    uid : str
        Of its last run.
    group : str
        What it is told apart by.
    values : ndarray, shape (T, M)
        Objectives of its images in the order of imaging, in their units; NaN where invalid.
    """

    uid: str
    group: str
    values: FloatArray


@dataclass(frozen=True, eq=False)
class GroupResult:
    """Runs of one group, R runs of T images each.

    Parameters
    ----------
    name : str
        Of the group.
    uids : tuple of str
        Its runs.
    regret, regret_low, regret_high : ndarray, shape (T,)
        Mean cumulative number of failures, and its 95 % bootstrap interval over the runs (NaN
        with one run).
    exponent : float
        Growth of the mean regret as t^exponent over the second half; NaN below 4 images.
    hypervolumes : tuple of float, length R
        Part of the box of the objectives' usual ranges that each run dominates at its end.
    objectives : mapping of objective's name to FirstAgainstLast
        First against last images of all the group's runs.
    """

    name: str
    uids: tuple[str, ...]
    regret: FloatArray
    regret_low: FloatArray
    regret_high: FloatArray
    exponent: float
    hypervolumes: tuple[float, ...]
    objectives: Mapping[str, FirstAgainstLast]


@dataclass(frozen=True, eq=False)
class ComparisonReport:
    """A comparison for tables, pictures and scripts.

    Parameters
    ----------
    images : int
        Images of each run that were compared, T.
    count : int
        First and last images of a run that were tested against one another; 0 when runs of
        T images are too short for a test.
    thresholds : mapping of objective's name to float
        What a failure is, in the objectives' units.
    objectives : tuple of Objective
        Those that all runs have.
    groups : tuple of GroupResult
        By name.
    between : mapping of objective's name to (statistic, p-value)
        Last images of the groups against one another; NaN where there is one group, or too
        few values in one.
    """

    images: int
    count: int
    thresholds: Mapping[str, float]
    objectives: tuple[Objective, ...]
    groups: tuple[GroupResult, ...]
    between: Mapping[str, tuple[float, float]]

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``; NaN becomes null."""
        return {
            "images": self.images,
            "first_and_last": self.count,
            "thresholds": dict(self.thresholds),
            "objectives": {
                o.name: {"unit": o.unit, "direction": o.direction, "range": list(o.range)}
                for o in self.objectives
            },
            "groups": {group.name: _group_json(group) for group in self.groups},
            "between_groups": {
                name: {"statistic": _number(statistic), "p_value": _number(p)}
                for name, (statistic, p) in self.between.items()
            },
        }


def compare(
    runs: Sequence[ComparedRun],
    objectives: Sequence[Objective],
    thresholds: Mapping[str, float],
    *,
    seed: int = 0,
) -> ComparisonReport:
    """Compare groups of runs over as many images as all of them have.

    Parameters
    ----------
    runs : sequence of ComparedRun
        At least one, each with at least one image.
    objectives : sequence of Objective, shape (M,)
        In the order of the runs' columns.
    thresholds : mapping of objective's name to float
        Worst value that is no failure, in the objective's unit.
    seed : int
        Of the bootstrap.

    Raises
    ------
    ValueError
        When there is no run or one without an image, or a threshold is of no objective.
    """
    images = min((len(run.values) for run in runs), default=0)
    if not images:
        raise ValueError("at least one run is needed, and each with at least one image")
    # Half a short run, so that no image is among the first and among the last.
    count = min(COUNT, images // 2)
    cut = [ComparedRun(run.uid, run.group, run.values[:images]) for run in runs]
    names = sorted({run.group for run in cut})
    groups = {name: [run for run in cut if run.group == name] for name in names}
    return ComparisonReport(
        images=images,
        count=count,
        thresholds=dict(thresholds),
        objectives=tuple(objectives),
        groups=tuple(
            _group(name, of_one, objectives, thresholds, count, seed)
            for name, of_one in groups.items()
        ),
        between={
            o.name: _between([_ends(of_one, m, count)[1] for of_one in groups.values()])
            for m, o in enumerate(objectives)
        },
    )


def _group(
    name: str,
    runs: Sequence[ComparedRun],
    objectives: Sequence[Objective],
    thresholds: Mapping[str, float],
    count: int,
    seed: int,
) -> GroupResult:
    curves = cumulative_regret([failures(run.values, objectives, thresholds) for run in runs])
    low, high = bootstrap_interval(curves, seed=seed)
    mean = curves.mean(axis=0)
    return GroupResult(
        name=name,
        uids=tuple(run.uid for run in runs),
        regret=mean,
        regret_low=low,
        regret_high=high,
        exponent=growth_exponent(mean) if len(mean) >= 4 else math.nan,
        hypervolumes=tuple(normalised_hypervolume(run.values, objectives) for run in runs),
        objectives={o.name: _learned(runs, m, count) for m, o in enumerate(objectives)},
    )


def normalised_hypervolume(values: FloatArray, objectives: Sequence[Objective]) -> float:
    """Part of the box of the objectives' usual ranges that a run's images dominate.

    The reference is the worse end of every range: 1 is an image at all the better ends.
    More than that is possible, as the ranges are no limits.

    Parameters
    ----------
    values : ndarray, shape (T, M)
        In the objectives' units. An image with a NaN counts for nothing.
    objectives : sequence of Objective, shape (M,)
        Their ranges and directions.
    """
    reference = [o.range[0] if o.direction == "maximise" else o.range[1] for o in objectives]
    box = math.prod(o.range[1] - o.range[0] for o in objectives)
    return hypervolume(values, [o.direction for o in objectives], reference) / box


def _ends(runs: Sequence[ComparedRun], column: int, count: int) -> tuple[FloatArray, FloatArray]:
    """First and last ``count`` values of one objective of each run, put together."""
    first = [run.values[:count, column] for run in runs]
    last = [run.values[len(run.values) - count :, column] for run in runs]
    return np.concatenate(first), np.concatenate(last)


def _learned(runs: Sequence[ComparedRun], column: int, count: int) -> FirstAgainstLast:
    """First against last images of all runs of a group."""
    first, last = _ends(runs, column, count)
    if len(first) < _SMALLEST_GROUP:
        return FirstAgainstLast(_median(first), _median(last), math.nan, math.nan)
    return first_against_last(np.concatenate([first, last]), count=len(first))


def _between(groups: Sequence[FloatArray]) -> tuple[float, float]:
    """Kruskal and Wallis's H of several groups and its p-value; NaN where they do not tell."""
    from scipy.stats import kruskal

    valid = [group[~np.isnan(group)] for group in groups]
    if len(valid) < 2 or min(len(group) for group in valid) < _SMALLEST_GROUP:
        return math.nan, math.nan
    if np.ptp(np.concatenate(valid)) == 0:
        return 0.0, 1.0
    statistic, p_value = kruskal(*valid)
    return float(statistic), float(p_value)


def _median(values: FloatArray) -> float:
    valid = values[~np.isnan(values)]
    return float(np.median(valid)) if valid.size else math.nan


def _group_json(group: GroupResult) -> dict[str, Any]:
    return {
        "runs": list(group.uids),
        "regret": [float(v) for v in group.regret],
        "regret_low": [_number(v) for v in group.regret_low],
        "regret_high": [_number(v) for v in group.regret_high],
        "growth_exponent": _number(group.exponent),
        "hypervolumes": list(group.hypervolumes),
        "objectives": {
            name: {key: _number(value) for key, value in asdict(result).items()}
            for name, result in group.objectives.items()
        },
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
