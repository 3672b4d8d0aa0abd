"""Dendritic spines on a confocal overview of a dye that fills the cell.

A dendrite is what is left of the foreground when everything narrower than it is opened away; a
spine's head is a bright spot beside it. The head's axis leads away from the nearest point of the
dendrite.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, gaussian_filter

from stedopt_bluesky.acquisition import Image, Spine
from stedopt_bluesky.objectives.counts import Mask, as_counts, has_contrast

# Heads are 0.3 to 0.9 µm wide (Harris & Stevens, J. Neurosci. 9:2982, 1989), and blurred by the
# focus; the two Gaussians of a band-pass for them have these standard deviations, in µm.
FINE_UM, COARSE_UM = 0.13, 0.40
# Dendrites are wider than this, heads as the focus shows them are not.
DENDRITE_RADIUS_UM = 0.40
# Nearer to the dendrite's edge is the dendrite; farther off is no spine of it, in µm.
NEAREST_UM, FARTHEST_UM = 0.25, 2.3
# A head stands out from its surroundings by this much of the dendrite's brightness, and from
# photon noise by so many standard deviations.
LEAST_CONTRAST, LEAST_SIGNIFICANCE = 0.05, 4.0
# Two heads nearer to one another than this cannot be told apart, in µm.
APART_UM = 0.4
# Nearer than this to its centre, in µm, what shines may be the head itself.
FREE_FROM_UM = 0.8
# Where the smoothed image has this share of the dendrite's brightness, there is something.
STRUCTURE = 0.1


@dataclass(frozen=True, eq=False)
class Cells:
    """The parts of an overview.

    Attributes
    ----------
    dendrite : ndarray of bool, shape (Y, X)
        Shafts.
    structure : ndarray of bool, shape (Y, X)
        Shafts, spines and whatever else shines.
    pixel_size_um : float
        Side of a pixel, in µm.
    """

    dendrite: Mask
    structure: Mask
    pixel_size_um: float

    def is_free(self, x_um: float, y_um: float) -> bool:
        """Whether nothing shines at a position, in µm from the image's centre, inside of it."""
        height, width = self.structure.shape
        row = math.floor(y_um / self.pixel_size_um + height / 2)
        column = math.floor(x_um / self.pixel_size_um + width / 2)
        inside = 0 <= row < height and 0 <= column < width
        return inside and not self.structure[row, column]


def find_cells(overview: Image, pixel_size_nm: float, threshold: float = 1.0) -> Cells:
    """Tell dendrites from what is beside them.

    Parameters
    ----------
    overview : ndarray, shape (Y, X)
        Photon counts of a dye that fills the cells.
    pixel_size_nm : float
        Side of a pixel, in nm, at most 200: else a spine is a single pixel.
    threshold : float
        How bright structure and dendrites must be, in units of what is usual.

    Raises
    ------
    ValueError
        When the pixels are too large.
    """
    from skimage.filters import threshold_otsu
    from skimage.morphology import disk, opening

    _check_pixels(pixel_size_nm)
    counts = as_counts(overview)
    pixel_um = pixel_size_nm / 1000
    nothing = np.zeros(counts.shape, bool)
    if not has_contrast(counts):
        return Cells(nothing, nothing, pixel_um)
    smooth = gaussian_filter(counts, FINE_UM / pixel_um)
    dark = float(np.median(smooth))
    above = smooth - dark
    bright = above > threshold_otsu(above)  # type: ignore[no-untyped-call]
    level = float(np.median(above[bright]))
    structure = above > threshold * STRUCTURE * level
    # Half the brightness is where the edge of something blurred is.
    solid = above > threshold * level / 2
    radius = max(1, round(DENDRITE_RADIUS_UM / pixel_um))
    shafts = opening(solid, disk(radius))  # type: ignore[no-untyped-call]
    return Cells(np.asarray(shafts, bool), structure, pixel_um)


