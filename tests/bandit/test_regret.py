"""Regret and its statistics against hand computations, scipy's laws and repeated draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chi2, rankdata

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.bandit.regret import (
    bootstrap_interval,
    cumulative_regret,
    failures,
    first_against_last,
    growth_exponent,
)

OBJECTIVES = (
    Objective("quality", "", "maximise", (0, 1)),
    Objective("photobleaching", "", "minimise", (0, 1)),
    Objective("imaging_time_s", "s", "minimise", (0, 5), modelled=False),
)
nan = math.nan


def test_an_image_fails_by_any_of_its_thresholds():
    values = [
        [0.7, 0.6, 9],  # on both thresholds: accepted
        [0.69, 0.1, 0],
        [0.9, 0.61, 0],
        [nan, 0.1, 0],
        [0.9, nan, 0],
        [0.9, 0.1, nan],  # its time has no threshold
    ]
    thresholds = {"quality": 0.7, "photobleaching": 0.6}
    failed = failures(values, OBJECTIVES, thresholds)
    assert failed.tolist() == [False, True, True, True, True, False]
    assert not failures(values, OBJECTIVES, {}).any()
    assert failures(values, OBJECTIVES, {"imaging_time_s": 5}).tolist() == [
        *[True, False, False, False, False, True]
    ]
    assert failures(np.zeros((0, 3)), OBJECTIVES, thresholds).shape == (0,)


@pytest.mark.parametrize(
    ("values", "thresholds", "message"),
    [
        ([[1, 2]], {}, "one column for each"),
        ([1, 2, 3], {}, "one column for each"),
        ([[1, 2, 3]], {"qualty": 0.7}, r"\['qualty'\]"),
        ([[1, 2, 3]], {"quality": nan}, "quality must be finite"),
    ],
)
def test_wrong_tables_and_thresholds_are_refused(values, thresholds, message):
    with pytest.raises(ValueError, match=message):
        failures(values, OBJECTIVES, thresholds)


def test_cumulative_regret_sums_the_images_of_each_run():
    failed = [[True, False, True], [False, False, True]]
    assert cumulative_regret(failed).tolist() == [[1, 1, 2], [0, 0, 1]]
    assert cumulative_regret([]).tolist() == []
    for bad in (1.0, [0.0, nan]):
        with pytest.raises(ValueError, match="regrets must"):
            cumulative_regret(bad)


def test_interval_is_the_percentiles_of_means_of_whole_runs():
    """The same quantiles from a bootstrap written out here, within its own noise."""
    rng = np.random.default_rng(3)
    curves = np.cumsum(rng.random((30, 8)) < 0.4, axis=1)
    low, high = bootstrap_interval(curves, resamples=20_000)
    means = curves[rng.integers(0, 30, (20_000, 30))].mean(axis=1)
    np.testing.assert_allclose(low, np.quantile(means, 0.025, axis=0), atol=0.05)
    np.testing.assert_allclose(high, np.quantile(means, 0.975, axis=0), atol=0.05)


def test_interval_covers_the_mean_as_often_as_it_says():
    """400 data sets of 40 normal values: 95 % less the percentile interval's known 1 %."""
    data = np.random.default_rng(0).normal(5, 2, (40, 400))
    low, high = bootstrap_interval(data)
    covered = np.mean((low <= 5) & (high >= 5))
    assert 0.91 < covered < 0.97  # standard error of the proportion: 0.011
    low, high = bootstrap_interval(data, confidence=0.5)
    assert 0.42 < np.mean((low <= 5) & (high >= 5)) < 0.57
    np.testing.assert_allclose(np.mean(high - low), 2 * 0.6745 * 2 / math.sqrt(40), rtol=0.05)


def test_the_same_seed_gives_the_same_interval():
    curves = np.random.default_rng(1).random((6, 5))
    first, again, other = (bootstrap_interval(curves, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert (np.asarray(first) != np.asarray(other)).any()


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(2, 6), st.integers(1, 5)), elements=st.floats(-9, 9))
)
def test_interval_lies_within_the_curves(curves):
    low, high = bootstrap_interval(curves, resamples=20)
    assert (curves.min(axis=0) - 1e-12 <= low).all()
    assert (low <= high + 1e-12).all()
    assert (high <= curves.max(axis=0) + 1e-12).all()


def test_equal_runs_have_an_interval_of_no_width_and_one_run_has_none():
    low, high = bootstrap_interval(np.tile([0.0, 1.0, 1.0], (5, 1)))
    assert low.tolist() == high.tolist() == [0, 1, 1]
    assert np.isnan(bootstrap_interval([[1.0, 2.0]])).all()
    assert bootstrap_interval(np.zeros((3, 0)))[0].shape == (0,)


