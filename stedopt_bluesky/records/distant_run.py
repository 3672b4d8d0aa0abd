"""A run of another computer: what is published comes, and what a Tiled server has."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from stedopt_bluesky.records.followed_run import Seen
from stedopt_bluesky.records.journal import Document
from stedopt_bluesky.records.live import LOOK_EVERY_MS
from stedopt_bluesky.records.stored_elsewhere import StoredElsewhere
from stedopt_bluesky.records.subscription import Received, Subscription

# After a run's end so many waits are given to a server that has not all of it yet: 30 s.
_LAST_WAITS = 600


class DistantRun:
    """A run's documents as far as they come, or can be had.

    Parameters
    ----------
    subscription : Subscription
        Where they come from.
    first : Received
        The first one that came.
    elsewhere : StoredElsewhere or None
        What was missed, if there is such a server.
    stop : threading.Event
        Set to end.
    say : callable
        Told, in a line, what was missed.
    """

    def __init__(
        self,
        subscription: Subscription,
        first: Received,
        elsewhere: StoredElsewhere | None,
        stop: threading.Event,
        say: Callable[[str], None],
    ) -> None:
        self._subscription = subscription
        self._elsewhere = elsewhere
        self._stop = stop
        self._say = say
        self._run = first.run
        self._first = first
        self._expected = 0
        self._log = _Log()
        self._ended = False
        self._is_connected = True
        self.next_run: Received | None = None

    def documents(self) -> Iterator[Seen]:
        """Each document once, until the end of the run is known.

        `next_run` is then what came of another run, if anything did.
        """
        received: Received | None = self._first
        waits = 0
        while not self._stop.is_set():
            if received is not None:
                yield from self._take(received)
            yield from self._stored()
            if self._ended:
                waits += 1
                if self._elsewhere is None or not self._log.is_lacking or self.next_run:
                    return
                if waits > _LAST_WAITS:
                    self._say("the server does not have all of the run yet: look again later")
                    return
            received = self._subscription.receive(LOOK_EVERY_MS)
            self._tell_connection()

    def _take(self, received: Received) -> Iterator[Seen]:
        if received.run != self._run:
            self.next_run, self._ended = received, True
            self._say(f"the end of run {self._run[:8]} was missed: another one has begun")
            return
        missed, self._expected = received.index - self._expected, received.index + 1
        if missed > 0:
            self._say_missed(missed, of_the_beginning=received is self._first)
        yield from self._if_new(Seen(received.name, received.doc, self._run, max(0, missed)))

    def _stored(self) -> Iterator[Seen]:
        """What the server has that has not come."""
        if self._elsewhere is None or not self._run:
            return
        if self._log.is_lacking:
            self._elsewhere.ask(self._run)
        for name, doc in self._elsewhere.take(self._run):
            yield from self._if_new(Seen(name, doc, self._run, source="catalogue"))

    def _if_new(self, seen: Seen) -> Iterator[Seen]:
        if self._log.is_new(seen.name, seen.doc):
            self._ended = self._ended or seen.name == "stop"
            yield seen

    def _tell_connection(self) -> None:
        if self._is_connected != self._subscription.is_connected:
            self._is_connected = self._subscription.is_connected
            self._say("connected again" if self._is_connected else "connection lost: waiting")

    def _say_missed(self, missed: int, *, of_the_beginning: bool) -> None:
        what = f"{missed} {'earlier ' if of_the_beginning else ''}documents"
        if self._elsewhere is None:
            self._say(f"{what} of run {self._run[:8]} were missed; --catalog-uri brings them")
        else:
            self._elsewhere.renew()
            self._say(f"{what} of run {self._run[:8]} were missed: asking the catalogue")


@dataclass
class _Numbers:
    """Numbers of the events that have come of a stream, and the highest of them."""

    come: set[int] = field(default_factory=set)
    highest: int = 0

    def add(self, numbers: Iterable[int]) -> bool:
        """Take numbers in; False when all of them had come."""
        new = set(numbers) - self.come
        self.come |= new
        self.highest = max(self.highest, *new, 0)
        return bool(new)


@dataclass
class _Log:
    """Which documents of a run have come, whatever way."""

    # What each is called by: its uid, or of a datum its own word for that.
    names: set[str] = field(default_factory=set)
    streams: dict[str, str] = field(default_factory=dict)
    # Of the events of each stream; of one whose descriptor has not come, by that.
    numbers: dict[str, _Numbers] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    has_start: bool = False

    def is_new(self, name: str, doc: Document) -> bool:
        """Take in that a document has come; False when it had."""
        if name in ("event", "event_page"):
            descriptor = str(doc["descriptor"])
            stream = self.streams.get(descriptor) or descriptor
            numbers = [doc["seq_num"]] if name == "event" else doc["seq_num"]
            return self.numbers.setdefault(stream, _Numbers()).add(numbers)
        uid = str(doc["datum_id" if name in ("datum", "datum_page") else "uid"])
        if uid in self.names:
            return False
        self.names.add(uid)
        if name == "start":
            self.has_start = True
        elif name == "descriptor":
            stream = self.streams[uid] = str(doc.get("name"))
            early = self.numbers.pop(uid, _Numbers())
            self.numbers.setdefault(stream, _Numbers()).add(early.come)
        elif name == "stop":
            counts = doc.get("num_events") or {}
            self.counts = {k: n for k, n in counts.items() if isinstance(n, int)}
        return True

    @property
    def is_lacking(self) -> bool:
        """Whether there are documents that have not come, as far as those tell that have."""
        if not self.has_start or not set(self.numbers) <= set(self.streams.values()):
            return True
        return any(
            len(numbers.come) < max(self.counts.get(stream, 0), numbers.highest)
            for stream, numbers in self.numbers.items()
        ) or not set(self.counts) <= set(self.numbers)
