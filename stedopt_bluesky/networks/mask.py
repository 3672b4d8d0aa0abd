"""The foreground mask over which a quality network's score map is averaged."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

# The published program's blur [F18]: what is left is where the structure is, not its details.
BLUR_PX = 10.0


def score_mask(counts: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Foreground of a STED image: blurred, divided by its maximum, Otsu, strictly above.

    Parameters
    ----------
    counts : ndarray, shape (Y, X)
        Photon counts.

    Returns
    -------
    ndarray of bool, shape (Y, X)
        False everywhere where there is nothing to tell apart.
    """
    from skimage.filters import threshold_otsu

    blurred = gaussian_filter(counts, BLUR_PX, mode="nearest")
    low, high = float(blurred.min()), float(blurred.max())
    # A constant image comes out of the blur with a rounding error of its own.
    if not high - low > 1e-6 * max(abs(low), abs(high)):
        return np.zeros(counts.shape, dtype=np.bool_)
    if high > 0:
        blurred = blurred / high
    mask: npt.NDArray[np.bool_] = blurred > threshold_otsu(blurred)  # type: ignore[no-untyped-call]
    return mask
