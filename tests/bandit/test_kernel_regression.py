"""Kernel regression against scikit-learn and against the dense formula."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from stedopt_bluesky.bandit import KernelRegression
from stedopt_bluesky.parameters import Parameter, ParameterSpace

EXACT = 1e-8


def bandwidths(space):
    return [p.range * len(space.parameters) / 3 or 1.0 for p in space]


def scikit_learn(space, indices, y, noise, norm_bound, rho):
    """Mean, standard deviation and covariance on the grid, the centre by hand."""
    kernel = ConstantKernel(norm_bound**2, "fixed") * RBF(rho, "fixed")
    process = GaussianProcessRegressor(kernel, alpha=noise**2, optimizer=None)
    process.fit(space.grid[indices], y - y.mean())
    mean, covariance = process.predict(space.grid, return_cov=True)
    _, std = process.predict(space.grid, return_std=True)
    return mean + y.mean(), std, covariance


def dense(space, indices, y, noise, norm_bound, rho):
    """The paper's formula."""
    scaled = (space.grid[:, None] - space.grid) / np.asarray(rho)
    kernel = np.exp(-0.5 * (scaled**2).sum(axis=-1))
    lam = noise**2 / norm_bound**2
    gram, cross = kernel[np.ix_(indices, indices)], kernel[indices]
    solved = np.linalg.solve(
        gram + lam * np.eye(len(indices)), np.column_stack([y - y.mean(), cross])
    )
    covariance = noise**2 / lam * (kernel - cross.T @ solved[:, 1:])
    return y.mean() + cross.T @ solved[:, 0], np.sqrt(np.diag(covariance)), covariance


def observed(model, indices, y):
    for index, value in zip(indices, y, strict=True):
        model.observe(index, value)
    return model


def assert_equal_to(oracle, model, space, indices, y, norm_bound=5.0, rho=None):
    rho = rho or bandwidths(space)
    mean, std, covariance = oracle(space, indices, y, model.noise_bounds[1], norm_bound, rho)
    got_mean, got_std = model.posterior()
    np.testing.assert_allclose(got_mean, mean, rtol=0, atol=EXACT)
    np.testing.assert_allclose(got_std, std, rtol=0, atol=EXACT)
    np.testing.assert_allclose(model.covariance(), covariance, rtol=0, atol=EXACT)


