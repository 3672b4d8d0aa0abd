"""Arrays outside the documents: from a stream resource to the frames in its HDF5 file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy.typing as npt

from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.left_open import AsClosed, is_left_open

if TYPE_CHECKING:
    import h5py

HDF5 = "application/x-hdf5"
# Scheme, an optional host, and the path; on Windows the path is /C:/… .
_FILE_ADDRESS = re.compile(r"file://(?:localhost)?/*(/|[A-Za-z]:/)(.*)")


def path_of(uri: str, arrays: Path | None = None, *, only_own: bool = False) -> Path:
    """Path of the file that a stream resource names.

    Both percent-encoded and plain addresses are met in documents; the file that exists is
    meant. A catalogue may have been moved or copied since: its own file under ``arrays``,
    by what follows a folder of that name in the address, comes before the one at the address.

    Parameters
    ----------
    uri : str
        ``file://localhost/…``
    arrays : Path, optional
        The catalogue's folder of arrays.
    only_own : bool
        Whether only files under ``arrays`` are meant: where a copy is checked, the file of the
        original, at the address, must not stand for one that the copy lacks.

    Returns
    -------
    Path
        Where the file is. When it is nowhere: where its address says, or with ``only_own``
        where it should be under ``arrays``.

    Raises
    ------
    CatalogError
        When this is not the address of a file.
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
    if only_own and own:
        return next((path for path in own if _is_file(path)), own[-1])
    candidates = [*own, decoded, Path(root + rest)]
    return next((path for path in candidates if _is_file(path)), decoded)


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
    only_own : bool
        As for :func:`path_of`.
    """

    def __init__(
        self, arrays: Path | None = None, *, growing: bool = True, only_own: bool = False
    ) -> None:
        self._arrays = arrays
        self._growing = growing
        self._only_own = only_own
        self._open: dict[Path, Any] = {}

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
            When the file is missing or unreadable, or has no such dataset.
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
        return found

    def _path(self, resource: dict[str, Any]) -> Path:
        return path_of(resource["uri"], self._arrays, only_own=self._only_own)

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


# What h5py raises on files and datasets that are missing or damaged.
_UNREADABLE = (OSError, KeyError, RuntimeError, ValueError, TypeError)


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
