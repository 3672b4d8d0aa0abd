"""Samples of the digital twin: maps of fluorophores that remember their photobleaching."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.image_files import (
    ImageFileError,
    StoredImage,
    agreed_pixel_size_nm,
    image_stem,
    read_stored_image,
    split_address,
)
from stedopt_bluesky.twin.scan_geometry import Axis, overlap_matrix, scan_image
from stedopt_bluesky.twin.structures import actin, pores, synapses, tubulin

FloatMap = npt.NDArray[np.float32]

MAP_PIXEL_SIZE_M = 20e-9  # pixel size of the paper's images, finer than any focus used
MAX_MAP_PIXELS = 8000  # per side: two maps of 256 MB
# Brightest count of an image that was normalised to 1; in real STED images of actin and
# tubulin of 20-nm pixels it is 63 to 106.
NORMALISED_COUNTS = 60.0
MAX_IMAGE_PIXELS = 8192  # per side of an image that is read

# Fluorophores per count of an image made into a sample. With it a STED image taken with
# STAR635P at 10 µW, 150 mW, 20 nm and 20 µs has about the counts of the original: on four
# real images of actin and tubulin the 99th percentile is within 15 %.
FLUOROPHORES_PER_COUNT = 0.09

_GENERATORS: MappingProxyType[str, tuple[str, Callable[..., FloatMap]]] = MappingProxyType(
    {
        "actin": ("axons with a periodic F-actin lattice", actin),
        "tubulin": ("microtubules", tubulin),
        "synapses": ("PSD95-like puncta with nanodomains", synapses),
        "pores": ("nuclear pores", pores),
    }
)
SAMPLE_NAMES: tuple[str, ...] = tuple(_GENERATORS)


@dataclass(frozen=True, eq=False)
class Sample:
    """A flat sample: fluorophores on a map, and which share of them is still alive.

    Parameters
    ----------
    name : str
        Name of the sample.
    structure : str
        What is labelled, in words.
    density : ndarray, shape (H, W)
        Fluorophores per map pixel, finite, not negative; made float32 and read-only.
    pixel_size_m : float
        Side of a map pixel, in m.

    Attributes
    ----------
    survival : ndarray of float32, shape (H, W)
        Share not yet photobleached, 1 at first. The only part that changes, in place.

    Raises
    ------
    ValueError
        When the density is not a 2-D map of finite, non-negative numbers, or the pixel
        size is not positive.
    """

    name: str
    structure: str
    density: FloatMap
    pixel_size_m: float = MAP_PIXEL_SIZE_M
    survival: FloatMap = field(init=False, repr=False)

    def __post_init__(self) -> None:
        density = np.array(self.density, dtype=np.float32)
        if density.ndim != 2 or density.size == 0:
            raise ValueError(
                f"sample {self.name!r}: density must be a 2-D map, got {density.shape}"
            )
        if not (np.isfinite(density).all() and density.min() >= 0):
            raise ValueError(f"sample {self.name!r}: density must be finite and not negative")
        if not (math.isfinite(self.pixel_size_m) and self.pixel_size_m > 0):
            raise ValueError(
                f"sample {self.name!r}: pixel_size_m must be positive, got {self.pixel_size_m}"
            )
        density.flags.writeable = False
        object.__setattr__(self, "density", density)
        object.__setattr__(self, "survival", np.ones_like(density))

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """Rows and columns of the map as axes with the sample's centre at 0."""
        rows, columns = self.density.shape
        return Axis(0.0, self.pixel_size_m, rows), Axis(0.0, self.pixel_size_m, columns)

    @property
    def field_m(self) -> float:
        """Side of the map, the shorter one if they differ, in m."""
        return min(axis.length_m for axis in self.axes)

    def window(
        self, x_m: float, y_m: float, shape: tuple[int, int], pixel_size_m: float
    ) -> FloatMap:
        """Living fluorophores in each pixel of a window.

        Map pixels are shared out by area, so that coarse pixels collect and fine pixels
        divide; outside the sample there are none.

        Parameters
        ----------
        x_m, y_m : float
            Centre of the window, in m.
        shape : tuple of int
            Pixels (ny, nx).
        pixel_size_m : float
            Side of the window's pixels, in m.

        Returns
        -------
        ndarray of float32, shape (ny, nx)
            Fluorophores per pixel of the window.
        """
        alive, parts, windows = [], [], []
        for centre, pixels, axis in zip((y_m, x_m), shape, self.axes, strict=True):
            window = Axis(centre, pixel_size_m, pixels)
            chosen, part = axis.part(window.start_m, window.start_m + window.length_m)
            alive.append(chosen)
            parts.append(part)
            windows.append(window)
        living = self.density[tuple(alive)] * self.survival[tuple(alive)]
        rows, columns = (overlap_matrix(w, p) for w, p in zip(windows, parts, strict=True))
        return scan_image(rows, living, columns)


def make_sample(name: str, seed: int, field_m: float) -> Sample:
    """Generate a sample.

    Parameters
    ----------
    name : str
        One of `SAMPLE_NAMES`.
    seed : int
        Same seed, same sample, bit for bit.
    field_m : float
        Side of the square map, in m.

    Raises
    ------
    ValueError
        When the name is unknown or the field is smaller than a pixel or larger than 160 µm.
    """
    if name not in _GENERATORS:
        raise ValueError(f"unknown sample {name!r}; allowed are {', '.join(SAMPLE_NAMES)}")
    pixels = _map_pixels(field_m, MAP_PIXEL_SIZE_M)
    structure, generate = _GENERATORS[name]
    density = generate(np.random.default_rng(seed), pixels, MAP_PIXEL_SIZE_M)
    return Sample(name, structure, density, MAP_PIXEL_SIZE_M)


