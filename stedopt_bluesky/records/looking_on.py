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
    find_run,
    is_live,
    journal_paths,
    lock_path,
    records_from,
)
from stedopt_bluesky.records.live import HIGH_WATER_MARK, LOOK_EVERY_MS, live_address
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
    high_water_mark: int = HIGH_WATER_MARK,
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
    high_water_mark : int
        Documents that wait to be taken; more are missed, and read where they are kept.

    Yields
    ------
    Seen
        A run's documents each once, in their order; those of a server come when they come.

    Raises
    ------
    CatalogError, LiveError
        When there is no such run, or the address is none of this computer's own.
    """
    looking = _LookingOn(uid, elsewhere, follow, stop or threading.Event(), say, high_water_mark)
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
    high_water_mark: int

    def at_folder(self, folder: CatalogFolder) -> Iterator[Seen]:
        """Runs of a folder on this computer."""
        known = set(journal_paths(folder))
        path = find_run(folder, self.uid) if self.uid else _newest_live(folder, known, self.say)
        while not self.stop.is_set():
            if path is None:
                self.say(f"no run is under way in {folder.path}: waiting for the next one")
                path = _next_run(folder, known, self.stop)
                if path is None:
                    return
            known.add(path)
            yield from self._followed(folder, path)
            if not self.follow:
                return
            path = min(set(journal_paths(folder)) - known, key=_begun, default=None)

    def at_address(self, address: str, folder: CatalogFolder | None) -> Iterator[Seen]:
        """Runs that are published at an address."""
        shown: set[str] = set()
        first: Received | None = None
        with Subscription(
            address, refused=self.say, high_water_mark=self.high_water_mark
        ) as subscription:
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
        run = FollowedRun(folder, path, self.stop, self.say, self.high_water_mark)
        return run.documents()


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


def _next_run(folder: CatalogFolder, known: set[Path], stop: threading.Event) -> Path | None:
    """Journal of the next run that begins, also of one that has ended already."""
    while not stop.wait(_NEXT_RUN_S):
        new = set(journal_paths(folder)) - known
        if new:
            return min(new, key=_begun)
    return None


def _journal_of(folder: CatalogFolder | None, run: str) -> Path | None:
    if folder is None or not run:
        return None
    try:
        path = find_run(folder, run)
    except CatalogError:
        return None
    return path if path.stem == run else None
