"""Read images of photon counts from files: TIFF, ``.npy``, ``.npz``, ``.msr`` or ``.obf``.

A file may hold several images: the stacks of a measurement (``.msr``, ``.obf``), the channels of an
OME-TIFF. One of them is named behind a ``#``, by its name or by its number from 1:
``axons.msr#STED {0}``, ``axons.msr#2``.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Image
from stedopt_bluesky.errors import in_one_line

IMAGE_SUFFIXES = (".tif", ".tiff", ".npy", ".npz", ".msr", ".obf")
# Pixels of the largest image that is read: 8192², 128 MB of int16.
MAX_PIXELS = 8192**2
# Of all images of a file together: four channels of the largest, 0.5 GB of int16.
_MAX_PIXELS_OF_FILE = 4 * MAX_PIXELS
# Of numpy's numbers longdouble takes the most bytes.
_MAX_BYTES_OF_PIXEL = 16

# A file of a known ending, "#", and which of its images.
_WITH_IMAGE = re.compile(r"(.*?(?:" + "|".join(map(re.escape, IMAGE_SUFFIXES)) + r"))#(.+)", re.I)
# A pixel of another size is none of a microscope's: a file that does not tell says 1 m, or 0.
_PIXEL_SIZES_NM = (0.1, 100_000.0)
# Sizes in files are rounded; 20 nm may be 19.99999949.
SAME_SIZE = 0.01
# Units that files give sizes in; both characters that look like µ, and ImageJ's words.
_NM = {"pm": 1e-3, "nm": 1.0, "mm": 1e6, "cm": 1e7, "m": 1e9}
_NM |= dict.fromkeys(("µm", "μm", "um", "micron", "microns", "\\u00B5m"), 1e3)


class ImageFileError(ValueError):
    """A file that is no image; one line that names it and says why."""


@dataclass(frozen=True, eq=False)
class StoredImage:
    """One image of a file.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Of its type in the file.
    name : str
        Name of its stack or channel; ``""`` where it has none.
    pixel_size_nm : float or None
        Side of a pixel, nm, as the file tells it.
    address : str
        The file, and behind a ``#`` which of its images it is where it holds several.
    """

    image: Image = field(repr=False)
    name: str = ""
    pixel_size_nm: float | None = None
    address: str = ""


@dataclass(frozen=True, eq=False)
class _Found:
    """An array of a file, before it is known to be an image; 0 for a size that is not told."""

    array: npt.NDArray[Any]
    name: str = ""
    x_nm: float = 0.0
    y_nm: float = 0.0


def split_address(address: str | os.PathLike[str]) -> tuple[Path, str]:
    """Divide ``FILE#IMAGE`` into the file and the name or number of the image; "" without one.

    A file whose own name has a ``#`` in it is meant itself.
    """
    text = os.fspath(address)
    match = _WITH_IMAGE.fullmatch(text)
    if match is None or Path(text).is_file():
        return Path(text), ""
    return Path(match[1]), match[2]


def image_stem(address: str | os.PathLike[str]) -> str | None:
    """Name of an image file without folder and ending; None when it has no such ending."""
    path, _ = split_address(address)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return None
    return re.sub(r"\.ome$", "", path.stem, flags=re.I)


def read_images(address: str | os.PathLike[str]) -> list[StoredImage]:
    """Read all images of a file, or the one that is named; nothing is unpickled.

    Parameters
    ----------
    address : str or Path
        A file, or ``FILE#IMAGE``. A ``.npy`` file holds one image; of an ``.npz`` file the first
        array is taken, of a measurement the stacks that hold one image each, those of whole
        numbers where there are any; of an OME-TIFF the channels. Axes of length 1 are left out.

    Returns
    -------
    list of StoredImage, at least one
        As stored. Of an ``.npz`` file with numbers between 0 and 1, as the published program
        has them, the counts: ``v · 65535 - 32768``.

    Raises
    ------
    ImageFileError
        When the file is missing, damaged, of another kind, holds no image, has pixels that are
        not square, or has no image of that name.
    """
    path, wanted = split_address(address)
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ImageFileError(f"{path}: allowed are {', '.join(IMAGE_SUFFIXES)}")
    if not path.is_file():
        raise ImageFileError(f"{path}: no such file")
    try:
        if suffix in (".tif", ".tiff"):
            found = _tiff(path)
        elif suffix == ".npy":
            found = [_Found(np.asarray(np.load(path, allow_pickle=False, mmap_mode="r")))]
        elif suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                # There may be several of a name: what is measured is what is read.
                name = archive.zip.namelist()[0]
                # Small files unpack to large ones.
                unpacked = archive.zip.getinfo(name).file_size
                if unpacked > _MAX_BYTES_OF_PIXEL * MAX_PIXELS:
                    raise ImageFileError(f"{path}: {unpacked} bytes unpacked, no such image")
                found = [_Found(published_counts(archive[name]))]
        else:
            found = _measurement(path, wanted)
    except ImageFileError:
        raise
    except Exception as error:  # each reader has its own errors for a damaged file
        reason = in_one_line(error)
        raise ImageFileError(f"{path}: cannot be read ({reason})") from None
    return [_checked(path, one, found) for one in _selected(path, found, wanted)]


def read_stored_image(address: str | os.PathLike[str]) -> StoredImage:
    """Read the one image of a file, or the one that is named, with its pixel size.

    Raises
    ------
    ImageFileError
        As :func:`read_images`, and when the file holds several and none is named.
    """
    found = read_images(address)
    if len(found) > 1:
        raise ImageFileError(
            f"{address}: holds {len(found)} images ({', '.join(repr(i.name) for i in found)}); "
            f"name one, as in {found[-1].address!r}"
        )
    return found[0]


def read_image(address: str | os.PathLike[str]) -> Image:
    """Read the one image of a file, or the one that is named (:func:`read_stored_image`).

    Returns
    -------
    ndarray, shape (Y, X)
        As stored.
    """
    return read_stored_image(address).image


def agreed_pixel_size_nm(
    address: str, told_nm: float | None, stored_nm: float | None
) -> float | None:
    """Pixel size of an image that a person and its file may both tell, nm; None: neither does.

    Raises
    ------
    ImageFileError
        When they tell different sizes.
    """
    if told_nm is None or stored_nm is None:
        return stored_nm if told_nm is None else told_nm
    if not math.isclose(told_nm, stored_nm, rel_tol=SAME_SIZE):
        raise ImageFileError(
            f"{address}: has pixels of {stored_nm:.4g} nm, not of {told_nm:g} nm; leave the "
            "pixel size out to take the file's"
        )
    return told_nm


def published_counts(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Photon counts of an image in the published program's numbers.

    There an int16 image is mapped to ``(counts + 32768) / 65535``. Floating-point numbers
    that all lie between 0.4 and 1 are taken for that (no count is negative by thousands);
    everything else is counts already.
    """
    if values.dtype.kind != "f" or values.size == 0:
        return values
    if not (values.min() >= 0.4 and values.max() <= 1):
        return values
    return np.asarray(np.rint(values.astype(np.float64) * 65535 - 32768), dtype=np.float32)


