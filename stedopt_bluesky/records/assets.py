"""Arrays outside the documents: from a stream resource to the frames in its HDF5 file.

A journal may come from somebody else. What it names is read from its catalogue's own folder of
arrays, out of that very file, and no more than an image can be: never from elsewhere on the disk.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy.typing as npt

from stedopt_bluesky.records.folder import FORBIDDEN_CHARACTERS, CatalogError
from stedopt_bluesky.records.left_open import AsClosed, is_left_open

if TYPE_CHECKING:
    import h5py

HDF5 = "application/x-hdf5"
# Bytes of the largest array of one Event that is read: the 8192² pixels of `image_files`, in 8
# bytes each. HDF5 gives an array of any size out of a file of none.
MOST_FRAME_BYTES = 8 * 8192**2
# Scheme, an optional host, and the path; on Windows the path is /C:/… .
_FILE_ADDRESS = re.compile(r"file://(?:localhost)?/*(/|[A-Za-z]:/)(.*)")


def path_of(uri: str, arrays: Path | None = None) -> Path:
    """Path of the file that a stream resource names.

    Both percent-encoded and plain addresses are met in documents; the file that exists is
    meant. A catalogue may have been moved or copied since: its own file under ``arrays``,
    by what follows a folder of that name in the address, comes before the one at the address.
    What is not below ``arrays``, links followed, is not this catalogue's and is refused.

    Parameters
    ----------
    uri : str
        ``file://localhost/…``
    arrays : Path, optional
        The catalogue's folder of arrays; left out: the file may be anywhere.

    Returns
    -------
    Path
        Where the file is, or would be when it is nowhere.

    Raises
    ------
    CatalogError
        When this is not the address of a file, or of one outside of the arrays.
    """
    match = _FILE_ADDRESS.fullmatch(uri)
    if match is None:
        raise CatalogError(f"{uri!r} is not the address of a file (file://localhost/…)")
    root, rest = match.groups()
    decoded = Path(root + unquote(rest))
    own = []
    if arrays is not None:
        parts = decoded.parts
        own = [arrays.joinpath(*parts[i + 1 :]) for i, p in enumerate(parts) if p == arrays.name]
    candidates = [decoded, *own, Path(root + rest)]
    if arrays is not None:
        within = arrays.resolve()
        # Also one that comes back: Tiled 0.2.20 takes what begins as its folder does for inside.
        strange = ".." in decoded.parts
        candidates = [path for path in candidates if not strange and _is_below(path, within)]
        if not candidates:
            raise CatalogError(f"{uri!r} is outside of the catalogue's arrays, {arrays}")
    by_rank = [*(path for path in own if path in candidates), *candidates]
    return next((path for path in by_rank if _is_file(path)), candidates[0])


def served_path(resource: dict[str, Any], arrays: Path) -> Path:
    """Path of the file of a stream resource that may be given to Tiled, to be served.

    Tiled reads whatever file it is told of: also those that a template makes of an address, those
    of other formats, and what an HDF5 file says is in another one. Of a file that is being written
    only what was there before the first frame is looked at: none is waited for here.

    Parameters
    ----------
    resource : dict
        The stream resource document.
    arrays : Path
        The catalogue's folder of arrays.

    Raises
    ------
    CatalogError
        When it names anything but one dataset of an HDF5 file below the arrays. A file that is
        missing or damaged is served as far as it goes.
    """
    if resource["mimetype"] != HDF5:
        raise CatalogError(
            f"{resource['data_key']} is stored as {resource['mimetype']!r}; only {HDF5} is served"
        )
    unknown = sorted(set(resource) - _RESOURCE_KEYS) or sorted(
        {"template"} & set(resource["parameters"])
    )
    if unknown:
        raise CatalogError(f"{resource['data_key']} has {unknown[0]!r} in its stream resource")
    path = path_of(resource["uri"], arrays)
    if bad := [c for c in FORBIDDEN_CHARACTERS if c in str(path)]:
        raise CatalogError(
            f"{path}: {bad[0]!r} is not allowed in the path of a file that is served"
        )
    try:
        open_to_read(path, growing=False).close()
    except OSError:
        return path
    with FrameFiles(arrays, growing=False) as files:
        files.dataset(resource)
    return path


# Of event-model's schema; Tiled makes an address of others, which older documents had.
_RESOURCE_KEYS = frozenset({"uid", "data_key", "mimetype", "uri", "parameters", "run_start"})


def _is_below(path: Path, folder: Path) -> bool:
    """Whether a path, links followed, leads to something below a folder whose links are."""
    try:
        return path.resolve().is_relative_to(folder)
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, links in a circle
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is none: too long, a null byte
        return False


def tiled_address(path: Path) -> str:
    """Address of a file as Tiled (0.2.20) reads it: with no character percent-encoded."""
    return f"file://localhost/{path.as_posix().removeprefix('/')}"


class FrameFiles:
    """HDF5 files of stream resources, each opened once: ``with FrameFiles(arrays) as files:``.

    Parameters
    ----------
    arrays : Path, optional
        Where to look when a file was moved with its catalogue.
    growing : bool
        Whether somebody may still be writing them. A damaged file is waited for then, for long.
    """

    def __init__(self, arrays: Path | None = None, *, growing: bool = True) -> None:
        self._arrays = arrays
        self._growing = growing
        self._open: dict[Path, Any] = {}
        # Where each address leads: found once, which costs more than to read a small image.
        self._paths: dict[str, Path] = {}

    def __enter__(self) -> FrameFiles:
        return self

    def __exit__(self, *exc: object) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()

    def dataset(self, resource: dict[str, Any]) -> Any:
        """Find the dataset of a stream resource; its mimetype must be HDF5.

        Raises
        ------
        CatalogError
            When the file is missing, unreadable or outside of the arrays, has no such dataset of
            its own, or one of arrays that are too large.
        """
        import h5py

        if resource["mimetype"] != HDF5:
            raise CatalogError(
                f"{resource['data_key']} is stored as {resource['mimetype']!r}; "
                f"only {HDF5} can be read"
            )
        parameters = resource["parameters"]
        path = self._path(resource)
        try:
            if path not in self._open:
                self._open[path] = open_to_read(path, growing=self._growing)
            found = self._open[path].get(parameters["dataset"])
        except _UNREADABLE as error:
            raise _cannot_be_read(resource, path, error) from error
        if not isinstance(found, h5py.Dataset) or not found.shape:
            raise CatalogError(
                f"{resource['data_key']} cannot be read from {path}: "
                f"it has no dataset {parameters['dataset']!r} of frames"
            )
        if reason := _refused(found, self._open[path]):
            raise CatalogError(f"{resource['data_key']} is not read from {path}: {reason}")
        return found

    def _path(self, resource: dict[str, Any]) -> Path:
        uri = resource["uri"]
        if uri not in self._paths:
            self._paths[uri] = path_of(uri, self._arrays)
        return self._paths[uri]

    def frames(self, resource: dict[str, Any], indices: Sequence[int]) -> list[npt.NDArray[Any]]:
        """Read frames, one per index along the dataset's first axis.

        Raises
        ------
        CatalogError
            As :meth:`dataset`, and when the dataset is shorter than the documents say.
        """
        dataset = self.dataset(resource)
        path = self._path(resource)
        if indices and max(indices) >= len(dataset):
            raise CatalogError(
                f"{path} has {len(dataset)} frames of {resource['data_key']}; "
                f"the journal tells of {max(indices) + 1}"
            )
        try:
            return [dataset[i] for i in indices]
        except _UNREADABLE as error:
            raise _cannot_be_read(resource, path, error) from error


def open_to_read(path: Path, *, growing: bool) -> h5py.File:
    """Open an HDF5 file, also one whose writer was killed.

    Parameters
    ----------
    path : Path
        The file.
    growing : bool
        Whether somebody may be writing it, in the single-writer-multiple-reader mode.

    Raises
    ------
    OSError
        When it is missing or damaged.
    """
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError:
        if not is_left_open(path):
            raise
        return h5py.File(path, "r", swmr=True) if growing else h5py.File(AsClosed(path), "r")


def _refused(dataset: h5py.Dataset, file: h5py.File) -> str:
    """Say why a dataset is none that this program has written; "" when it may be."""
    if dataset.file.filename != file.filename or dataset.is_virtual or dataset.external:
        return "its bytes are in other files (an external link, a virtual or external dataset)"
    if dataset.dtype.kind not in "biufc":
        return f"it has arrays of {dataset.dtype}, not of numbers"
    # Of a chunk all is read, whatever is asked for.
    for shape in (dataset.shape[1:], dataset.chunks or ()):
        if math.prod(shape) * dataset.dtype.itemsize > MOST_FRAME_BYTES:
            return (
                f"it has arrays of shape {shape} and {dataset.dtype}; at most {MOST_FRAME_BYTES} "
                "bytes are read for an Event"
            )
    return ""


# What h5py raises on files and datasets that are missing, damaged or larger than the memory.
_UNREADABLE = (OSError, KeyError, RuntimeError, ValueError, TypeError, MemoryError)


def _cannot_be_read(resource: dict[str, Any], path: Path, error: Exception) -> CatalogError:
    return CatalogError(f"{resource['data_key']} cannot be read from {path}: {error}")


def read_frames(
    resource: dict[str, Any],
    indices: Sequence[int],
    arrays: Path | None = None,
    *,
    growing: bool = True,
) -> list[npt.NDArray[Any]]:
    """Read frames of a stream resource, one per index along the dataset's first axis.

    Parameters
    ----------
    resource : dict
        The stream resource document; its mimetype must be HDF5.
    indices : sequence of int
        Which frames, in which order.
    arrays : Path, optional
        Where to look when the file was moved with its catalogue.
    growing : bool
        As for :class:`FrameFiles`.

    Raises
    ------
    CatalogError
        When the file is missing, unreadable or shorter than the documents say.
    """
    with FrameFiles(arrays, growing=growing) as files:
        return files.frames(resource, indices)
