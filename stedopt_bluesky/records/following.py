"""Follow the journals of a folder with a catalogue, until there is no more to come."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stedopt_bluesky.errors import in_one_line
from stedopt_bluesky.records import locks
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.ingest import (
    LAST_RETRY_S,
    Ingester,
    TiledDownError,
    relocation,
    size_of,
)
from stedopt_bluesky.records.journal import NewJournals
from stedopt_bluesky.records.tiled_server import mark_filled

if TYPE_CHECKING:
    from bluesky_tiled_plugins.clients.catalog_of_bluesky_runs import CatalogOfBlueskyRuns
    from filelock import BaseFileLock

# How often the journals are looked at while nothing happens, s.
POLL_S = 0.5
# While a run is under way it works for a part of the time only: what it takes of processor
# and disk, the acquisition lacks.
_REST = 4.0
# How long after a failure a server is tried again at first, s; at most LAST_RETRY_S.
FIRST_RETRY_S = 0.5
# After this time without news the folder's own databases are left to other programs, s.
IDLE_S = 3.0
# What cannot be taken in is tried again after this time at most, s.
_MOST_AGAIN_S = 3600.0
# How long a server that is not there is waited for when the end was asked for, s.
GRACE_S = 10.0


class FedElsewhereError(TiledDownError):
    """Another process feeds this catalogue from this folder."""


@dataclass(frozen=True)
class Target:
    """The catalogue that is fed.

    Parameters
    ----------
    folder : CatalogFolder
        Whose journals.
    uri : str
        Address of a Tiled server; ``""``: the folder's own catalogue, in this process.
    api_key : str
        The server's, with the right to write.
    server_folder : str
        Where the server finds the folder, if not at the same path.
    own : bool
        Whether the server serves the folder's own databases, which it has for itself.
    """

    folder: CatalogFolder
    uri: str = ""
    api_key: str = ""
    server_folder: str = ""
    own: bool = False

    def __repr__(self) -> str:
        # Without the key, which must not come into any log.
        return f"Target({str(self.folder.path)!r}, {self.uri!r})"

    @contextlib.contextmanager
    def open(self) -> Iterator[CatalogOfBlueskyRuns]:
        """Open the catalogue, as its only feeder from this folder.

        Raises
        ------
        TiledDownError
            When the server does not answer, or another process has the folder's own catalogue.
        FedElsewhereError
            When another process feeds it.
        CatalogError
            When the server refuses the key, or the folder cannot be written to.
        """
        with contextlib.ExitStack() as closing:
            if self.uri:
                client = connected(self.uri, self.api_key)
                closing.callback(client.context.close)
            else:
                client = closing.enter_context(self._own_databases())
            # Taken last, let go first: who has it feeds, and is not on its way out.
            closing.callback(locks.let_go, self._take(self._feed_lock))
            yield client

    def filled(self) -> None:
        """Say that all journals are in."""
        if self.own or not self.uri:
            mark_filled(self.folder)

    @property
    def _feed_lock(self) -> Path:
        """Lock file that the one process holds that feeds this catalogue from this folder."""
        if self.own or not self.uri:
            return self.folder.locks / "feed.lock"
        server = hashlib.sha256(self.uri.rstrip("/").encode()).hexdigest()[:16]
        return self.folder.locks / f"feed-{server}.lock"

    def _take(self, path: Path) -> BaseFileLock:
        try:
            lock = locks.hold(path)
        except OSError as error:
            raise CatalogError(f"{self.folder.path} cannot be fed from: {error}") from error
        if lock is None:
            raise FedElsewhereError("another process feeds it")
        return lock

    @contextlib.contextmanager
    def _own_databases(self) -> Iterator[CatalogOfBlueskyRuns]:
        from stedopt_bluesky.records.catalog import Catalog

        catalog = Catalog(self.folder, wait_s=0.0, fill=False)
        try:
            catalog.open()
        except CatalogError as error:
            if locks.is_held(self._feed_lock):
                raise FedElsewhereError(str(error)) from error
            raise TiledDownError(str(error)) from error
        with contextlib.closing(catalog):
            yield catalog.client


def connected(uri: str, api_key: str) -> CatalogOfBlueskyRuns:
    """Connect to a Tiled server; ``client.context`` is to be closed.

    Raises
    ------
    TiledDownError
        When it does not answer.
    CatalogError
        When it refuses the key.
    """
    import httpx

    # One way of trying again is enough: ours, which tells of it. Read when Tiled is imported.
    os.environ.setdefault("TILED_RETRY_ATTEMPTS", "2")
    from tiled.client import from_uri

    try:
        return from_uri(uri, api_key=api_key or None)
    except httpx.HTTPStatusError as error:
        if error.response.status_code in (401, 403):
            raise CatalogError(f"{uri} refuses the key") from None
        raise TiledDownError(f"{uri}: {in_one_line(error)}") from error
    except (httpx.TransportError, OSError) as error:
        raise TiledDownError(f"{uri} does not answer: {in_one_line(error)}") from error


@dataclass(frozen=True)
class Told:
    """What is told of the catalogue's progress.

    Parameters
    ----------
    what : {"in", "refused", "down", "up"}
        A run is in; a run cannot be taken in; the server is not there; it is again.
    uid : str
        The run's.
    why : str
        Of what went wrong.
    """

    what: str
    uid: str = ""
    why: str = ""


def follow(
    target: Target,
    finish: threading.Event,
    tell: Callable[[Told], None],
    *,
    grace_s: float = GRACE_S,
) -> bool:
    """Keep a catalogue up with the journals until the end is asked for and all are in.

    However long the server is down, slow or started anew, nothing is lost: what it does not
    have is in the journals.

    Parameters
    ----------
    target : Target
        What is fed.
    finish : threading.Event
        Set when no more is to come.
    tell : callable
        Told what happens.
    grace_s : float
        How long a server that is not there is waited for at the end, s.

    Returns
    -------
    bool
        Whether all that was there is in, or another process brings it in; False when the server
        was not there at the end.

    Raises
    ------
    CatalogError
        When the server refuses the key.
    """
    retry_s = FIRST_RETRY_S
    down = fed_elsewhere = False
    refused: dict[str, str] = {}
    again_s = LAST_RETRY_S
    ending_since: float | None = None
    while True:
        try:
            with target.open() as client:
                ingester = Ingester(
                    target.folder, client, relocation(target.folder, target.server_folder)
                )
                if down:
                    tell(Told("up"))
                down, retry_s, ending_since = False, FIRST_RETRY_S, None
                idle = _keep_up(target, ingester, finish, tell, refused)
            # Closed meanwhile: other programs can have it.
            why = _wait_for_news(target.folder, ingester, finish, again_s) if idle else ""
            if not why:
                return True
            # Opening takes seconds: what is refused again and again is tried less and less.
            again_s = min(2 * again_s, _MOST_AGAIN_S) if why == "again" else LAST_RETRY_S
            continue
        except FedElsewhereError:
            if down:
                tell(Told("up"))
            down = False
            if finish.is_set():
                # Asked twice: the other one may just have ended, before our last document.
                if fed_elsewhere:
                    return True
                fed_elsewhere = True
                time.sleep(FIRST_RETRY_S)
                continue
        except TiledDownError as error:
            fed_elsewhere = False
            if not down:
                tell(Told("down", why=in_one_line(error)))
            down = True
        if finish.is_set():
            ending_since = ending_since or time.monotonic()
            if time.monotonic() - ending_since >= grace_s:
                return False
            time.sleep(min(FIRST_RETRY_S, grace_s))
        else:
            finish.wait(retry_s)
            retry_s = min(2 * retry_s, LAST_RETRY_S)


def _keep_up(
    target: Target,
    ingester: Ingester,
    finish: threading.Event,
    tell: Callable[[Told], None],
    refused: dict[str, str],
) -> bool:
    """Bring in what comes until there is no more and the end was asked for.

    Returns early, with True, from a folder's own databases when nothing comes.
    """
    told_in = 0
    idle_since: float | None = None
    while True:
        # Asked before: what was written until then is seen by this step.
        ending = finish.is_set()
        begun = time.monotonic()
        count = ingester.step()
        took_s = time.monotonic() - begun
        for uid in ingester.progress.runs[told_in:]:
            refused.pop(uid, None)
            tell(Told("in", uid))
            told_in += 1
        for uid, why in ingester.progress.refused.items():
            if refused.get(uid) != why:
                refused[uid] = why
                tell(Told("refused", uid, why))
        if count == 0:
            target.filled()
            if ending:
                return False
        if count or ingester.following:
            idle_since = None
        elif idle_since is None:
            idle_since = begun
        elif not target.uri and begun - idle_since >= IDLE_S:
            return True
        if not ending:
            finish.wait(max(POLL_S, _REST * took_s if ingester.following else 0.0))


def _wait_for_news(
    folder: CatalogFolder, ingester: Ingester, finish: threading.Event, again_s: float
) -> Literal["news", "again", ""]:
    """Wait for journals that an ingester has not seen, or that have grown since it refused them.

    ``"again"``: after ``again_s``, s, those that were refused may be tried again. ``""``: the end
    was asked for, and there is nothing new.
    """
    new = NewJournals(folder)
    refused = ingester.refused_sizes()
    until = time.monotonic() + again_s
    while True:
        ending = finish.is_set()
        refused = {path: size for path, size in refused.items() if path.exists()}
        if set(new.look()) - ingester.seen or any(size_of(p) != s for p, s in refused.items()):
            return "news"
        if refused and time.monotonic() >= until:
            return "again"
        if ending:
            return ""
        finish.wait(POLL_S)
