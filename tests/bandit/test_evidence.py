"""The marginal likelihood against scikit-learn, its derivatives, and its optimum."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from stedopt_bluesky.bandit.evidence import FARTHEST, Evidence, Hypothesis
from stedopt_bluesky.bandit.lattice import Lattice, border_points
from stedopt_bluesky.bandit.observations import CollapsedObservations
from stedopt_bluesky.parameters import Parameter, ParameterSpace

SPACE = ParameterSpace(
    [Parameter("a", "", (0.0, 0.1, 0.5, 0.7, 1.0)), Parameter("b", "", (1.0, 10.0, 30.0, 50.0))]
)
WIDE = Hypothesis(
    bandwidths=(0.5, 20.0),
    bandwidth_width=0.8,
    prior_deviation=0.6,
    prior_deviation_width=0.7,
    noise=0.15,
    noise_width=0.5,
    mean=0.4,
    mean_deviation=0.9,
    probability=0.5,
)
offsets = st.lists(st.floats(-2, 2), min_size=4, max_size=4).map(np.array)


def observed(points, y, weights=None, space=SPACE):
    """Evidence of observations listed one by one."""
    lattice = Lattice.around(space, points)
    seen = CollapsedObservations(len(space.parameters))
    weights = np.ones(len(y)) if weights is None else weights
    for point, value, weight in zip(points, y, weights, strict=True):
        seen.add(lattice.site_of_point(point), float(value), float(weight))
    return Evidence(lattice, seen)


@pytest.fixture(scope="module")
def data():
    """Repeats, weights and a point off the grid."""
    rng = np.random.default_rng(3)
    points = np.concatenate([SPACE.grid[rng.integers(0, SPACE.size, 14)], [[0.33, 7.0]]])
    points = np.concatenate([points, points[:5]])
    y = np.sin(4 * points[:, 0]) + 0.02 * points[:, 1] + 0.1 * rng.normal(size=len(points))
    return points, y, rng.uniform(0.3, 2.0, len(points))


def scikit_learn(points, y, weights, hypothesis, at):
    """Log marginal likelihood with every repeat in a row of its own."""
    scale = hypothesis.scale_at(at)
    kernel = ConstantKernel(scale.prior_deviation**2, "fixed") * RBF(
        hypothesis.bandwidths_at(at), "fixed"
    ) + ConstantKernel(scale.mean_deviation**2, "fixed")
    process = GaussianProcessRegressor(kernel, alpha=scale.noise**2 / weights, optimizer=None)
    return process.fit(points, y - scale.mean).log_marginal_likelihood_value_


@given(one=offsets, other=offsets)
@settings(max_examples=30, deadline=None)
def test_differences_of_the_likelihood_are_scikit_learns(data, one, other):
    evidence = observed(*data)
    ours = evidence.log_likelihood(WIDE, one) - evidence.log_likelihood(WIDE, other)
    theirs = scikit_learn(*data, WIDE, one) - scikit_learn(*data, WIDE, other)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@given(at=offsets)
@settings(max_examples=30, deadline=None)
def test_gradient_is_the_finite_difference(data, at):
    evidence, every, step = observed(*data), np.arange(4), 1e-5
    _, gradient = evidence._loss(WIDE, at, every)
    numeric = [
        -(evidence.log_likelihood(WIDE, at + e) - evidence.log_likelihood(WIDE, at - e))
        / (2 * step)
        for e in step * np.eye(4)
    ]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-5)
    for free in (np.array([3]), np.array([2, 3]), np.array([0, 1])):
        np.testing.assert_array_equal(evidence._loss(WIDE, at, free)[1], gradient[free])


def test_information_is_the_expected_curvature(data):
    """Of the likelihood of all repeats in rows of their own, expected over the data."""
    points, _, weights = data
    at = np.array([0.3, -0.5, 0.2, 0.4])

    def covariance(at):
        scale = WIDE.scale_at(at)
        scaled = (points[:, None] - points) / WIDE.bandwidths_at(at)
        kernel = scale.prior_deviation**2 * np.exp(-0.5 * (scaled**2).sum(axis=-1))
        return kernel + scale.mean_deviation**2 + np.diag(scale.noise**2 / weights)

    true = covariance(at)

    def expected_loss(at):
        matrix = covariance(at)
        return 0.5 * (np.trace(np.linalg.solve(matrix, true)) + np.linalg.slogdet(matrix)[1])

    h = 1e-3
    numeric = np.array(
        [
            [
                (expected_loss(at + a + b) - expected_loss(at + a - b)) / (4 * h * h)
                - (expected_loss(at - a + b) - expected_loss(at - a - b)) / (4 * h * h)
                for b in h * np.eye(4)
            ]
            for a in h * np.eye(4)
        ]
    )
    information = observed(*data)._information(WIDE, at, np.arange(4))
    np.testing.assert_allclose(information, numeric, rtol=1e-3, atol=1e-3)


def drawn(hypothesis, at, count, seed):
    """Noisy values of a function drawn from the prior on a grid of 20 × 20."""
    space = ParameterSpace(
        [Parameter.linear("a", "", 0, 1, 20), Parameter.linear("b", "", 0, 50, 20)]
    )
    rng = np.random.default_rng(seed)
    points = space.grid[rng.integers(0, space.size, count)]
    scale = hypothesis.scale_at(at)
    scaled = (points[:, None] - points) / hypothesis.bandwidths_at(at)
    kernel = np.exp(-0.5 * (scaled**2).sum(axis=-1)) + 1e-10 * np.eye(count)
    function = np.linalg.cholesky(kernel) @ rng.normal(size=count)
    y = scale.mean + scale.prior_deviation * function + scale.noise * rng.normal(size=count)
    return space, points, y


@pytest.mark.parametrize("seed", range(3))
def test_most_probable_hyper_parameters_are_those_it_was_drawn_from(seed):
    """300 values: noise within 15 %, bandwidths within 35 %, from the prior's medians."""
    true = np.array([-1.5, -1.0, 0.5, -1.5])
    space, points, y = drawn(WIDE, true, 300, seed)
    evidence, at = observed(points, y, space=space), np.zeros(4)
    for _ in range(3):
        at = evidence.most_probable(WIDE, at).offsets
    found = np.exp(WIDE.widths * (at - true))
    np.testing.assert_allclose(found[:2], 1, atol=0.35)
    np.testing.assert_allclose(found[3], 1, atol=0.15)


