"""HDF5 files whose writer died, read as if it had closed them.

Such a file says that it is open, so that HDF5 (2.0) reads it only along with a writer. Damage is
then taken for what that writer has not finished yet, and waited for: seen for ten minutes and more.
``h5clear --status --increment`` mends the file itself; here the same is done to what is read of
it, and the file stays as it is.

Of the superblock, version 3, of the HDF5 File Format Specification (II.A): a byte of flags, the
end of the file, and a checksum by Bob Jenkins' lookup3.
"""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Signature, version, sizes of offsets and lengths, flags, base, extension, end of file, root.
_SUPERBLOCK = struct.Struct("<8sBBBBQQQQ")
_CHECKSUM = struct.Struct("<I")
_BITS = 0xFFFFFFFF


def is_left_open(path: Path) -> bool:
    """Whether an HDF5 file says that a writer has it open, or had when it died."""
    with path.open("rb") as file:
        head = file.read(_SUPERBLOCK.size)
    if len(head) < _SUPERBLOCK.size:
        return False
    signature, version, offsets, lengths, flags, *_ = _SUPERBLOCK.unpack(head)
    return (signature, version, offsets, lengths) == (_SIGNATURE, 3, 8, 8) and flags != 0


class AsClosed(io.RawIOBase):
    """An HDF5 file that was left open, as h5py reads it when its writer has closed it.

    Parameters
    ----------
    path : Path
        The file; of those for which :func:`is_left_open` holds.

    Raises
    ------
    OSError
        When it cannot be read, or its superblock is damaged.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        head = self._file.read(_SUPERBLOCK.size + _CHECKSUM.size)
        if head[_SUPERBLOCK.size :] != _CHECKSUM.pack(lookup3(head[: _SUPERBLOCK.size])):
            self._file.close()
            raise OSError(f"the superblock of {path} is damaged")
        *first, _flags, base, extension, _end, root = _SUPERBLOCK.unpack_from(head)
        end = self._file.seek(0, os.SEEK_END)
        closed = _SUPERBLOCK.pack(*first, 0, base, extension, end, root)
        self._head = closed + _CHECKSUM.pack(lookup3(closed))
        self._file.seek(0)

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether its position can be set."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Tell the position."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """Read from the position on."""
        start = self._file.tell()
        view = memoryview(buffer).cast("B")
        count = self._file.readinto(view) or 0
        own = self._head[start : start + count]
        view[: len(own)] = own
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def lookup3(data: bytes) -> int:
    """Bob Jenkins' lookup3 hash (``hashlittle``, initial value 0), HDF5's checksum of metadata."""
    a = b = c = (0xDEADBEEF + len(data)) & _BITS
    if not data:
        return c
    while len(data) > 12:
        x, y, z = struct.unpack("<III", data[:12])
        a, b, c = _mix((a + x) & _BITS, (b + y) & _BITS, (c + z) & _BITS)
        data = data[12:]
    x, y, z = struct.unpack("<III", data.ljust(12, b"\0"))
    return _final((a + x) & _BITS, (b + y) & _BITS, (c + z) & _BITS)


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for turn in (4, 6, 8, 16, 19, 4):
        a = ((a - c) & _BITS) ^ _turned(c, turn)
        c = (c + b) & _BITS
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for turn in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _turned(b, turn)) & _BITS
        a, b, c = b, c, a
    return b


def _turned(x: int, turn: int) -> int:
    return ((x << turn) | (x >> (32 - turn))) & _BITS
