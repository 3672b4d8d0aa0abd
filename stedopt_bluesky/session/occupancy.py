"""One session per microscope: whoever comes second is told who is there.

A lock of the operating system, free again when its process ends, however it ends. It is
one per computer: two computers that drive one Imspector are not kept apart. Its folder is the
same for all users and takes no setting from the environment, or two sessions might each have a
lock of their own.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
import shlex
import stat
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.session import shared_lock

if TYPE_CHECKING:
    from stedopt_bluesky.session.address import Address

# Another folder, in tests.
FOLDER: Path | None = None
# Whoever uses this computer shares its microscope, and removes nobody else's lock.
_FOLDER_MODE = 0o1777
# The watchdog of a session that died is done in less, unless Imspector does not answer.
_WATCHDOG_S = 5.0
_SHOWN = 200


class MicroscopeInUseError(ValueError):
    """Another session has the microscope; one line that says whose."""


def lock_path(address: Address, what: str = "session") -> Path:
    """Lock file of a microscope, the same for all users of this computer and all its names."""
    where = re.sub(r"[^a-z0-9.-]", "_", f"{address.computer or 'here'}-{address.port}")
    return (FOLDER or _folder_of_all()) / f"{address.kind}-{where}.{what}.lock"


def _folder_of_all() -> Path:
    name = "stedopt-microscopes"
    if os.name == "nt":
        return Path(os.environ.get("PROGRAMDATA", "C:/ProgramData")) / name
    # By its mode, not by what this user may do: root must come to the same answer.
    try:
        mode = Path("/run/lock").stat().st_mode
    except OSError:
        mode = 0
    for_all = stat.S_ISVTX | stat.S_IWOTH
    return Path("/run/lock" if mode & for_all == for_all else "/tmp") / name  # noqa: S108


@contextlib.contextmanager
def occupied(address: Address) -> Iterator[None]:
    """Have a microscope for oneself.

    Raises
    ------
    MicroscopeInUseError
        When another session has it, or the watchdog of one that died is not done yet; when
        the lock cannot be written, or somebody could take it away.
    """
    path = lock_path(address)
    _make_folder(path.parent, address)
    lock = _held(path, address)
    if lock is None:
        raise MicroscopeInUseError(f"{address.name} is in use{_holder(path)}: end that session")
    try:
        dog = _held(lock_path(address, "watchdog"), address, _WATCHDOG_S)
        if dog is None:
            raise MicroscopeInUseError(
                f"{address.name} is still being switched off by the watchdog of a session that "
                "died; lasers may be on: look at the microscope, then try again"
            )
        dog.let_go()
        _write_holder(path)
        yield
    finally:
        with contextlib.suppress(OSError):
            _beside(path).unlink()
        lock.let_go()


def _make_folder(folder: Path, address: Address) -> None:
    """Make the folder of the locks, or see that nobody can take locks away from it."""
    why = ""
    try:
        try:
            folder.mkdir(_FOLDER_MODE)
            folder.chmod(_FOLDER_MODE)  # not as the umask has it
        except FileExistsError:
            pass
        there = folder.lstat()
        me = os.getuid() if hasattr(os, "getuid") else there.st_uid
        if not stat.S_ISDIR(there.st_mode):
            why = "is no folder but a link or a file"
        elif there.st_uid == me:
            folder.chmod(_FOLDER_MODE)
        elif there.st_uid != 0 and not there.st_mode & stat.S_ISVTX:
            why = "belongs to another user and is not sticky (mode 1777)"
    except OSError as error:
        why = f"cannot be made: {error.strerror}"
    if why:
        raise MicroscopeInUseError(
            f"{address.name} cannot be taken, the folder of its lock {folder} {why}: remove it"
        )


def _held(path: Path, address: Address, wait_s: float = 0.0) -> shared_lock.SharedLock | None:
    try:
        return shared_lock.hold(path, wait_s)
    except OSError as error:
        raise MicroscopeInUseError(
            f"{address.name} cannot be taken, its lock {path} cannot be written: {error.strerror}"
        ) from None


def _beside(path: Path) -> Path:
    # Of each user one: nobody can replace what another user's session left when it was killed.
    user = os.getuid() if hasattr(os, "getuid") else 0
    return path.with_suffix(f".{user}.json")


def _write_holder(path: Path) -> None:
    """Say beside the lock who has it; a locked file cannot be read on Windows."""
    with contextlib.suppress(OSError):
        descriptor, made = tempfile.mkstemp(dir=path.parent)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(_me(), file)
        os.chmod(made, 0o644)
        os.replace(made, _beside(path))


def _me() -> dict[str, Any]:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name
        user = ""
    program = "stedopt" if sys.argv[0].endswith("__main__.py") else Path(sys.argv[0]).name
    return {
        "pid": os.getpid(),
        "user": user,
        "since": f"{datetime.now():%Y-%m-%d %H:%M}",
        "what": shlex.join([program, *sys.argv[1:]])[:_SHOWN],
    }


def _holder(path: Path) -> str:
    try:
        beside = path.parent.glob(f"{path.stem}.*.json")
        newest = max(beside, key=lambda file: file.lstat().st_mtime_ns)
        told = json.loads(newest.read_bytes())
        text = f" by process {told['pid']} of {told['user']} since {told['since']} ({told['what']})"
    except (OSError, ValueError, KeyError, TypeError):
        return " by another session"
    return f" {' '.join(text.split())[: 2 * _SHOWN]}"  # one line, whatever the file holds
