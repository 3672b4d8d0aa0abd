"""Collapsing must not change what a fit sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.bandit.observations import FIRST_ROWS, CollapsedObservations

sites = st.tuples(st.integers(0, 2), st.integers(0, 1))
observations = st.tuples(sites, st.floats(-10, 10), st.floats(0.1, 5))


@given(history=st.lists(observations, min_size=1, max_size=30), seed=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_equals_the_uncollapsed_sums(history, seed):
    seen = CollapsedObservations(2)
    for site, value, weight in history:
        seen.add(site, value, weight)
    columns = zip(*history, strict=True)
    at, y, w = (np.array(column) for column in columns)
    assert seen.number == len(history)
    assert [tuple(site) for site in seen.sites] == list(dict.fromkeys(map(tuple, at.tolist())))
    np.testing.assert_allclose(seen.total, w.sum(), rtol=1e-12)
    np.testing.assert_allclose(seen.centre, w @ y / w.sum(), atol=1e-12)
    # Any function's weighted squared misfit splits into the sites' means and the spread.
    surface = np.random.default_rng(seed).normal(size=(3, 2))
    collapsed = seen.weights @ (seen.means - surface[tuple(seen.sites.T)]) ** 2
    each = w @ (y - surface[tuple(at.T)]) ** 2
    np.testing.assert_allclose(collapsed + seen.sum_of_squares, each, rtol=1e-10)
    for site in set(map(tuple, at.tolist())):
        here = (at == site).all(axis=1)
        row = seen.row(site)
        np.testing.assert_allclose(seen.weights[row], w[here].sum(), rtol=1e-12)
        np.testing.assert_allclose(
            seen.means[row], np.average(y[here], weights=w[here]), atol=1e-12
        )


def test_more_sites_than_there_is_room_at_first():
    seen = CollapsedObservations(1)
    for row in range(3 * FIRST_ROWS - 1, -1, -1):
        seen.add((row,), float(row))
    expected = np.arange(3 * FIRST_ROWS - 1, -1, -1)
    np.testing.assert_array_equal(seen.sites[:, 0], expected)
    np.testing.assert_array_equal(seen.means, expected)
    np.testing.assert_array_equal(seen.weights, np.ones(3 * FIRST_ROWS))
    assert seen.own.all()


def test_empty():
    seen = CollapsedObservations(2)
    assert len(seen) == seen.number == seen.total == seen.centre == 0
    assert seen.sites.shape == (0, 2)
    with pytest.raises(KeyError):
        seen.row((0, 0))


def test_a_large_offset_costs_no_digits_of_the_spread():
    seen = CollapsedObservations(1)
    for value in (1e6 + 1, 1e6 + 2, 1e6 + 3):
        seen.add((2,), value)
    assert seen.sum_of_squares == 2


def test_mirror_images_are_sites_but_tell_nothing_of_mean_and_noise():
    seen = CollapsedObservations(1)
    for value in (1.0, 3.0):
        seen.add((0,), value)
        seen.add((7,), value, mirrored=True)
    assert (len(seen), seen.number, seen.total, seen.sum_of_squares) == (2, 2, 2.0, 2.0)
    np.testing.assert_array_equal(seen.own, [True, False])
    np.testing.assert_array_equal(seen.means, [2.0, 2.0])
    np.testing.assert_array_equal(seen.weights, [2.0, 2.0])
    assert seen.centre == 2.0


@given(value=st.floats(-1e3, 1e3), weight=st.floats(0.01, 10), count=st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_equal_values_have_no_spread_not_even_by_rounding(value, weight, count):
    seen = CollapsedObservations(1)
    for _ in range(count):
        seen.add((0,), value, weight)
    assert seen.means[0] == value
    assert seen.sum_of_squares == 0
