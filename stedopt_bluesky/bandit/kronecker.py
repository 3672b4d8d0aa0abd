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
from functools import cached_property, lru_cache, reduce

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from stedopt_bluesky.bandit.lattice import Lattice

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

# Products of eigenvalues below this part of the largest one are dropped. It stands under
# float64's rounding error, because the posterior amplifies an error of the kernel by 1/λ.
# Measured with 100 values of unit noise against a noise bound of 0.01 (λ = 4e-6): means
# are wrong by up to 1e-4 with 1e-12, by about 1e-9 with 1e-17, for twice the features.
RELATIVE_TOLERANCE = 1e-17
# Cost of gathering one feature of one site, in numbers passed on the way over the grid:
# indexed reads are dearer than matrix products (measured: about four times).
GATHERING = 4
# Numbers in a block of gathered features: 32 MiB.
BLOCK_NUMBERS = 2**22
# Entries of an eigenvector that differ by less than this part are the same but for rounding.
_SAME = 1e-6


@dataclass(frozen=True, eq=False)
class KroneckerBasis:
    """Features of a product kernel on a lattice of sites around a grid of G configurations.

    Parameters
    ----------
    factors : tuple of ndarray, each of shape (n_i + m_i, p_i)
        Eigenvectors of each parameter's kernel matrix, each multiplied by the square root
        of its eigenvalue, for the p_i largest eigenvalues; the grid's n_i rows first.
    products : tuple of ndarray of int, each of shape (r,)
        For each parameter, which column of its factor enters each of the r features.
    shape : tuple of int
        The grid's n_i.
    """

    factors: tuple[FloatArray, ...]
    products: tuple[IntArray, ...]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of features r."""
        return len(self.products[0])

    @cached_property
    def _passage(self) -> int:
        """Numbers that one chain of mode products passes over the grid."""
        ranks = [factor.shape[1] for factor in self.factors]
        sizes = [
            int(np.prod(ranks[i:])) * int(np.prod(self.shape[: i + 1])) for i in range(len(ranks))
        ]
        return sum(sizes)

    @cached_property
    def kernels(self) -> tuple[FloatArray, ...]:
        """Kernel matrix of each axis, shape (n_i + m_i, n_i + m_i)."""
        return tuple(factor @ factor.T for factor in self.factors)

    def kernel(self, sites: IntArray, others: IntArray) -> FloatArray:
        """Kernel between sites.

        Parameters
        ----------
        sites, others : ndarray of int, shapes (u, D) and (v, D)

        Returns
        -------
        ndarray, shape (u, v)
        """
        values = np.ones((len(sites), len(others)))
        for kernel, a, b in zip(self.kernels, sites.T, others.T, strict=True):
            values *= kernel[np.ix_(a, b)]
        return values

    def features(self, sites: IntArray) -> FloatArray:
        """Features of sites.

        Parameters
        ----------
        sites : ndarray of int, shape (u, D)

        Returns
        -------
        ndarray, shape (u, r)
        """
        features = np.ones((len(sites), self.size))
        for factor, columns, position in zip(self.factors, self.products, sites.T, strict=True):
            features *= factor[position][:, columns]
        return features

    def rows(self, indices: IntArray) -> FloatArray:
        """Features of rows of the grid, shape (u, r)."""
        return self.features(np.stack(np.unravel_index(indices, self.shape), axis=1))

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
        for factor, count in zip(self.factors, self.shape, strict=True):
            # Contracts the leading axis and appends the grid's axis at the end, so that
            # after the last parameter the axes stand in the grid's order again.
            values = values.reshape(factor.shape[1], -1).T @ factor[:count].T
        return values.ravel()

    def at(self, sites: IntArray, weights: FloatArray) -> FloatArray:
        """Values of the function ``φ(x) · weights`` at sites, shape (u,)."""
        if self._over_grid(sites):
            on_grid: FloatArray = self.on_grid(weights).reshape(self.shape)[tuple(sites.T)]
            return on_grid
        values = np.empty(len(sites))
        for block in self._blocks(len(sites)):
            values[block] = self.features(sites[block]) @ weights
        return values

    def project(self, sites: IntArray, values: FloatArray) -> FloatArray:
        """``Σ_j φ(x_j) v_j`` over sites: the adjoint of `at`.

        Parameters
        ----------
        sites : ndarray of int, shape (u, D)
        values : ndarray, shape (u,)

        Returns
        -------
        ndarray, shape (r,)
        """
        if self._over_grid(sites):
            scattered = np.zeros(self.shape)
            scattered[tuple(sites.T)] = values  # sites are distinct
            for factor, count in zip(self.factors, self.shape, strict=True):
                scattered = scattered.reshape(count, -1).T @ factor[:count]
            ranks = tuple(factor.shape[1] for factor in self.factors)
            projected: FloatArray = scattered.reshape(ranks)[self.products]
            return projected
        weights = np.zeros(self.size)
        for block in self._blocks(len(sites)):
            weights += values[block] @ self.features(sites[block])
        return weights

    def _over_grid(self, sites: IntArray) -> bool:
        """Whether mode products over the grid are cheaper than the sites' features."""
        gathered = GATHERING * len(sites) * self.size * len(self.shape)
        return gathered > self._passage and bool((sites < np.array(self.shape)).all())

    def _blocks(self, count: int) -> list[slice]:
        step = max(1, BLOCK_NUMBERS // self.size)
        return [slice(start, start + step) for start in range(0, count, step)]


def gaussian_basis(
    lattice: Lattice,
    bandwidths: Sequence[float],
    relative_tolerance: float = RELATIVE_TOLERANCE,
) -> KroneckerBasis:
    """Features of the anisotropic Gaussian kernel on a lattice.

    The kernel is ``exp(-Σ_i (x_i - x'_i)² / (2 ρ_i²))``.

    Parameters
    ----------
    lattice : Lattice
        Axes; a single value makes a kernel factor of 1.
    bandwidths : sequence of float, shape (D,)
        ρ_i > 0, each in its parameter's unit.
    relative_tolerance : float
        Products of eigenvalues are kept down to this part of the largest one.

    Returns
    -------
    KroneckerBasis
    """
    factors = [
        _eigenfactor(axis.tobytes(), float(rho))
        for axis, rho in zip(lattice.axes, bandwidths, strict=True)
    ]
    eigenvalues = [np.einsum("na,na->a", factor, factor) for factor in factors]
    products = reduce(np.multiply.outer, eigenvalues)
    columns = np.nonzero(products > relative_tolerance * products.max())
    # Eigenvalues fall along each axis: what is kept is a leading block of each factor.
    factors = [factor[:, : c.max() + 1] for factor, c in zip(factors, columns, strict=True)]
    return KroneckerBasis(tuple(factors), columns, lattice.shape)


# Bandwidths change seldom and are shared by objectives: an axis is factorised once for each.
@lru_cache(maxsize=256)
def _eigenfactor(axis: bytes, bandwidth: float) -> FloatArray:
    """Scaled eigenvectors of a 1-D Gaussian kernel matrix, largest eigenvalue first.

    The matrix is first factorised by Cholesky with pivoting, then the factor by SVD: its
    singular values are the square roots of the eigenvalues, so that eigenvalues near the
    rounding error of the largest one still have digits, which `eigh` does not give.

    Parameters
    ----------
    axis : bytes
        The n coordinates, float64.
    bandwidth : float
        In their unit.

    Returns
    -------
    ndarray, shape (n, p)
        ``F`` with ``F @ F.T`` equal to the kernel matrix within rounding; read-only.
    """
    values = np.frombuffer(axis)
    kernel = np.exp(-0.5 * ((values[:, None] - values) / bandwidth) ** 2)
    # tol: stop once no configuration's variance (1 at the start) has a digit left.
    packed, pivots, rank, _ = lapack.dpstrf(kernel, lower=1, tol=np.finfo(np.float64).eps)
    cholesky = np.empty((len(values), rank))
    cholesky[pivots - 1] = np.tril(packed)[:, :rank]
    vectors, roots, _ = np.linalg.svd(cholesky, full_matrices=False)
    # An eigenvector's sign is the library's accident: the largest entry is made positive, so that
    # the same random numbers give the same function everywhere. On evenly spaced values there
    # are two of them, of other signs, and rounding must not choose: it is the first one.
    sizes = np.abs(vectors)
    first = (sizes > sizes.max(axis=0) * (1 - _SAME)).argmax(axis=0)
    largest = vectors[first, np.arange(rank)]
    factor: FloatArray = vectors * (roots * np.sign(largest))
    factor.flags.writeable = False
    return factor
