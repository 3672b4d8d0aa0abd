"""Look on at a run that another program makes: every document once, also those that were missed.

What is published comes at once. What came before, or was lost, is read from the run's journal
where the catalogue's folder is on this computer, and else from a Tiled server. A journal alone
does as well: it is looked at several times a second.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stedopt_bluesky.records.distant_run import DistantRun
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.followed_run import FollowedRun, Seen
from stedopt_bluesky.records.journal import (
    NewJournals,
    find_run,
    is_live,
    lock_path,
    records_from,
)
from stedopt_bluesky.records.live import LOOK_EVERY_MS, live_address
from stedopt_bluesky.records.stored_elsewhere import StoredElsewhere
from stedopt_bluesky.records.subscription import Received, Subscription

# How often it is looked whether a run begins, s.
_NEXT_RUN_S = 0.3


def look_on(
    folder: CatalogFolder | None = None,
    *,
    address: str = "",
    uid: str = "",
    elsewhere: StoredElsewhere | None = None,
    follow: bool = False,
    stop: threading.Event | None = None,
    say: Callable[[str], None] = print,
) -> Iterator[Seen]:
    """Follow the run that is under way, or the next one, until it ends.

    Parameters
    ----------
    folder : CatalogFolder, optional
        Where the run is kept; needed without an address.
    address : str
        ``127.0.0.1:PORT`` of a publisher; ``""``: the one that the folder tells of.
    uid : str
        Beginning of a run's uid; ``""``: whichever is under way, the newest of several.
    elsewhere : StoredElsewhere, optional
        A Tiled server that has what was missed.
    follow : bool
        Whether to go on with the next run after the end of one.
    stop : threading.Event, optional
        Set it to end.
    say : callable
        Told, in a line: what is waited for, missed, refused, or cannot be had.

    Yields
    ------
    Seen
        A run's documents each once, in their order; those of a server come when they come.

    Raises
    ------
    CatalogError, LiveError
        When there is no such run, or the address is none of this computer's own.
    """
    looking = _LookingOn(uid, elsewhere, follow, stop or threading.Event(), say)
    if address:
        live_address(address)  # told here, not when the first document is asked for
        return looking.at_address(address, folder)
    if folder is None:
        raise CatalogError("give the folder of a catalogue, or an address")
    return looking.at_folder(folder)


@dataclass(frozen=True)
class _LookingOn:
    uid: str
    elsewhere: StoredElsewhere | None
    follow: bool
    stop: threading.Event
    say: Callable[[str], None]

    def at_folder(self, folder: CatalogFolder) -> Iterator[Seen]:
        """Runs of a folder on this computer."""
        coming = _Coming(folder)
        there = coming.known
        path = find_run(folder, self.uid) if self.uid else _newest_live(folder, there, self.say)
        while not self.stop.is_set():
            if path is None:
                self.say(f"no run is under way in {folder.path}: waiting for the next one")
            while path is None:
                if self.stop.wait(_NEXT_RUN_S):
                    return
                path = coming.next()
            there.add(path)  # it may have begun since
            yield from self._followed(folder, path)
            if not self.follow:
                return
            path = coming.next()

    def at_address(self, address: str, folder: CatalogFolder | None) -> Iterator[Seen]:
        """Runs that are published at an address."""
        shown: set[str] = set()
        first: Received | None = None
        with Subscription(address, refused=self.say) as subscription:
            self.say(f"{address}: waiting for the next document")
            while not self.stop.is_set():
                received, first = first or subscription.receive(LOOK_EVERY_MS), None
                if received is None or not received.run.startswith(self.uid):
                    continue
                if received.run in shown:
                    continue
                if received.run:
                    shown.add(received.run)
                path = _journal_of(folder, received.run)
                if folder is not None and path is not None:
                    # Its journal is here: nothing can be missed, and its end not either.
                    yield from self._followed(folder, path)
                else:
                    run = DistantRun(subscription, received, self.elsewhere, self.stop, self.say)
                    yield from run.documents()
                    first = run.next_run
                if not self.follow:
                    return

    def _followed(self, folder: CatalogFolder, path: Path) -> Iterator[Seen]:
        run = FollowedRun(folder, path, self.stop, self.say)
        return run.documents()


class _Coming:
    """Journals of the runs that begin from now on, also of those that have ended already."""

    def __init__(self, folder: CatalogFolder) -> None:
        self._new = NewJournals(folder)
        self._waiting: set[Path] = set()
        self.known = set(self._new.look())

    def next(self) -> Path | None:
        """Journal of the run that began first of those that were not given yet."""
        found = set(self._new.look()) - self.known
        self.known |= found
        self._waiting |= found
        path = min(self._waiting, key=_begun, default=None)
        self._waiting.discard(path)
        return path


def _newest_live(
    folder: CatalogFolder, paths: set[Path], say: Callable[[str], None]
) -> Path | None:
    """Journal that is being written, of several the newest."""
    live = [path for path in paths if lock_path(folder, path).exists() and is_live(folder, path)]
    if not live:
        return None
    newest, *others = sorted(live, key=_begun, reverse=True)
    if others:
        uids = ", ".join(path.stem[:8] for path in others)
        say(f"{len(live)} runs are under way: this is {newest.stem[:8]}, the newest; also {uids}")
    return newest


def _begun(path: Path) -> float:
    """When a run began, s since 1970; of one that is just beginning, now."""
    try:
        first = next(records_from(path, 0), None)
    except CatalogError:
        first = None
    return float(first[1]["time"]) if first else math.inf


def _journal_of(folder: CatalogFolder | None, run: str) -> Path | None:
    if folder is None or not run:
        return None
    try:
        path = find_run(folder, run)
    except CatalogError:
        return None
    return path if path.stem == run else None
