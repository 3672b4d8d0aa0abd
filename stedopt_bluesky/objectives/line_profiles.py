"""Counts along a line that was drawn or laid in an image."""

from __future__ import annotations

import numpy as np

from stedopt_bluesky.acquisition import Image, Line
from stedopt_bluesky.objectives.counts import as_counts
from stedopt_bluesky.parameters import FloatArray

# Adjacent rows that are averaged: Durand et al., Nat. Commun. 9:5247 (2018).
WIDTH_PX = 3


def leaves_image(line: Line, shape: tuple[int, int]) -> bool:
    """Whether an end of a line lies beyond the centres of the outermost pixels.

    Parameters
    ----------
    line : Line
        Its ends in pixels.
    shape : tuple of int
        Pixels of the image along Y and X.
    """
    height, width = shape
    ends = (line.y0, line.x0), (line.y1, line.x1)
    return not all(0 <= y <= height - 1 and 0 <= x <= width - 1 for y, x in ends)


def line_profile(image: Image, line: Line, width: int = WIDTH_PX) -> FloatArray:
    """Mean counts of a few adjacent rows along a line.

    The line is sampled once per pixel of its length, between pixels by linear interpolation.
    A row that runs beside the image's border takes the border's counts.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Photon counts.
    line : Line
        Its ends in pixels, inside the image.
    width : int
        Rows that are averaged, the line in their middle.

    Returns
    -------
    ndarray, shape (L,)
        One value per pixel of the line, both ends included.

    Raises
    ------
    ValueError
        When an end of the line lies outside the image.
    """
    from skimage.measure import profile_line

    counts = as_counts(image)
    if leaves_image(line, (counts.shape[0], counts.shape[1])):
        raise ValueError(f"{line} leaves the image of {counts.shape} pixels")
    profile = profile_line(  # type: ignore[no-untyped-call]
        counts,
        (line.y0, line.x0),
        (line.y1, line.x1),
        linewidth=width,
        order=1,
        mode="nearest",
        reduce_func=np.mean,
    )
    return np.asarray(profile, dtype=np.float64)
