"""Matheron's rule in exact arithmetic: a sample is an affine map of its normal numbers."""

from __future__ import annotations

import numpy as np
import pytest

from stedopt_bluesky.bandit.kronecker import gaussian_basis
from stedopt_bluesky.bandit.lattice import Lattice
from stedopt_bluesky.bandit.matheron import SitePosterior, noise_of
from stedopt_bluesky.parameters import Parameter, ParameterSpace

SPACE = ParameterSpace([Parameter("a", "", (0.0, 1.0, 3.0, 3.5)), Parameter("b", "", (1.0, 2.0))])
POINTS = np.array([[0.0, 1.0], [3.0, 2.0], [2.0, 1.5], [3.5, 1.0]])
RESIDUAL = np.array([0.3, -1.0, 0.7, 2.0])
NOISE = np.array([0.2, 0.05, 1.0, 0.1])
RHO = np.array([1.2, 0.8])
M = 0.9  # deviation of the prior mean, over that of the function


def kernel(a, b):
    return np.exp(-0.5 * (((a[:, None] - b) / RHO) ** 2).sum(axis=-1)) + M**2


@pytest.fixture(scope="module")
def posterior():
    lattice = Lattice.around(SPACE, POINTS)
    basis = gaussian_basis(lattice, RHO)
    sites = np.array([lattice.site_of_point(point) for point in POINTS])
    return SitePosterior.fit(basis, sites, basis.kernel(sites, sites), NOISE, RESIDUAL, M)


@pytest.fixture(scope="module")
def dense():
    """Posterior mean and covariance on the grid, over the prior variance."""
    inverse = np.linalg.inv(kernel(POINTS, POINTS) + np.diag(NOISE))
    cross = kernel(POINTS, SPACE.grid)
    covariance = kernel(SPACE.grid, SPACE.grid) - cross.T @ inverse @ cross
    return cross.T @ inverse @ RESIDUAL, covariance


def on_grid(posterior, weights):
    return weights[0] + posterior.basis.on_grid(weights[1:])


def test_mean_and_covariance_are_the_dense_formula(posterior, dense):
    rows = np.arange(SPACE.size)
    np.testing.assert_allclose(on_grid(posterior, posterior.mean()), dense[0], atol=1e-13)
    np.testing.assert_allclose(posterior.grid_covariance(rows), dense[1], atol=1e-13)
    np.testing.assert_allclose(posterior.grid_variances(rows), np.diag(dense[1]), atol=1e-13)


class Unit:
    """Stands in for a generator: its numbers, in the order of asking, are one unit vector."""

    def __init__(self, direction):
        self.direction = direction

    def standard_normal(self, size):
        numbers = np.zeros(size)
        if 0 <= self.direction < size:
            numbers[self.direction] = 1.0
        self.direction -= size
        return numbers


@pytest.mark.parametrize("spread", [1.0, 0.3])
def test_samples_have_exactly_the_posterior_covariance(posterior, dense, spread):
    deviation = 2.5
    count = 1 + posterior.basis.size + len(POINTS)
    mean = on_grid(posterior, posterior.mean())
    columns = [
        on_grid(posterior, posterior.sample(Unit(i), deviation, spread)) - mean
        for i in range(count)
    ]
    covariance = np.transpose(columns) @ columns
    np.testing.assert_allclose(covariance, (deviation * spread) ** 2 * dense[1], atol=1e-12)
    none_left = on_grid(posterior, posterior.sample(Unit(count), deviation, spread))
    np.testing.assert_allclose(none_left, mean, atol=1e-13)


def test_residuals_and_variances_at_the_sites(posterior):
    gram = kernel(POINTS, POINTS)
    inverse = np.linalg.inv(gram + np.diag(NOISE))
    fitted = gram @ inverse @ RESIDUAL
    np.testing.assert_allclose(posterior.residuals(), RESIDUAL - fitted, atol=1e-13)
    variances = np.diag(gram - gram @ inverse @ gram)
    np.testing.assert_allclose(posterior.variances(), variances, atol=1e-13)


def test_noise_is_relative_to_the_prior_and_falls_with_the_weight():
    noise = noise_of(np.array([1.0, 4.0, 0.25]), noise=0.6, deviation=2.0)
    np.testing.assert_allclose(noise, [0.09, 0.0225, 0.36])
