"""Kernel UCB: the bound by hand, directions, ties, purity, and that it finds the optimum."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chisquare

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.bandit.kernel_ucb import KernelUCB
from stedopt_bluesky.bandit.strategy import Strategy
from stedopt_bluesky.parameters import Parameter, ParameterSpace

SPACE = ParameterSpace(
    [
        Parameter.linear("depletion_power_mW", "mW", 50, 300, 12),
        Parameter("dwelltime_us", "µs", (5.0, 10.0, 20.0, 50.0, 100.0)),
    ]
)
QUALITY = Objective("quality", "", "maximise", (0.0, 1.0), (0.001, 0.1))
FWHM = Objective("fwhm_nm", "nm", "minimise", (40.0, 250.0), (0.1, 5.0))
TIME = Objective("time_s", "s", "minimise", (0.0, 5.0), modelled=False)
SECONDS = np.linspace(1, 3, SPACE.size)
HISTORY = [(3, 0.4), (17, 0.9), (40, 0.1), (17, 0.85), (58, 0.3)]


def told(objective=QUALITY, scale=1.0, offset=0.0, **settings):
    strategy = KernelUCB(SPACE, [objective], settings.pop("seed", 0), **settings)
    for index, value in HISTORY:
        strategy.ingest(index, [offset + scale * value])
    return strategy


def dense_posterior(space, history, noise, norm_bound, bandwidth):
    """Mean and standard deviation by the paper's formula, on the whole grid."""
    rows, values = [i for i, _ in history], np.array([v for _, v in history])
    scaled = space.grid / bandwidth
    kernel = np.exp(-((scaled[:, None] - scaled[None]) ** 2).sum(axis=2) / 2)
    inner = kernel[np.ix_(rows, rows)] + (noise / norm_bound) ** 2 * np.eye(len(rows))
    weights = np.linalg.solve(inner, kernel[rows])
    mean = values.mean() + weights.T @ (values - values.mean())
    variance = 1 - (weights * kernel[rows]).sum(axis=0)
    return mean, norm_bound * np.sqrt(np.maximum(variance, 0))


@pytest.mark.parametrize("exploration", [0.0, 0.3, 2.0, 8.0])
def test_the_prescribed_configuration_has_the_highest_upper_bound(exploration):
    strategy = told(exploration=exploration, norm_bound=5.0, adaptation="published")
    bandwidth = np.array([250.0, 95.0]) * 2 / 3
    mean, std = dense_posterior(SPACE, HISTORY, 0.1, 5.0, bandwidth)
    upper = mean + exploration * std
    assert upper[strategy.prescribe()] == pytest.approx(upper.max(), abs=1e-5)


def test_what_is_minimised_has_the_lowest_lower_bound():
    """An objective turned upside down, in other units, is decided upon alike."""
    bounds = (0.1 / 210, 5.0 / 210)
    up = Objective("quality", "", "maximise", (0.0, 1.0), bounds)
    for exploration in (0.0, 1.0, 2.0):
        there = told(FWHM, scale=-210.0, offset=250.0, exploration=exploration)
        assert there.prescribe() == told(up, exploration=exploration).prescribe()


def test_more_exploration_goes_where_less_is_known():
    careful, bold = told(exploration=0.0), told(exploration=50.0)
    _, std = careful.posterior()
    assert std[bold.prescribe(), 0] > 1.5 * std[careful.prescribe(), 0]
    assert std[bold.prescribe(), 0] == pytest.approx(std.max(), rel=0.05)


def test_the_offer_is_the_prediction_of_one_configuration():
    strategy = KernelUCB(SPACE, [TIME, QUALITY], 3, deterministic={"time_s": SECONDS})
    assert isinstance(strategy, Strategy)
    for index, value in HISTORY:
        strategy.ingest(index, {"quality": value})
    options = strategy.suggest()
    (index,) = np.flatnonzero(~np.isnan(options.values).any(axis=1))
    assert index == strategy.prescribe()
    mean, _ = strategy.posterior()
    np.testing.assert_array_equal(options.values[index], [SECONDS[index], mean[index, 1]])
    assert (options.iteration, options.imaged) == (5, (3, 17, 40, 58))


def test_the_first_configuration_is_any_each_as_likely():
    first = [KernelUCB(SPACE, [QUALITY], seed).prescribe() for seed in range(1200)]
    assert chisquare(np.bincount(first, minlength=SPACE.size)).pvalue > 1e-3


def test_a_stored_history_gives_the_same_next_suggestions():
    truth = np.sin(SPACE.grid @ [0.01, 0.03])
    noise = np.random.default_rng(4)
    whole = KernelUCB(SPACE, [QUALITY], 11)
    history = []
    for _ in range(12):
        resumed = KernelUCB(SPACE, [QUALITY], 11)
        for index, value in history:
            resumed.ingest(index, [value])
        assert resumed.suggest().values.tobytes() == whole.suggest().values.tobytes()
        assert whole.suggest().values.tobytes() == whole.suggest().values.tobytes()
        index = whole.prescribe()
        history.append((index, float(truth[index] + 0.1 * noise.normal())))
        whole.ingest(index, [history[-1][1]])


def test_invalid_values_count_but_teach_nothing():
    strategy = told()
    before = strategy.posterior()
    strategy.ingest(2, [math.nan])
    assert strategy.iteration == 6
    np.testing.assert_array_equal(strategy.posterior(), before)
    with pytest.raises(ValueError, match="quality must not be infinite"):
        strategy.ingest(2, [math.inf])
    with pytest.raises(IndexError):
        strategy.ingest(SPACE.size, [0.5])
    assert strategy.iteration == 6


@pytest.mark.parametrize(
    ("objectives", "names"),
    [([QUALITY, FWHM], "quality, fwhm_nm"), ([TIME], "none"), (["a", "b", "c"], "a, b, c")],
)
def test_anything_but_one_modelled_objective_is_refused(objectives, names):
    with pytest.raises(ValueError, match=f"^kernel UCB needs exactly one .*, got {names}$"):
        KernelUCB(SPACE, objectives, 0, deterministic={})


@pytest.mark.parametrize("exploration", [-0.1, math.nan, math.inf])
def test_an_exploration_that_is_none_is_refused(exploration):
    with pytest.raises(ValueError, match=f"exploration = {exploration}: at least 0, finite"):
        KernelUCB(SPACE, [QUALITY], 0, exploration=exploration)


def test_settings_reach_the_model():
    strategy = told(bandwidth=(40.0, 10.0), norm_bound=2.0, adaptation="published")
    mean, std = dense_posterior(SPACE, HISTORY, 0.1, 2.0, [40.0, 10.0])
    np.testing.assert_allclose(strategy.posterior()[0][:, 0], mean, atol=1e-6)
    np.testing.assert_allclose(strategy.posterior()[1][:, 0], std, atol=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_finds_the_optimum_of_a_noisy_function(seed):
    """Of 60 images, the last 20 pay a tenth of what random ones do."""
    truth = np.exp(-(((SPACE.grid - [210, 50]) / [80, 60]) ** 2).sum(axis=1))
    noise = np.random.default_rng(seed)
    strategy = KernelUCB(SPACE, [QUALITY], seed)
    taken = []
    for _ in range(60):
        taken.append(strategy.prescribe())
        strategy.ingest(taken[-1], [truth[taken[-1]] + 0.05 * noise.normal()])
    regret = truth.max() - truth
    assert regret[taken[-20:]].mean() < 0.1 * regret.mean()
