"""Read one image of photon counts from a file: TIFF, ``.npy``, ``.npz``, ``.msr`` or ``.obf``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Image

IMAGE_SUFFIXES = (".tif", ".tiff", ".npy", ".npz", ".msr", ".obf")
# Pixels of the largest image that is read: 8192², 128 MB of int16.
MAX_PIXELS = 8192**2


class ImageFileError(ValueError):
    """A file that is no image; one line that names it and says why."""


def read_image(path: str | Path) -> Image:
    """Read the image in a file; nothing is unpickled.

    Parameters
    ----------
    path : str or Path
        A TIFF or ``.npy`` file with one image; of an ``.npz`` file the first array is taken, of
        a measurement (``.msr``, ``.obf``) the first stack that holds one image. Axes of length 1
        are left out.

    Returns
    -------
    ndarray, shape (Y, X)
        As stored. Of an ``.npz`` file with numbers between 0 and 1, as the published program
        has them, the counts: ``v · 65535 - 32768``.

    Raises
    ------
    ImageFileError
        When the file is missing, damaged, of another kind, or does not hold one image.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ImageFileError(f"{path}: allowed are {', '.join(IMAGE_SUFFIXES)}")
    if not path.is_file():
        raise ImageFileError(f"{path}: no such file")
    try:
        if suffix in (".tif", ".tiff"):
            array = _tiff(path)
        elif suffix == ".npy":
            array = np.asarray(np.load(path, allow_pickle=False, mmap_mode="r"))
        elif suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                array = published_counts(archive[archive.files[0]])
        else:
            array = _measurement(path)
    except ImageFileError:
        raise
    except Exception as error:  # each reader has its own errors for a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageFileError(f"{path}: cannot be read ({reason})") from None
    array = array.squeeze() if array.ndim > 2 else array
    if array.ndim != 2 or array.size == 0:
        raise ImageFileError(f"{path}: expected one 2-D image, got an array of {array.shape}")
    if array.size > MAX_PIXELS:
        raise ImageFileError(f"{path}: {array.size} pixels, at most {MAX_PIXELS}")
    if array.dtype.kind not in "uif":
        raise ImageFileError(f"{path}: holds {array.dtype}, not counts")
    return array


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


def _tiff(path: Path) -> npt.NDArray[Any]:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        if np.prod(tiff.series[0].shape, dtype=np.int64) > MAX_PIXELS:
            raise ImageFileError(f"{path}: at most {MAX_PIXELS} pixels")
        return np.asarray(tiff.asarray())


def _measurement(path: Path) -> npt.NDArray[Any]:
    try:
        import specpy
    except ImportError:
        raise ImageFileError(
            f"{path}: needs SpecPy to be read: pip install 'stedopt-bluesky[specpy]'"
        ) from None
    file = specpy.File(str(path), specpy.File.Read)
    for number in range(file.number_of_stacks()):
        stack = file.read(number)
        sides = [size for size in stack.shape() if size > 1]
        if len(sides) == 2:
            # A copy, while the file is open: its memory goes with it.
            return np.array(stack.data()).squeeze()
    raise ImageFileError(f"{path}: no stack of it is one 2-D image")
