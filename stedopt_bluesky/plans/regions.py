"""Lay regions over an overview: foreground tiles, none over another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu

from stedopt_bluesky.acquisition import Region


def lay_regions(
    overview: npt.NDArray[np.int16],
    pixel_size_nm: float,
    size_um: float,
    minimum_foreground: float,
) -> list[Region]:
    """Cut an overview into square tiles and keep those with enough foreground.

    Parameters
    ----------
    overview : ndarray, shape (Y, X)
        Photon counts, the field's centre in the middle.
    pixel_size_nm : float
        Of the overview, nm.
    size_um : float
        Side of a region, µm.
    minimum_foreground : float
        Least share of a tile that must be foreground (Otsu's threshold after a
        blur of one pixel), 0 to 1.

    Returns
    -------
    list of Region
        The tiles do not overlap; line by line, every other line backwards, so
        that the scanner goes a short way from one to the next. Empty when
        nothing stands out.
    """
    height_um, width_um = (n * pixel_size_nm / 1000 for n in overview.shape)
    columns, rows = int(width_um // size_um), int(height_um // size_um)
    # A blur of a pixel: single photons of the background are no structure.
    smooth = ndimage.gaussian_filter(overview.astype(np.float64), 1.0)
    if np.ptp(smooth) == 0:
        return []
    foreground = smooth > threshold_otsu(smooth)
    regions = []
    for row in range(rows):
        y_um = (row - (rows - 1) / 2) * size_um
        line = [(column - (columns - 1) / 2) * size_um for column in range(columns)]
        for x_um in line if row % 2 == 0 else reversed(line):
            tile = _tile(foreground, x_um, y_um, size_um, pixel_size_nm)
            if tile.size and tile.mean() >= minimum_foreground:
                regions.append(Region(x_um, y_um, size_um))
    return regions


def _tile(
    image: npt.NDArray[np.bool_], x_um: float, y_um: float, size_um: float, pixel_size_nm: float
) -> npt.NDArray[np.bool_]:
    """Cut the pixels whose centres lie in a region out of the overview."""
    slices = []
    for centre, pixels in ((y_um, image.shape[0]), (x_um, image.shape[1])):
        middle = pixels / 2 + centre * 1000 / pixel_size_nm
        half = size_um * 500 / pixel_size_nm
        slices.append(slice(max(round(middle - half), 0), round(middle + half)))
    return image[tuple(slices)]
