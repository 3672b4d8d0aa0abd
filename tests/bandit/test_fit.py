"""Both forms of a fit against the dense formula, against scikit-learn, and each other."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from stedopt_bluesky.bandit import fit as fit_module
from stedopt_bluesky.bandit.fit import Design, Scale
from stedopt_bluesky.bandit.kronecker import gaussian_basis
from stedopt_bluesky.bandit.lattice import Lattice, border_points
from stedopt_bluesky.bandit.observations import CollapsedObservations
from stedopt_bluesky.parameters import Parameter, ParameterSpace

EXACT = 1e-8
FORMS = ("sites", "features")
MOST_FEATURES = 600


@contextlib.contextmanager
def in_form(form):
    """Take one form whatever it costs, for variances too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_module, "_features_are_cheaper", lambda *_: form == "features")
        patch.setattr(fit_module, "MAX_FEATURES", 0 if form == "sites" else 10**9)
        yield


@dataclass
class Problem:
    """Observations of one objective, one row each, and the hyper-parameters of a fit."""

    space: ParameterSpace
    points: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    bandwidths: np.ndarray
    scale: Scale

    def design(self):
        """Told all observations but the first half one after another."""
        lattice = Lattice.around(self.space, self.points)
        seen = CollapsedObservations(len(self.space.parameters))
        half = len(self.y) // 2
        sites = [lattice.site_of_point(point) for point in self.points]
        for j in range(half):
            seen.add(sites[j], self.y[j], self.weights[j])
        design = Design(gaussian_basis(lattice, self.bandwidths), seen)
        for j in range(half, len(sites)):
            seen.add(sites[j], self.y[j], self.weights[j])
            design.add([seen.row(sites[j])], self.weights[j])
        return design

    def fit(self, form=None):
        with in_form(form) if form else contextlib.nullcontext():
            return self.design().fit(self.scale)


