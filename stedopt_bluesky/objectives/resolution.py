"""Resolution of a single image by decorrelation analysis, without a threshold or a fit.

Method: Descloux, Grußmayer and Radenovic, Nat. Methods 16:918 (2019). The image's spectrum is
correlated with its own phases, ``d(r) = Σ_{k<r} |I| / √(Σ |I|² · Σ_{k<r} 1)``: as the disc of
radius r grows over frequencies that carry structure d rises, over those that carry noise it
falls, so its peak marks where the structure ends. High-pass filters take weight off the low
frequencies and move the peak outwards; the outermost peak of all filters is the resolution.

All that d needs of the image is the sum of |I| and of |I|² over narrow rings, and a radial filter
only scales these sums: one Fourier transform serves all filters.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from stedopt_bluesky.acquisition import Image, Invalid
from stedopt_bluesky.objectives.counts import STED, as_counts, no_contrast
from stedopt_bluesky.objectives.rings import fourier_rings
from stedopt_bluesky.parameters import FloatArray

# Nothing coarser than a confocal image is told apart: upper end of the range in use (225-350 nm).
CAP_NM = 350.0
# High-pass filters, by the width of the Gaussian that is taken off: from a quarter of the image
# to 0.15 px, as in the authors' program. It tries 10, then 10 more around the best; here a filter
# costs a row of a small matrix, so 40 at once.
FILTERS = 40
NARROWEST_PX = 0.15
# A peak counts when the curve falls by this much behind it (the authors' program).
LEAST_DROP = 5e-4
# ... and when it is at least this high: below it the phases agree with nothing (ditto).
LEAST_PEAK = 0.05
# The borders are faded out over so many pixels, since the transform takes them for edges.
FADE_PX = 20
# With fewer pixels the faded borders leave no image.
SMALLEST_SIDE = 32


@lru_cache(maxsize=16)
def _fade(shape: tuple[int, int]) -> FloatArray:
    """Window that is 1 inside and falls to 0 along a cosine at the borders, shape (Y, X)."""
    sides = []
    for side in shape:
        width = min(FADE_PX, side // 8)
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(width) + 0.5) / width)
        sides.append(np.concatenate([ramp, np.ones(side - 2 * width), ramp[::-1]]))
    window = np.outer(*sides)
    window.flags.writeable = False
    return window


@lru_cache(maxsize=16)
def _high_pass(shape: tuple[int, int], rings: int) -> FloatArray:
    """Transmission of the filters at each ring, shape (1 + FILTERS, rings); the first is 1."""
    frequency = fourier_rings(shape, rings).frequency / 2  # cycles per pixel
    sigma = np.geomspace(min(shape) / 4, NARROWEST_PX, FILTERS)[:, None]
    passed = -np.expm1(-2 * (np.pi * sigma * frequency) ** 2)
    transmission = np.vstack([np.ones(rings), passed])
    transmission.flags.writeable = False
    return transmission


def decorrelation_curves(image: Image) -> FloatArray | None:
    """Decorrelation d(r) of an image, unfiltered and after each high-pass filter.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Photon counts.

    Returns
    -------
    ndarray, shape (1 + 40, R), or None
        Values in [0, 1]; column i is the disc of radius ``(i + 1) / R`` of Nyquist. None when the
        image is constant, smaller than 32 pixels on a side or has a pixel that is not a finite
        count.
    """
    counts = as_counts(image)
    if no_contrast(counts, STED, SMALLEST_SIDE):
        return None
    # Half a Fourier pixel per ring, so that the ring width adds nothing to the scatter.
    n = min(counts.shape)
    rings = fourier_rings(counts.shape, n)
    counts = counts / np.abs(counts).max()
    magnitude = np.abs(np.fft.rfft2((counts - counts.mean()) * _fade(counts.shape)))
    passed = _high_pass(counts.shape, n)
    agreement = np.cumsum(rings.sum(magnitude) * passed, axis=1)
    power = (rings.sum(magnitude**2) * passed**2).sum(axis=1, keepdims=True)
    curves: FloatArray = agreement / np.sqrt(power * np.cumsum(rings.pixels))
    return curves


def outermost_peak(curves: FloatArray) -> float:
    """Find the outermost significant peak of all decorrelation curves.

    A peak is as high as anything before it, at least 0.05, and the curve falls by more than
    0.0005 somewhere behind it.

    Parameters
    ----------
    curves : ndarray, shape (F, R)
        One curve per filter.

    Returns
    -------
    float
        Its radius, relative to Nyquist; 0 when no curve has such a peak.
    """
    highest_yet = np.maximum.accumulate(curves, axis=1)
    lowest_behind = np.minimum.accumulate(curves[:, ::-1], axis=1)[:, ::-1]
    significant = (curves - lowest_behind > LEAST_DROP) & (curves > LEAST_PEAK)
    peaks = np.flatnonzero(((curves == highest_yet) & significant).any(axis=0))
    return float(peaks[-1] + 1) / curves.shape[1] if peaks.size else 0.0


def resolution_nm(image: Image, pixel_size_nm: float) -> float:
    """Resolution by decorrelation analysis.

    For a Gaussian point-spread function the value is close to its full width at half maximum,
    never below two pixels (Nyquist).

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Photon counts.
    pixel_size_nm : float
        Side of a pixel, in nm.

    Returns
    -------
    float
        Resolution in nm, at most 350; 350 also when noise hides every structure. Invalid
        when there is no curve, see `decorrelation_curves`.

    Raises
    ------
    ValueError
        When the pixel size is not positive and finite.
    """
    if not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise ValueError(f"pixel_size_nm must be positive and finite, got {pixel_size_nm}")
    curves = decorrelation_curves(image)
    if curves is None:
        return Invalid(no_contrast(as_counts(image), STED, SMALLEST_SIDE))
    peak = outermost_peak(curves)
    return min(2 * pixel_size_nm / peak, CAP_NM) if peak > 0 else CAP_NM
