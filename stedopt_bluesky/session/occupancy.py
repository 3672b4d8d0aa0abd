"""One session per microscope: whoever comes second is told who is there.

A lock of the operating system, free again when its process ends, however it ends. It is
one per computer: two computers that drive one Imspector are not kept apart.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.records import locks

if TYPE_CHECKING:
    from stedopt_bluesky.session.address import Address

# Whoever uses this computer shares its microscope.
_FOLDER_MODE, _FILE_MODE = 0o777, 0o666
# The watchdog of a session that died is done in less, unless Imspector does not answer.
_WATCHDOG_S = 5.0
_SHOWN = 200


class MicroscopeInUseError(ValueError):
    """Another session has the microscope; one line that says whose."""


def lock_path(address: Address, what: str = "session") -> Path:
    """Lock file of a microscope, the same for all users of this computer."""
    shared = os.environ.get("PROGRAMDATA") if os.name == "nt" else None
    folder = Path(shared or tempfile.gettempdir()) / "stedopt-microscopes"
    where = re.sub(r"[^a-z0-9.-]", "_", f"{address.host}-{address.port}".lower())
    return folder / f"{address.kind}-{where}.{what}.lock"


@contextlib.contextmanager
def occupied(address: Address) -> Iterator[None]:
    """Have a microscope for oneself.

    Raises
    ------
    MicroscopeInUseError
        When another session has it, or the watchdog of one that died is not done yet.
    """
    path = lock_path(address)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(_FOLDER_MODE)  # not as the umask has it
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
        locks.let_go(dog)
        _write_holder(path)
        yield
    finally:
        with contextlib.suppress(OSError):
            _beside(path).unlink()
        locks.let_go(lock)


def _held(path: Path, address: Address, wait_s: float = 0.0) -> locks.BaseFileLock | None:
    try:
        return locks.hold(path, wait_s, mode=_FILE_MODE)
    except OSError as error:
        raise MicroscopeInUseError(
            f"{address.name} cannot be taken, its lock {path} cannot be written: {error.strerror}"
        ) from None


def _beside(path: Path) -> Path:
    return path.with_suffix(".json")


def _write_holder(path: Path) -> None:
    """Say beside the lock who has it; the lock's own file is emptied by whoever tries it."""
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
        told = json.loads(_beside(path).read_bytes())
        text = f" by process {told['pid']} of {told['user']} since {told['since']} ({told['what']})"
    except (OSError, ValueError, KeyError, TypeError):
        return " by another session"
    return f" {' '.join(text.split())[: 2 * _SHOWN]}"  # one line, whatever the file holds
