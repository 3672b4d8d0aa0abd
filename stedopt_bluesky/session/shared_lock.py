"""A lock between users of one computer, in a folder that everybody may write to.

Like :mod:`stedopt_bluesky.records.locks`, but a file that another user's killed session left
behind is taken all the same (``filelock`` refuses it in a sticky folder), and no link is followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from pathlib import Path
from typing import Protocol

from stedopt_bluesky.records import locks

_FILE_MODE = 0o666
_LOOK_EVERY_S = 0.05


class SharedLock(Protocol):
    """A lock that is held."""

    def let_go(self) -> None:
        """Release it; its file is removed where that is allowed."""


def hold(path: Path, wait_s: float = 0.0) -> SharedLock | None:
    """Take the lock ``path``; ``None`` when somebody else has it.

    Parameters
    ----------
    path : Path
        The lock file; its folder is there.
    wait_s : float
        How long to wait for it, s.

    Raises
    ------
    OSError
        When the lock file cannot be opened, or is none.
    """
    if sys.platform == "win32":
        held = locks.hold(path, wait_s)
        return None if held is None else _Windows(held)
    until = time.monotonic() + wait_s
    while (descriptor := _locked(path)) is None:
        if time.monotonic() >= until:
            return None
        time.sleep(_LOOK_EVERY_S)
    return _Posix(path, descriptor)


class _Windows:
    def __init__(self, lock: locks.BaseFileLock) -> None:
        self._lock = lock

    def let_go(self) -> None:
        locks.let_go(self._lock)


class _Posix:
    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    def let_go(self) -> None:
        # Removed while held: whoever waits for it finds that its file has lost the name.
        with contextlib.suppress(OSError):  # another user's
            self._path.unlink()
        os.close(self._descriptor)


def _locked(path: Path) -> int | None:
    """Try once; return the open lock file, None when somebody else has the lock."""
    import fcntl

    while True:
        descriptor = _opened(path)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "it is no file")
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # let go and removed meanwhile: start over


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _opened(path: Path) -> int:
    """Open the lock file.

    Not with O_CREAT alone: in a sticky folder Linux then refuses other users' files.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0)
    while True:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, flags)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, _FILE_MODE)
            os.fchmod(descriptor, _FILE_MODE)  # not as the umask has it
            return descriptor
