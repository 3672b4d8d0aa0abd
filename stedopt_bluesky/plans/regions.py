"""Lay regions over an overview: foreground tiles, none over another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu

from stedopt_bluesky.acquisition import Region

# A blur of a pixel: single photons of the background are no structure.
_BLUR_PIXELS = 1.0
# What such a blur leaves of the variance of independent pixels: the sum of its squared weights.
_BLURRED_VARIANCE = 1 / (4 * math.pi * _BLUR_PIXELS**2)
# An overview whose blurred counts vary less than this many times what photon noise makes them
# vary is empty. On the twin an empty field has 1.0 ± 0.15; the faintest sample that a person
# still sees (tubulin at a tenth of the usual power) 2.2; samples at the usual power 12 to 55.
_NOISE_FACTOR = 1.5
# An even field of so many photons per pixel is a sample that is labelled all over (a lawn of
# dye, say), not an empty one: on the twin that has 0.02.
_LAWN_COUNTS = 2.0


@dataclass(frozen=True)
class RegionLayout:
    """Square regions laid over the foreground of an overview; see `lay_regions`.

    Parameters
    ----------
    size_um : float
        Side of a region, µm.
    minimum_foreground : float
        Least share of a region that must be foreground, 0 to 1.
    most : int, optional
        Most regions of a field.
    images_per_region : int
        How often each region is imaged before the next one has its turn.
    margin_um : float
        Free distance of a region from the overview's border and from other regions, µm.
    minimum_signal : float
        Least mean of a region's foreground, photon counts per pixel of the overview.
    imaged_um : float, optional
        Side of the smallest region that may be imaged in the middle of a place, µm: that is
        where foreground and signal must be. Left out: all of the place.
    """

    size_um: float
    minimum_foreground: float = 0.1
    most: int | None = None
    images_per_region: int = 1
    margin_um: float = 0.0
    minimum_signal: float = 0.0
    imaged_um: float | None = None

    lays_spines: ClassVar[bool] = False

    def __call__(
        self,
        overview: npt.NDArray[np.int16],
        pixel_size_nm: float,
        stage_um: tuple[float, float],
        threshold: float = 1.0,
        /,
    ) -> list[Region]:
        """Regions of an overview (Y, X), in the order of imaging, each as often as it is imaged."""
        regions = lay_regions(
            overview,
            pixel_size_nm,
            self.size_um,
            self.minimum_foreground,
            stage_um=stage_um,
            most=self.most,
            margin_um=self.margin_um,
            minimum_signal=self.minimum_signal,
            imaged_um=self.imaged_um,
            threshold=threshold,
        )
        return [region for region in regions for _ in range(self.images_per_region)]

    def foreground(
        self, overview: npt.NDArray[np.int16], pixel_size_nm: float, threshold: float = 1.0, /
    ) -> npt.NDArray[np.bool_]:
        """What counts as foreground of an overview (Y, X)."""
        mask = _foreground(overview, threshold)
        return np.zeros(overview.shape, bool) if mask is None else mask

    def too_few(self, found: int) -> str:
        """Say what is missing, and which settings ask for it."""
        asked = [f"hold at least {self.minimum_foreground:.0%} foreground"]
        settings = ["overview.minimum_foreground"]
        if self.minimum_signal:
            asked.append(f"have at least {self.minimum_signal:g} counts per pixel on it")
            settings.append("overview.minimum_signal")
        if self.margin_um:
            asked.append(f"lie {self.margin_um:g} µm from the border and from one another")
            settings.append("overview.margin_um")
        return (
            f"only {found} regions of {self.size_um:g} µm {_listed(asked, 'and')}; plan fewer "
            f"images, or lower {_listed(settings, 'or')}"
        )


def lay_regions(
    overview: npt.NDArray[np.int16],
    pixel_size_nm: float,
    size_um: float,
    minimum_foreground: float,
    *,
    stage_um: tuple[float, float] = (0.0, 0.0),
    most: int | None = None,
    margin_um: float = 0.0,
    minimum_signal: float = 0.0,
    imaged_um: float | None = None,
    threshold: float = 1.0,
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
    stage_um : tuple of float
        Where the stage was, (x, y), µm.
    most : int, optional
        Most regions; of more, so many are taken, spread evenly over the field.
    margin_um : float
        Free distance of a tile from the overview's border and from other tiles, µm.
    minimum_signal : float
        Least mean of a tile's foreground, photon counts per pixel of the overview.
    imaged_um : float, optional
        Side of the square in the middle of a tile that must have foreground and signal, µm;
        left out: all of the tile.
    threshold : float
        Above how many times Otsu's threshold an overview is foreground, where it shows structure.

    Returns
    -------
    list of Region
        The tiles do not overlap and lie inside of the overview; line by line, every
        other line backwards, so that the scanner goes a short way from one to the
        next. All tiles of a field that is evenly bright; empty when nothing stands out
        from the photon noise of a dark one.
    """
    foreground = _foreground(overview, threshold)
    if foreground is None:
        return []
    # Each tile with its distance to the next one; the border is as far from the outermost.
    step_um = size_um + margin_um
    rows, columns = (
        _tiles(pixels * pixel_size_nm / 1000 - margin_um, step_um) for pixels in overview.shape
    )
    regions = []
    for row in range(rows):
        y_um = (row - (rows - 1) / 2) * step_um
        line = [(column - (columns - 1) / 2) * step_um for column in range(columns)]
        for x_um in line if row % 2 == 0 else reversed(line):
            pixels = _tile(overview.shape, x_um, y_um, imaged_um or size_um, pixel_size_nm)
            tile = foreground[pixels]
            if not (tile.size and tile.mean() >= minimum_foreground):
                continue
            # Without foreground there is no signal.
            if minimum_signal and not (
                tile.any() and overview[pixels][tile].mean() >= minimum_signal
            ):
                continue
            regions.append(_region(x_um, y_um, size_um, stage_um))
    if most is None or len(regions) <= most:
        return regions
    return [regions[round(i)] for i in np.linspace(0, len(regions) - 1, most)]