@pytest.mark.parametrize("oracle", [scikit_learn, dense])
@pytest.mark.parametrize("noise_bounds", [(0.001, 0.3), (0.001, 0.01)])
@given(data=st.data(), seed=st.integers(0, 10_000), count=st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_posterior_is_exact(spaces, oracle, noise_bounds, data, seed, count):
    space, rng = data.draw(spaces), np.random.default_rng(seed)
    indices = rng.integers(0, space.size, count)
    indices[count // 2 :] = indices[: count - count // 2]  # half of them are repeats
    y = 0.5 + 0.2 * rng.normal(size=count)
    model = observed(KernelRegression(space, noise_bounds), indices, y)
    assert_equal_to(oracle, model, space, indices, y)


def test_posterior_is_exact_on_the_papers_grid():
    space = ParameterSpace(
        [
            Parameter.linear("excitation_power_uW", "µW", 0.65, 26.8, 8),
            Parameter.linear("depletion_power_mW", "mW", 59, 360, 8),
            Parameter.linear("dwelltime_us", "µs", 5, 100, 12),
        ]
    )
    rng = np.random.default_rng(2)
    indices, y = rng.integers(0, space.size, 100), rng.normal(size=100)
    for noise_bounds in ((0.001, 0.3), (0.001, 0.01)):
        model = observed(KernelRegression(space, noise_bounds), indices, y)
        assert_equal_to(scikit_learn, model, space, indices, y)


def test_posterior_is_exact_after_the_upper_bound_has_fallen():
    space = ParameterSpace([Parameter.linear("power", "mW", 0, 1, 6)])
    rng = np.random.default_rng(1)
    indices = rng.integers(0, 6, 300)
    y = np.sin(indices) + 0.05 * rng.normal(size=300)
    model = observed(KernelRegression(space), indices, y)
    assert model.noise_bounds[1] < 0.3
    assert_equal_to(dense, model, space, indices, y)


@pytest.mark.parametrize(("bandwidth", "rho"), [(0.4, [0.4, 0.4]), ([0.2, 3.0], [0.2, 3.0])])
def test_bandwidth_and_norm_bound_are_obeyed(bandwidth, rho):
    space = ParameterSpace([Parameter.linear("a", "", 0, 1, 6), Parameter.linear("b", "", 0, 9, 5)])
    rng = np.random.default_rng(4)
    indices, y = rng.integers(0, space.size, 20), rng.normal(size=20)
    model = KernelRegression(space, (0.01, 0.2), norm_bound=2.0, bandwidth=bandwidth)
    observed(model, indices, y)
    assert_equal_to(scikit_learn, model, space, indices, y, norm_bound=2.0, rho=rho)


def test_variance_on_a_grid_of_several_blocks_is_exact(monkeypatch):
    space = ParameterSpace([Parameter.linear("a", "", 0, 1, 7), Parameter.linear("b", "", 0, 1, 9)])
    model = observed(KernelRegression(space), [3, 40], [0.1, 0.9])
    monkeypatch.setattr("stedopt_bluesky.bandit.fit.BLOCK_NUMBERS", 300)
    assert_equal_to(dense, model, space, np.array([3, 40]), np.array([0.1, 0.9]))


@given(data=st.data(), norm_bound=st.floats(0.1, 90))
@settings(max_examples=20, deadline=None)
def test_prior_is_the_kernels(spaces, data, norm_bound):
    space = data.draw(spaces)
    model = KernelRegression(space, norm_bound=norm_bound)
    mean, std = model.posterior()
    assert not mean.any()
    np.testing.assert_allclose(std, norm_bound, rtol=1e-12)
    scaled = (space.grid[:, None] - space.grid) / bandwidths(space)
    kernel = np.exp(-0.5 * (scaled**2).sum(axis=-1))
    np.testing.assert_allclose(model.covariance(), norm_bound**2 * kernel, atol=1e-9)
    assert model.noise_bounds == (0.001, 0.3)


def test_one_configuration_only():
    model = KernelRegression(
        ParameterSpace([Parameter("a", "", (3.0,)), Parameter("b", "", (1.0,))])
    )
    for value in (1.0, 2.0, 3.0):
        model.observe(0, value)
    mean, std = model.posterior()
    np.testing.assert_allclose(mean, [2.0])
    # Normal-normal: 1/variance = 1/C² + N/σ².
    np.testing.assert_allclose(std**-2, [1 / 25 + 3 / model.noise_bounds[1] ** 2])


@pytest.fixture(scope="module")
def small():
    space = ParameterSpace([Parameter.linear("a", "", 0, 1, 3), Parameter.linear("b", "", 0, 1, 4)])
    return observed(KernelRegression(space), [0, 5, 5, 9, 11], [0.1, 0.8, 0.6, 0.3, 0.2])


def test_samples_follow_the_posterior(small):
    """Means of n draws spread by std/√n, covariances by √((C_ii C_jj + C_ij²)/n) (Wishart)."""
    n = 8000
    rng = np.random.default_rng(0)
    draws = np.array([small.sample(rng) for _ in range(n)])
    mean, std = small.posterior()
    covariance = small.covariance()
    # One false alarm in a million over all 12 + 12·13/2 comparisons.
    allowed = norm.isf(1e-6 / (2 * (12 + 78)))
    assert np.abs(draws.mean(axis=0) - mean).max() > 0
    assert (np.abs(draws.mean(axis=0) - mean) < allowed * std / math.sqrt(n)).all()
    variance = np.diag(covariance)
    spread = np.sqrt((np.outer(variance, variance) + covariance**2) / n)
    assert (np.abs(np.cov(draws.T) - covariance) < allowed * spread).all()


def test_sample_is_pure_in_the_generator(small):
    first = small.sample(np.random.default_rng(7))
    small.sample(np.random.default_rng(8))
    small.posterior()
    np.testing.assert_array_equal(first, small.sample(np.random.default_rng(7)))
    assert (first != small.sample(np.random.default_rng(8))).all()


def test_order_of_observations_does_not_change_the_fit():
    space = ParameterSpace([Parameter.linear("a", "", 0, 1, 5)])
    # Equal bounds cannot narrow, so that nothing but the fit is compared.
    forth = observed(KernelRegression(space, (0.3, 0.3)), [0, 1, 1, 4], [1.0, 2.0, 0.0, 5.0])
    back = observed(KernelRegression(space, (0.3, 0.3)), [4, 1, 1, 0], [5.0, 0.0, 2.0, 1.0])
    for a, b in zip(forth.posterior(), back.posterior(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise_bounds": (0.0, 0.3)}, "noise_bounds must be finite"),
        ({"noise_bounds": (0.3, 0.1)}, "noise_bounds must be finite"),
        ({"noise_bounds": (0.1, math.inf)}, "noise_bounds must be finite"),
        ({"noise_bounds": (math.nan, 0.3)}, "noise_bounds must be finite"),
        ({"noise_bounds": (1e-6, 0.3)}, "lower noise bound 1e-06 must be at least"),
        ({"norm_bound": 0.0}, "norm_bound must be positive"),
        ({"norm_bound": math.nan}, "norm_bound must be positive"),
        ({"bandwidth": 0.0}, "bandwidth must be positive"),
        ({"bandwidth": -1.0}, "bandwidth must be positive"),
        ({"bandwidth": (1.0, math.inf)}, "bandwidth must be positive"),
        ({"bandwidth": (1.0, math.nan)}, "bandwidth must be positive"),
        ({"bandwidth": (1.0,)}, "bandwidth must be one number or 2"),
        ({"bandwidth": (1.0, 1.0, 1.0)}, "bandwidth must be one number or 2"),
        ({"bandwidth": [[1.0, 1.0]]}, "bandwidth must be one number or 2"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    space = ParameterSpace(
        [Parameter.linear("a", "", 0, 1, 70), Parameter.linear("b", "", 0, 1, 70)]
    )
    with pytest.raises(ValueError, match=message):
        KernelRegression(space, **arguments)


@pytest.mark.parametrize(
    ("index", "value", "error"),
    [
        (12, 0.5, IndexError),
        (-1, 0.5, IndexError),
        (0, math.nan, ValueError),
        (0, -math.inf, ValueError),
        (1.5, 0.5, TypeError),
    ],
)
def test_bad_observations_change_nothing(small, index, value, error):
    before = small.posterior(), small.noise_bounds
    with pytest.raises(error):
        small.observe(index, value)
    np.testing.assert_array_equal(small.posterior(), before[0])
    assert small.noise_bounds == before[1]


def test_more_images_than_features_change_the_form_and_nothing_else():
    """From sites to features within a run, and bounds narrowing on the way."""
    space = ParameterSpace([Parameter.linear("a", "", 0, 1, 60)])
    rng = np.random.default_rng(6)
    model, forms, indices, y = KernelRegression(space, (0.01, 0.1)), set(), [], []
    for index in rng.permutation(60):
        indices.append(index)
        y.append(math.sin(5 * index / 60) + 0.1 * rng.normal())
        model.observe(index, y[-1])
        forms.add(model._design.by_features)
        assert_equal_to(dense, model, space, np.array(indices), np.array(y))
    assert forms == {False, True}


def expanded(space, history, weights, border):
    """Points, values and weights with mirror images in rows of their own; which are own."""
    points, y, w, own = [], [], [], []
    low, high = space.grid.min(axis=0), space.grid.max(axis=0)
    for (point, value), weight in zip(history, weights, strict=True):
        images = [np.asarray(point, dtype=np.float64)]
        for i in range(len(low)) if border else ():
            for bound, step in ((low[i], low[i] - high[i]), (high[i], high[i] - low[i])):
                if step and point[i] == bound:
                    images.append(np.array(point))
                    images[-1][i] += step
        points += images
        y += [value] * len(images)
        w += [weight] * len(images)
        own += [True] + [False] * (len(images) - 1)
    return np.array(points), np.array(y), np.array(w), np.array(own)


@pytest.mark.parametrize("border", [False, True])
@given(data=st.data(), seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_weights_points_beside_the_grid_and_borders(spaces, dense_posterior, border, data, seed):
    """Observations of noise σ²/w anywhere, mirrored once per bound: the dense formula."""
    space, rng = data.draw(spaces), np.random.default_rng(seed)
    low, high = space.grid.min(axis=0), space.grid.max(axis=0)
    count = int(rng.integers(1, 25))
    rows = rng.integers(0, space.size, count)
    beside = rng.uniform(low, high, (3, len(low)))
    beside[1] = space.grid[rows[0]]  # a prior observation may well be on the grid
    history = [(point, float(rng.normal())) for point in (*beside, *space.grid[rows])]
    weights = [*rng.uniform(0.05, 2, 3), *np.ones(count)]
    # Equal bounds cannot narrow: each fit has the same noise.
    model = KernelRegression(space, (0.1, 0.1), points=beside, border=border)
    for (point, value), weight in zip(history[:3], weights, strict=False):
        model.observe_at(point, value, weight)
    observed(model, rows, [value for _, value in history[3:]])
    points, y, w, own = expanded(space, history, weights, border)
    centre = np.average(y[own], weights=w[own])
    mean, covariance = dense_posterior(
        space.grid, points, y, w, bandwidths(space), 5.0, 0.1, centre
    )
    got_mean, got_std = model.posterior()
    np.testing.assert_allclose(got_mean, mean, rtol=0, atol=EXACT * max(1, np.abs(mean).max()))
    np.testing.assert_allclose(got_std, np.sqrt(np.diag(covariance)), rtol=EXACT)


def test_a_point_on_two_bounds_has_two_images():
    space = ParameterSpace([Parameter.linear("a", "", 0, 1, 3), Parameter.linear("b", "", 0, 2, 3)])
    model = KernelRegression(space, border=True)
    model.observe(space.index((0, 2)), 1.0)
    model.observe(space.index((0.5, 1)), 1.0)
    lattice, seen = model._observed.lattice, model._observed.seen
    points = [[a[i] for a, i in zip(lattice.axes, s, strict=True)] for s in seen.sites]
    assert points == [[0, 2], [-1, 2], [0, 4], [0.5, 1]]
    assert seen.number == 2


def test_half_a_weight_is_twice_the_variance_and_a_weight_of_two_is_a_repeat():
    space = ParameterSpace([Parameter.linear("a", "", 0, 1, 5)])

    def told(*weights):
        model = KernelRegression(space, (0.3, 0.3))
        for weight in weights:
            model.observe_at((0.25,), 0.7, weight)
        return model.posterior()

    np.testing.assert_allclose(told(2.0), told(1.0, 1.0), rtol=1e-12)
    quieter = KernelRegression(space, (0.15, 0.15))
    quieter.observe_at((0.25,), 0.7, 0.25)
    np.testing.assert_allclose(told(1.0), quieter.posterior(), rtol=1e-12)


@pytest.mark.parametrize(
    ("point", "value", "weight", "message"),
    [
        ((0.3, 0.0), 1.0, 1.0, r"not made to hold the point \(0\.3, 0\.0\)$"),
        ((0.2, 0.0), math.nan, 1.0, "an observation must be finite, got nan$"),
        ((0.2, 0.0), 1.0, 0.0, "a weight must be positive and finite, got 0"),
        ((0.2, 0.0), 1.0, math.inf, "a weight must be positive and finite, got inf"),
        ((0.2, 0.0), 1.0, -1.0, "a weight must be positive and finite, got -1"),
    ],
)
def test_bad_prior_observations_change_nothing(point, value, weight, message):
    space = ParameterSpace([Parameter.linear("a", "", 0, 1, 3), Parameter.linear("b", "", 0, 2, 3)])
    model = KernelRegression(space, points=[(0.2, 0.0)])
    before = model.posterior()
    with pytest.raises(ValueError, match=message):
        model.observe_at(point, value, weight)
    np.testing.assert_array_equal(model.posterior(), before)


def test_a_million_configurations_at_a_short_bandwidth_take_little_memory():
    """Two G × 1 arrays at a time and the features' columns: no G × G, no G × r."""
    space = ParameterSpace([Parameter.linear(name, "", 0, 1, 100) for name in "abc"])
    rng = np.random.default_rng(0)
    indices = rng.integers(0, space.size, 12)
    tracemalloc.start()
    try:
        model = observed(KernelRegression(space, bandwidth=0.05), indices, rng.normal(size=12))
        sample = model.sample(rng)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    features = model._design.basis.size
    assert sample.shape == (space.size,)
    assert features > 10_000
    # A single G × r array of these would take 8e10 bytes and more.
    assert peak < 128 * 2**20
