"""Learned hyper-parameters: robust, calibrated, and no more probable than they are."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm

from stedopt_bluesky.bandit import empirical_bayes
from stedopt_bluesky.bandit.empirical_bayes import EmpiricalBayes, hypotheses
from stedopt_bluesky.bandit.kernel_regression import rule_of_thumb
from stedopt_bluesky.bandit.lattice import Lattice
from stedopt_bluesky.parameters import Parameter, ParameterSpace

SPACE = ParameterSpace([Parameter.linear("a", "", 0, 1, 12), Parameter.linear("b", "", 0, 50, 9)])
LINE = ParameterSpace([Parameter.linear("a", "", 0, 1, 40)])


def told(model, rows, values):
    for row, value in zip(rows, values, strict=True):
        model.observe(int(row), float(value))
    return model


def drawn(rng, kind, space=SPACE):
    """Function on the grid drawn from the prior, and the noise's deviation."""
    hypothesis = hypotheses(space, Lattice.around(space), (0.001, 0.3), None, mean=0.5, width=1.0)[
        kind
    ]
    at = rng.normal(size=len(hypothesis.widths))
    scale = hypothesis.scale_at(at)
    scaled = (space.grid[:, None] - space.grid) / hypothesis.bandwidths_at(at)
    kernel = scale.prior_deviation**2 * np.exp(-0.5 * (scaled**2).sum(axis=-1))
    covariance = kernel + scale.mean_deviation**2
    return rng.multivariate_normal(np.full(space.size, 0.5), covariance, method="eigh"), scale.noise


def assert_sound(model):
    mean, std = model.posterior()
    assert np.isfinite(mean).all()
    assert (np.isfinite(std) & (std > 0)).all()
    assert np.isfinite(model.sample(np.random.default_rng(0))).all()
    assert model.probabilities.sum() == pytest.approx(1)
    assert (model.probabilities >= 0).all()
    assert 0 < model.noise < math.inf


def test_before_any_observation_the_mixture_of_priors_stands():
    model = EmpiricalBayes(SPACE, mean=3.0, width=2.0)
    mean, std = model.posterior()
    np.testing.assert_allclose(mean, 3.0)
    # 0.7 of the smooth prior and 0.3 of the rough one, both of uncertain mean.
    variance = 0.7 * (1.0**2 + 1.0**2) + 0.3 * (0.5**2 + 1.0**2)
    np.testing.assert_allclose(std, math.sqrt(variance), rtol=1e-9)
    np.testing.assert_allclose(model.probabilities, [0.7, 0.3])
    assert model.bandwidths() == rule_of_thumb(SPACE)
    assert_sound(model)


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_observations(count):
    model = told(EmpiricalBayes(SPACE), [3, 70][:count], [0.2, 0.9][:count])
    assert_sound(model)
    mean, std = model.posterior()
    assert abs(mean[3] - 0.2) < 0.1
    assert std[3] < 0.2 < std[107]


@pytest.mark.parametrize(
    "values",
    [
        np.full(40, 0.5),
        np.zeros(40),
        np.r_[np.full(39, 0.5), 1e6],
        np.r_[1e6, np.full(39, 0.5)],
        np.r_[np.full(20, -1e9), np.full(20, 1e9)],
        1e3 + 1e-6 * np.arange(40),
        1e100 * np.sin(np.arange(40)),
    ],
    ids=["equal", "zero", "outlier last", "outlier first", "two far", "far", "huge"],
)
@pytest.mark.parametrize("repeats", [False, True])
def test_strange_values_are_survived(values, repeats):
    rows = np.random.default_rng(1).permutation(SPACE.size)[:40]
    model = EmpiricalBayes(SPACE)
    assert_sound(told(model, np.repeat(rows[:8], 5) if repeats else rows, values))


def test_smallest_noise_bounds_are_survived():
    """At 1e-5 of the range the matrices are as near to singular as they are let come."""
    rows = np.random.default_rng(1).permutation(SPACE.size)
    values = np.sin(3 * SPACE.grid[rows, 0]) + SPACE.grid[rows, 1] / 50
    assert_sound(told(EmpiricalBayes(SPACE, (1e-5, 1e-5)), rows, values))


def test_one_configuration_only():
    model = EmpiricalBayes(ParameterSpace([Parameter("a", "", (3.0,))]), (0.001, 0.3))
    assert_sound(told(model, [0] * 30, 0.4 + 0.1 * np.random.default_rng(0).normal(size=30)))
    assert model.posterior()[0][0] == pytest.approx(0.4, abs=0.1)
    assert model.noise == pytest.approx(0.1, rel=0.3)


