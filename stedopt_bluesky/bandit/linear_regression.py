"""Bayesian linear regression on features, with the regularisation as the prior's precision."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky, solve_triangular

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class WeightPosterior:
    """Posterior of the weights ``w`` of a function ``f(x) = φ(x) · w``.

    With N observations' features as rows of Φ, ``w`` is normal with mean
    ``A⁻¹ Φᵀ y`` and covariance ``s² λ A⁻¹``, where ``A = Φᵀ Φ + λ I`` and ``s²`` is the
    prior variance of the weights. This equals the kernel form, because
    ``λ φᵀ A⁻¹ φ' = k(x, x') - k_N(x)ᵀ (K_N + λ I)⁻¹ k_N(x')`` (Woodbury), but no
    difference of nearly equal numbers is taken.

    Parameters
    ----------
    mean : ndarray, shape (r,)
        Posterior mean of the weights.
    factor : ndarray, shape (r, r)
        Lower Cholesky factor of A.
    regularisation : float
        λ.
    """

    mean: FloatArray
    factor: FloatArray
    regularisation: float

    @classmethod
    def fit(cls, gram: FloatArray, moment: FloatArray, regularisation: float) -> WeightPosterior:
        """Solve for the weights.

        Parameters
        ----------
        gram : ndarray, shape (r, r)
            ``Φᵀ Φ``.
        moment : ndarray, shape (r,)
            ``Φᵀ y``.
        regularisation : float
            λ > 0.
        """
        matrix = gram.copy()
        matrix[np.diag_indices_from(matrix)] += regularisation
        # Both triangles are equal: the transpose is the Fortran order that LAPACK wants.
        factor = cholesky(matrix.T, lower=True, overwrite_a=True, check_finite=False)
        mean = cho_solve((factor, True), moment, check_finite=False)
        return cls(mean, factor, regularisation)

    def whitened(self, features: FloatArray) -> FloatArray:
        """``L⁻¹ φ``: vectors whose dot products are the posterior kernel over λ.

        Parameters
        ----------
        features : ndarray, shape (u, r)

        Returns
        -------
        ndarray, shape (r, u)
        """
        whitened: FloatArray = solve_triangular(
            self.factor, features.T, lower=True, check_finite=False
        )
        return whitened

    def variances(self, features: FloatArray) -> FloatArray:
        """Posterior kernel ``λ φᵀ A⁻¹ φ`` of each row, without the prior variance ``s²``.

        Parameters
        ----------
        features : ndarray, shape (u, r)

        Returns
        -------
        ndarray, shape (u,)
        """
        whitened = self.whitened(features)
        squares: FloatArray = np.einsum("ru,ru->u", whitened, whitened)
        return self.regularisation * squares

    def covariance(self, features: FloatArray) -> FloatArray:
        """Posterior kernel ``λ φᵀ A⁻¹ φ'`` between all rows, without ``s²``.

        Parameters
        ----------
        features : ndarray, shape (u, r)

        Returns
        -------
        ndarray, shape (u, u)
        """
        whitened = self.whitened(features)
        return self.regularisation * (whitened.T @ whitened)

    def sample(
        self, rng: np.random.Generator, prior_deviation: float, spread: float = 1.0
    ) -> FloatArray:
        """Draw weights.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of r standard normal numbers.
        prior_deviation : float
            Prior standard deviation ``s`` of the weights.
        spread : float
            Factor of the posterior deviation about the mean; 1 draws from the posterior.

        Returns
        -------
        ndarray, shape (r,)
        """
        noise = rng.standard_normal(len(self.mean))
        # L⁻ᵀ z has covariance A⁻¹.
        deviation: FloatArray = solve_triangular(
            self.factor, noise, lower=True, trans="T", check_finite=False
        )
        return self.mean + spread * prior_deviation * math.sqrt(self.regularisation) * deviation
