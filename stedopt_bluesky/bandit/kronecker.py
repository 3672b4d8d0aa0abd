"""Kronecker eigenbasis of a product kernel on a grid.

The anisotropic Gaussian kernel is a product of one factor per parameter, so on the grid
its matrix is the Kronecker product of one small matrix per parameter, and its
eigenvectors are products of theirs (Saatçi, "Scalable inference for structured Gaussian
process models", PhD thesis, Cambridge 2011, chapter 5). Eigenvalues of a smooth kernel
fall so fast that a few hundred products carry all of it that float64 can hold: they are
the *features* ``φ(x)`` with ``k(x, x') = φ(x) · φ(x')``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

# Products of eigenvalues below this part of the largest one are dropped. It stands under
# float64's rounding error, because the posterior amplifies an error of the kernel by 1/λ.
# Measured with 100 values of unit noise against a noise bound of 0.01 (λ = 4e-6): means
# are wrong by up to 1e-4 with 1e-12, by about 1e-9 with 1e-17, for twice the features.
RELATIVE_TOLERANCE = 1e-17
# A decision factorises an r × r matrix: about a second at 4096.
MAX_FEATURES = 4096


@dataclass(frozen=True)
class KroneckerBasis:
    """Features of a product kernel on a grid of G configurations.

    Parameters
    ----------
    factors : tuple of ndarray, each of shape (n_i, p_i)
        Eigenvectors of each parameter's kernel matrix, each multiplied by the square root
        of its eigenvalue, for the p_i largest eigenvalues.
    products : tuple of ndarray of int, each of shape (r,)
        For each parameter, which column of its factor enters each of the r features.
    """

    factors: tuple[FloatArray, ...]
    products: tuple[IntArray, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each parameter."""
        return tuple(factor.shape[0] for factor in self.factors)

    @property
    def size(self) -> int:
        """Number of features r."""
        return len(self.products[0])

    def features(self, indices: npt.ArrayLike) -> FloatArray:
        """Features of some configurations.

        Parameters
        ----------
        indices : array_like of int, shape (u,)
            Rows of the grid.

        Returns
        -------
        ndarray, shape (u, r)
        """
        positions = np.unravel_index(np.asarray(indices, dtype=np.intp), self.shape)
        features = np.ones((len(positions[0]), self.size))
        for factor, columns, position in zip(self.factors, self.products, positions, strict=True):
            features *= factor[position][:, columns]
        return features

    def on_grid(self, weights: FloatArray) -> FloatArray:
        """Values of the function ``φ(x) · weights`` on the whole grid, by mode products.

        Parameters
        ----------
        weights : ndarray, shape (r,)
            One weight per feature.

        Returns
        -------
        ndarray, shape (G,)
            In the order of the grid; no G × r matrix is formed on the way.
        """
        values = np.zeros(tuple(factor.shape[1] for factor in self.factors))
        values[self.products] = weights
        for factor in self.factors:
            # Contracts the leading axis and appends the grid's axis at the end, so that
            # after the last parameter the axes stand in the grid's order again.
            values = values.reshape(factor.shape[1], -1).T @ factor.T
        return values.ravel()


def gaussian_basis(
    axes: Sequence[Sequence[float]],
    bandwidths: Sequence[float],
    relative_tolerance: float = RELATIVE_TOLERANCE,
    max_features: int = MAX_FEATURES,
) -> KroneckerBasis:
    """Features of the anisotropic Gaussian kernel on the grid spanned by some axes.

    The kernel is ``exp(-Σ_i (x_i - x'_i)² / (2 ρ_i²))``.

    Parameters
    ----------
    axes : sequence of D sequences of float
        Values of each parameter; a single value makes a kernel factor of 1.
    bandwidths : sequence of float, shape (D,)
        ρ_i > 0, each in its parameter's unit.
    relative_tolerance : float
        Products of eigenvalues are kept down to this part of the largest one.
    max_features : int
        Largest number of features r.

    Returns
    -------
    KroneckerBasis

    Raises
    ------
    ValueError
        When more than ``max_features`` features would be needed.
    """
    factors = [_eigenfactor(axis, rho) for axis, rho in zip(axes, bandwidths, strict=True)]
    eigenvalues = [np.einsum("na,na->a", factor, factor) for factor in factors]
    products = reduce(np.multiply.outer, eigenvalues)
    kept = products > relative_tolerance * products.max()
    if (count := int(np.count_nonzero(kept))) > max_features:
        raise ValueError(
            f"bandwidth too short for this grid: {tuple(float(b) for b in bandwidths)} on "
            f"{tuple(len(axis) for axis in axes)} values needs {count} features, "
            f"at most {max_features} are allowed"
        )
    columns = np.nonzero(kept)
    # Eigenvalues fall along each axis: what is kept is a leading block of each factor.
    factors = [factor[:, : c.max() + 1] for factor, c in zip(factors, columns, strict=True)]
    return KroneckerBasis(tuple(factors), columns)


def _eigenfactor(axis: Sequence[float], bandwidth: float) -> FloatArray:
    """Scaled eigenvectors of a 1-D Gaussian kernel matrix, largest eigenvalue first.

    The matrix is first factorised by Cholesky with pivoting, then the factor by SVD: its
    singular values are the square roots of the eigenvalues, so that eigenvalues near the
    rounding error of the largest one still have digits, which `eigh` does not give.

    Returns
    -------
    ndarray, shape (n, p)
        ``F`` with ``F @ F.T`` equal to the kernel matrix within rounding.
    """
    values = np.asarray(axis, dtype=np.float64)
    kernel = np.exp(-0.5 * ((values[:, None] - values) / bandwidth) ** 2)
    # tol: stop once no configuration's variance (1 at the start) has a digit left.
    packed, pivots, rank, _ = lapack.dpstrf(kernel, lower=1, tol=np.finfo(np.float64).eps)
    cholesky = np.empty((len(values), rank))
    cholesky[pivots - 1] = np.tril(packed)[:, :rank]
    vectors, roots, _ = np.linalg.svd(cholesky, full_matrices=False)
    # An eigenvector's sign is the library's accident: the largest entry is made positive,
    # so that the same random numbers give the same function everywhere.
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(rank)]
    factor: FloatArray = vectors * (roots * np.sign(largest))
    return factor
