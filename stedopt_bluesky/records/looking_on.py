"""Look on at a run that another program makes: every document once, also those that were missed.

What is published comes at once. What came before, or was lost, is read from the run's journal
where the catalogue's folder is on this computer, and else from a Tiled server. A journal alone
does as well: it is looked at several times a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
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
from stedopt_bluesky.records.live import LOOK_EVERY_MS
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
    stop = stop or threading.Event()
    with ExitStack() as closing:
        if not address:
            if folder is None:
                raise CatalogError("give the folder of a catalogue, or an address")
            yield from _from_folder(folder, uid, follow, stop, say)
            return
        subscription = closing.enter_context(Subscription(address, refused=say))
        yield from _from_address(subscription, address, folder, uid, elsewhere, follow, stop, say)


# --- a folder on this computer ----------------------------------------------------------


def _from_folder(
    folder: CatalogFolder,
    uid: str,
    follow: bool,
    stop: threading.Event,
    say: Callable[[str], None],
) -> Iterator[Seen]:
    known = set(journal_paths(folder))
    path = find_run(folder, uid) if uid else _newest_live(folder, known, say)
    while not stop.is_set():
        if path is None:
            say(f"no run is under way in {folder.path}: waiting for the next one")
            path = _next_run(folder, known, stop)
            if path is None:
                return
        known.add(path)
        yield from FollowedRun(folder, path, stop, say).documents()
        if not follow:
            return
        path = min(set(journal_paths(folder)) - known, key=_begun, default=None)


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
    first = next(records_from(path, 0), None)
    return float(first[1]["time"]) if first else float("inf")


def _next_run(folder: CatalogFolder, known: set[Path], stop: threading.Event) -> Path | None:
    """Journal of the next run that begins, also of one that has ended already."""
    while not stop.wait(_NEXT_RUN_S):
        new = set(journal_paths(folder)) - known
        if new:
            return min(new, key=_begun)
    return None


# --- an address -------------------------------------------------------------------------


def _from_address(
    subscription: Subscription,
    address: str,
    folder: CatalogFolder | None,
    uid: str,
    elsewhere: StoredElsewhere | None,
    follow: bool,
    stop: threading.Event,
    say: Callable[[str], None],
) -> Iterator[Seen]:
    first: Received | None = None
    said = ""
    while not stop.is_set():
        now = "waiting for the next document" if subscription.is_connected else "nobody answers yet"
        if first is None and said != now:
            said = now
            say(f"{address}: {now}")
        received, first = first or subscription.receive(LOOK_EVERY_MS), None
        if received is None or not received.run.startswith(uid):
            continue
        path = _journal_of(folder, received.run)
        if folder is not None and path is not None:
            # Its journal is here: nothing can be missed, and its end not either.
            yield from FollowedRun(folder, path, stop, say).documents()
        else:
            run = DistantRun(subscription, received, elsewhere, stop, say)
            yield from run.documents()
            first = run.next_run
        if not follow:
            return


def _journal_of(folder: CatalogFolder | None, run: str) -> Path | None:
    if folder is None or not run:
        return None
    try:
        path = find_run(folder, run)
    except CatalogError:
        return None
    return path if path.stem == run else None
