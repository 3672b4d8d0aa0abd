"""The features must reproduce the kernel, and mode products the features."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.bandit import kronecker
from stedopt_bluesky.bandit.kronecker import gaussian_basis
from stedopt_bluesky.bandit.lattice import Lattice

values = st.lists(st.floats(-100, 100), min_size=1, max_size=6, unique=True).map(sorted)
grids = st.lists(values, min_size=1, max_size=4)


def on_grid(axes):
    """Lattice of the axes' values alone."""
    arrays = tuple(np.asarray(axis, dtype=np.float64) for axis in axes)
    return Lattice(arrays, tuple(len(axis) for axis in arrays))


def every(lattice):
    """All sites, those beside the grid too, and their points."""
    sites = np.stack([i.ravel() for i in np.indices([len(a) for a in lattice.axes])], axis=1)
    points = [axis[i] for axis, i in zip(lattice.axes, sites.T, strict=True)]
    return sites, np.stack(points, axis=1)


def dense_kernel(points, bandwidths):
    scaled = (points[:, None] - points) / np.asarray(bandwidths)
    return np.exp(-0.5 * (scaled**2).sum(axis=-1))


def with_points_beside(axes, data):
    """Up to two further coordinates on each axis."""
    beside = [data.draw(st.lists(st.floats(-200, 200), max_size=2)) for _ in axes]
    arrays = [np.array([*axis, *more]) for axis, more in zip(axes, beside, strict=True)]
    return Lattice(tuple(arrays), tuple(len(axis) for axis in axes))


@given(axes=grids, data=st.data())
@settings(max_examples=60, deadline=None)
def test_features_reproduce_the_kernel(axes, data):
    bandwidths = [data.draw(st.floats(0.1, 1000)) for _ in axes]
    lattice = with_points_beside(axes[:3], data)
    basis = gaussian_basis(lattice, bandwidths[:3])
    sites, points = every(lattice)
    features = basis.features(sites)
    assert features.shape == (len(sites), basis.size)
    dense = dense_kernel(points, bandwidths[:3])
    np.testing.assert_allclose(features @ features.T, dense, rtol=0, atol=2e-14)
    np.testing.assert_allclose(basis.kernel(sites[::2], sites), dense[::2], rtol=0, atol=2e-14)


@given(axes=grids, seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_mode_products_equal_the_dense_product(axes, seed):
    basis = gaussian_basis(on_grid(axes), [20.0] * len(axes))
    weights = np.random.default_rng(seed).normal(size=basis.size)
    rows = np.arange(np.prod(basis.shape))
    dense = basis.rows(rows) @ weights
    np.testing.assert_allclose(basis.on_grid(weights), dense, rtol=0, atol=1e-12)


@pytest.mark.parametrize("gathering", [0, 1e9])
@given(axes=grids, data=st.data(), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_values_at_sites_and_their_adjoint(gathering, axes, data, seed):
    """Over the grid or gathered, in blocks or at once."""
    lattice = with_points_beside(axes[:3], data) if seed % 2 else on_grid(axes[:3])
    basis = gaussian_basis(lattice, [30.0] * len(axes[:3]))
    rng = np.random.default_rng(seed)
    sites, _ = every(lattice)
    sites = rng.permutation(sites)[: rng.integers(1, len(sites) + 1)]
    weights, numbers = rng.normal(size=basis.size), rng.normal(size=len(sites))
    features = basis.features(sites)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kronecker, "GATHERING", gathering)
        patch.setattr(kronecker, "BLOCK_NUMBERS", 3 * basis.size)
        np.testing.assert_allclose(basis.at(sites, weights), features @ weights, atol=1e-12)
        np.testing.assert_allclose(basis.project(sites, numbers), numbers @ features, atol=1e-12)


def test_smooth_kernel_needs_few_features():
    # Science of record: 145 at 7 × 7 × 7 and 138 at 100 × 100 × 100 above 1e-12.
    for points, count in ((7, 145), (100, 138)):
        lattice = on_grid([np.linspace(0, 1, points)] * 3)
        assert gaussian_basis(lattice, [1.0] * 3, relative_tolerance=1e-12).size == count


def test_single_value_is_a_factor_of_one():
    alone = gaussian_basis(on_grid([[0.0, 1.0, 3.0]]), [2.0])
    beside = gaussian_basis(on_grid([[7.0], [0.0, 1.0, 3.0], [-1.0]]), [1.0, 2.0, 5.0])
    rows = np.arange(3)
    np.testing.assert_array_equal(beside.rows(rows), alone.rows(rows))


def test_eigenvectors_signs_are_fixed():
    """Of evenly spaced values each is even or odd: the largest entry of its first half tells."""
    (factor,) = gaussian_basis(on_grid([np.linspace(0, 1, 9)]), [0.3]).factors
    np.testing.assert_allclose(np.abs(factor), np.abs(factor[::-1]), atol=1e-12)
    half = factor[:5]
    largest = half[np.abs(half).argmax(axis=0), np.arange(factor.shape[1])]
    assert (largest > 0).all()


@pytest.mark.parametrize("count", [5, 70])
def test_far_apart_values_are_independent(count):
    basis = gaussian_basis(on_grid([np.arange(float(count)), np.arange(4.0)]), [0.01, 0.01])
    assert basis.size == 4 * count
    features = basis.rows(np.arange(4 * count))
    np.testing.assert_allclose(features @ features.T, np.eye(4 * count), atol=1e-15)
