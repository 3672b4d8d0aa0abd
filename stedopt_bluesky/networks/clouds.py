"""Clouds of options with the one that somebody chose: the training data of preference networks.

A file is an ``.npz`` with five arrays: ``values``, float64 of shape (T, M), the options of all
clouds one after another; ``offsets``, N + 1 whole numbers, where each cloud begins and the last
ends; ``chosen``, N whole numbers, the row of its cloud that was chosen, from 0; ``objectives`` and
``units``, text of shape (M,). A folder of such files is read as one dataset.
"""

from __future__ import annotations

import hashlib
import itertools
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.errors import in_one_line
from stedopt_bluesky.networks.datasets import DatasetError

FloatArray = npt.NDArray[np.float64]

SUFFIX = ".npz"
# The paper's largest dataset, 6.8 million options of 3 objectives, has 0.2 GB.
MAX_FILE_BYTES = 2 * 2**30
# Of validation and of test, each (the paper's 80/10/10).
HELD_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Clouds:
    """Clouds of options, and the option that was chosen from each.

    Parameters
    ----------
    values : tuple of ndarray, each of shape (G_i, M)
        Objectives of the options, each column in its unit. An option with a NaN was not on
        offer.
    chosen : ndarray of int, shape (N,)
        Row of each cloud.
    objectives, units : tuple of str, length M
        Names of the columns, and their units.

    Raises
    ------
    DatasetError
        When there is no cloud, shapes do not fit, a value is infinite, fewer than two options of
        a cloud are on offer, or the chosen one is not.
    """

    values: tuple[FloatArray, ...] = field(repr=False)
    chosen: npt.NDArray[np.intp] = field(repr=False)
    objectives: tuple[str, ...]
    units: tuple[str, ...]

    def __post_init__(self) -> None:
        names = self.objectives
        if not names or len(set(names)) != len(names) or len(names) != len(self.units):
            raise DatasetError(
                f"objectives {names} with units {self.units}: different names, a unit for each"
            )
        if not self.values:
            raise DatasetError("the dataset has no cloud of options")
        if len(self.values) != len(self.chosen):
            raise DatasetError(f"{len(self.values)} clouds, {len(self.chosen)} choices: as many")
        for number, (cloud, row) in enumerate(zip(self.values, self.chosen, strict=True)):
            _check(f"cloud {number}", cloud, int(row), len(names))

    def __len__(self) -> int:
        return len(self.values)

    def part(self, rows: Sequence[int] | npt.NDArray[np.intp]) -> Clouds:
        """Some of the clouds, in the order of ``rows``."""
        kept = [int(row) for row in rows]
        return Clouds(
            tuple(self.values[i] for i in kept), self.chosen[kept], self.objectives, self.units
        )

    def split(self, seed: int) -> tuple[Clouds, Clouds, Clouds]:
        """Divide 80/10/10 by cloud: pairs of one cloud are never in two parts.

        Parameters
        ----------
        seed : int
            Of the draw.

        Returns
        -------
        tuple of Clouds
            For training, validation and test. 625 clouds become 501, 62 and 62, as published.

        Raises
        ------
        DatasetError
            When there are fewer than three clouds.
        """
        if len(self) < 3:
            raise DatasetError(
                f"{len(self)} clouds cannot be divided into training, validation and test: "
                "at least 3"
            )
        held = max(1, int(HELD_SHARE * len(self)))
        order = np.random.default_rng(seed).permutation(len(self))
        test, validation, training = order[:held], order[held : 2 * held], order[2 * held :]
        return tuple(self.part(np.sort(rows)) for rows in (training, validation, test))  # type: ignore[return-value]

    def fingerprint(self) -> str:
        """SHA-256 of all options and choices: what a network was trained on, in one number."""
        digest = hashlib.sha256(repr((self.objectives, self.units)).encode())
        for cloud, row in zip(self.values, self.chosen, strict=True):
            digest.update(f"{cloud.shape}{int(row)}".encode())
            digest.update(np.ascontiguousarray(cloud, dtype="<f8").tobytes())
        return digest.hexdigest()


def on_offer(cloud: FloatArray) -> npt.NDArray[np.bool_]:
    """Whether each option of a cloud could be chosen, shape (G,)."""
    return np.asarray(~np.isnan(cloud).any(axis=1))


