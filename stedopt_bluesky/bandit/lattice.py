"""Where a model is defined: the grid of configurations, and coordinates beside it.

An observation of an earlier experiment, or one mirrored beyond a border, may lie off the
grid. Its coordinates are appended to the parameters' axes: the kernel on the enlarged
lattice is still a Kronecker product, so nothing has to be approximated, and samples are
drawn on the grid alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.parameters import ParameterSpace

FloatArray = npt.NDArray[np.float64]
# One position per axis: those of the grid come first, then the appended ones.
Site = tuple[int, ...]

# Coordinates closer than this part of an axis's range are one, as in `ParameterSpace.index`.
SAME_COORDINATE = 1e-9


@dataclass(frozen=True, eq=False)
class Lattice:
    """Axes of the grid with appended coordinates.

    Parameters
    ----------
    axes : tuple of ndarray, each of shape (n_i + m_i,)
        For each parameter the grid's n_i values, then m_i further coordinates.
    shape : tuple of int
        The n_i.
    """

    axes: tuple[FloatArray, ...]
    shape: tuple[int, ...]

    @classmethod
    def around(cls, space: ParameterSpace, points: npt.ArrayLike = ()) -> Lattice:
        """Append what is needed to hold some points.

        Parameters
        ----------
        space : ParameterSpace
            Grid of D parameters.
        points : array_like, shape (P, D)
            In the parameters' units, on the grid or off it.
        """
        coordinates = np.asarray(points, dtype=np.float64).reshape(-1, len(space.parameters))
        axes = []
        for column, parameter in enumerate(space):
            grid = np.asarray(parameter.values)
            wanted = np.unique(coordinates[:, column])
            tolerance = _tolerance(grid, parameter.range)
            # Of values that are one within the tolerance, the first.
            wanted = wanted[np.diff(wanted, prepend=-np.inf) > tolerance]
            missing = [v for v in wanted if np.abs(grid - v).min() > tolerance]
            axes.append(np.concatenate([grid, missing]))
        return cls(tuple(axes), space.shape)

    def site_of_row(self, index: int) -> Site:
        """Site of a row of the grid."""
        return tuple(int(i) for i in np.unravel_index(index, self.shape))

    def site_of_point(self, point: Sequence[float]) -> Site:
        """Site of a point that the lattice was made to hold.

        Raises
        ------
        ValueError
            When it does not hold it.
        """
        site = []
        for axis, count, value in zip(self.axes, self.shape, point, strict=True):
            position, found = _nearest(axis, float(value), axis[count - 1] - axis[0])
            if not found:
                raise ValueError(f"the model was not made to hold the point {tuple(point)}")
            site.append(position)
        return tuple(site)

    def mirrored(self, site: Site) -> list[Site]:
        """Mirror images of a site on the grid's border, as far as the lattice holds them.

        Durand et al. 2018, released program: an observation on a parameter's bound is
        repeated one full range outside. On several bounds, it is mirrored at each of them
        in turn.
        """
        images = []
        for i, (axis, count) in enumerate(zip(self.axes, self.shape, strict=True)):
            if site[i] not in (0, count - 1) or count == 1:
                continue
            step = axis[count - 1] - axis[0]
            outside = axis[0] - step if site[i] == 0 else axis[count - 1] + step
            position, found = _nearest(axis, outside, step)
            if found:
                images.append((*site[:i], position, *site[i + 1 :]))
        return images


def border_points(space: ParameterSpace) -> FloatArray:
    """Points that make a lattice hold every mirror image, shape (2, D).

    One range below the lowest values and one above the highest ones.
    """
    low = [p.values[0] - p.range for p in space]
    high = [p.values[-1] + p.range for p in space]
    return np.array([low, high])


def _nearest(axis: FloatArray, value: float, scale: float) -> tuple[int, bool]:
    """Position of the nearest coordinate, and whether it is the same."""
    position = int(np.abs(axis - value).argmin())
    return position, bool(abs(axis[position] - value) <= _tolerance(axis, scale))


def _tolerance(axis: FloatArray, scale: float) -> float:
    return SAME_COORDINATE * (scale or abs(float(axis[0])) or 1.0)
