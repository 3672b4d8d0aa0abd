"""Observations of one objective, collapsed to what a fit needs of them."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.bandit.lattice import Lattice, Site, border_points
from stedopt_bluesky.parameters import ParameterSpace

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
        before = self._weights[row]
        self._weights[row] += weight
        step = value - self._means[row]
        self._means[row] += step * (weight / self._weights[row])
        if not mirrored:
            self.number += 1
            # Never negative, not even by rounding.
            self.sum_of_squares += float(weight * step**2 * (before / self._weights[row]))

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


class Observed:
    """Observations of one objective on a lattice around the grid, mirror images included.

    Parameters
    ----------
    space : ParameterSpace
        Grid of G configurations.
    points : array_like, shape (P, D)
        Where earlier experiments observed, in the parameters' units.
    border : bool
        Whether an observation on the grid's border is mirrored beyond it.
    """

    def __init__(self, space: ParameterSpace, points: npt.ArrayLike, border: bool) -> None:
        beyond = border_points(space) if border else np.zeros((0, len(space.parameters)))
        earlier = np.asarray(points, dtype=np.float64).reshape(-1, len(space.parameters))
        self.lattice = Lattice.around(space, np.concatenate([earlier, beyond]))
        self.seen = CollapsedObservations(len(space.parameters))
        self._size = space.size
        self._border = border

    def add(self, index: int, value: float) -> list[Site]:
        """Add an observation of a row of the grid; return the sites that were touched.

        Raises
        ------
        IndexError
            When ``index`` is not on the grid.
        ValueError
            When ``value`` is not finite. In both cases nothing has changed.
        """
        index = operator.index(index)
        if not 0 <= index < self._size:
            raise IndexError(f"configuration {index} is outside 0 … {self._size - 1}")
        return self._add(self.lattice.site_of_row(index), value, 1.0)

    def add_at(self, point: Sequence[float], value: float, weight: float) -> list[Site]:
        """Add an observation at a point that the lattice holds; return the touched sites.

        Raises
        ------
        ValueError
            When the lattice does not hold the point, or value or weight are not acceptable.
        """
        if not 0 < weight < math.inf:
            raise ValueError(f"a weight must be positive and finite, got {weight}")
        return self._add(self.lattice.site_of_point(point), value, float(weight))

    def _add(self, site: Site, value: float, weight: float) -> list[Site]:
        value = float(value)
        if not math.isfinite(value):
            raise ValueError(f"an observation must be finite, got {value}")
        self.seen.add(site, value, weight)
        images = self.lattice.mirrored(site) if self._border else []
        for image in images:
            self.seen.add(image, value, weight, mirrored=True)
        return [site, *images]
