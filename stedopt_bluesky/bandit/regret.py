"""What an optimisation cost the sample, and whether it learned: the paper's statistics.

Durand et al., Nat. Commun. 9:5247 (2018): the cumulative regret counts the images that
failed; intervals of 95 % come from a bootstrap with 1,000 resamples; a Kruskal-Wallis
test compares the first 20 images with the last 20.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective

FloatArray = npt.NDArray[np.float64]

# Below five values a group, the χ² distribution of Kruskal and Wallis's H is too rough
# (scipy.stats.kruskal, notes).
SMALLEST_GROUP = 5
# Numbers that resampled curves may hold at once: 32 MiB.
BLOCK_NUMBERS = 2**22


@dataclass(frozen=True)
class FirstAgainstLast:
    """One objective at a run's begin and at its end.

    Parameters
    ----------
    first_median, last_median : float
        In the objective's unit; NaN when no image of the group has a value.
    statistic : float
        H of Kruskal and Wallis, corrected for ties.
    p_value : float
        Probability of so large an H where both groups come from one distribution.
    """

    first_median: float
    last_median: float
    statistic: float
    p_value: float


def failures(
    values: npt.ArrayLike, objectives: Sequence[Objective], thresholds: Mapping[str, float]
) -> npt.NDArray[np.bool_]:
    """Tell which images failed.

    Parameters
    ----------
    values : array_like, shape (T, M)
        Objectives of T images in the order of imaging, each column in its unit.
    objectives : sequence of Objective, shape (M,)
        In the order of the columns.
    thresholds : mapping of objective's name to float
        Worst value that is still accepted, in the objective's unit: an image fails when a
        maximised objective is below its threshold, a minimised one above it, or one that
        has a threshold is NaN. Without thresholds no image fails.

    Returns
    -------
    ndarray of bool, shape (T,)

    Raises
    ------
    ValueError
        When the table does not have one column per objective, or a threshold is not finite
        or of an unknown objective.
    """
    table = np.asarray(values, dtype=np.float64)
    names = [objective.name for objective in objectives]
    if table.ndim != 2 or table.shape[1] != len(names):
        raise ValueError(
            f"values must have shape (T, {len(names)}), one column for each of {names}, "
            f"got {table.shape}"
        )
    if unknown := set(thresholds) - set(names):
        raise ValueError(f"thresholds of {sorted(unknown)}: the objectives are {names}")
    failed = np.zeros(len(table), dtype=np.bool_)
    for column, objective in enumerate(objectives):
        if objective.name not in thresholds:
            continue
        threshold = float(thresholds[objective.name])
        if not math.isfinite(threshold):
            raise ValueError(f"threshold of {objective.name} must be finite, got {threshold}")
        value = table[:, column]
        # Asked for what is acceptable: a comparison with NaN is False.
        good = value >= threshold if objective.direction == "maximise" else value <= threshold
        failed |= ~good
    return failed


def cumulative_regret(regrets: npt.ArrayLike) -> FloatArray:
    """Sum of the regrets of each image and all before it.

    Parameters
    ----------
    regrets : array_like, shape (..., T)
        Regret of each image in the order of imaging: 1 or True for a failure, or the
        utility that was missed.

    Returns
    -------
    ndarray, shape (..., T)
        In the unit of the regrets.

    Raises
    ------
    ValueError
        When a regret is not finite, or there is no axis of images.
    """
    table = np.asarray(regrets, dtype=np.float64)
    if table.ndim == 0:
        raise ValueError("regrets must have shape (..., T), got a single number")
    if not np.isfinite(table).all():
        raise ValueError("regrets must be finite: an image without a value is a failure, 1")
    return np.cumsum(table, axis=-1)


def bootstrap_interval(
    curves: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[FloatArray, FloatArray]:
    """Bootstrap interval of the mean of repeated runs, at each image.

    Whole runs are drawn with replacement, the same ones for every image. The interval is
    the percentile one: unlike the bias-corrected and accelerated interval (BCa) it is
    defined where all runs are equal, as they are while none has failed yet, and a mean has
    next to no bias to correct.

    Parameters
    ----------
    curves : array_like, shape (R, T)
        One curve per run, finite. With one run there is no interval: NaN.
    confidence : float
        Between 0 and 1.
    resamples : int
        At least 1; the paper takes 1,000.
    seed : int
        Of the draws, not negative: the same seed gives the same interval.

    Returns
    -------
    low, high : ndarray, shape (T,)
        In the unit of the curves.

    Raises
    ------
    ValueError
        When the curves are not a finite table with at least one row, or an option is out
        of its range.
    """
    from scipy.stats import bootstrap

    table = np.asarray(curves, dtype=np.float64)
    if table.ndim != 2 or not len(table):
        raise ValueError(f"curves must have shape (R, T) with at least one run, got {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError("curves must be finite")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    runs, images = table.shape
    if runs == 1 or not images:
        return np.full(images, np.nan), np.full(images, np.nan)
    result = bootstrap(
        (table,),
        np.mean,
        axis=0,
        n_resamples=resamples,
        batch=max(1, BLOCK_NUMBERS // table.size),
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    interval = result.confidence_interval
    return np.asarray(interval.low), np.asarray(interval.high)


def first_against_last(values: npt.ArrayLike, count: int = 20) -> FirstAgainstLast:
    """Compare the first images of a run with its last ones (Kruskal and Wallis).

    Parameters
    ----------
    values : array_like, shape (T,)
        One objective in the order of imaging. NaN, an image without a value, is dropped
        from its group, not replaced by the next image.
    count : int
        Images in each group, at least 5; the paper takes 20.

    Returns
    -------
    FirstAgainstLast
        Statistic and p-value are NaN, no answer, when the groups would overlap
        (T < 2 count) or one has fewer than 5 values; 0 and 1 when all values are equal.

    Raises
    ------
    ValueError
        When the values are not one row, one is infinite, or ``count`` is below 5.
    """
    from scipy.stats import kruskal

    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1 or np.isinf(row).any():
        raise ValueError(f"values must have shape (T,) and not be infinite, got {row.shape}")
    if count < SMALLEST_GROUP:
        raise ValueError(f"count must be at least {SMALLEST_GROUP}, got {count}")
    groups = [group[~np.isnan(group)] for group in (row[:count], row[-count:])]
    first, last = (float(np.median(group)) if group.size else math.nan for group in groups)
    if len(row) < 2 * count or min(group.size for group in groups) < SMALLEST_GROUP:
        return FirstAgainstLast(first, last, math.nan, math.nan)
    if np.ptp(np.concatenate(groups)) == 0:
        return FirstAgainstLast(first, last, 0.0, 1.0)
    statistic, p_value = kruskal(*groups)
    return FirstAgainstLast(first, last, float(statistic), float(p_value))


def growth_exponent(curve: npt.ArrayLike) -> float:
    """Exponent a of a cumulative regret that grows as t^a.

    The slope of log regret against log t by least squares over the second half of the
    images, where the start weighs least: 1 is linear growth, as without learning; below 1
    the regret is sublinear, and its mean per image falls to zero.

    Parameters
    ----------
    curve : array_like, shape (T,)
        Mean cumulative regret after image t = 1 … T, at least four of them, not negative
        and never falling.

    Returns
    -------
    float
        0 for a curve that is zero throughout. Images at zero regret are left out when a
        later one is above; NaN where fewer than two are left.

    Raises
    ------
    ValueError
        When the curve is no such row of numbers.
    """
    regret = np.asarray(curve, dtype=np.float64)
    if regret.ndim != 1 or len(regret) < 4:
        raise ValueError(f"curve must have shape (T,) with T at least 4, got {regret.shape}")
    # NaN fails both comparisons.
    if not (np.isfinite(regret).all() and regret[0] >= 0 and (np.diff(regret) >= 0).all()):
        raise ValueError("curve must be finite, not negative and never falling")
    if regret[-1] == 0:
        return 0.0
    half = np.arange(len(regret) // 2, len(regret))
    half = half[regret[half] > 0]
    if len(half) < 2:
        return math.nan
    slope, _ = np.polyfit(np.log(half + 1), np.log(regret[half]), 1)
    return float(slope)
