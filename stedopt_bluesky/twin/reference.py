"""How well an image resolves a structure that is known: the rating that shipped networks learn.

The rating is *full-reference*: it compares the image with the fluorophores themselves, which
only a simulation knows. It is the share of the structure's fine detail that the image shows, the
squared correlation of both after a band-pass. Both sides of the band are a microscopist's: a
confocal microscope already shows what is larger than 160 nm (that earns nothing), and no image of
20-nm pixels shows what is smaller than 40 nm. Blur lowers the rating since detail is lost, few
photons since noise drowns it, as both do for an expert who looks at the image.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from stedopt_bluesky.twin.samples import Sample
from stedopt_bluesky.twin.scan_geometry import FWHM_PER_SIGMA

FloatArray = npt.NDArray[np.float64]

# Detail, by the FWHM of the two Gaussians whose difference is looked at, in m.
FINE_M, COARSE_M = 40e-9, 160e-9
# Only where there is structure: an expert does not rate the empty background. Where the structure,
# seen through a confocal focus (220 nm), has this share of its bright parts.
FOCUS_M, BRIGHT_SHARE, BRIGHT_PERCENTILE = 220e-9, 0.15, 99.0
# The structure around the field counts too, as far as the widest Gaussian reaches.
MARGIN_M = 4 * FOCUS_M / FWHM_PER_SIGMA
# With less structure than this share of the field there is nothing to rate.
LEAST_STRUCTURE = 0.02


def structure_window(
    sample: Sample, x_m: float, y_m: float, shape: tuple[int, int], pixel_size_m: float
) -> FloatArray:
    """Living fluorophores per pixel in a region and its margin, before it is imaged.

    Parameters
    ----------
    sample : Sample
        What is imaged.
    x_m, y_m : float
        Centre of the region, in m.
    shape : tuple of int
        Pixels (Y, X) of the region.
    pixel_size_m : float
        Side of a pixel, in m.

    Returns
    -------
    ndarray, shape (Y + 2 m, X + 2 m)
        With m pixels of margin on every side.
    """
    margin = _margin(pixel_size_m)
    height, width = shape
    window = sample.window(x_m, y_m, (height + 2 * margin, width + 2 * margin), pixel_size_m)
    return window.astype(np.float64)


def resolved_detail(
    image: npt.NDArray[np.integer] | npt.NDArray[np.floating],
    structure: FloatArray,
    pixel_size_m: float,
) -> float:
    """Share of the structure's fine detail that an image shows.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Photon counts.
    structure : ndarray, shape (Y + 2 m, X + 2 m)
        From `structure_window`, before the exposure.
    pixel_size_m : float
        Side of a pixel, in m.

    Returns
    -------
    float
        0 (nothing) to 1; 0 also for a negative correlation. NaN where less than 2 % of the
        region holds structure.
    """
    margin = _margin(pixel_size_m)
    inside = slice(margin, -margin)
    seen = gaussian_filter(structure, FOCUS_M / FWHM_PER_SIGMA / pixel_size_m)[inside, inside]
    where = seen > BRIGHT_SHARE * np.percentile(seen, BRIGHT_PERCENTILE)
    if where.mean() < LEAST_STRUCTURE:
        return float("nan")
    true = _detail(structure, pixel_size_m)[inside, inside][where]
    shown = _detail(image.astype(np.float64), pixel_size_m)[where]
    true, shown = true - true.mean(), shown - shown.mean()
    norm = float(np.sqrt((true @ true) * (shown @ shown)))
    correlation = float(true @ shown) / norm if norm > 0 else 0.0
    return max(correlation, 0.0) ** 2


def _detail(values: FloatArray, pixel_size_m: float) -> FloatArray:
    """Difference of two Gaussians of `FINE_M` and `COARSE_M`."""
    fine, coarse = (
        gaussian_filter(values, fwhm / FWHM_PER_SIGMA / pixel_size_m) for fwhm in (FINE_M, COARSE_M)
    )
    detail: FloatArray = fine - coarse
    return detail


def _margin(pixel_size_m: float) -> int:
    return int(np.ceil(MARGIN_M / pixel_size_m))