def fill_rectangle(
    centre_um: tuple[float, float],
    sides_um: tuple[float, float],
    size_um: float,
    stage_um: tuple[float, float] = (0.0, 0.0),
) -> list[Region]:
    """Lay as many regions as there is place for into a rectangle, around its centre.

    Parameters
    ----------
    centre_um, sides_um : tuple of float
        Centre in the field and sides, (x, y), µm.
    size_um : float
        Side of a region, µm.
    stage_um : tuple of float
        Where the stage is, (x, y), µm.

    Returns
    -------
    list of Region
        Line by line, every other line backwards; empty where the rectangle is too small.
    """
    columns, rows = (_tiles(side, size_um) for side in sides_um)
    regions = []
    for row in range(rows):
        y_um = centre_um[1] + (row - (rows - 1) / 2) * size_um
        line = [centre_um[0] + (column - (columns - 1) / 2) * size_um for column in range(columns)]
        for x_um in line if row % 2 == 0 else reversed(line):
            regions.append(_region(x_um, y_um, size_um, stage_um))
    return regions


def _region(x_um: float, y_um: float, size_um: float, stage_um: tuple[float, float]) -> Region:
    return Region(x_um, y_um, size_um, stage_x_um=stage_um[0], stage_y_um=stage_um[1])


def stage_fields(columns: int, rows: int, step_um: float) -> list[tuple[float, float]]:
    """Lay fields from where the stage stands; every other row backwards.

    Returns
    -------
    list of tuple of float
        Stage positions (x, y), µm; the first one is (0, 0).
    """
    fields = []
    for row in range(rows):
        line = [column * step_um for column in range(columns)]
        for x_um in line if row % 2 == 0 else reversed(line):
            fields.append((x_um, row * step_um))
    return fields


def _foreground(overview: npt.NDArray[np.int16], threshold: float) -> npt.NDArray[np.bool_] | None:
    """Mask of what stands out, or None when nothing does."""
    smooth = ndimage.gaussian_filter(overview.astype(np.float64), _BLUR_PIXELS)
    # Photon noise alone: the variance of the counts is their mean.
    noise = max(float(smooth.mean()), 0.0) * _BLURRED_VARIANCE
    variance = float(smooth.var())
    if variance == 0:
        return None
    if variance <= _NOISE_FACTOR * noise:
        return np.full(overview.shape, True) if smooth.mean() >= _LAWN_COUNTS else None
    mask: npt.NDArray[np.bool_] = smooth > threshold * threshold_otsu(smooth)
    return mask


def _tiles(length_um: float, size_um: float) -> int:
    """Whole tiles on a length; a billionth of a tile that rounding has cut off does not matter."""
    return math.floor(length_um / size_um + 1e-9)


def _tile(
    shape: tuple[int, ...], x_um: float, y_um: float, size_um: float, pixel_size_nm: float
) -> tuple[slice, slice]:
    """Pixels of an overview whose centres lie in a region."""
    slices = []
    for centre, pixels in ((y_um, shape[0]), (x_um, shape[1])):
        middle = pixels / 2 + centre * 1000 / pixel_size_nm
        half = size_um * 500 / pixel_size_nm
        slices.append(slice(max(round(middle - half), 0), round(middle + half)))
    return slices[0], slices[1]


def _listed(words: list[str], last: str) -> str:
    """Join words as a sentence has them: "a, b and c"."""
    *first, end = words
    return f"{', '.join(first)} {last} {end}" if first else end
