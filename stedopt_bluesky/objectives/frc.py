"""Fourier ring correlation (FRC) of a single image with itself, by splitting its pixels.

The image is split into the four images of every second pixel, so that their noise is
independent; up to which spatial frequency they still agree is the objective.

Method: Tortarolo et al., Nat. Methods 15:1 (2018), as used by Durand et al., Nat. Commun.
9:5247 (2018): Hann window, six pairs averaged, moving mean, crossing with the 3-sigma curve.
The split doubles the pixel size (40 nm from 20 nm), so the value ranks images; it
does not measure their resolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from stedopt_bluesky.acquisition import Image, Invalid
from stedopt_bluesky.objectives.counts import STED, FloatImage, as_counts, no_contrast
from stedopt_bluesky.objectives.rings import fourier_rings
from stedopt_bluesky.parameters import FloatArray

# Rings on either side of the one that is smoothed: the paper's half-width.
HALF_WIDTH = 3
# The curve must be longer than one smoothing window, or smoothing leaves nothing of it.
FEWEST_RINGS = 2 * HALF_WIDTH + 2
# Each ring needs 4 pixels of a side: half are lost by the split, half by Nyquist.
SMALLEST_SIDE = 4 * FEWEST_RINGS
# A ring with less than this share of the whole power holds float64's rounding, no image.
ROUNDING_POWER = 1e-24


@dataclass(frozen=True)
class FrcCurve:
    """The smoothed correlation and the smoothed threshold over spatial frequency.

    Attributes
    ----------
    frequency : ndarray, shape (R,)
        Mean frequency of each ring's pixels, relative to the Nyquist frequency of the split images.
    correlation : ndarray, shape (R,)
        Mean over the six pairs, smoothed.
    threshold : ndarray, shape (R,)
        ``3 / √(N/2)`` with N the Fourier pixels of the ring, smoothed.
    """

    frequency: FloatArray
    correlation: FloatArray
    threshold: FloatArray


def _split(counts: FloatImage) -> FloatArray:
    """Four images of every second pixel, shape (4, Y // 2, X // 2)."""
    height, width = (side // 2 * 2 for side in counts.shape)
    even = counts[:height, :width]
    return np.stack([even[y::2, x::2] for y in (0, 1) for x in (0, 1)])


def _hann(points: int) -> FloatArray:
    """Periodic Hann window, the one whose spectrum has three lines only."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(points) / points)


def _moving_mean(curve: FloatArray) -> FloatArray:
    """Mean over up to 2 · 3 + 1 rings; fewer at the ends, where there are no more."""
    window = np.ones(2 * HALF_WIDTH + 1)
    return np.convolve(curve, window, "same") / np.convolve(np.ones_like(curve), window, "same")


def frc_curve(image: Image) -> FrcCurve | None:
    """Correlation of the four split images, ring by ring.

    The rings are *floor* rings: ring i holds the frequencies from i up to, not including,
    i + 1 steps of 1/n cycles per pixel, n the shorter side of a split image; rounded
    rings would change the crossing by 3-7 %. The mean of the image is taken off first: the
    window would leak it into the second ring as if it were structure.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Photon counts.

    Returns
    -------
    FrcCurve or None
        None when the image is constant, smaller than 32 pixels on a side or has a pixel that is
        not a finite count.
    """
    counts = as_counts(image)
    if no_contrast(counts, STED, SMALLEST_SIDE):
        return None
    rings_wanted = min(counts.shape) // 4
    parts = _split(counts / np.abs(counts).max())
    parts -= parts.mean()
    height, width = parts.shape[1:]
    spectra = np.fft.rfft2(parts * _hann(height)[:, None] * _hann(width))
    rings = fourier_rings((height, width), rings_wanted)
    power = [rings.sum(np.abs(s) ** 2) for s in spectra]
    total = sum(float(p.sum()) for p in power)
    correlation = np.zeros(rings_wanted)
    for a, b in combinations(range(len(spectra)), 2):
        cross = rings.sum((spectra[a] * spectra[b].conj()).real)
        norm = np.sqrt(power[a] * power[b])
        real = norm > ROUNDING_POWER * total
        correlation[real] += cross[real] / norm[real]
    return FrcCurve(
        frequency=rings.frequency,
        correlation=_moving_mean(correlation / math.comb(len(spectra), 2)),
        threshold=_moving_mean(3.0 / np.sqrt(rings.pixels / 2)),
    )


def fourier_ring_correlation(image: Image) -> float:
    """Spatial frequency up to which an image agrees with itself, relative to Nyquist.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Photon counts.

    Returns
    -------
    float
        Where the correlation falls below the 3-sigma curve for the first time after having been
        above it, interpolated between two rings, over the Nyquist frequency of the split
        images. 0 when it is never above (noise), 1 when it never falls below. Invalid when
        there is no curve, see `frc_curve`.
    """
    curve = frc_curve(image)
    if curve is None:
        return Invalid(no_contrast(as_counts(image), STED, SMALLEST_SIDE))
    excess = curve.correlation - curve.threshold
    above = excess > 0
    if not above.any():
        return 0.0
    first_above = int(np.argmax(above))
    fallen = np.flatnonzero(~above[first_above:])
    if not fallen.size:
        return 1.0
    after = first_above + int(fallen[0])
    step = excess[after - 1] / (excess[after - 1] - excess[after])
    before, behind = curve.frequency[after - 1], curve.frequency[after]
    return float(before + step * (behind - before))
