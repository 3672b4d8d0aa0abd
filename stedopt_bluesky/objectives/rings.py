"""Rings of equal spatial frequency in the half-plane spectrum of a real image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.parameters import FloatArray


@dataclass(frozen=True)
class FourierRings:
    """Which ring each Fourier pixel of `numpy.fft.rfft2` lies in.

    Ring ``i`` of ``n`` holds the frequencies ``i/n <= k < (i+1)/n`` with ``k`` the length of the
    frequency vector relative to Nyquist (1 = 0.5 cycles per pixel, along either axis, also
    when the image is not square): *floor* rings, the first of which begins with the zero
    frequency. Frequencies from Nyquist on, in the corners of the plane, lie in no ring.

    Attributes
    ----------
    inside : ndarray of intp, shape (P,)
        Flat positions, in the half-plane, of the P pixels that lie in a ring.
    ring : ndarray of intp, shape (P,)
        Ring of each of them.
    weight : ndarray of float64, shape (P,)
        2 where the pixel stands for its conjugate in the other half-plane too, else 1.
    pixels : ndarray of float64, shape (n,)
        Pixels of the *whole* plane in each ring.
    frequency : ndarray of float64, shape (n,)
        Mean frequency of these pixels, relative to Nyquist; the ring's middle where it has none.
    """

    inside: npt.NDArray[np.intp]
    ring: npt.NDArray[np.intp]
    weight: FloatArray
    pixels: FloatArray
    frequency: FloatArray

    def sum(self, values: FloatArray) -> FloatArray:
        """Sum over each ring of the whole plane.

        Parameters
        ----------
        values : ndarray, shape (Y, X // 2 + 1)
            One real value per pixel of the half-plane, the same at conjugate frequencies.

        Returns
        -------
        ndarray, shape (n,)
        """
        inside = values.ravel()[self.inside] * self.weight
        # With weights bincount gives float64, which its type does not say.
        return np.asarray(np.bincount(self.ring, inside, self.pixels.size), dtype=np.float64)


@lru_cache(maxsize=16)
def fourier_rings(shape: tuple[int, int], n: int) -> FourierRings:
    """Make the rings for images of one shape; kept, since a run has few shapes.

    Parameters
    ----------
    shape : tuple of int
        Pixels along Y and X of the image, not of the spectrum.
    n : int
        Number of rings between zero and Nyquist.
    """
    height, width = shape
    # Whole numbers over a whole number, so that (3, 4) lies exactly at 5 in a square image.
    y = np.fft.fftfreq(height, 1 / height).round()[:, None] * (2 * n / height)
    x = np.arange(width // 2 + 1)[None, :] * (2 * n / width)
    radius = np.hypot(y, x).ravel()
    inside = np.flatnonzero(radius < n)
    weight = np.full(width // 2 + 1, 2.0)
    weight[0] = 1.0  # its conjugates are in the half-plane; Nyquist's, outside the rings, too
    weights = np.tile(weight, height)[inside]
    ring = radius[inside].astype(np.intp)
    pixels = np.asarray(np.bincount(ring, weights, n), dtype=np.float64)
    radii = np.asarray(np.bincount(ring, weights * radius[inside], n), dtype=np.float64)
    frequency = np.where(pixels > 0, radii / np.maximum(pixels, 1), np.arange(n) + 0.5) / n
    for array in (inside, ring, weights, pixels, frequency):
        array.flags.writeable = False
    return FourierRings(inside, ring, weights, pixels, frequency)
