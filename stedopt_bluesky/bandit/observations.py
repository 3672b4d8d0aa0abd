"""Observations of one objective, collapsed to what a fit needs of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.bandit.kronecker import KroneckerBasis

FloatArray = npt.NDArray[np.float64]

# Distinct configurations that have room at first: the paper's runs take 60 to 100 images.
FIRST_ROWS = 128


class CollapsedObservations:
    """Count and mean of the values at each of the u distinct configurations observed.

    The spread of repeats about their configuration's mean cannot change a fit; its sum of
    squares belongs to every fit's residual.

    Parameters
    ----------
    basis : KroneckerBasis
        The grid's r features.

    Attributes
    ----------
    counts : ndarray of int, shape (u,)
        Number of observations of each configuration, in order of first observation.
    means : ndarray, shape (u,)
        Mean of the values observed there.
    gram : ndarray, shape (r, r)
        ``Φᵀ Φ`` over all observations, repeats counted.
    sum_of_squares : float
        Squared deviations of all values from their configurations' means.
    """

    def __init__(self, basis: KroneckerBasis) -> None:
        self._basis = basis
        self._rows: dict[int, int] = {}
        self.counts = np.zeros(0, dtype=np.int64)
        self.means = np.zeros(0)
        # Grown by doubling: copying all rows for each new one would show at 1,000 images.
        self._features = np.zeros((FIRST_ROWS, basis.size))
        self.gram = np.zeros((basis.size, basis.size))
        self.sum_of_squares = 0.0

    def add(self, index: int, value: float) -> None:
        """Add one observation by a running mean (Welford, Technometrics 4:419, 1962)."""
        row = self._rows.setdefault(index, len(self._rows))
        if row == len(self.counts):
            self.counts = np.append(self.counts, 0)
            self.means = np.append(self.means, 0.0)
            if row == len(self._features):
                self._features = np.concatenate([self._features, np.zeros_like(self._features)])
            self._features[row] = self._basis.features([index])[0]
        features = self._features[row]
        self.gram += np.outer(features, features)
        self.counts[row] += 1
        step = value - self.means[row]
        self.means[row] += step / self.counts[row]
        self.sum_of_squares += float(step * (value - self.means[row]))

    @property
    def features(self) -> FloatArray:
        """Features of the distinct configurations, shape (u, r)."""
        return self._features[: len(self.counts)]

    @property
    def total(self) -> int:
        """Number of observations t, repeats counted."""
        return int(self.counts.sum())

    @property
    def centre(self) -> float:
        """Mean of all values, 0 before the first."""
        return float(self.counts @ self.means) / max(self.total, 1)

    @property
    def moment(self) -> FloatArray:
        """``Φᵀ (y - centre)``, shape (r,)."""
        moment: FloatArray = (self.counts * (self.means - self.centre)) @ self.features
        return moment

    def rms_residual(self, weights: FloatArray) -> float:
        """Root mean square of ``y - centre - Φ w`` over all observations.

        Parameters
        ----------
        weights : ndarray, shape (r,)
        """
        misfit = self.means - self.centre - self.features @ weights
        return float(np.sqrt((self.sum_of_squares + self.counts @ misfit**2) / self.total))