def _check(name: str, cloud: FloatArray, row: int, columns: int) -> None:
    if cloud.ndim != 2 or cloud.shape[1] != columns:
        raise DatasetError(f"{name} has shape {cloud.shape}: (options, {columns}) is needed")
    if np.isinf(cloud).any():
        raise DatasetError(f"{name} has an infinite value: finite, or NaN for what is not on offer")
    offered = on_offer(cloud)
    if offered.sum() < 2:
        raise DatasetError(f"{name} has {offered.sum()} options on offer: at least 2")
    if not 0 <= row < len(cloud) or not offered[row]:
        raise DatasetError(
            f"{name}: chosen = {row}: one of the options on offer, 0 to {len(cloud) - 1}"
        )


def joined(parts: Sequence[Clouds]) -> Clouds:
    """Put datasets together.

    Raises
    ------
    DatasetError
        When there is none, or two differ in objectives or units.
    """
    if not parts:
        raise DatasetError("the dataset has no cloud of options")
    first = parts[0]
    for part in parts[1:]:
        if (part.objectives, part.units) != (first.objectives, first.units):
            raise DatasetError(
                f"clouds of {_told(first)} and of {_told(part)} cannot be put together"
            )
    return Clouds(
        tuple(cloud for part in parts for cloud in part.values),
        np.concatenate([part.chosen for part in parts]),
        first.objectives,
        first.units,
    )


def _told(clouds: Clouds) -> str:
    pairs = zip(clouds.objectives, clouds.units, strict=True)
    return ", ".join(f"{name} ({unit or 'no unit'})" for name, unit in pairs)


def read_clouds(path: str | Path) -> Clouds:
    """Read clouds from a file, or from all ``.npz`` files of a folder; nothing is unpickled.

    Raises
    ------
    DatasetError
        When there is no such file, one is damaged or of another form, or they do not go
        together.
    """
    path = Path(path)
    if not path.is_dir():
        return _read_file(path)
    files = sorted(path.glob(f"*{SUFFIX}"))
    if not files:
        raise DatasetError(f"{path}: expected {SUFFIX} files of clouds, there is none")
    parts = [_read_file(file) for file in files]
    try:
        return joined(parts)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None


def _read_file(path: Path) -> Clouds:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_FILE_BYTES:
            raise ValueError(f"{size >> 20} MiB unpacked, at most {MAX_FILE_BYTES >> 20} MiB")
        with np.load(path, allow_pickle=False) as arrays:
            return _of_arrays(dict(arrays))
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # zip, its compressions and numpy have many
        reason = in_one_line(error)
        raise DatasetError(f"{path}: not a file of clouds, or a damaged one ({reason})") from None


def _of_arrays(arrays: dict[str, npt.NDArray[Any]]) -> Clouds:
    missing = [name for name in _ARRAYS if name not in arrays]
    if missing:
        raise DatasetError(f"array {missing[0]!r} is missing; it has {', '.join(arrays) or '-'}")
    for name, (kinds, dimensions) in _ARRAYS.items():
        if arrays[name].dtype.kind not in kinds or arrays[name].ndim != dimensions:
            raise DatasetError(
                f"array {name!r} holds {arrays[name].dtype} of shape {arrays[name].shape}"
            )
    values = np.asarray(arrays["values"], dtype=np.float64)
    offsets = arrays["offsets"].astype(np.int64)
    ends_fit = len(offsets) > 1 and offsets[0] == 0 and offsets[-1] == len(values)
    if not ends_fit or (np.diff(offsets) < 0).any():
        raise DatasetError(f"array 'offsets' must rise from 0 to {len(values)}")
    return Clouds(
        tuple(values[a:b] for a, b in itertools.pairwise(offsets)),
        arrays["chosen"].astype(np.intp),
        tuple(str(name) for name in arrays["objectives"]),
        tuple(str(unit) for unit in arrays["units"]),
    )


# Kinds of numbers (numpy's letters) and dimensions of each array.
_ARRAYS = {
    "values": ("fiu", 2),
    "offsets": ("iu", 1),
    "chosen": ("iu", 1),
    "objectives": ("U", 1),
    "units": ("U", 1),
}


def write_clouds(path: str | Path, clouds: Clouds) -> None:
    """Write clouds to a file that `read_clouds` reads; it appears whole or not at all.

    Raises
    ------
    DatasetError
        When the file's name does not end in ``.npz``, or it cannot be written.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise DatasetError(f"{path}: the name of a file of clouds ends in {SUFFIX}")
    part = path.with_name(f"{path.name}.part")
    arrays = {
        "values": np.concatenate(clouds.values),
        "offsets": np.cumsum([0, *(len(cloud) for cloud in clouds.values)]),
        "chosen": clouds.chosen,
        "objectives": np.array(clouds.objectives),
        "units": np.array(clouds.units),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        part.replace(path)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written: {error.strerror or error}") from None