@pytest.mark.parametrize(
    ("curves", "options", "message"),
    [
        ([1.0, 2.0], {}, r"shape \(R, T\)"),
        (np.zeros((0, 3)), {}, r"shape \(R, T\)"),
        ([[1.0, nan]], {}, "finite"),
        ([[1.0]], {"confidence": 95}, "confidence"),
        ([[1.0]], {"resamples": 0}, "resamples"),
    ],
)
def test_wrong_curves_are_refused(curves, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(curves, **options)


def kruskal_by_hand(*groups):
    """H with the correction for ties (Kruskal and Wallis, J. Am. Stat. Assoc. 47:583, 1952)."""
    values = np.concatenate(groups)
    n = len(values)
    ranks = np.split(rankdata(values), np.cumsum([len(g) for g in groups])[:-1])
    h = 12 / (n * (n + 1)) * sum(r.sum() ** 2 / len(r) for r in ranks) - 3 * (n + 1)
    _, ties = np.unique(values, return_counts=True)
    h /= 1 - (ties**3 - ties).sum() / (n**3 - n)
    return h, chi2.sf(h, len(groups) - 1)


def test_first_against_last_equals_the_formula_with_ties():
    rng = np.random.default_rng(2)
    values = np.round(np.concatenate([rng.random(20), rng.random(11), rng.random(20) + 0.3]), 1)
    values[[2, 50]] = nan
    first, last = np.delete(values[:20], 2), values[-20:-1]
    found = first_against_last(values)
    assert (found.first_median, found.last_median) == (np.median(first), np.median(last))
    h, p = kruskal_by_hand(first, last)
    assert found.statistic == pytest.approx(h, rel=1e-12)
    assert found.p_value == pytest.approx(p, rel=1e-12)
    assert found.p_value < 0.05


def test_textbook_example_without_ties():
    """Ranks 1 … 5 against 6 … 10: H = 12/110 · (15² + 40²)/5 - 33 = 6.8182."""
    found = first_against_last([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], count=5)
    assert found.statistic == pytest.approx(75 / 11, rel=1e-12)
    assert found.p_value == pytest.approx(chi2.sf(75 / 11, 1), rel=1e-12)


def test_too_few_images_give_medians_but_no_answer():
    for values in (np.arange(39.0), [0.5] * 16 + [nan] * 24, [nan] * 40, []):
        found = first_against_last(values)
        assert math.isnan(found.statistic)
        assert math.isnan(found.p_value)
    assert first_against_last(np.arange(39.0)).first_median == 9.5
    assert math.isnan(first_against_last([nan] * 40).last_median)


def test_equal_images_are_no_evidence():
    found = first_against_last([0.5] * 40)
    assert (found.statistic, found.p_value, found.first_median) == (0, 1, 0.5)


@pytest.mark.parametrize(
    ("values", "count", "message"),
    [([[1.0]], 20, "shape"), ([math.inf] * 40, 20, "infinite"), ([1.0] * 40, 4, "count")],
)
def test_wrong_rows_are_refused(values, count, message):
    with pytest.raises(ValueError, match=message):
        first_against_last(values, count)


@given(st.floats(0.05, 1.0), st.floats(0.1, 1e3), st.integers(4, 200))
def test_growth_exponent_of_a_power(exponent, scale, images):
    curve = scale * np.arange(1, images + 1) ** exponent
    assert growth_exponent(curve) == pytest.approx(exponent, abs=1e-9)


def test_growth_exponent_tells_learning_from_none():
    t = np.arange(1, 101)
    assert growth_exponent(np.log(t)) < 0.3
    assert growth_exponent(np.minimum(t, 30)) == pytest.approx(0, abs=1e-12)
    assert growth_exponent(0.3 * t) == pytest.approx(1)


def test_growth_exponent_of_no_regret():
    assert growth_exponent(np.zeros(10)) == 0
    assert math.isnan(growth_exponent([0.0] * 9 + [1.0]))
    assert growth_exponent([0, 0, 0, 0, 0, 0, 1, 8 / 7]) == pytest.approx(1)
    for bad in ([1, 2, 3], [[1, 2, 3, 4]], [1, 2, 3, nan], [3, 2, 1, 0], [-1, 0, 1, 2]):
        with pytest.raises(ValueError, match="curve must"):
            growth_exponent(bad)