def test_samples_have_the_mixtures_mean_and_deviation():
    rng = np.random.default_rng(0)
    rows = [0, 14, 33, 52, 71, 90, 5, 60]
    model = told(EmpiricalBayes(SPACE), rows, 0.5 + 0.25 * rng.normal(size=8))
    smooth = model.probabilities[0]
    assert 0.3 < smooth < 0.45  # far from the 0.7 of before
    n = 4000
    draws = np.array([model.sample(rng) for _ in range(n)])
    mean, std = model.posterior()
    # One false alarm in a million over all configurations; the fourth moment of a mixture
    # of two normals of ratio 3 is below 3² times a normal's.
    allowed = norm.isf(1e-6 / (4 * SPACE.size)) / math.sqrt(n)
    assert (np.abs(draws.mean(axis=0) - mean) < allowed * std).all()
    assert (np.abs(draws.std(axis=0) / std - 1) < 3 * allowed / math.sqrt(2)).all()
    means = np.array([model.sample(np.random.default_rng(i), 1e-9) for i in range(1000)])
    # Without deviation, the two means alone are left, as often as they are probable.
    kinds, counts = np.unique(means[:, 5].round(6), return_counts=True)
    assert len(kinds) == 2
    deviation = math.sqrt(smooth * (1 - smooth) / 1000)
    assert min(abs(counts / 1000 - smooth)) < 4 * deviation < 0.07


def test_a_sample_is_pure_in_its_generator():
    model = told(EmpiricalBayes(SPACE), [3, 50, 3], [0.1, 0.7, 0.2])
    first = model.sample(np.random.default_rng(1), 0.8)
    model.posterior()
    model.sample(np.random.default_rng(2))
    np.testing.assert_array_equal(first, model.sample(np.random.default_rng(1), 0.8))
    again = told(EmpiricalBayes(SPACE), [3, 50, 3], [0.1, 0.7, 0.2])
    np.testing.assert_array_equal(first, again.sample(np.random.default_rng(1), 0.8))


@pytest.mark.parametrize("seed", range(3))
def test_a_smooth_function_is_found_smooth_and_a_rough_one_rough(seed):
    """Of three parameters: the rule of thumb is then twice the rough hypothesis's median."""
    space = ParameterSpace([Parameter.linear(name, "", 0, 1, 6) for name in "abc"])
    rng = np.random.default_rng(seed)
    rows, noise = rng.permutation(216)[:100], 0.02 * rng.normal(size=100)
    a, b, _ = space.grid[rows].T
    smooth = told(EmpiricalBayes(space), rows, drawn(rng, 0, space)[0][rows] + noise)
    rough = told(EmpiricalBayes(space), rows, 0.5 + 0.3 * np.sin(12 * a) * np.cos(9 * b) + noise)
    assert smooth.probabilities[0] > 0.9
    assert smooth.bandwidths() == rule_of_thumb(space)
    assert rough.probabilities[0] < 0.01
    # sin(12 a) is near a Gaussian process of ρ = 1/12 … 3/12, and nothing depends on c.
    assert 0.05 < rough.bandwidths()[0] < 0.3
    assert rough.bandwidths()[2] > 0.5
    for model in (smooth, rough):
        assert model.noise == pytest.approx(0.02, rel=0.6)


def test_the_noise_of_repeats_is_learned():
    rng = np.random.default_rng(2)
    rows = rng.integers(0, 8, 100)
    model = told(EmpiricalBayes(LINE), rows, 0.5 + 0.12 * rng.normal(size=100))
    assert model.noise == pytest.approx(0.12, rel=0.2)


@pytest.mark.parametrize("count", [8, 24])
def test_intervals_cover_what_they_say(count):
    """Functions drawn from the prior, three of ten from the rough one: 85 to 99 % in 95 %."""
    rng, inside = np.random.default_rng(0), []
    for trial in range(40):
        truth, noise = drawn(rng, kind=int(trial % 10 < 3))
        rows = rng.integers(0, SPACE.size, count)
        model = EmpiricalBayes(SPACE)
        told(model, rows, truth[rows] + noise * rng.normal(size=count))
        mean, std = model.posterior()
        inside.append(np.mean(np.abs(truth - mean) < norm.isf(0.025) * std))
    assert 0.85 < np.mean(inside) < 0.99


@pytest.fixture
def refits(monkeypatch):
    """Numbers of distinct sites at which hyper-parameters were fitted; none is."""
    sizes = []

    class Counting:
        def __init__(self, lattice, seen, most):
            sizes.append(len(seen))

        def most_probable(self, hypothesis, start):
            return SimpleNamespace(offsets=start, log_evidence=0.0)

    monkeypatch.setattr(empirical_bayes, "Evidence", Counting)
    return sizes


def test_refits_grow_rare_and_stop(refits):
    space = ParameterSpace(
        [Parameter.linear("a", "", 0, 1, 30), Parameter.linear("b", "", 0, 1, 20)]
    )
    rows = np.random.default_rng(0).permutation(600)
    told(EmpiricalBayes(space), rows, np.linspace(0, 1, 600))
    assert refits[:17] == [*range(1, 18)]
    assert all(b - 1 < 1.05 * a <= b for a, b in itertools.pairwise(refits[16:]))
    most = empirical_bayes.MOST_SITES
    assert most <= refits[-1] < 1.06 * most


