"""What an uncaging experiment came to: shares of responses, with the paper's statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.bandit.regret import bootstrap_interval
from stedopt_bluesky.experiments.uncaging import (
    COUNT,
    OUTCOMES,
    UncagingExperiment,
    UncagingRun,
)

FloatArray = npt.NDArray[np.float64]

# Sizes of response below which it may be called local; the paper's figure 4 f has such an axis.
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# Below five values a group, the χ² distribution of Kruskal and Wallis's H is too rough.
_SMALLEST_GROUP = 5


@dataclass(frozen=True)
class Share:
    """Mean share of some images of each run, with its 95 % bootstrap interval over the runs."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class OutcomeShares:
    """Shares of one kind of response.

    Attributes
    ----------
    first, last, all : Share
        Of the first, the last and all images.
    p_value : float
        Kruskal-Wallis test of the runs' shares, first against last; NaN below 5 runs.
    """

    first: Share
    last: Share
    all: Share
    p_value: float


@dataclass(frozen=True, eq=False)
class StrategyShares:
    """What one strategy came to.

    Attributes
    ----------
    outcomes : mapping of outcome to OutcomeShares
        Silent, local, widespread.
    by_threshold : mapping of response size to Share
        Share of local responses of all images, if those below this size are called local.
    runs : tuple of UncagingRun
        Its runs.
    """

    outcomes: Mapping[str, OutcomeShares]
    by_threshold: Mapping[float, Share]
    runs: tuple[UncagingRun, ...]


@dataclass(frozen=True, eq=False)
class UncagingReport:
    """An uncaging experiment for tables, pictures and scripts.

    Attributes
    ----------
    experiment : UncagingExperiment
        What was done.
    count : int
        First and last images of each run that are compared.
    strategies : mapping of name to StrategyShares
        What each came to.
    between : mapping of outcome to float
        p-value of the strategies' last images against one another; NaN below 5 runs.
    """

    experiment: UncagingExperiment
    count: int
    strategies: Mapping[str, StrategyShares]
    between: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``; NaN becomes null."""
        experiment = self.experiment
        return {
            "images": experiment.images,
            "cells": experiment.cells,
            "runs": experiment.runs,
            "seed": experiment.seed,
            "first_and_last": self.count,
            "strategies": {
                name: _strategy_json(result) for name, result in self.strategies.items()
            },
            "between_strategies_last": {o: _number(p) for o, p in self.between.items()},
        }


def report_uncaging(
    experiment: UncagingExperiment, runs: Mapping[str, Sequence[UncagingRun]]
) -> UncagingReport:
    """Put the runs of all strategies together.

    Parameters
    ----------
    experiment : UncagingExperiment
        What was done.
    runs : mapping of strategy to its runs
        As many of each as the experiment has, of as many images.
    """
    # Half a short run, so that no image is among the first and among the last.
    count = min(COUNT, max(1, experiment.images // 2))
    strategies = {
        name: _strategy(tuple(of_one), count, experiment.seed) for name, of_one in runs.items()
    }
    between = {
        outcome: _kruskal(
            [_shares(of_one, outcome, slice(-count, None)) for of_one in runs.values()]
        )
        for outcome in OUTCOMES
    }
    return UncagingReport(experiment, count, strategies, between)


def running_share(runs: Sequence[UncagingRun], outcome: str, window: int) -> FloatArray:
    """Share of an outcome over the last images up to each one, each run's, shape (R, T).

    At the beginning, of as many images as there are.
    """
    hits = np.array([run.is_outcome(outcome) for run in runs], dtype=np.float64)
    sums = np.cumsum(hits, axis=1)
    before = np.zeros_like(sums)
    before[:, window:] = sums[:, :-window]
    images = np.minimum(np.arange(1, hits.shape[1] + 1), window)
    share: FloatArray = (sums - before) / images
    return share


def _strategy(runs: tuple[UncagingRun, ...], count: int, seed: int) -> StrategyShares:
    outcomes = {}
    for outcome in OUTCOMES:
        first = _shares(runs, outcome, slice(None, count))
        last = _shares(runs, outcome, slice(-count, None))
        outcomes[outcome] = OutcomeShares(
            _share(first, seed),
            _share(last, seed),
            _share(_shares(runs, outcome, slice(None)), seed),
            _kruskal([first, last]),
        )
    by_threshold = {
        below: _share(np.array([run.is_outcome("local", below).mean() for run in runs]), seed)
        for below in THRESHOLDS
    }
    return StrategyShares(outcomes, by_threshold, runs)


def _shares(runs: Sequence[UncagingRun], outcome: str, part: slice) -> FloatArray:
    """Share of some images of each run, shape (R,)."""
    return np.array([run.is_outcome(outcome)[part].mean() for run in runs])


def _share(values: FloatArray, seed: int) -> Share:
    low, high = bootstrap_interval(values[:, None], seed=seed)
    return Share(float(values.mean()), float(low[0]), float(high[0]))


def _kruskal(groups: Sequence[FloatArray]) -> float:
    """p-value of Kruskal and Wallis's test; NaN where the groups do not tell."""
    from scipy.stats import kruskal

    if len(groups) < 2 or min(len(group) for group in groups) < _SMALLEST_GROUP:
        return math.nan
    if np.ptp(np.concatenate(groups)) == 0:
        return 1.0
    return float(kruskal(*groups).pvalue)


def _strategy_json(result: StrategyShares) -> dict[str, Any]:
    return {
        "outcomes": {
            outcome: {
                **{part: _share_json(getattr(shares, part)) for part in ("first", "last", "all")},
                "p_value": _number(shares.p_value),
            }
            for outcome, shares in result.outcomes.items()
        },
        "local_below": {f"{below:g}": _share_json(s) for below, s in result.by_threshold.items()},
        "runs": [
            {
                "uncaging_power_uW": [float(v) for v in run.power_uW],
                "uncaging_distance_um": [float(v) for v in run.distance_um],
                "response_size_ratio": [_number(v) for v in run.ratio],
                "df_over_f_peak": [_number(v) for v in run.df_over_f],
            }
            for run in result.runs
        ],
    }


def _share_json(share: Share) -> dict[str, float | None]:
    return {"mean": share.mean, "low": _number(share.low), "high": _number(share.high)}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