def problem_on(space, seed, smallest_noise):
    """Repeats, weights, points off the grid and mirrored ones; all bandwidths and noises."""
    rng = np.random.default_rng(seed)
    low, high = space.grid.min(axis=0), space.grid.max(axis=0)
    count = int(rng.integers(1, 30))
    points = space.grid[rng.integers(0, space.size, count)]
    points = np.concatenate([points, rng.uniform(low, high, (int(rng.integers(0, 4)), len(low)))])
    lattice = Lattice.around(space, border_points(space))
    if rng.random() < 0.5:
        axes = lattice.axes
        images = [
            [axis[i] for axis, i in zip(axes, image, strict=True)]
            for point in points[:count]
            for image in lattice.mirrored(lattice.site_of_point(point))
        ]
        points = np.concatenate([points, np.reshape(images, (-1, len(low)))])
    points = np.concatenate([points, points[: len(points) // 2]])
    unit = 10.0 ** rng.integers(-2, 3)  # of the objective
    ranges = np.where(high > low, high - low, 1.0)
    bandwidths = ranges * 10 ** rng.uniform(-1.5, 0.7, len(low))
    return Problem(
        space,
        points,
        unit * (1 + rng.normal(size=len(points))),
        rng.uniform(0.1, 3, len(points)) if rng.random() < 0.5 else np.ones(len(points)),
        bandwidths,
        Scale(
            unit * 10 ** rng.uniform(-0.5, 0.7),
            unit * 10 ** rng.uniform(math.log10(smallest_noise), 0),
            unit * rng.normal(),
            unit * float(rng.choice([0.0, 0.5, 3.0])),
        ),
    )


def drawn(space, seed, smallest_noise):
    """One without many features: the form over them would take its time."""
    problem = problem_on(space, seed, smallest_noise)
    lattice = Lattice.around(space, problem.points)
    assume(gaussian_basis(lattice, problem.bandwidths).size <= MOST_FEATURES)
    return problem


def assert_posterior(fit, mean, covariance, scale):
    """To 1e-8 of the prior's spread, means to 1e-8 of the largest one at least."""
    spread = math.hypot(scale.prior_deviation, scale.mean_deviation)
    size = max(spread, float(np.abs(mean).max()))
    np.testing.assert_allclose(fit.mean(), mean, rtol=0, atol=EXACT * size)
    np.testing.assert_allclose(fit.covariance(), covariance, rtol=0, atol=EXACT * spread**2)
    std = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(np.sqrt(fit.variance()), std, rtol=EXACT, atol=EXACT * spread)


@given(data=st.data(), seed=st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_posterior_is_the_dense_formula(spaces, dense_posterior, data, seed):
    problem = drawn(data.draw(spaces), seed, smallest_noise=0.01)
    scale = problem.scale
    mean, covariance = dense_posterior(
        problem.space.grid,
        problem.points,
        problem.y,
        problem.weights,
        problem.bandwidths,
        scale.prior_deviation,
        scale.noise,
        scale.mean,
        scale.mean_deviation,
    )
    for form in FORMS:
        with in_form(form):
            design = problem.design()
            assert design.by_features == (form == "features")
            fit = design.fit(scale)
            assert_posterior(fit, mean, covariance, scale)
    fit = problem.fit()
    assert_posterior(fit, mean, covariance, scale)
    # As it is used, deviations far below the prior's have all their digits too.
    std = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(np.sqrt(fit.variance()), std, rtol=EXACT)


@given(data=st.data(), seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_posterior_is_that_of_scikit_learn(spaces, data, seed):
    problem = drawn(data.draw(spaces), seed, smallest_noise=0.1)
    scale, grid = problem.scale, problem.space.grid
    kernel = ConstantKernel(scale.prior_deviation**2, "fixed") * RBF(problem.bandwidths, "fixed")
    if scale.mean_deviation:
        kernel += ConstantKernel(scale.mean_deviation**2, "fixed")
    alpha = scale.noise**2 / problem.weights
    process = GaussianProcessRegressor(kernel, alpha=alpha, optimizer=None)
    process.fit(problem.points, problem.y - scale.mean)
    mean, covariance = process.predict(grid, return_cov=True)
    for form in FORMS:
        with in_form(form):
            assert_posterior(problem.design().fit(scale), mean + scale.mean, covariance, scale)


@given(data=st.data(), seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_the_forms_agree_at_the_sites(spaces, data, seed):
    problem = drawn(data.draw(spaces), seed, smallest_noise=0.03)
    by_sites, by_features = (problem.fit(form) for form in FORMS)
    size = EXACT * max(np.abs(problem.y).max(), problem.scale.prior_deviation)
    np.testing.assert_allclose(by_sites.residuals(), by_features.residuals(), rtol=0, atol=size)
    np.testing.assert_allclose(
        by_sites.variances_at_sites(),
        by_features.variances_at_sites(),
        rtol=EXACT,
        atol=EXACT * (1 + problem.scale.mean_ratio**2),
    )


def test_the_cheaper_form_is_taken():
    space = ParameterSpace([Parameter.linear("a", "", 0, 1, 50)])
    seen = CollapsedObservations(1)
    design = Design(gaussian_basis(Lattice.around(space), [0.5]), seen)
    for row in range(design.basis.size + 1):
        assert not design.by_features
        seen.add((row,), 0.0)
        design.add([row], 1.0)
    assert design.by_features


def test_many_features_are_never_gathered_in_a_matrix(monkeypatch):
    monkeypatch.setattr(fit_module, "MAX_FEATURES", 5)
    problem = problem_on(ParameterSpace([Parameter.linear("a", "", 0, 1, 50)]), 3, 0.1)
    problem.bandwidths = [0.5]
    design = problem.design()
    assert 5 < design.basis.size < len(design.seen)
    assert not design.by_features


def test_several_sites_at_once_are_taken_in_once():
    """The step from sites to features falls between an observation and its mirror image."""
    space = ParameterSpace([Parameter.linear("a", "", 0, 1, 30)])
    lattice = Lattice.around(space, border_points(space))
    seen = CollapsedObservations(1)
    design = Design(gaussian_basis(lattice, [0.5]), seen)
    for row in range(1, design.basis.size + 1):
        seen.add((row,), float(row))
        design.add([row - 1], 1.0)
    assert not design.by_features
    edge = lattice.site_of_row(0)
    sites = [edge, *lattice.mirrored(edge)]
    assert len(sites) == 2
    for site in sites:
        seen.add(site, 0.0)
    design.add([seen.row(site) for site in sites], 1.0)
    assert design.by_features
    scale = Scale(1.0, 0.1, 0.0)
    expected = Design(design.basis, seen).fit(scale).mean()
    np.testing.assert_allclose(design.fit(scale).mean(), expected, rtol=0, atol=1e-10)


@pytest.fixture(scope="module")
def tiny():
    """3 × 2 configurations; weights, a repeat, a point off the grid, an uncertain mean."""
    space = ParameterSpace([Parameter("a", "", (0, 1, 3)), Parameter("b", "", (0, 5))])
    points = np.array([[0, 0], [1, 5], [1, 5], [2, 1]], dtype=float)
    y, weights = np.array([1.0, 3.0, 2.5, 1.5]), np.array([1, 1, 2, 0.25])
    return Problem(space, points, y, weights, np.array([1.5, 4.0]), Scale(2.0, 0.7, 1.0, 1.3))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spread", [1.0, 0.8])
def test_samples_have_the_posteriors_mean_and_covariance(tiny, form, spread):
    """Means of n draws spread by std/√n, covariances by √((C_ii C_jj + C_ij²)/n) (Wishart)."""
    n, rng = 6000, np.random.default_rng(0)
    fit = tiny.fit(form)
    draws = np.array([fit.sample(rng, spread) for _ in range(n)])
    mean, covariance = fit.mean(), spread**2 * fit.covariance()
    variance = np.diag(covariance)
    # One false alarm in a million over all 6 + 6·7/2 comparisons.
    allowed = norm.isf(1e-6 / (2 * (6 + 21)))
    assert (np.abs(draws.mean(axis=0) - mean) < allowed * np.sqrt(variance / n)).all()
    scatter = np.sqrt((np.outer(variance, variance) + covariance**2) / n)
    assert (np.abs(np.cov(draws.T) - covariance) < allowed * scatter).all()
    # The comparison is sharp: a fifth less deviation is found out.
    assert (np.abs(np.cov(draws.T) - 0.64 * covariance) > allowed * scatter).any()


@pytest.mark.parametrize("form", FORMS)
def test_spread_scales_the_deviation_about_the_same_mean(tiny, form):
    fit = tiny.fit(form)
    one, half = (fit.sample(np.random.default_rng(4), spread) for spread in (1.0, 0.5))
    assert np.abs(one - fit.mean()).max() > 0.1
    np.testing.assert_allclose(half - fit.mean(), 0.5 * (one - fit.mean()), atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_a_sample_is_pure_in_its_generator(tiny, form):
    fit = tiny.fit(form)
    first = fit.sample(np.random.default_rng(7))
    fit.sample(np.random.default_rng(8))
    fit.variance()
    np.testing.assert_array_equal(first, tiny.fit(form).sample(np.random.default_rng(7)))
    assert (first != fit.sample(np.random.default_rng(8))).any()


@pytest.mark.parametrize("form", FORMS)
def test_before_any_observation_the_prior_stands(form):
    space = ParameterSpace([Parameter("a", "", (0.0, 1.0, 3.0))])
    lattice = Lattice.around(space)
    scale = Scale(2.0, 0.5, -1.0, 3.0)
    with in_form(form):
        fit = Design(gaussian_basis(lattice, [1.0]), CollapsedObservations(1)).fit(scale)
        np.testing.assert_allclose(fit.mean(), -1.0, atol=1e-14)
        np.testing.assert_allclose(fit.variance(), 4.0 + 9.0, rtol=1e-12)
        distances = space.grid - space.grid.T
        prior = 4.0 * np.exp(-0.5 * distances**2) + 9.0
        np.testing.assert_allclose(fit.covariance(), prior, rtol=1e-12)
        assert fit.residuals().shape == fit.variances_at_sites().shape == (0,)
        draws = np.array([fit.sample(np.random.default_rng(i)) for i in range(2000)])
    np.testing.assert_allclose(draws.std(axis=0), math.sqrt(13), rtol=0.1)