def find_spines(
    overview: Image, pixel_size_nm: float, size_um: float, cells: Cells | None = None
) -> list[Spine]:
    """Find the spines of an overview.

    Parameters
    ----------
    overview : ndarray, shape (Y, X)
        Photon counts of a dye that fills the cells; its middle is the field's centre.
    pixel_size_nm : float
        Side of a pixel, in nm, at most 200.
    size_um : float
        Side of the region around each head, in µm.
    cells : Cells, optional
        From `find_cells`; found anew when left out.

    Returns
    -------
    list of Spine
        Each with the centre of its head; from left to right along each dendrite, the upper
        dendrite first.

    Raises
    ------
    ValueError
        When the pixels are too large.
    """
    from skimage.feature import peak_local_max
    from skimage.measure import label

    cells = cells or find_cells(overview, pixel_size_nm)
    if not cells.dendrite.any():
        return []
    counts, pixel_um = as_counts(overview), cells.pixel_size_um
    fine, coarse = (gaussian_filter(counts, s / pixel_um) for s in (FINE_UM, COARSE_UM))
    contrast = fine - coarse
    away, nearest = distance_transform_edt(~cells.dendrite, return_indices=True)
    beside = (away * pixel_um >= NEAREST_UM) & (away * pixel_um <= FARTHEST_UM)
    level = float(np.median(fine[cells.dendrite])) - float(np.median(fine))
    # The variance that the fine Gaussian leaves of independent photon noise.
    noise = np.sqrt(np.maximum(fine, 0) / (4 * math.pi * (FINE_UM / pixel_um) ** 2))
    clear = (contrast > LEAST_CONTRAST * level) & (contrast > LEAST_SIGNIFICANCE * noise)
    peaks = peak_local_max(  # type: ignore[no-untyped-call]
        np.where(beside & clear, contrast, 0.0),
        min_distance=max(1, round(APART_UM / 2 / pixel_um)),
        threshold_abs=1e-12,
        exclude_border=False,
    )
    names = label(cells.dendrite)  # type: ignore[no-untyped-call]
    found = []
    for row, column in peaks:
        foot = nearest[:, row, column]
        head = _refined(contrast, int(row), int(column))
        y, x = ((at + 0.5 - n / 2) * pixel_um for at, n in zip(head, counts.shape, strict=True))
        dy, dx = head[0] - float(foot[0]), head[1] - float(foot[1])
        length = math.hypot(dx, dy)
        if length > 0:
            spine = Spine(x, y, size_um, dx / length, dy / length)
            found.append((names[tuple(foot)], spine))
    order = _from_above(names)
    found.sort(key=lambda entry: (order[entry[0]], entry[1].x_um))
    return [spine for _, spine in found]


def with_free_axis(spines: Sequence[Spine], cells: Cells, farthest_um: float) -> list[Spine]:
    """Say of each spine how far its axis is free of other structure, up to a distance in µm.

    It is looked at from behind the largest heads on: a head itself is structure.
    """
    step = cells.pixel_size_um / 2
    beyond = max(farthest_um, FREE_FROM_UM)
    distances = np.append(np.arange(FREE_FROM_UM, beyond, step), beyond)
    looked_at = []
    for spine in spines:
        free = [cells.is_free(*spine.spot_um(float(distance))) for distance in distances]
        first = free.index(False) if False in free else len(free)
        reach_um = float(distances[first - 1]) if first else 0.0
        looked_at.append(dataclasses.replace(spine, free_um=min(reach_um, farthest_um)))
    return looked_at


def _check_pixels(pixel_size_nm: float) -> None:
    if not 0 < pixel_size_nm <= 200:
        raise ValueError(
            f"pixel_size_nm = {pixel_size_nm:g}: above 0, at most 200 for spines to be seen"
        )


def _refined(contrast: npt.NDArray[np.float64], row: int, column: int) -> tuple[float, float]:
    """Centre of a peak between pixels: the vertex of a parabola along each axis."""
    refined = []
    for axis, at in enumerate((row, column)):
        line = contrast[:, column] if axis == 0 else contrast[row]
        if not 0 < at < len(line) - 1:
            refined.append(float(at))
            continue
        before, peak, after = line[at - 1 : at + 2]
        curvature = before - 2 * peak + after
        shift = 0.5 * (before - after) / curvature if curvature < 0 else 0.0
        refined.append(at + float(np.clip(shift, -0.5, 0.5)))
    return refined[0], refined[1]


def _from_above(names: npt.NDArray[np.integer]) -> dict[int, int]:
    """Rank of each dendrite by the height of its middle, by its name."""
    rows = {int(n): float(np.nonzero(names == n)[0].mean()) for n in np.unique(names) if n}
    return {name: rank for rank, name in enumerate(sorted(rows, key=lambda n: rows[n]))}
