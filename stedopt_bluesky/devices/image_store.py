"""Arrays of a run: once to an HDF5 file, and into documents as stream assets.

One file per device and run, one dataset per data key, one index per Event.
The file is written in HDF5's single-writer-multiple-reader mode, so that it
can be read while it grows and after the program was killed.
"""

from __future__ import annotations

import datetime
import errno
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

MIMETYPE = "application/x-hdf5"

# What HDF5 writes besides the pixels, for one Event and for closing the file, is less: an index
# block of 1024 chunks, 8 kB, per dataset.
_ROOM_BYTES = 64 * 1024


# What the data key of a device's checksums ends in.
CHECKSUM_SUFFIX = "_arrays_blake2b"
_CHECKSUM_BYTES = 16


def checksum_of(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Checksum of the arrays of one Event: BLAKE2b of 16 bytes (RFC 7693), in hexadecimal.

    In the order of the data keys' names, of each array: a line of its key, its NumPy dtype
    (``<i2``) and the lengths of its axes, and its elements as they lie in memory in C order.

    Parameters
    ----------
    arrays : mapping of data key to array
        Of one Event of one device.

    Returns
    -------
    str
        32 characters.
    """
    checksum = hashlib.blake2b(digest_size=_CHECKSUM_BYTES)
    for key in sorted(arrays):
        array = arrays[key]
        checksum.update(f"{key} {array.dtype.str} {','.join(map(str, array.shape))}\n".encode())
        checksum.update(np.ascontiguousarray(array).data)
    return checksum.hexdigest()


class ImageStore:
    """Append-only arrays that a device announces as external stream assets.

    Parameters
    ----------
    folder : Path
        Where files are made, in a sub-folder per day.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: h5py.File | None = None
        self._shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
        self._resources: dict[str, str] = {}
        self._announced = False
        self._written = False
        # Documents of the arrays written last, once they have been handed out.
        self._data: list[dict[str, Any]] = []
        self._index = 0
        self._checksum, self._checksum_time = "", 0.0

    @property
    def is_open(self) -> bool:
        """Whether arrays can be written."""
        return self._file is not None

    @property
    def index(self) -> int:
        """Number of Events that have been saved; the next arrays' place in the file.

        Arrays are handed out when the device is read, and the Event may be dropped
        afterwards. The RunEngine writes the descriptor's uid into a ``stream_datum`` when
        it saves the Event: one that still has none was dropped, and its place is free.
        """
        if self._data and all(datum["descriptor"] for datum in self._data):
            self._index += 1
            self._announced = True
            self._written = False
            self._data = []
        return self._index

    @property
    def checksum(self) -> tuple[str, float]:
        """Checksum of the arrays of the Event in progress, and when it was made, s since 1970.

        Empty where none were written since the last Event.
        """
        _ = self.index
        return (self._checksum if self._written else ""), self._checksum_time

    def open(self, arrays: Mapping[str, tuple[tuple[int, ...], npt.DTypeLike]]) -> None:
        """Make the run's file; one that is still open is closed.

        Parameters
        ----------
        arrays : mapping of data key to (shape, dtype)
            Of the array of one Event. HDF5 allows no new dataset later on.

        Raises
        ------
        OSError
            When the file cannot be made.
        """
        self.close()
        day = self._folder / f"{datetime.datetime.now():%Y/%m/%d}"
        day.mkdir(parents=True, exist_ok=True)
        path = day / f"{uuid.uuid4()}.h5"
        with path.open("xb"):
            try:
                set_room_aside(path, 0, _ROOM_BYTES)
            except OSError:
                path.unlink()
                raise
        self._file = h5py.File(path, "w", libver="latest")
        self._shapes = {key: (tuple(s), np.dtype(d)) for key, (s, d) in arrays.items()}
        self._resources = {key: str(uuid.uuid4()) for key in arrays}
        for key, (shape, dtype) in self._shapes.items():
            self._file.create_dataset(
                key, shape=(0, *shape), maxshape=(None, *shape), chunks=(1, *shape), dtype=dtype
            )
        self._file.swmr_mode = True
        self._announced = self._written = False
        self._data = []
        self._index = 0

    def write(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write the arrays of the Event in progress and flush them.

        The index moves on only when the Event is saved: an Event that was dropped
        leaves its arrays to be overwritten, and no gap.

        Raises
        ------
        ValueError
            When a key, a shape or a dtype is not what :meth:`open` was told.
        OSError
            When the disk refuses.
        """
        if self._file is None:
            raise ValueError("the image store is not open")
        if set(arrays) != set(self._shapes):
            raise ValueError(f"expected arrays for {sorted(self._shapes)}, got {sorted(arrays)}")
        for key, (shape, dtype) in self._shapes.items():
            array = arrays[key]
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(
                    f"{key}: expected {dtype} {shape}, got {array.dtype} {array.shape}"
                )
        index = self.index
        room = sum(array.nbytes for array in arrays.values()) + _ROOM_BYTES
        set_room_aside(Path(self._file.filename), self._file.id.get_filesize(), room)
        for key in self._shapes:
            dataset = self._file[key]
            dataset.resize(index + 1, axis=0)
            dataset[index] = arrays[key]
            dataset.flush()
        # Of what was given, not of what the file gives back: it is what the file is held against.
        self._checksum, self._checksum_time = checksum_of(arrays), time.time()
        self._written = True

    def describe(self) -> dict[str, dict[str, Any]]:
        """Data keys of the arrays, for a device's ``describe``."""
        return {
            key: {
                "source": f"file:{key}",
                "dtype": "array",
                "shape": list(shape),
                "dtype_numpy": dtype.str,
                "external": "STREAM:",
            }
            for key, (shape, dtype) in self._shapes.items()
        }

    def collect(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the stream documents of the Event in progress.

        Again where an Event that had them was dropped; none when it was saved.
        """
        index = self.index
        if self._file is None or not self._written:
            return
        if not self._announced:
            for key, (shape, _) in self._shapes.items():
                yield "stream_resource", self._resource(key, shape)
        self._data = [
            {
                "uid": f"{resource}/{index}",
                "stream_resource": resource,
                "descriptor": "",
                "indices": {"start": index, "stop": index + 1},
                "seq_nums": {"start": 0, "stop": 0},
            }
            for resource in self._resources.values()
        ]
        for datum in self._data:
            yield "stream_datum", datum

    def _resource(self, key: str, shape: tuple[int, ...]) -> dict[str, Any]:
        assert self._file is not None  # noqa: S101  collect() has seen to it
        # Tiled reads the path as it stands: percent signs would not be decoded.
        path = "/" + Path(self._file.filename).resolve().as_posix().lstrip("/")
        return {
            "uid": self._resources[key],
            "data_key": key,
            "mimetype": MIMETYPE,
            "uri": f"file://localhost{path}",
            "parameters": {"dataset": key, "chunk_shape": [1, *shape], "swmr": True},
            "run_start": "",
        }

    def close(self) -> None:
        """Close the file; safe to call twice. A file without a single array is removed."""
        if self._file is None:
            return
        path = Path(self._file.filename)
        self._file.close()
        self._file = None
        if self.index == 0 and not self._written:
            path.unlink()


def set_room_aside(path: Path, end: int, size: int) -> None:
    """Have the disk set room aside for a file, or say that it has none.

    HDF5 does not survive a disk that refuses a write: what it holds can no longer be closed,
    and the program dies when Python clears it away. So the disk is asked first.

    Parameters
    ----------
    path : Path
        The file; what was set aside last and is not used stays behind its end.
    end : int
        Where the room begins, in bytes from the file's begin.
    size : int
        How much, in bytes.

    Raises
    ------
    OSError
        When the disk is full, a quota is used up, or the file may not be so large.
    """
    if hasattr(os, "posix_fallocate"):
        descriptor = os.open(path, os.O_WRONLY)
        try:
            os.posix_fallocate(descriptor, end, size)
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from None
        finally:
            os.close(descriptor)
    elif shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


class StoresArrays:
    """Mixin of a device whose arrays go to its ``_store`` and from there into documents.

    It makes the device one that ``WritesStreamAssets``, in Bluesky's words. Beside the arrays,
    their checksum stands in the Event (:func:`checksum_of`).
    """

    name: str
    _store: ImageStore

    @property
    def _checksum_key(self) -> str:
        return f"{self.name}{CHECKSUM_SUFFIX}"

    def describe(self) -> dict[str, Any]:
        """Describe the scalars, the arrays as stream assets, and the arrays' checksum."""
        checksum = {"source": "checksum_of", "dtype": "string", "shape": []}
        return {
            **super().describe(),  # type: ignore[misc]
            self._checksum_key: checksum,
            **self._store.describe(),
        }

    def read(self) -> dict[str, Any]:
        """Read the scalars, and the checksum of the arrays just written."""
        value, timestamp = self._store.checksum
        return {
            **super().read(),  # type: ignore[misc]
            self._checksum_key: {"value": value, "timestamp": timestamp},
        }

    def get_index(self) -> int:
        """Events that have been saved with their arrays."""
        return self._store.index

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the stream documents of the arrays just written."""
        yield from self._store.collect()
