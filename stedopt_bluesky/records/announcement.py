"""Where a run's documents are published: told in the catalogue's folder, for this computer.

A publisher's address, and the run that it publishes, stand in ``locks/live-<id>.json``. Beside it
is a lock that the publisher's process holds: what a process that died has left counts for nothing.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stedopt_bluesky.records import locks
from stedopt_bluesky.records.folder import CatalogFolder
from stedopt_bluesky.records.live import LiveError, live_address

_log = logging.getLogger(__name__)

_PATTERN = "live-*.json"


@dataclass(frozen=True)
class Announced:
    """A publisher that is there.

    Parameters
    ----------
    address : str
        ``127.0.0.1:PORT`` on this computer.
    run : str
        Uid of the run that it publishes; ``""``: none at the moment.
    """

    address: str
    run: str


class Announcement:
    """Callback that tells in a catalogue's folder which run is published where.

    It never raises once it is made: a run goes on where nobody can be told of it.

    Parameters
    ----------
    folder : CatalogFolder
        Where the run is kept.
    address : str
        Of its publisher.

    Raises
    ------
    OSError
        When it cannot be written.
    """

    def __init__(self, folder: CatalogFolder, address: str) -> None:
        self._address = address
        self._path = folder.locks / f"live-{uuid.uuid4().hex[:8]}.json"
        self._lock = locks.hold(self._path.with_suffix(".lock"))
        try:
            self._write("")
        except OSError:
            self.close()
            raise

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Observe one document."""
        if name not in ("start", "stop"):
            return
        try:
            self._write(str(doc["uid"]) if name == "start" else "")
        except OSError as error:
            _log.warning(
                "%s was not written, 'stedopt live' finds no address: %s", self._path, error
            )

    def _write(self, run: str) -> None:
        told = {
            "address": self._address,
            "run": run,
            "computer": socket.gethostname(),
            "pid": os.getpid(),
        }
        # Replaced, so that nobody reads half of it.
        made = self._path.with_suffix(".new")
        made.write_text(json.dumps(told), encoding="utf-8")
        os.replace(made, self._path)

    def close(self) -> None:
        """Take it back."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        if self._lock is not None:
            locks.let_go(self._lock)
            self._lock = None


def announced(folder: CatalogFolder) -> list[Announced]:
    """Publishers on this computer whose processes are alive."""
    found = []
    for path in folder.locks.glob(_PATTERN):
        try:
            told = json.loads(path.read_bytes())
            if told["computer"] != socket.gethostname():  # its 127.0.0.1 is not ours
                continue
            one = Announced(str(told["address"]), str(told["run"]))
            live_address(one.address)
        except (OSError, ValueError, KeyError, TypeError, LiveError):
            continue
        if locks.is_held(path.with_suffix(".lock")):
            found.append(one)
    return found


def forget_dead(folder: CatalogFolder) -> None:
    """Remove what processes that died have left."""
    for path in folder.locks.glob(_PATTERN):
        if not locks.is_held(path.with_suffix(".lock")):
            with contextlib.suppress(OSError):
                path.unlink()
