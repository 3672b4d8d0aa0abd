"""From the journals into a Tiled catalogue: in order, again and again, at its own pace.

The journal is the truth, the catalogue follows. A run that is under way is followed, so that
what has happened so far can be queried; a run that Tiled has in part, from a program that died
or a connection that was lost, is taken out and put in anew from its journal. So it does not
matter how often, or how far, anything was done before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.errors import in_one_line
from stedopt_bluesky.records.assets import served_path, tiled_address
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.journal import Document, NewJournals, is_live, records_from
from stedopt_bluesky.records.reached import Reached
from stedopt_bluesky.records.recovery import close_broken_run
from stedopt_bluesky.records.runs import summarize

if TYPE_CHECKING:
    from bluesky_tiled_plugins.clients.catalog_of_bluesky_runs import CatalogOfBlueskyRuns

# Events of a run under way that are written together: one by one a row costs 30 ms, a thousand
# together 1 ms each.
LIVE_BATCH = 10
# Of a run that has ended, all at once.
WHOLE_BATCH = 10_000
# How long after a failure what failed is tried again at most, s.
LAST_RETRY_S = 30.0

# Of which Tiled's writer makes addresses by itself, of any file.
_OLDER_ASSETS = ("resource", "datum", "datum_page")

Relocate = Callable[[Document], Document]


class TiledDownError(ConnectionError):
    """The Tiled server does not answer, or fails by itself: to be tried again later."""


def relocation(folder: CatalogFolder, server_folder: str = "") -> Relocate:
    """Give stream resources the address that their files have today, as Tiled reads it.

    Parameters
    ----------
    folder : CatalogFolder
        Whose arrays.
    server_folder : str
        Where the server finds the catalogue's folder, if not at the same path: on another
        computer with the same files, say.
    """

    def relocate(resource: Document) -> Document:
        path = served_path(resource, folder.arrays)
        if server_folder and path.is_relative_to(folder.path):
            relative = path.relative_to(folder.path).as_posix()
            address = tiled_address(Path(server_folder)).rstrip("/")
            return {**resource, "uri": f"{address}/{relative}"}
        return {**resource, "uri": tiled_address(path)}

    return relocate


@dataclass
class Progress:
    """What an ingester has done.

    Parameters
    ----------
    runs : list of str
        Uids of the runs that it has brought in to their end, in that order.
    refused : dict of str to str
        Why a run cannot be taken in, by uid.
    """

    runs: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


class Ingester:
    """Feeds one catalogue from the journals of a folder.

    Parameters
    ----------
    folder : CatalogFolder
        Whose journals.
    client : CatalogOfBlueskyRuns
        The catalogue, as ``tiled.client`` gives it.
    relocate : callable
        From :func:`relocation`.
    follow : bool
        Whether runs under way are followed; left until they have ended otherwise.

    Raises
    ------
    TiledDownError
        When the server does not answer.
    """

    def __init__(
        self,
        folder: CatalogFolder,
        client: CatalogOfBlueskyRuns,
        relocate: Relocate,
        *,
        follow: bool = True,
    ) -> None:
        self._folder = folder
        self._client = client
        self._relocate = relocate
        self._follow = follow
        # So long a journal that cannot be taken in is left alone while it does not grow, s.
        self._retry_s = LAST_RETRY_S
        self._new = NewJournals(folder)
        self.seen: set[Path] = set()
        # Those that are not in to their end, by uid.
        self._open: dict[str, Path] = {}
        self._feeds: dict[str, _Feed] = {}
        # Journals that cannot be taken in, by uid: their size then, and when they are tried again.
        self._refused: dict[str, tuple[int, float]] = {}
        self.progress = Progress()
        with _tiled():
            from tiled.queries import KeyPresent

            # Of a client of its own: this one remembers for a second how many runs there are.
            self._there = set(client.new_variation())
            # Not "stop": of what is no single value Tiled 0.2.20 says that it is not there.
            self._done = set(client.search(KeyPresent("stop.uid")))

    def step(
        self,
        journals: Iterable[Path] | None = None,
        advance: Callable[[int], object] = lambda count: None,
    ) -> int:
        """Bring in what journals have more than the catalogue, the oldest run first.

        Parameters
        ----------
        journals : iterable of Path, optional
            Which ones; left out: all.
        advance : callable, optional
            Called with 1 after each run.

        Returns
        -------
        int
            Documents that were brought in; 0: there was nothing new.

        Raises
        ------
        TiledDownError
            When the server does not answer; a new ingester, with a new client, goes on.
        """
        if journals is None:
            new = self._new.look()
            self.seen.update(new)
            self._open |= {p.stem: p for p in new if p.stem not in self._done}
            self._open = {uid: p for uid, p in self._open.items() if p.exists()}
            journals = list(self._open.values())
        count = 0
        for path in self._waiting(journals):
            count += self._advance(path)
            advance(1)
        return count

    def is_in(self, uid: str) -> bool:
        """Whether a run is in to its end."""
        return uid in self._done

    def refused_sizes(self) -> dict[Path, int]:
        """Journals that cannot be taken in, and their size when that was found, bytes."""
        return {self._open[u]: size for u, (size, _) in self._refused.items() if u in self._open}

    @property
    def following(self) -> bool:
        """Whether a run is under way that it is in the midst of."""
        return bool(self._feeds)

    def _waiting(self, journals: Iterable[Path]) -> Sequence[Path]:
        """Journals that are not in to their end, the oldest run first."""
        paths = [p for p in journals if p.stem not in self._done and not self._is_refused(p)]
        if len(paths) < 2:
            return paths
        return sorted(paths, key=lambda path: summarize(self._folder, path).time)

    def _is_refused(self, path: Path) -> bool:
        size, until = self._refused.get(path.stem, (-1, 0.0))
        return size == size_of(path) and time.monotonic() < until

    def _advance(self, path: Path) -> int:
        """Bring in what is new of one journal."""
        uid = path.stem
        # Before it is read: what is added meanwhile is a reason to try it again.
        size = size_of(path)
        try:
            live = is_live(self._folder, path)
            if live and not self._follow:
                return 0
            if not live and close_broken_run(self._folder, path) is not None:
                size = size_of(path)
            with _tiled():
                feed = self._feeds.get(uid) or self._begin(path, live=live)
                self._feeds[uid] = feed
                count = feed.advance()
        except TiledDownError:
            raise
        except Exception as error:  # whatever Tiled, DuckDB or SQLite had against this run
            self._feeds.pop(uid, None)
            self._refused[uid] = size, time.monotonic() + self._retry_s
            self.progress.refused[uid] = in_one_line(error)
            return 0
        if feed.ended:
            del self._feeds[uid]
            self._done.add(uid)
            self._open.pop(uid, None)
            self._refused.pop(uid, None)
            self.progress.refused.pop(uid, None)
            self.progress.runs.append(uid)
        return count

    def _begin(self, path: Path, *, live: bool) -> _Feed:
        if path.stem in self._there:  # what is there in part cannot be added to
            self._client.delete_contents([path.stem], recursive=True, external_only=False)
        self._there.add(path.stem)
        return _Feed(path, self._client, self._relocate, LIVE_BATCH if live else WHOLE_BATCH)


def size_of(path: Path) -> int:
    """Bytes of a journal; -1 where it is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