def sample_from_image(
    image: StoredImage | str | PathLike[str],
    seed: int,
    field_m: float,
    pixel_size_m: float | None = None,
) -> Sample:
    """Make a sample of a real image: its counts become the map of fluorophores.

    An image whose largest count is 1 or less, a normalised one or a mask, is taken to have
    been divided by its brightest count, which is put at 60 again.
    The image is laid out as tiles with random flips (and quarter turns where it is
    square), so that each tile is a fresh piece of sample. The middle of one tile is the
    middle of the field: regions of a tile's size laid around it cut no tile.

    Parameters
    ----------
    image : StoredImage, str or Path
        Counts, or a file of them (TIFF, ``.npy``, ``.npz``, ``.msr``, ``.obf``);
        ``FILE#NAME`` or ``FILE#2`` where it holds several images.
    seed : int
        For the flips and turns.
    field_m : float
        Side of the square map, in m.
    pixel_size_m : float, optional
        Pixel size of the image, in m; the map gets the same. Left out: as the file tells it, or
        else 20 nm.

    Raises
    ------
    ValueError
        When the file is missing, unreadable, not 2-D, empty, constant, negative, not finite
        or larger than 8192 pixels a side, or tells another pixel size; the message names it.
    """
    stored = image if isinstance(image, StoredImage) else _read_image(image)
    pixel_size_m = image_pixel_size_m(stored, pixel_size_m)
    counts = _checked(stored)
    rng = np.random.default_rng(seed)
    pixels = _map_pixels(field_m, pixel_size_m)
    height, width = counts.shape
    density = np.empty((pixels, pixels), np.float32)
    for top in _tile_starts(pixels, height):
        for left in _tile_starts(pixels, width):
            tile = _turned(counts, rng)[max(-top, 0) : pixels - top, max(-left, 0) : pixels - left]
            y, x = max(top, 0), max(left, 0)
            density[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    density *= FLUOROPHORES_PER_COUNT
    name = image_stem(stored.address) or stored.address
    file = split_address(stored.address)[0].name
    return Sample(name, f"tiles of the image {file}", density, pixel_size_m)


def image_pixel_size_m(stored: StoredImage, told_m: float | None = None) -> float:
    """Pixel size of an image: as somebody or its file tells it, or else 20 nm; in m.

    Raises
    ------
    ValueError
        When both tell one and they differ.
    """
    told_nm = None if told_m is None else told_m * 1e9
    agreed_nm = agreed_pixel_size_nm(stored.address, told_nm, stored.pixel_size_nm)
    if told_m is not None:
        return told_m
    return MAP_PIXEL_SIZE_M if agreed_nm is None else agreed_nm * 1e-9


def _map_pixels(field_m: float, pixel_size_m: float) -> int:
    """Pixels per side of a map."""
    if not (math.isfinite(pixel_size_m) and pixel_size_m > 0):
        raise ValueError(f"pixel_size_m must be positive and finite, got {pixel_size_m}")
    largest = MAX_MAP_PIXELS * pixel_size_m
    if not pixel_size_m <= field_m <= largest * (1 + 1e-9):
        raise ValueError(
            f"field_m must be {pixel_size_m:g} … {largest:g} m "
            f"(at most {MAX_MAP_PIXELS} map pixels a side), got {field_m}"
        )
    return round(field_m / pixel_size_m)


def _tile_starts(pixels: int, size: int) -> range:
    """First pixels of tiles of ``size`` that cover ``pixels``, one of them in the middle."""
    middle = (pixels - size) // 2
    return range(middle % size - size if middle % size else 0, pixels, size)


def _turned(image: FloatMap, rng: np.random.Generator) -> FloatMap:
    """Image with a random flip of each axis and, where it is square, a random transposition."""
    flip_y, flip_x, transpose = rng.integers(2, size=3)
    turned = image[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    return turned.T if transpose and image.shape[0] == image.shape[1] else turned


def _read_image(address: str | PathLike[str]) -> StoredImage:
    """Image in a file; nothing is unpickled, nothing too large is read."""
    try:
        return read_stored_image(address)
    except ImageFileError as error:
        raise ValueError(f"sample image {error}") from None


def _checked(stored: StoredImage) -> FloatMap:
    """Image as float32 counts, if it holds finite counts that differ from one another."""
    where, shape = f"sample image {stored.address}", stored.image.shape
    if max(shape) > MAX_IMAGE_PIXELS:
        raise ValueError(f"{where}: at most {MAX_IMAGE_PIXELS} pixels a side, got {shape}")
    counts = stored.image.astype(np.float32)
    if not np.isfinite(counts).all():
        raise ValueError(f"{where}: counts must be finite float32 numbers")
    low, high = float(counts.min()), float(counts.max())
    if low < 0:
        raise ValueError(f"{where}: counts must not be negative, got {low:g}")
    if low == high:
        raise ValueError(f"{where}: all pixels have the same count {low:g}")
    return counts * NORMALISED_COUNTS if high <= 1 else counts
