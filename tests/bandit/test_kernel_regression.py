"""Kernel regression against scikit-learn and against the dense formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from stedopt_bluesky.bandit import KernelRegression
from stedopt_bluesky.parameters import Parameter, ParameterSpace

EXACT = 1e-8


@st.composite
def spaces(draw):
    """One to four parameters of up to six values, evenly spaced or not, or of a single one."""
    parameters = []
    for i in range(draw(st.integers(1, 4))):
        steps = draw(st.lists(st.floats(0.05, 1.0), min_size=0, max_size=5))
        scale = draw(st.sampled_from([1e-3, 1.0, 300.0]))
        values = scale * (draw(st.floats(-5, 5)) + np.cumsum([0.0, *steps]))
        parameters.append(Parameter(f"p{i}", "", tuple(values)))
    space = ParameterSpace(parameters)
    assume(space.size <= 400)
    return space


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
@given(space=spaces(), seed=st.integers(0, 10_000), count=st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_posterior_is_exact(oracle, noise_bounds, space, seed, count):
    rng = np.random.default_rng(seed)
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
    monkeypatch.setattr("stedopt_bluesky.bandit.kernel_regression.BLOCK_NUMBERS", 300)
    assert_equal_to(dense, model, space, np.array([3, 40]), np.array([0.1, 0.9]))


@given(space=spaces(), norm_bound=st.floats(0.1, 90))
@settings(max_examples=20, deadline=None)
def test_prior_is_the_kernels(space, norm_bound):
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
    n = 20_000
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
        ({"bandwidth": 1e-4}, "bandwidth too short"),
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
