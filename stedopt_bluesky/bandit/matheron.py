"""Posterior over the observed sites, and samples by Matheron's rule.

The form of a kernel regression whose cost grows with the number u of distinct sites and
not with the number of features: cheapest as long as fewer sites than features are known.
A function drawn from the prior is corrected by what it misses of the observations
(Journel and Huijbregts, "Mining Geostatistics", 1978; Wilson et al., "Efficiently
sampling functions from Gaussian process posteriors", ICML 2020): with the prior drawn in
the Kronecker eigenbasis this is exact, and the correction is a vector of feature weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky, lapack, solve_triangular

from stedopt_bluesky.bandit.kronecker import IntArray, KroneckerBasis

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SitePosterior:
    """Posterior of a function known by noisy values at u distinct sites.

    All in units of the prior variance: with prior kernel ``k + m²`` (m the relative
    deviation of the prior mean) and noise ``λ / n_j`` at site j, ``A = K + m² + diag(λ/n)``.

    Parameters
    ----------
    basis : KroneckerBasis
        r features.
    sites : ndarray of int, shape (u, D)
        Distinct sites.
    noise : ndarray, shape (u,)
        ``λ / n_j``.
    factor : ndarray, shape (u, u)
        Lower Cholesky factor of A.
    residual : ndarray, shape (u,)
        Observed means minus the prior mean.
    mean_ratio : float
        m.
    """

    basis: KroneckerBasis
    sites: IntArray
    noise: FloatArray
    factor: FloatArray
    residual: FloatArray
    mean_ratio: float

    @classmethod
    def fit(
        cls,
        basis: KroneckerBasis,
        sites: IntArray,
        kernel: FloatArray,
        noise: FloatArray,
        residual: FloatArray,
        mean_ratio: float,
    ) -> SitePosterior:
        """Factorise. ``kernel`` of shape (u, u) is between the sites, without m²."""
        matrix = kernel + mean_ratio**2
        matrix[np.diag_indices_from(matrix)] += noise
        # Both triangles are equal: the transpose is the Fortran order that LAPACK wants.
        factor = cholesky(matrix.T, lower=True, overwrite_a=True, check_finite=False)
        return cls(basis, sites, noise, factor, residual, mean_ratio)

    def mean(self) -> FloatArray:
        """Weights of the posterior mean: the constant's, then the r features', shape (1+r,)."""
        return self._weights(self._solve(self.residual))

    def sample(self, rng: np.random.Generator, deviation: float, spread: float) -> FloatArray:
        """Draw a function: weights of the constant and the r features, shape (1+r,).

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of 1 + r + u standard normal numbers.
        deviation : float
            Prior standard deviation s.
        spread : float
            Factor of the posterior deviation about the mean; 1 draws from the posterior.
        """
        prior = deviation * spread * rng.standard_normal(1 + self.basis.size)
        if not len(self.sites):
            prior[0] *= self.mean_ratio
            return prior
        noise = deviation * spread * np.sqrt(self.noise) * rng.standard_normal(len(self.sites))
        there = self.mean_ratio * prior[0] + self.basis.at(self.sites, prior[1:])
        correction = self._weights(self._solve(self.residual - there - noise))
        correction[0] += self.mean_ratio * prior[0]
        correction[1:] += prior[1:]
        return correction

    def residuals(self) -> FloatArray:
        """Observed means minus posterior mean at the sites, shape (u,)."""
        residuals: FloatArray = self.noise * self._solve(self.residual)
        return residuals

    def variances(self) -> FloatArray:
        """Posterior variances at the sites, over the prior variance, shape (u,)."""
        if not len(self.sites):
            return np.zeros(0)
        inverse, _ = lapack.dpotri(self.factor, lower=1)
        variances: FloatArray = self.noise - self.noise**2 * np.diag(inverse)
        return variances

    def grid_variances(self, rows: IntArray) -> FloatArray:
        """Posterior variances at rows of the grid, over the prior variance."""
        at = np.stack(np.unravel_index(rows, self.basis.shape), axis=1)
        prior = np.full(len(rows), 1 + self.mean_ratio**2)
        if not len(self.sites):
            return prior
        cross = self.basis.kernel(self.sites, at) + self.mean_ratio**2
        whitened = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        variances: FloatArray = prior - np.einsum("ug,ug->g", whitened, whitened)
        return variances

    def grid_covariance(self, rows: IntArray) -> FloatArray:
        """Posterior covariance between rows of the grid, over the prior variance."""
        at = np.stack(np.unravel_index(rows, self.basis.shape), axis=1)
        prior = self.basis.kernel(at, at) + self.mean_ratio**2
        if not len(self.sites):
            return prior
        cross = self.basis.kernel(self.sites, at) + self.mean_ratio**2
        covariance: FloatArray = prior - cross.T @ self._solve(cross)
        return covariance

    def _solve(self, right: FloatArray) -> FloatArray:
        if not len(self.sites):
            return right
        solved: FloatArray = cho_solve((self.factor, True), right, check_finite=False)
        return solved

    def _weights(self, coefficients: FloatArray) -> FloatArray:
        constant = self.mean_ratio**2 * float(coefficients.sum())
        return np.concatenate([[constant], self.basis.project(self.sites, coefficients)])


def noise_of(weights: FloatArray, noise: float, deviation: float) -> FloatArray:
    """``λ / n_j`` with ``λ = σ²/s²``, shape (u,)."""
    return math.pow(noise / deviation, 2) / weights
