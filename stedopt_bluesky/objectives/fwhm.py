"""Full width at half maximum of filaments, from Gaussians fitted to line profiles across them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stedopt_bluesky.acquisition import Image, Invalid, Line
from stedopt_bluesky.objectives.counts import STED, as_counts, no_contrast
from stedopt_bluesky.objectives.filaments import find_filaments, lines_across
from stedopt_bluesky.objectives.line_profiles import leaves_image, line_profile
from stedopt_bluesky.parameters import FloatArray

# Full width at half maximum of a Gaussian of standard deviation 1: 2 √(2 ln 2) = 2.3548.
FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))
# As few as the paper fits; the median of two is no better than a guess.
FEWEST_FITS = 3
# Length of an automatic line: twice the width of a confocal filament (15 pixels of 20 nm), so
# that the background is seen on both sides.
LENGTH_PX = 31
# A STED filament is a few pixels wide. Smoothing by 2 makes its skeleton one line.
SMOOTHING_PX = 2.0
# Share of the profile's variance that a good fit explains. A second filament in the profile or
# noise leaves more unexplained; a peak of ten photons on a dark ground about a tenth.
LEAST_EXPLAINED = 0.8
# A peak narrower than two pixels is the noise of a single one.
NARROWEST_PX = 2.0
# The fit ends when a step changes less than this share: 0.01 nm of 100.
TOLERANCE = 1e-4
# Evaluations of the model; a profile with a peak in it needs about ten.
MOST_EVALUATIONS = 40


@dataclass(frozen=True)
class GaussianFit:
    """A Gaussian on a constant background, fitted to a profile.

    Attributes
    ----------
    amplitude, offset : float
        Height of the peak and of the background, in counts.
    centre_px, sigma_px : float
        Position and standard deviation of the peak, in pixels from the profile's first point.
    explained : float
        Share of the profile's variance that the fit explains, at most 1.
    """

    amplitude: float
    offset: float
    centre_px: float
    sigma_px: float
    explained: float

    def is_good(self, points: int) -> bool:
        """Whether it is a filament in the middle of a profile of so many points.

        The peak must point upwards, lie in the middle half of the profile, be at least two
        pixels and at most half of the profile wide, and explain four fifths of the variance.
        """
        width = FWHM_PER_SIGMA * self.sigma_px
        return (
            self.amplitude > 0
            and abs(self.centre_px - (points - 1) / 2) <= points / 4
            and NARROWEST_PX <= width <= points / 2
            and self.explained >= LEAST_EXPLAINED
        )


def fit_gaussian(profile: FloatArray) -> GaussianFit | None:
    """Fit a Gaussian on a constant background by least squares (Levenberg-Marquardt).

    Parameters
    ----------
    profile : ndarray, shape (L,)
        Counts along a line, finite.

    Returns
    -------
    GaussianFit or None
        None when the profile is constant or has fewer points than the fit has parameters, or
        when the fit finds no end.
    """
    from scipy.optimize import least_squares

    if profile.size <= 4 or not np.ptp(profile) > 0:
        return None
    low, height = float(profile.min()), float(np.ptp(profile))
    y = (profile - low) / height
    x = np.arange(profile.size, dtype=np.float64)
    # The area under the peak tells its width. The width's logarithm is fitted: it has no sign.
    start = (1.0, 0.0, float(np.argmax(y)), math.log(y.sum() / math.sqrt(2 * math.pi)))

    def residuals(p: FloatArray) -> FloatArray:
        return np.asarray(p[0] * np.exp(-0.5 * ((x - p[2]) / np.exp(p[3])) ** 2) + p[1] - y)

    def jacobian(p: FloatArray) -> FloatArray:
        distance = (x - p[2]) / np.exp(p[3])
        peak = np.exp(-0.5 * distance**2)
        slope = p[0] * peak * distance
        return np.stack([peak, np.ones_like(x), slope / np.exp(p[3]), slope * distance], axis=1)

    # On its way a fit that comes to nothing may overflow; its end is judged below.
    with np.errstate(all="ignore"):
        fit = least_squares(
            residuals,
            start,
            jacobian,
            method="lm",
            ftol=TOLERANCE,
            xtol=TOLERANCE,
            max_nfev=MOST_EVALUATIONS,
        )
        sigma = float(np.exp(fit.x[3]))
    if not (fit.success and np.isfinite([*fit.x, sigma]).all()):
        return None
    explained = 1 - float(fit.fun @ fit.fun) / float(((y - y.mean()) ** 2).sum())
    amplitude, offset, centre = (float(value) for value in fit.x[:3])
    return GaussianFit(amplitude * height, offset * height + low, centre, sigma, explained)


def cross_lines(sted: Image) -> tuple[Line, ...]:
    """Lay the lines for the width across the filaments of a STED image.

    Parameters
    ----------
    sted : ndarray, shape (Y, X)
        Photon counts.

    Returns
    -------
    tuple of Line
        At most 12 lines of 31 pixels, a filament that stands by itself in the middle of each.
    """
    return lines_across(find_filaments(sted, SMOOTHING_PX), LENGTH_PX)


def fwhm_nm(sted: Image, lines: Sequence[Line], pixel_size_nm: float) -> float:
    """Width of a STED image's filaments.

    Median over the good fits (see `GaussianFit.is_good`), so that some that fell upon two
    filaments do not matter. The linear interpolation between pixels widens a filament of 4
    pixels by about 3 %, the same in every image.

    Parameters
    ----------
    sted : ndarray, shape (Y, X)
        Photon counts.
    lines : sequence of Line
        Across the filaments: drawn by a person, or `cross_lines`.
    pixel_size_nm : float
        Side of a pixel, in nm.

    Returns
    -------
    float
        Full width at half maximum, in nm. Invalid when fewer than 3 fits are good, when the
        image is empty, constant or has a pixel that is not a finite count, when there is no
        line, or when one leaves the image.

    Raises
    ------
    ValueError
        When the pixel size is not positive and finite.
    """
    if not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise ValueError(f"pixel_size_nm must be positive and finite, got {pixel_size_nm}")
    counts = as_counts(sted)
    if reason := no_contrast(counts, STED):
        return Invalid(reason)
    if not lines:
        return Invalid("no filament stands by itself")
    if any(leaves_image(line, (counts.shape[0], counts.shape[1])) for line in lines):
        return Invalid("a line leaves the image")
    profiles = [line_profile(counts, line) for line in lines]
    fits = [(fit_gaussian(profile), profile.size) for profile in profiles]
    sigmas = [fit.sigma_px for fit, points in fits if fit is not None and fit.is_good(points)]
    if len(sigmas) < FEWEST_FITS:
        return Invalid(f"{len(sigmas)} of {len(lines)} line profiles have a good fit, 3 are needed")
    return FWHM_PER_SIGMA * float(np.median(sigmas)) * pixel_size_nm