def test_repeats_go_on_refitting(refits):
    told(EmpiricalBayes(LINE), np.arange(1000) % 40, np.zeros(1000))
    assert refits[-1] == 40
    assert len(refits) > 16 + math.log(1000 / 16) / math.log(1.06)


def test_six_hundred_sites_are_fitted(monkeypatch):
    monkeypatch.setattr(empirical_bayes, "MOST_SITES", 60)  # for time
    space = ParameterSpace(
        [Parameter.linear("a", "", 0, 1, 30), Parameter.linear("b", "", 0, 1, 20)]
    )
    rows = np.random.default_rng(0).permutation(600)
    truth = np.sin(6 * space.grid[:, 0]) * space.grid[:, 1]
    noise = 0.1 * np.random.default_rng(1).normal(size=600)
    model = told(EmpiricalBayes(space), rows, truth[rows] + noise)
    mean, _ = model.posterior()
    assert np.abs(mean - truth).mean() < 0.04
    assert_sound(model)


def test_prior_observations_weigh_what_they_are_given():
    points = [(0.123, 20.0), (0.7, 33.0)]

    def model(weight):
        learned = EmpiricalBayes(SPACE, points=points)
        learned.observe_at(points[0], 0.9, weight)
        return learned.posterior()[0][SPACE.index((SPACE.grid[9, 0], SPACE.grid[9, 1]))]

    assert 0.5 < model(0.1) < model(1.0) < model(10.0) < 0.91
    with pytest.raises(ValueError, match="not made to hold the point"):
        EmpiricalBayes(SPACE, points=points).observe_at((0.5, 1.0), 0.9)


def test_borders_are_mirrored_and_teach_nothing_of_the_hyper_parameters():
    rows = [0, 8, 40, 99, 107, 53, 0]
    values = [0.2, 0.4, 0.9, 0.3, 0.1, 0.8, 0.3]
    plain, mirrored = (
        told(EmpiricalBayes(SPACE, bandwidth=(2.0, 100.0), border=border), rows, values)
        for border in (False, True)
    )
    assert mirrored.noise == plain.noise
    assert mirrored.bandwidths() == plain.bandwidths()
    np.testing.assert_array_equal(mirrored.probabilities, plain.probabilities)
    assert np.abs(mirrored.posterior()[0] - plain.posterior()[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise_bounds": (0.0, 0.3)}, "noise_bounds must be finite"),
        ({"noise_bounds": (0.3, 0.1)}, "noise_bounds must be finite"),
        ({"noise_bounds": (0.1, 200.0)}, "upper noise bound 200 must be at most 100 widths"),
        ({"bandwidth": (1e-9, 1.0)}, "bandwidth of .* = 1e-09: "),
        ({"width": 0.0}, "must be positive"),
        ({"width": math.nan}, "must be positive"),
        ({"bandwidth": (1.0,)}, "bandwidth must be one number or 2"),
        ({"bandwidth": -1.0}, "bandwidth must be positive"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        EmpiricalBayes(SPACE, **arguments)


@pytest.mark.parametrize(
    ("row", "value", "error"), [(108, 0.5, IndexError), (0, math.nan, ValueError)]
)
def test_bad_observations_change_nothing(row, value, error):
    model = told(EmpiricalBayes(SPACE), [3, 70], [0.2, 0.9])
    before = model.posterior()
    with pytest.raises(error):
        model.observe(row, value)
    np.testing.assert_array_equal(model.posterior(), before)


@pytest.mark.parametrize("unit_scale", [1.0, 1000.0])
def test_a_single_value_learns_from_its_neighbours_in_any_unit(unit_scale):
    """A parameter of one value has the range of what was observed of it before."""
    space = ParameterSpace([Parameter("power", "mW", (100.0 * unit_scale,))])
    points = [[80.0 * unit_scale], [105.0 * unit_scale]]
    model = EmpiricalBayes(space, points=points)
    before = model.posterior()[1][0]
    for point in points * 3:
        model.observe_at(point, 0.9)
    mean, std = model.posterior()
    assert mean[0] == pytest.approx(0.9, abs=0.1)
    assert std[0] < before / 3


def test_many_prior_observations_teach_the_hyper_parameters_once():
    """More distinct sites than the evidence takes: an even choice of them is enough."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (empirical_bayes.MOST_SITES + 50, 1))
    space = ParameterSpace([Parameter.linear("a", "", 0, 1, 9)])
    model = EmpiricalBayes(space, points=points)
    noise = 0.03
    values = np.sin(4 * points[:, 0]) / 2 + noise * rng.normal(size=len(points))
    model.observe_all(points, values, np.ones(len(points)))
    assert model.noise == pytest.approx(noise, rel=0.3)
    np.testing.assert_allclose(model.posterior()[0], np.sin(4 * space.grid[:, 0]) / 2, atol=0.05)
