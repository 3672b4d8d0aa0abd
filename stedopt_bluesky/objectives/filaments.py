"""Where the filaments of an image run, and lines along and across them.

The image is smoothed, its foreground thinned to a skeleton of one pixel's width, and the
direction of the filament at each point of it taken from the structure tensor: the one along
which the counts change least (Bigün and Granlund, Proc. 1st ICCV, 433, 1987).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from stedopt_bluesky.acquisition import Image, Line
from stedopt_bluesky.objectives.counts import FloatImage, Mask, as_counts, has_contrast
from stedopt_bluesky.objectives.foreground import otsu_foreground
from stedopt_bluesky.parameters import FloatArray

# Steps between dark and bright into which a smoothed image is sorted before its threshold is
# sought: Otsu's method takes 4 ms with all its distinct values, 0.2 ms with these.
LEVELS = 1000
# The direction is that of a neighbourhood so many times as wide as the smoothing: wide enough to
# follow a filament and not its texture, narrow enough to tell two filaments that cross.
NEIGHBOURHOOD = 2.5
# Directions are taken from every second pixel, and gradients need two of these.
SMALLEST_SIDE = 4
# No more lines than this: they cover a region of 224² pixels, and each costs 0.5 to 1 ms.
MOST_LINES = 12
# One line in each square of so many pixels, so that most see their own piece of filament.
CELL_PX = 20


@dataclass(frozen=True)
class Filaments:
    """Points on the middle of the filaments, with the filaments' direction there.

    Attributes
    ----------
    foreground : ndarray of bool, shape (Y, X)
        Of the smoothed image.
    points : ndarray of intp, shape (P, 2)
        Pixels of the skeleton, (y, x), in the order of the image's rows.
    along : ndarray, shape (P, 2)
        Unit vectors (y, x) along the filament.
    """

    foreground: Mask
    points: npt.NDArray[np.intp]
    along: FloatArray

    @property
    def across(self) -> FloatArray:
        """Unit vectors (y, x) across the filament, shape (P, 2)."""
        return np.stack([self.along[:, 1], -self.along[:, 0]], axis=1)


def find_filaments(image: Image, smoothing_px: float) -> Filaments:
    """Find the filaments of an image.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Photon counts.
    smoothing_px : float
        Standard deviation of the Gaussian that is laid over the image first, in pixels: what
        is narrower is noise.

    Returns
    -------
    Filaments
        Without a point when the image is smaller than 4 pixels, constant or has a pixel that is
        not a finite count.
    """
    from skimage.morphology import skeletonize

    counts = as_counts(image)
    if not has_contrast(counts) or min(counts.shape) < SMALLEST_SIDE:
        nothing = np.zeros((0, 2))
        return Filaments(np.zeros(counts.shape, bool), nothing.astype(np.intp), nothing)
    counts = counts - counts.min()
    smooth = gaussian_filter(counts / counts.max(), smoothing_px)
    foreground = otsu_foreground(np.rint(smooth * LEVELS))
    skeleton = skeletonize(foreground)  # type: ignore[no-untyped-call]
    points = np.argwhere(skeleton)
    return Filaments(foreground, points, _directions(smooth, points, NEIGHBOURHOOD * smoothing_px))


def _directions(
    smooth: FloatImage, points: npt.NDArray[np.intp], neighbourhood_px: float
) -> FloatArray:
    """Unit vectors along the filaments at some points, shape (P, 2)."""
    from skimage.feature import structure_tensor

    # The image is smooth: every second pixel tells its directions, in a quarter of the time.
    halved = smooth[::2, ::2].astype(np.float32)
    tensor = structure_tensor(  # type: ignore[no-untyped-call]
        halved, neighbourhood_px / 2, order="rc"
    )
    yy, yx, xx = (component[tuple(points.T // 2)].astype(np.float64) for component in tensor)
    steepest = 0.5 * np.arctan2(2 * yx, yy - xx)  # from the y axis; the filament is normal to it
    return np.stack([-np.sin(steepest), np.cos(steepest)], axis=1)


def lines_along(filaments: Filaments, length_px: int) -> tuple[Line, ...]:
    """Straight lines along filaments, the whole of each on the foreground.

    Parameters
    ----------
    filaments : Filaments
        Of an image.
    length_px : int
        Points of each line, one pixel apart.

    Returns
    -------
    tuple of Line
        At most 12, spread over the image; none where no filament is straight for so long.
    """
    on = _on_foreground(filaments, filaments.along, length_px)
    return _lines(filaments.points, filaments.along, np.asarray(on.all(axis=1)), length_px)


def lines_across(filaments: Filaments, length_px: int) -> tuple[Line, ...]:
    """Straight lines across filaments that stand by themselves.

    Parameters
    ----------
    filaments : Filaments
        Of an image.
    length_px : int
        Points of each line, one pixel apart.

    Returns
    -------
    tuple of Line
        At most 12, spread over the image, a filament in the middle of each, background at both
        ends and nothing else between.
    """
    on = _on_foreground(filaments, filaments.across, length_px)
    begins = ~on[:, :-1] & on[:, 1:]
    alone = ~on[:, 0] & ~on[:, -1] & (begins.sum(axis=1) == 1)
    return _lines(filaments.points, filaments.across, alone, length_px)


def _on_foreground(filaments: Filaments, direction: FloatArray, length_px: int) -> Mask:
    """Whether each point of a line through each skeleton point lies on the foreground.

    Shape (P, length_px). A line that comes within a pixel of the image's border is on it nowhere.
    """
    steps = np.arange(length_px) - (length_px - 1) / 2
    y, x = (
        np.rint(filaments.points[:, i, None] + steps * direction[:, i, None]).astype(np.intp)
        for i in (0, 1)
    )
    height, width = filaments.foreground.shape
    inside = ((y > 0) & (y < height - 1) & (x > 0) & (x < width - 1)).all(axis=1)
    on = np.zeros(y.shape, bool)
    on[inside] = filaments.foreground[y[inside], x[inside]]
    return on


def _lines(
    points: npt.NDArray[np.intp],
    direction: FloatArray,
    possible: npt.NDArray[np.bool_],
    length_px: int,
) -> tuple[Line, ...]:
    """Lines through some of the possible points, evenly over the image."""
    candidates = np.flatnonzero(possible)
    _, first = np.unique(points[candidates] // CELL_PX, axis=0, return_index=True)
    few = np.linspace(0, len(first) - 1, min(len(first), MOST_LINES)).round().astype(np.intp)
    half = (length_px - 1) / 2 * direction
    return tuple(
        Line(*map(float, (*(points[i] - half[i]), *(points[i] + half[i]))))
        for i in candidates[first[few]]
    )
