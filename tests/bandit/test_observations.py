"""Collapsing must not change what a fit sees."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.bandit.kronecker import gaussian_basis
from stedopt_bluesky.bandit.observations import CollapsedObservations

BASIS = gaussian_basis([[0.0, 1.0, 4.0], [0.0, 2.0]], [2.0, 1.0])
histories = st.lists(st.tuples(st.integers(0, 5), st.floats(-10, 10)), min_size=1, max_size=30)


@given(history=histories, seed=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_equals_the_uncollapsed_sums(history, seed):
    seen = CollapsedObservations(BASIS)
    for index, value in history:
        seen.add(index, value)
    indices, y = (np.array(column) for column in zip(*history, strict=True))
    features = BASIS.features(indices)
    weights = np.random.default_rng(seed).normal(size=BASIS.size)
    residuals = y - y.mean() - features @ weights
    assert seen.total == len(history)
    assert len(seen.counts) == len(set(indices.tolist()))
    np.testing.assert_allclose(seen.centre, y.mean(), atol=1e-12)
    np.testing.assert_allclose(seen.gram, features.T @ features, atol=1e-12)
    np.testing.assert_allclose(seen.moment, features.T @ (y - y.mean()), atol=1e-11)
    np.testing.assert_allclose(
        seen.rms_residual(weights), np.sqrt(np.mean(residuals**2)), rtol=1e-10, atol=1e-12
    )


def test_more_configurations_than_there_is_room_at_first():
    basis = gaussian_basis([np.arange(300.0)], [50.0])
    seen = CollapsedObservations(basis)
    for index in range(299, -1, -1):
        seen.add(index, float(index))
    np.testing.assert_array_equal(seen.features, basis.features(np.arange(299, -1, -1)))
    np.testing.assert_array_equal(seen.means, np.arange(299.0, -1, -1))


def test_empty():
    seen = CollapsedObservations(BASIS)
    assert seen.total == 0
    assert seen.centre == 0
    np.testing.assert_array_equal(seen.moment, np.zeros(BASIS.size))


def test_a_large_offset_costs_no_digits_of_the_spread():
    seen = CollapsedObservations(BASIS)
    for value in (1e6 + 1, 1e6 + 2, 1e6 + 3):
        seen.add(2, value)
    assert seen.sum_of_squares == 2
    assert seen.rms_residual(np.zeros(BASIS.size)) == np.sqrt(2 / 3)
