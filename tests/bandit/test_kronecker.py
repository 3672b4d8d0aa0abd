"""The features must reproduce the kernel, and mode products the features."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.bandit.kronecker import gaussian_basis

values = st.lists(st.floats(-100, 100), min_size=1, max_size=6, unique=True).map(sorted)
grids = st.lists(values, min_size=1, max_size=4)


def dense_kernel(axes, bandwidths):
    points = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
    scaled = (points[:, None] - points) / np.asarray(bandwidths)
    return np.exp(-0.5 * (scaled**2).sum(axis=-1))


@given(axes=grids, data=st.data())
@settings(max_examples=60, deadline=None)
def test_features_reproduce_the_kernel(axes, data):
    bandwidths = [data.draw(st.floats(0.1, 1000)) for _ in axes]
    basis = gaussian_basis(axes, bandwidths)
    features = basis.features(np.arange(np.prod(basis.shape)))
    assert features.shape == (np.prod([len(a) for a in axes]), basis.size)
    np.testing.assert_allclose(
        features @ features.T, dense_kernel(axes, bandwidths), rtol=0, atol=2e-14
    )


@given(axes=grids, seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_mode_products_equal_the_dense_product(axes, seed):
    basis = gaussian_basis(axes, [20.0] * len(axes))
    weights = np.random.default_rng(seed).normal(size=basis.size)
    dense = basis.features(np.arange(np.prod(basis.shape))) @ weights
    np.testing.assert_allclose(basis.on_grid(weights), dense, rtol=0, atol=1e-12)


def test_smooth_kernel_needs_few_features():
    # Science of record: 145 at 7 × 7 × 7 and 138 at 100 × 100 × 100 above 1e-12.
    for points, count in ((7, 145), (100, 138)):
        axes = [np.linspace(0, 1, points)] * 3
        assert gaussian_basis(axes, [1.0] * 3, relative_tolerance=1e-12).size == count


def test_single_value_is_a_factor_of_one():
    alone = gaussian_basis([[0.0, 1.0, 3.0]], [2.0])
    beside = gaussian_basis([[7.0], [0.0, 1.0, 3.0], [-1.0]], [1.0, 2.0, 5.0])
    every = np.arange(3)
    np.testing.assert_array_equal(beside.features(every), alone.features(every))


def test_eigenvectors_signs_are_fixed():
    (factor,) = gaussian_basis([np.linspace(0, 1, 9)], [0.3]).factors
    largest = factor[np.abs(factor).argmax(axis=0), np.arange(factor.shape[1])]
    assert (largest > 0).all()


def test_far_apart_values_are_independent():
    basis = gaussian_basis([np.arange(5.0), np.arange(4.0)], [0.01, 0.01])
    assert basis.size == 20
    features = basis.features(np.arange(20))
    np.testing.assert_allclose(features @ features.T, np.eye(20), atol=1e-15)


def test_too_short_a_bandwidth_is_refused():
    axes = [np.arange(70.0), np.arange(70.0)]
    with pytest.raises(ValueError, match=r"bandwidth too short .* 4900 features, at most 4096"):
        gaussian_basis(axes, [0.01, 0.01])
    assert gaussian_basis(axes, [0.01, 0.01], max_features=4900).size == 4900
