"""Where the beam is: sparse matrices between the sample's map and the pixels of a scan.

A Gaussian focus is a product of two one-dimensional Gaussians, so that an image is
``R @ map @ C.T`` with one sparse matrix per axis. That needs no common pixel size, shifts by
any fraction of a pixel, and always sums in the same order: same input, same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.special import erf

# The beam is cut where it has fallen to 3e-4 of its peak.
BEAM_RADIUS_SIGMA = 4.0
FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Axis:
    """Equidistant pixels along one axis.

    Parameters
    ----------
    centre_m : float
        Centre of the row of pixels, in m.
    pixel_size_m : float
        Side of a pixel, in m.
    pixels : int
        Number of pixels.
    """

    centre_m: float
    pixel_size_m: float
    pixels: int

    @property
    def length_m(self) -> float:
        """Length from the first pixel's outer edge to the last one's, in m."""
        return self.pixels * self.pixel_size_m

    @property
    def start_m(self) -> float:
        """Outer edge of the first pixel, in m."""
        return self.centre_m - self.length_m / 2

    def centres_m(self) -> npt.NDArray[np.float64]:
        """Centres of the pixels, shape (pixels,), in m."""
        index = np.arange(self.pixels, dtype=np.float64)
        return np.asarray(self.start_m + (index + 0.5) * self.pixel_size_m, dtype=np.float64)

    def part(self, low_m: float, high_m: float) -> tuple[slice, Axis]:
        """Pixels that touch the interval, as a slice (perhaps empty) and as an axis."""
        first = math.floor((low_m - self.start_m) / self.pixel_size_m)
        last = math.ceil((high_m - self.start_m) / self.pixel_size_m)
        first, last = (min(max(i, 0), self.pixels) for i in (first, last))
        start = self.start_m + first * self.pixel_size_m
        length = (last - first) * self.pixel_size_m
        return slice(first, last), Axis(start + length / 2, self.pixel_size_m, last - first)


def beam_matrix(scan: Axis, sample: Axis, fwhm_m: float) -> csr_array:
    """Weight of every map pixel while the beam stands on every scan pixel.

    Parameters
    ----------
    scan, sample : Axis
        The scan's pixels and the map's pixels.
    fwhm_m : float
        Full width at half maximum of the focus, in m.

    Returns
    -------
    csr_array, shape (scan.pixels, sample.pixels), float32
        ``exp(-4 ln2 r²/FWHM²)``, 1 at the centre of the beam.
    """
    sigma = fwhm_m / FWHM_PER_SIGMA
    centres = scan.centres_m()
    # Position of each beam centre in units of map pixels, 0 in the middle of the first.
    position = (centres - sample.start_m) / sample.pixel_size_m - 0.5
    reach = math.ceil(BEAM_RADIUS_SIGMA * sigma / sample.pixel_size_m)
    column = np.round(position).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
    distance = (column - position[:, None]) * (sample.pixel_size_m / sigma)
    weight = np.exp(-0.5 * distance**2).astype(np.float32)
    return _rows_of(column, weight, sample.pixels)


def overlap_matrix(window: Axis, sample: Axis) -> csr_array:
    """Length of every map pixel that lies in every pixel of a window, in map pixels.

    Coarse pixels collect several map pixels, fine ones share one; what lies inside
    the window is conserved.

    Returns
    -------
    csr_array, shape (window.pixels, sample.pixels), float32
        Entries from 0 to 1.
    """
    left = (window.centres_m() - window.pixel_size_m / 2 - sample.start_m) / sample.pixel_size_m
    width = window.pixel_size_m / sample.pixel_size_m
    column = np.floor(left).astype(np.int64)[:, None] + np.arange(math.ceil(width) + 1)
    low = np.maximum(column, left[:, None])
    high = np.minimum(column + 1, left[:, None] + width)
    return _rows_of(column, np.clip(high - low, 0, 1).astype(np.float32), sample.pixels)


def _rows_of(column: npt.NDArray[np.int64], weight: FloatArray, columns: int) -> csr_array:
    """Sparse matrix of a dense band: ``weight[i, k]`` goes to column ``column[i, k]``."""
    inside = (column >= 0) & (column < columns)
    starts = np.concatenate(([0], np.cumsum(inside.sum(axis=1))))
    return csr_array((weight[inside], column[inside], starts), shape=(len(column), columns))


def swept_fraction(scan: Axis, sample: Axis, fwhm_m: float) -> FloatArray:
    """Share of the full dose that a scan leaves along one axis: 1 inside, blurred at the edges.

    The sum of Gaussians over the scan's pixels is, for pixels finer than the beam, a
    box convolved with the Gaussian.

    Returns
    -------
    ndarray, shape (sample.pixels,)
        From 0 to 1; one half on the edge of the scan.
    """
    scale = math.sqrt(2.0) * fwhm_m / FWHM_PER_SIGMA
    offset = sample.centres_m() - scan.centre_m
    half = scan.length_m / 2
    swept = 0.5 * (erf((offset + half) / scale) - erf((offset - half) / scale))
    return np.asarray(swept, dtype=np.float32)


def scan_image(rows: csr_array, density: FloatArray, columns: csr_array) -> FloatArray:
    """Image ``rows @ density @ columns.T``, shape (scan rows, scan columns)."""
    return np.ascontiguousarray((columns @ np.ascontiguousarray((rows @ density).T)).T)