class _Feed:
    """One run on its way into the catalogue."""

    def __init__(
        self, path: Path, client: CatalogOfBlueskyRuns, relocate: Relocate, batch: int
    ) -> None:
        from bluesky_tiled_plugins import TiledWriter

        self._path = path
        self._relocate = relocate
        self._position = 0
        # What a TiledWriter makes for each run. The writer itself goes by event_model's RunRouter,
        # and that one (1.24) keeps every stream_datum until the run ends.
        (write,), _ = TiledWriter(client, batch_size=batch)._factory("start", {})
        self._write: Any = write
        self._reached = Reached()
        self.ended = False

    def advance(self) -> int:
        """Write the records that have come since; how many."""
        count = 0
        for name, doc, end in records_from(self._path, self._position):
            if name in _OLDER_ASSETS:
                raise CatalogError(f"a {name} document names files in a way that is not served")
            self._reached(name, doc)
            self._write(name, self._as_served(name, doc))
            self._position = end
            count += 1
            self.ended = name == "stop"
        return count

    def _as_served(self, name: str, doc: Document) -> Document:
        """Document as Tiled gets it: where its file is today; what the run has come to."""
        if name == "stream_resource":
            return self._relocate(doc)
        if name == "stop":  # databroker's queries know keys of start and of stop documents alone
            return {**doc, "summary": self._reached.summary()}
        return doc


class _tiled:  # noqa: N801  reads as what it stands for: with _tiled(): ...
    """Tell a server that is not there from one that refuses."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        import httpx

        down = isinstance(error, httpx.TransportError | ConnectionError)
        if isinstance(error, httpx.HTTPStatusError):
            # Of the answers only these say that it may be otherwise in a moment.
            down = error.response.status_code in (429, 502, 503, 504)
        if down:
            raise TiledDownError(in_one_line(error)) from error
