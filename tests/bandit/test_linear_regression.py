"""The posterior of the weights against the textbook's kernel form."""

from __future__ import annotations

import numpy as np
import pytest

from stedopt_bluesky.bandit.linear_regression import WeightPosterior


@pytest.fixture
def problem():
    rng = np.random.default_rng(3)
    features, y = rng.normal(size=(12, 7)), rng.normal(size=12)
    elsewhere = rng.normal(size=(5, 7))
    return features, y, elsewhere


def test_equals_the_kernel_form(problem):
    features, y, elsewhere = problem
    fit = WeightPosterior.fit(features.T @ features, features.T @ y, 0.3)
    inverse = np.linalg.inv(features @ features.T + 0.3 * np.eye(12))
    cross = elsewhere @ features.T
    np.testing.assert_allclose(elsewhere @ fit.mean, cross @ inverse @ y, atol=1e-12)
    covariance = elsewhere @ elsewhere.T - cross @ inverse @ cross.T
    np.testing.assert_allclose(fit.covariance(elsewhere), covariance, atol=1e-12)
    np.testing.assert_allclose(fit.variances(elsewhere), np.diag(covariance), atol=1e-12)


def test_samples_are_a_linear_map_of_the_normals_with_the_right_covariance(problem):
    features, y, _ = problem
    fit = WeightPosterior.fit(features.T @ features, features.T @ y, 0.3)

    class Unit:
        """Stands in for a generator: returns one unit vector after another."""

        def __init__(self, direction):
            self.direction = direction

        def standard_normal(self, size):
            return np.eye(size)[self.direction]

    columns = np.stack([fit.sample(Unit(i), 2.0) - fit.mean for i in range(7)], axis=1)
    covariance = 2.0**2 * 0.3 * np.linalg.inv(features.T @ features + 0.3 * np.eye(7))
    np.testing.assert_allclose(columns @ columns.T, covariance, atol=1e-12)


def test_fit_leaves_its_arguments_alone(problem):
    features, y, _ = problem
    gram, moment = features.T @ features, features.T @ y
    before = gram.copy(), moment.copy()
    WeightPosterior.fit(gram, moment, 0.3)
    np.testing.assert_array_equal(gram, before[0])
    np.testing.assert_array_equal(moment, before[1])
