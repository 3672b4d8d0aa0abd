"""Locks between processes: one writer per journal, one process per Tiled catalogue.

A lock is a file in the catalogue's ``locks`` folder, held through the operating system
(``filelock``), so that it is free again the moment its process ends, however it ends.
Lock files are apart from what they guard because Windows locks are mandatory: a locked
journal could not be read.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout


def hold(path: Path, wait_s: float = 0.0, *, mode: int | None = None) -> BaseFileLock | None:
    """Take the lock ``path``; ``None`` when somebody else has it.

    Parameters
    ----------
    path : Path
        The lock file; its folder is made when missing.
    wait_s : float
        How long to wait for it, in seconds.
    mode : int, optional
        Of the lock file, for who else may take the lock; as the umask has it when left out.

    Raises
    ------
    OSError
        When the lock file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # thread_local=False: a run may be closed by another thread than the one that opened it.
    if mode is None:
        lock = FileLock(path, thread_local=False)
    else:
        lock = FileLock(path, mode=mode, thread_local=False)
    try:
        lock.acquire(timeout=wait_s)
    except Timeout:
        return None
    return lock


def let_go(lock: BaseFileLock) -> None:
    """Release ``lock`` and remove its file."""
    # Removed while held: whoever waits for it finds a file without a name and starts over.
    # Windows refuses to remove an open file; there filelock removes it on release.
    with contextlib.suppress(OSError):
        os.unlink(lock.lock_file)
    lock.release()


def is_held(path: Path) -> bool:
    """Whether some process, this one included, has the lock ``path``. Leaves nothing behind."""
    # The holder makes the file before anything else, so no file means no holder; asking
    # this first lets a catalogue on read-only storage be listed.
    if not path.exists():
        return False
    try:
        lock = hold(path)
    except OSError:  # somebody else's file: taken, as far as this process can tell
        return True
    if lock is None:
        return True
    let_go(lock)
    return False