# --- which image ----------------------------------------------------------------------------


def _selected(path: Path, found: Sequence[_Found], wanted: str) -> Sequence[_Found]:
    """The images that are meant; a name comes before a number."""
    if not wanted:
        return found
    named = [one for one in found if one.name == wanted]
    if len(named) == 1:
        return named
    if not named and wanted.isdecimal() and 1 <= int(wanted) <= len(found):
        return [found[int(wanted) - 1]]
    problem = f"{len(named)} images are called" if named else "there is no image"
    raise ImageFileError(
        f"{path}: {problem} {wanted!r}; allowed are {', '.join(repr(one.name) for one in found)}, "
        f"or a number from 1 to {len(found)}"
    )


def _checked(path: Path, one: _Found, among: Sequence[_Found]) -> StoredImage:
    """Image without axes of length 1, if it is one, with its address."""
    array = one.array.squeeze() if one.array.ndim > 2 else one.array
    if array.ndim != 2 or array.size == 0:
        raise ImageFileError(f"{path}: expected one 2-D image, got an array of {array.shape}")
    if array.size > MAX_PIXELS:
        raise ImageFileError(f"{path}: {array.size} pixels, at most {MAX_PIXELS}")
    if array.dtype.kind not in "uif":
        raise ImageFileError(f"{path}: holds {array.dtype}, not counts")
    address = str(path)
    if len(among) > 1:
        unique = one.name and [other.name for other in among].count(one.name) == 1
        address += f"#{one.name if unique else 1 + list(among).index(one)}"
    return StoredImage(array, one.name, _square_pixel_nm(address, one.x_nm, one.y_nm), address)


