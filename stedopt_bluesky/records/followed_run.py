"""A run whose journal is on this computer: nothing of it can be missed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stedopt_bluesky.records.announcement import announced
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.journal import Document, is_live, records_from
from stedopt_bluesky.records.live import LOOK_EVERY_MS
from stedopt_bluesky.records.subscription import Received, Subscription

# While nothing comes, the journal is looked at after so many waits of `LOOK_EVERY_MS`.
_IDLE_WAITS = 5


@dataclass(frozen=True)
class Seen:
    """A document of a run that is looked on at.

    Parameters
    ----------
    name, doc
        As a callback takes them.
    run : str
        Uid of its run; ``""`` when it is not known.
    missed : int
        How many of the run's documents, right before this one, could not be had at that time.
    source : {"live", "journal", "catalogue"}
        Published; or read afterwards. Of a catalogue, the events have uids of Tiled's own.
    """

    name: str
    doc: Document
    run: str
    missed: int = 0
    source: Literal["live", "journal", "catalogue"] = "live"


class FollowedRun:
    """A run's documents as they are published, and as they are written.

    The journal has a document before it is published: whatever was missed is there.

    Parameters
    ----------
    folder : CatalogFolder
        Tells where the run is published.
    path : Path
        Its journal.
    stop : threading.Event
        Set to end.
    say : callable
        Told, in a line, what was missed or refused, and of a run that has no end.
    """

    def __init__(
        self,
        folder: CatalogFolder,
        path: Path,
        stop: threading.Event,
        say: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._is_first_look = True
        self._run = path.stem
        self._journal = _Journal(path)
        self._stop = stop
        self._say = say
        self._subscription: Subscription | None = None
        self._ended = False

    def documents(self) -> Iterator[Seen]:
        """All of them, each once and in their order, until the end."""
        idle = _IDLE_WAITS  # what is there is looked at first
        try:
            while not (self._ended or self._stop.is_set()):
                received = self._received() if idle < _IDLE_WAITS else None
                if received is not None:
                    idle = 0
                    yield from self._until(received)
                    continue
                idle += 1
                if idle > _IDLE_WAITS:
                    idle = 0
                    yield from self._written()
        finally:
            if self._subscription is not None:
                self._subscription.close()

    def _received(self) -> Received | None:
        """Next document of this run that is published; None after a while."""
        if self._subscription is None:
            self._stop.wait(LOOK_EVERY_MS / 1000)
            return None
        received = self._subscription.receive(LOOK_EVERY_MS)
        return received if received is not None and received.run == self._run else None

    def _until(self, received: Received) -> Iterator[Seen]:
        """What was missed before a document that has come, and it."""
        missed = received.index - self._journal.next
        if missed > 0:
            before = self._journal.next
            yield from self._journal.rest(received.index)
            self._say(f"{self._journal.next - before} documents were missed: read from the journal")
        if received.index == self._journal.next:
            self._journal.next += 1
            self._ended = received.name == "stop"
            yield Seen(received.name, received.doc, self._run)

    def _written(self) -> Iterator[Seen]:
        """What is written and has not come; find out where the run is published."""
        live = is_live(self._folder, self._journal.path)  # asked first: what is there then is all
        for seen in self._journal.rest():
            self._ended = seen.name == "stop"
            yield seen
        if self._is_first_look and self._journal.next and live:
            self._say(f"{self._journal.next} earlier documents: read from the journal")
        self._is_first_look = False
        if self._ended:
            return
        if not live:
            self._ended = True
            self._say(self._journal.problem or f"run {self._run[:8]} has no end: its program died")
        elif self._subscription is None:
            for one in announced(self._folder):
                if one.run == self._run:
                    self._subscription = Subscription(one.address, refused=self._say)
                    return


@dataclass
class _Journal:
    """A run's journal, read on from where it was read last.

    ``next`` is the index of the document that is to come next; what came otherwise, by raising it,
    is not given again.
    """

    path: Path
    next: int = 0
    problem: str = ""
    _position: int = 0
    _index: int = 0

    def rest(self, end: int | None = None) -> Iterator[Seen]:
        """Documents that are written and have not come yet, up to one index."""
        self.problem = ""
        try:
            for name, doc, position in records_from(self.path, self._position):
                if end is not None and self._index >= end:
                    return
                self._position = position
                self._index += 1
                if self._index > self.next:
                    self.next = self._index
                    yield Seen(name, doc, self.path.stem, source="journal")
        except CatalogError as error:
            # A record may be half written at this moment; of a run that goes on no more it is
            # damaged.
            self.problem = str(error)
