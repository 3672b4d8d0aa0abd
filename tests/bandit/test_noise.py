"""The published update against a slow evaluation of the formulas, one observation a term."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.bandit import KernelRegression, NoiseBounds, update_noise_bounds
from stedopt_bluesky.bandit import kernel_regression as regression_module
from stedopt_bluesky.parameters import Parameter, ParameterSpace

C = 5.0


def grid(*shape):
    return ParameterSpace([Parameter.linear(f"p{i}", "", 0, 1, n) for i, n in enumerate(shape)])


def kernel_matrix(space):
    rho = np.array([p.range * len(space.parameters) / 3 for p in space])
    scaled = (space.grid[:, None] - space.grid) / rho
    return np.exp(-0.5 * (scaled**2).sum(axis=-1))


def dense_variances(kernel, indices, lam):
    """Posterior variance at every observation, repeats listed again and again."""
    gram = kernel[np.ix_(indices, indices)]
    return np.diag(gram - gram @ np.linalg.solve(gram + lam * np.eye(len(indices)), gram))


def slow_update(kernel, indices, y, lower, upper, bias):
    """Science of record, section 1, term by term."""
    t, delta = len(y), 0.1
    if t == 1:  # ln ln 1 is not a number
        return lower, upper
    lam = upper**2 / C**2
    gram = kernel[np.ix_(indices, indices)]
    centred = y - y.mean()
    fitted = gram @ np.linalg.solve(gram + lam * np.eye(t), centred)
    sigma_hat = math.sqrt(sum((centred - fitted) ** 2) / t)
    k = dense_variances(kernel, indices, lam)
    c = math.log(math.e / delta) * (
        1 + math.log(math.pi**2 * math.log(t) / 6) / math.log(1 / delta)
    )
    shrink = C * math.sqrt(lam * (1 - 1 / max(1 + k_i / lam for k_i in k)) / t)
    lower = max(lower, (sigma_hat - shrink) / (1 + math.sqrt(2 * c / t)))
    lower = min(lower, upper)
    lam_star = lower**2 / C**2
    k_star = dense_variances(kernel, indices, lam_star)
    d = 2 * math.log(1 / delta) + sum(math.log(1 + k_i / lam_star) for k_i in k_star)
    a = max(1 - math.sqrt(c / t) - math.sqrt((c + 2 * d) / t), 1e-10)
    b = C * math.sqrt((lam if bias == "upper" else lam_star) * d) / (2 * t)
    candidate = (math.sqrt(b) + math.sqrt(b + sigma_hat * a)) ** 2 / a**2
    return lower, max(lower, min(upper, candidate))


def noisy(space, t, noise, seed):
    """Observations of a function of norm below C = 5 in the kernel's space."""
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, space.size, t)
    y = np.sin(space.grid[indices].sum(axis=1)) + noise * rng.normal(size=t)
    return indices, y


@pytest.mark.parametrize("bias", ["upper", "lower"])
@pytest.mark.parametrize(
    ("shape", "t", "bounds", "falls"),
    [
        ((6,), 1, (0.001, 0.3), False),
        ((6,), 2, (0.001, 0.3), False),
        ((6,), 30, (0.001, 0.3), False),
        ((6,), 400, (0.001, 0.3), True),
        ((6,), 400, (0.04, 2.0), True),
        ((4, 3), 400, (0.001, 0.5), True),
        ((4, 3), 90, (0.1, 0.1), False),
    ],
)
def test_closed_form_equals_the_slow_evaluation(shape, t, bounds, falls, bias):
    space = grid(*shape)
    kernel = kernel_matrix(space)
    indices, y = noisy(space, t, 0.05, seed=t)
    expected = slow_update(kernel, indices, y, *bounds, bias)
    assert (expected[1] < bounds[1]) == falls

    distinct, inverse, counts = np.unique(indices, return_inverse=True, return_counts=True)

    def variances(lam):
        every = dense_variances(kernel, indices, lam)
        return np.array([every[inverse == i][0] for i in range(len(distinct))])

    gram = kernel[np.ix_(indices, indices)]
    lam = (bounds[1] / C) ** 2
    residuals = lam * np.linalg.solve(gram + lam * np.eye(t), y - y.mean())
    rms = math.sqrt(np.mean(residuals**2))
    updated = update_noise_bounds(NoiseBounds(*bounds), rms, counts, variances, C, bias)
    # The dense variances at λ* = 4e-8 lose eight of sixteen digits.
    np.testing.assert_allclose(updated, expected, rtol=1e-6)


@pytest.mark.parametrize("start", [(0.001, 0.3), (0.01, 0.05)])
def test_bounds_along_a_run_equal_the_slow_evaluation(start):
    space = grid(5, 4)
    kernel = kernel_matrix(space)
    indices, y = noisy(space, 60, 0.1, seed=1)
    model = KernelRegression(space, start)
    lower, upper = start
    for t, (index, value) in enumerate(zip(indices, y, strict=True), start=1):
        model.observe(index, value)
        lower, upper = slow_update(kernel, indices[:t], y[:t], lower, upper, "upper")
        np.testing.assert_allclose(model.noise_bounds, (lower, upper), rtol=1e-6)
    assert lower > start[0]


def test_one_observation_says_nothing():
    def never(lam):
        raise AssertionError

    bounds = NoiseBounds(0.001, 0.3)
    assert update_noise_bounds(bounds, 0.0, np.array([1]), never) == bounds


def test_bounds_meet_when_the_residual_passes_the_upper_bound():
    bounds = update_noise_bounds(
        NoiseBounds(0.001, 0.3), 50.0, np.array([60, 40]), lambda lam: np.full(2, lam / 50)
    )
    assert bounds == (0.3, 0.3)


