"""Arrays outside the documents: from a stream resource to the frames in its HDF5 file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy.typing as npt

from stedopt_bluesky.records.folder import CatalogError

HDF5 = "application/x-hdf5"
# Scheme, an optional host, and the path; on Windows the path is /C:/… .
_FILE_ADDRESS = re.compile(r"file://(?:localhost)?/*(/|[A-Za-z]:/)(.*)")


def path_of(uri: str, arrays: Path | None = None) -> Path:
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

    Returns
    -------
    Path
        Where the file is, or where its address says when it is nowhere.

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
    candidates = [*own, decoded, Path(root + rest)]
    return next((path for path in candidates if path.is_file()), decoded)


def tiled_address(path: Path) -> str:
    """Address of a file as Tiled (0.2.20) reads it: with no character percent-encoded."""
    return f"file://localhost/{path.as_posix().removeprefix('/')}"


def read_frames(
    resource: dict[str, Any], indices: Sequence[int], arrays: Path | None = None
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

    Raises
    ------
    CatalogError
        When the file is missing, unreadable or shorter than the documents say.
    """
    import h5py

    if resource["mimetype"] != HDF5:
        raise CatalogError(
            f"{resource['data_key']} is stored as {resource['mimetype']!r}; only {HDF5} can be read"
        )
    parameters = resource["parameters"]
    path = path_of(resource["uri"], arrays)
    try:
        # A file whose writer was killed opens in the mode in which it was written only.
        with h5py.File(path, "r", swmr=bool(parameters.get("swmr"))) as file:
            dataset = file[parameters["dataset"]]
            if indices and max(indices) >= len(dataset):
                raise CatalogError(
                    f"{path} has {len(dataset)} frames of {resource['data_key']}; "
                    f"the journal tells of {max(indices) + 1}"
                )
            return [dataset[i] for i in indices]
    except (OSError, KeyError) as error:
        raise CatalogError(f"{resource['data_key']} cannot be read from {path}: {error}") from error