def _square_pixel_nm(address: str, x_nm: float, y_nm: float) -> float | None:
    """Side of a pixel; None where the file does not tell it."""
    low, high = _PIXEL_SIZES_NM
    if not (low <= x_nm <= high and low <= y_nm <= high):
        return None
    if not math.isclose(x_nm, y_nm, rel_tol=SAME_SIZE):
        raise ImageFileError(
            f"{address}: has pixels of {x_nm:.4g} × {y_nm:.4g} nm; square ones are needed"
        )
    return x_nm


# --- TIFF -----------------------------------------------------------------------------------


def _tiff(path: Path) -> list[_Found]:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        # Of numpy's product, the sizes of a damaged file may turn over.
        sizes = [math.prod(series.shape) for series in tiff.series]
        if max(sizes, default=0) > MAX_PIXELS or sum(sizes) > _MAX_PIXELS_OF_FILE:
            raise ImageFileError(
                f"{path}: at most {MAX_PIXELS} pixels of an image, {_MAX_PIXELS_OF_FILE} of a file"
            )
        if tiff.ome_metadata:
            return _ome_images(tiff)
        return [_Found(np.asarray(tiff.asarray()), "", *_imagej_pixel_nm(tiff))]


def _ome_images(tiff: Any) -> list[_Found]:
    """Channels of an OME-TIFF's images; an image with other axes too is left as it is."""
    from xml.etree import ElementTree

    root = ElementTree.fromstring(tiff.ome_metadata)  # noqa: S314  expat 2.4.1 refuses XML bombs
    found = []
    for series, pixels in itertools.zip_longest(tiff.series, root.findall("{*}Image/{*}Pixels")):
        if series is None:
            break  # told of, but not in the file
        told = ElementTree.Element("Pixels") if pixels is None else pixels
        sizes = [_ome_length_nm(told, f"PhysicalSize{axis}") for axis in "XY"]
        array = np.asarray(series.asarray())
        if series.axes != "CYX":
            found.append(_Found(array, "", *sizes))
            continue
        names = [channel.get("Name", "") for channel in told.findall("{*}Channel")]
        pairs = itertools.zip_longest(array, names[: len(array)], fillvalue="")
        found += [_Found(np.asarray(image), name, *sizes) for image, name in pairs]
    return found


def _ome_length_nm(element: Any, attribute: str) -> float:
    """Length in an attribute and its unit in another, nm; 0 where it is not told."""
    unit = _NM.get(element.get(f"{attribute}Unit", "µm"), 0.0)
    return float(element.get(attribute, 0)) * unit


def _imagej_pixel_nm(tiff: Any) -> tuple[float, float]:
    """Pixel size (x, y) that ImageJ wrote, nm; other programs' resolution is that of a printer."""
    unit = _NM.get(str((tiff.imagej_metadata or {}).get("unit", "")), 0.0)
    sizes = []
    for name in ("XResolution", "YResolution"):
        tag = tiff.pages[0].tags.get(name)
        pixels, units = tag.value if tag else (0, 0)
        sizes.append(unit * units / pixels if pixels else 0.0)
    return sizes[0], sizes[1]


# --- measurements ---------------------------------------------------------------------------


def _measurement(path: Path, wanted: str) -> list[_Found]:
    """Stacks that are one image; those of whole numbers, unless there are none or one is named."""
    try:
        import specpy
    except ImportError:
        raise ImageFileError(
            f"{path}: needs SpecPy to be read: pip install 'stedopt-bluesky[specpy]'"
        ) from None
    file = specpy.File(str(path), specpy.File.Read)
    found = []
    for number in range(file.number_of_stacks()):
        stack = file.read(number)
        shape = list(stack.shape())
        axes = [axis for axis, size in enumerate(shape) if size > 1]
        if len(axes) == 2 and math.prod(shape) <= MAX_PIXELS:
            sizes_nm = (1e9 * stack.lengths()[axis] / shape[axis] for axis in axes)
            # A copy, while the file is open: its memory goes with it.
            found.append(_Found(np.array(stack.data()).squeeze(), stack.name(), *sizes_nm))
    if not found:
        raise ImageFileError(
            f"{path}: no stack of it is one 2-D image of {MAX_PIXELS} pixels or less"
        )
    counts = [one for one in found if one.array.dtype.kind in "ui"]
    named = bool(wanted) and wanted in {one.name for one in found}
    return found if named or not counts else counts