histories = st.lists(st.tuples(st.integers(0, 11), st.floats(-1e3, 1e3)), min_size=1, max_size=40)


@given(
    history=histories,
    lower=st.floats(1e-4, 1.0),
    factor=st.floats(1.0, 1e3),
    repeats=st.sampled_from([1, 10]),
)
@settings(max_examples=60, deadline=None)
def test_bounds_stay_ordered_positive_finite_and_only_narrow(history, lower, factor, repeats):
    model = KernelRegression(grid(4, 3), (lower, lower * factor))
    before = model.noise_bounds
    for index, value in history * repeats:
        model.observe(index, value)
        after = model.noise_bounds
        assert 0 < before[0] <= after[0] <= after[1] <= before[1] < math.inf
        before = after


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_upper_bound_is_idle_at_the_papers_budget(seed):
    """Three parameters, 100 images: measured in the science of record, section 1."""
    space = grid(7, 7, 7)
    indices, y = noisy(space, 100, 0.1, seed)
    model = KernelRegression(space)
    for index, value in zip(indices, y, strict=True):
        model.observe(index, value)
    lower, upper = model.noise_bounds
    assert upper == 0.3
    # The lower bound must have moved, and must be one: the noise is 0.1.
    assert 0.001 < lower < 0.1


def test_bounds_enclose_the_noise_of_a_long_run():
    space = grid(6)
    model = KernelRegression(space, (0.001, 1.0))
    for index, value in zip(*noisy(space, 600, 0.1, seed=5), strict=True):
        model.observe(index, value)
    lower, upper = model.noise_bounds
    assert 0.05 < lower < 0.1 < upper < 0.5


@pytest.fixture
def updates(monkeypatch):
    """What each update was told: root mean square, counts, and variances at the upper bound."""
    told = []

    def recording(bounds, rms, counts, variances, norm_bound):
        told.append((rms, counts.copy(), variances((bounds.upper / norm_bound) ** 2)))
        return update_noise_bounds(bounds, rms, counts, variances, norm_bound)

    monkeypatch.setattr(regression_module, "update_noise_bounds", recording)
    return told


def test_updates_grow_rare_beyond_512_distinct_configurations(updates):
    """Each image up to there, then at each growth by 1 %, by repeats too."""
    model = KernelRegression(grid(600))
    rows = [*np.random.default_rng(0).permutation(600), *range(200)]
    for row in rows:
        model.observe(int(row), math.sin(row))
    totals = [int(counts.sum()) for _, counts, _ in updates]
    assert totals[:512] == list(range(1, 513))
    assert all(b - 1 < 1.01 * a <= b for a, b in itertools.pairwise(totals[511:]))
    assert totals[-1] > 780
    bounds = model.noise_bounds
    model.observe(3, 50.0)
    assert len(updates) == len(totals)
    assert model.noise_bounds == bounds


def test_the_rare_updates_are_those_of_the_whole_history(monkeypatch):
    """Right after an update, a long run's bounds are the formula's for the bounds before."""
    monkeypatch.setattr(regression_module, "EVERY_IMAGE_UP_TO", 5)
    space = grid(8)
    kernel = kernel_matrix(space)
    indices, y = noisy(space, 300, 0.1, seed=4)
    model = KernelRegression(space)
    lower, upper, last = 0.001, 0.3, 0
    for t, (index, value) in enumerate(zip(indices, y, strict=True), start=1):
        model.observe(index, value)
        if len(set(indices[:t].tolist())) <= 5 or t >= 1.01 * last:
            lower, upper = slow_update(kernel, indices[:t], y[:t], lower, upper, "upper")
            last = t
        np.testing.assert_allclose(model.noise_bounds, (lower, upper), rtol=1e-6)
    assert upper < 0.3


def test_mirror_images_too_far_to_matter_leave_the_bounds_alone():
    """One range outside is ten bandwidths away: the fit is the same, and so must the bounds be."""
    space = grid(9, 5)
    rng = np.random.default_rng(1)
    indices = np.r_[rng.integers(0, space.size, 250), [0] * 50]
    y = np.sin(5 * space.grid[indices].sum(axis=1)) + 0.05 * rng.normal(size=300)
    plain, mirrored = (
        KernelRegression(space, (0.001, 0.3), bandwidth=0.1, border=border)
        for border in (False, True)
    )
    for index, value in zip(indices, y, strict=True):
        plain.observe(index, value)
        mirrored.observe(index, value)
        np.testing.assert_allclose(mirrored.noise_bounds, plain.noise_bounds, rtol=1e-9)
    assert len(mirrored._observed.seen) > len(plain._observed.seen)
    assert plain.noise_bounds != (0.001, 0.3)


def test_mirror_images_shape_the_fit_but_are_not_counted(updates, dense_posterior):
    space = grid(4)
    model = KernelRegression(space, (0.2, 0.2), bandwidth=0.8, border=True)
    rows, y = [0, 2, 3, 0, 1], np.array([0.3, 0.9, 0.1, 0.5, 0.6])
    for row, value in zip(rows, y, strict=True):
        model.observe(row, value)
    x = space.grid[:, 0]
    points = np.concatenate([x[rows], [-1.0, 2.0, -1.0]])[:, None]
    values = np.concatenate([y, [0.3, 0.1, 0.5]])
    mean, covariance = dense_posterior(
        space.grid, points, values, np.ones(8), [0.8], C, 0.2, y.mean()
    )
    rms, counts, variances = updates[-1]
    np.testing.assert_array_equal(counts, [2, 1, 1, 1])
    np.testing.assert_allclose(rms, np.sqrt(np.mean((y - mean[rows]) ** 2)), rtol=1e-9)
    np.testing.assert_allclose(C**2 * variances, np.diag(covariance)[[0, 2, 3, 1]], rtol=1e-8)
