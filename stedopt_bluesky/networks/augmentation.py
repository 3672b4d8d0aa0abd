"""Images that would have been rated the same: reflected, turned, a little brighter or darker."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import rotate

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def augmented(
    image: FloatImage,
    mask: Mask,
    rng: np.random.Generator,
    intensity: float,
    rotation: Literal["right_angles", "arbitrary"],
) -> tuple[FloatImage, Mask]:
    """Draw a variant of an image and its mask.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Photon counts.
    mask : ndarray of bool, shape (Y, X)
        Its foreground.
    rng : numpy.random.Generator
        Source of the draw.
    intensity : float
        Counts are multiplied by a factor from 1 - intensity to 1 + intensity.
    rotation : {"right_angles", "arbitrary"}
        Quarter turns; or any angle, each pixel from the nearest one, with the image's mirror image
        in the corners.

    Returns
    -------
    tuple of ndarray
        Of shape (Y, X), or (X, Y) after an odd number of quarter turns.
    """
    flip_y, flip_x, transpose = rng.integers(2, size=3)
    steps = (slice(None, None, -1 if flip_y else 1), slice(None, None, -1 if flip_x else 1))
    image, mask = image[steps], mask[steps]
    if transpose:
        image, mask = image.T, mask.T
    if rotation == "arbitrary":
        angle = float(rng.uniform(-45, 45))  # with the quarter turns: all angles
        image, mask = (
            rotate(array, angle, reshape=False, order=0, mode="reflect") for array in (image, mask)
        )
    return image * np.float32(rng.uniform(1 - intensity, 1 + intensity)), mask