def test_the_optimum_is_flat_and_within_what_is_plausible(data):
    evidence, at = observed(*data), np.zeros(4)
    for _ in range(5):
        at = evidence.most_probable(WIDE, at).offsets
    _, gradient = evidence._loss(WIDE, at, np.arange(4))
    np.testing.assert_allclose(gradient + at, 0, atol=1e-3)
    assert (np.abs(at) < FARTHEST).all()
    absurd = observed(data[0], 1e6 * data[1], data[2]).most_probable(WIDE, np.zeros(4))
    assert (np.abs(absurd.offsets) <= FARTHEST).all()


def test_fixed_hyper_parameters_stay(data):
    fixed = dataclasses.replace(WIDE, bandwidth_width=0.0, prior_deviation_width=0.0)
    best = observed(*data).most_probable(fixed, np.zeros(4))
    np.testing.assert_array_equal(best.offsets[:3], 0)
    assert best.offsets[3] != 0
    assert fixed.bandwidths_at(best.offsets) == pytest.approx(WIDE.bandwidths)


def test_laplaces_evidence_is_near_the_integral(data):
    """Over the noise alone, by quadrature: its logarithm errs by less than 0.2."""
    evidence = observed(*data)
    fixed = dataclasses.replace(WIDE, bandwidth_width=0.0, prior_deviation_width=0.0)
    at = np.zeros(4)
    for _ in range(3):
        best = evidence.most_probable(fixed, at)
        at = best.offsets

    def relative(offset):
        there = np.array([0, 0, 0, offset])
        return math.exp(evidence.log_likelihood(fixed, there) - best.log_evidence) * norm.pdf(
            offset
        )

    integral, _ = quad(relative, -6, 6, points=[float(at[3])])
    assert abs(math.log(integral)) < 0.2


def test_mirror_images_are_left_out():
    lattice = Lattice.around(SPACE, border_points(SPACE))
    with_images, without = CollapsedObservations(2), CollapsedObservations(2)
    for row, value in ((0, 0.3), (7, 0.9), (19, 0.1), (0, 0.5)):
        site = lattice.site_of_row(row)
        for seen in (with_images, without):
            seen.add(site, value)
        for image in lattice.mirrored(site):
            with_images.add(image, value, mirrored=True)
    assert len(with_images) > len(without) == 3
    at = np.array([0.3, -0.5, 0.2, 0.4])
    one, other = (
        Evidence(lattice, seen).log_likelihood(WIDE, at) for seen in (with_images, without)
    )
    assert one == other
