"""Foreground masks by Otsu's method.

The threshold of Otsu (IEEE Trans. Syst. Man Cybern. 9:62, 1979) is the one that
separates the pixels into the two classes whose means are farthest apart; it is
scikit-image's `threshold_otsu`. Pixels *strictly above* it are foreground, as in
the published program.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from skimage.filters import threshold_otsu

from stedopt_bluesky.acquisition import Image
from stedopt_bluesky.objectives.counts import (
    FloatImage,
    Mask,
    as_counts,
    check_same_shape,
    has_contrast,
)

# Widest range of counts for which one bin per count is counted without sorting: all of int16.
DIRECT_RANGE = 2**16


def _histogram(counts: FloatImage) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Count the pixels of each distinct value; return these numbers and the values.

    One bin per value. 256 equal bins, the usual choice for floating-point images,
    would shift the threshold of an image whose counts span a few or many hundred
    photons; with one bin per value the threshold is itself a value of the image.
    """
    low, high = counts.min(), counts.max()
    if high - low < DIRECT_RANGE and np.array_equal(counts, np.rint(counts)):
        pixels = np.bincount((counts - low).astype(np.intp).ravel())
        present = np.flatnonzero(pixels)
        return pixels[present], present + low
    values, pixels = np.unique(counts, return_counts=True)
    return pixels, values


def otsu_threshold(image: Image) -> float:
    """Otsu's threshold, exact: one histogram bin per distinct count.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Photon counts.

    Returns
    -------
    float
        The largest count of the background, in photons; NaN where there are no two
        classes (empty or constant image) or a pixel is not a finite count.
    """
    counts = as_counts(image)
    if not has_contrast(counts):
        return math.nan
    threshold = threshold_otsu(hist=_histogram(counts))  # type: ignore[no-untyped-call]
    return float(threshold)


def otsu_foreground(image: Image) -> Mask:
    """Pixels strictly above Otsu's threshold.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Photon counts.

    Returns
    -------
    ndarray of bool, shape (Y, X)
        True on the foreground. An image that is empty, constant or has a pixel that
        is not a finite count has no foreground: False everywhere.
    """
    counts = as_counts(image)
    # A comparison with NaN is False: no threshold, no foreground.
    return counts > otsu_threshold(counts)


def sted_foreground(sted: Image, confocal: Image) -> Mask:
    """Foreground of the STED image that is foreground of the confocal image too.

    Parameters
    ----------
    sted, confocal : ndarray, shape (Y, X)
        Photon counts of the same region.

    Returns
    -------
    ndarray of bool, shape (Y, X)

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    check_same_shape({"sted": sted, "confocal": confocal})
    return otsu_foreground(sted) & otsu_foreground(confocal)
