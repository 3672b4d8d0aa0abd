"""Observations of one objective, collapsed to what a fit needs of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.bandit.lattice import Site

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

# Distinct sites that have room at first: the paper's runs take 60 to 100 images.
FIRST_ROWS = 128


class CollapsedObservations:
    """Weight and mean of the values at each of the u distinct sites observed.

    The spread of repeats about their site's mean cannot change a fit at known noise; its
    sum of squares belongs to every fit's residual, and tells the noise by itself.

    Parameters
    ----------
    dimensions : int
        Number of parameters D.

    Attributes
    ----------
    number : int
        Values observed, mirror images left out.
    sum_of_squares : float
        Squared deviations of all values from their sites' means, weighted, mirror images
        left out.
    """

    def __init__(self, dimensions: int) -> None:
        self._rows: dict[Site, int] = {}
        # Grown by doubling: copying all rows for each new one would show at 1,000 images.
        self._sites = np.zeros((FIRST_ROWS, dimensions), dtype=np.intp)
        self._weights = np.zeros(FIRST_ROWS)
        self._means = np.zeros(FIRST_ROWS)
        self._own = np.zeros(FIRST_ROWS, dtype=np.bool_)
        self.number = 0
        self.sum_of_squares = 0.0

    def add(self, site: Site, value: float, weight: float = 1.0, *, mirrored: bool = False) -> None:
        """Add one observation by a running mean (West, Commun. ACM 22:532, 1979).

        Parameters
        ----------
        site : tuple of int
            Where.
        value : float
            What.
        weight : float
            For how many observations it counts, above 0.
        mirrored : bool
            Whether it only repeats another one beyond the border: the noise is then not
            estimated from it.
        """
        row = self._rows.setdefault(site, len(self._rows))
        if row == len(self._sites):
            self._grow()
        self._sites[row] = site
        self._own[row] |= not mirrored
        self._weights[row] += weight
        step = value - self._means[row]
        self._means[row] += step * weight / self._weights[row]
        if not mirrored:
            self.number += 1
            self.sum_of_squares += float(weight * step * (value - self._means[row]))

    def _grow(self) -> None:
        for name in ("_sites", "_weights", "_means", "_own"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros_like(array)]))

    def row(self, site: Site) -> int:
        """Row of a site that was observed or mirrored."""
        return self._rows[site]

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def sites(self) -> IntArray:
        """Distinct sites in order of first observation, shape (u, D)."""
        return self._sites[: len(self)]

    @property
    def weights(self) -> FloatArray:
        """Sum of the weights of the values observed at each site, shape (u,)."""
        return self._weights[: len(self)]

    @property
    def means(self) -> FloatArray:
        """Weighted mean of the values observed at each site, shape (u,)."""
        return self._means[: len(self)]

    @property
    def own(self) -> npt.NDArray[np.bool_]:
        """Whether a site was observed, not only mirrored, shape (u,)."""
        return self._own[: len(self)]

    @property
    def total(self) -> float:
        """Sum of the weights of what was observed, mirror images left out."""
        return float(self.weights[self.own].sum())

    @property
    def centre(self) -> float:
        """Weighted mean of all values observed, mirror images left out; 0 before the first."""
        own = self.own
        return float(self.weights[own] @ self.means[own]) / (self.total or 1.0)
