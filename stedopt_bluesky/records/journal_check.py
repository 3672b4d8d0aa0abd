"""Whether a journal's documents are whole, valid, in order and complete."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from stedopt_bluesky.records.journal import MOST_RECORD_BYTES, Document, decode, lines
from stedopt_bluesky.records.schemas import why_invalid

TORN = "its last record is torn, as a program that was killed or a full disk leaves it"
OPEN = "it has no stop document: its program ended before the run was closed"


@dataclass(frozen=True)
class EventArrays:
    """Where the arrays of one Event are.

    Parameters
    ----------
    stream : str
        The Event's stream.
    event, descriptor : dict
        The documents.
    frames : mapping of data key to (resource, index)
        Stream resource of each array that is stored outside, and the frame's place in it.
    """

    stream: str
    event: Document
    descriptor: Document
    frames: Mapping[str, tuple[Document, int]]


@dataclass
class JournalCheck:
    """What a journal holds, and what is wrong with it.

    Parameters
    ----------
    start, stop : dict or None
        The first valid documents of these names.
    problems : list of str
        One line each; what :data:`TORN` and :data:`OPEN` say is not among them.
    torn : bool
        Whether the last record is not whole.
    events : list of EventArrays
        All Events, in order.
    resources : list of dict
        All stream resources, in order.
    """

    start: Document | None = None
    stop: Document | None = None
    problems: list[str] = field(default_factory=list)
    torn: bool = False
    events: list[EventArrays] = field(default_factory=list)
    resources: list[Document] = field(default_factory=list)

    @property
    def left_open(self) -> bool:
        """Whether the journal ends as a program leaves it that was killed."""
        return self.torn or self.stop is None


def check_journal(path: Path) -> JournalCheck:
    """Check a journal's records and documents.

    Each record must be whole, each document valid against event-model's schemas; the start
    document comes first, descriptors before what belongs to them, the stop document last.
    Sequence numbers and frames have no gap and no uid occurs twice, Events have just the data
    keys of their descriptor, and the stop document counts the Events that are there.

    Parameters
    ----------
    path : Path
        The journal.
    """
    check = JournalCheck()
    follower = _Follower(check, path.stem)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(lines(file), start=1):
                if len(line) <= MOST_RECORD_BYTES and not line.endswith(b"\n"):
                    check.torn = True
                elif (record := decode(line)) is None:
                    check.problems.append(f"line {number} is damaged: no document can be read")
                else:
                    follower.take(number, *record)
    except OSError as error:
        check.problems.append(f"the journal cannot be read: {error}")
        return check
    follower.end()
    return check


class _Follower:
    """Follows a run's documents, and notes what is out of order."""

    def __init__(self, check: JournalCheck, uid: str) -> None:
        self._check = check
        self._uid = uid
        self._lines: dict[str, int] = {}  # where each uid was first seen
        self._descriptors: dict[str, Document] = {}
        self._resources: dict[str, Document] = {}
        self._next_seq_num: dict[str, int] = {}
        self._next_index: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._frames: dict[tuple[str, str], _Frames] = {}
        self._stop_line = 0

    def take(self, line: int, name: str, doc: Document) -> None:
        """Take the next document."""
        say = _Saying(self._check.problems, line, name)
        if name != "start" and not self._check.start and not self._lines:
            say("comes before the start document")
        if self._stop_line:
            say(f"comes after the stop document of line {self._stop_line}")
        if reason := why_invalid(name, doc):
            say(f"is not valid: {reason}")
            return
        uids = doc.get("uid", [])
        for uid in [uids] if isinstance(uids, str) else uids:
            if uid in self._lines:
                say(f"{uid} has been there in line {self._lines[uid]}")
                return
            self._lines[uid] = line
        # Documents of other kinds are of older ways to name files, which nothing here writes.
        take = getattr(self, f"_take_{name}", None)
        if take is not None:
            take(say, line, doc)

    def end(self) -> None:
        """Say what has not come."""
        check = self._check
        if check.start is None:
            check.problems.append("it has no start document")
        if check.stop is not None:
            self._count(check.stop)

    def _take_start(self, say: _Saying, line: int, doc: Document) -> None:
        if self._check.start is not None:
            say("is a second one")
            return
        self._check.start = doc
        if doc["uid"] != self._uid:
            say(f"is of run {doc['uid']}, the file is named {self._uid}")

    def _take_stop(self, say: _Saying, line: int, doc: Document) -> None:
        self._belongs(say, doc)
        if self._check.stop is None:
            self._check.stop = doc
            self._stop_line = line

    def _take_descriptor(self, say: _Saying, line: int, doc: Document) -> None:
        self._belongs(say, doc)
        if not doc.get("name"):
            say("names no stream")
            return
        self._descriptors[doc["uid"]] = doc

    def _take_stream_resource(self, say: _Saying, line: int, doc: Document) -> None:
        self._belongs(say, doc)
        self._resources[doc["uid"]] = doc
        self._check.resources.append(doc)

    def _take_stream_datum(self, say: _Saying, line: int, doc: Document) -> None:
        resource = self._resources.get(doc["stream_resource"])
        descriptor = self._descriptors.get(doc["descriptor"])
        if resource is None:
            say(f"comes before its stream_resource {doc['stream_resource']}")
        if descriptor is None:
            say(f"comes before its descriptor {doc['descriptor']}")
        if resource is None or descriptor is None:
            return
        (first, end), (first_seq_num, end_seq_num) = (
            (doc[key]["start"], doc[key]["stop"]) for key in ("indices", "seq_nums")
        )
        if end - first != end_seq_num - first_seq_num or end <= first or first < 0:
            say(f"gives frames {first} to {end} to Events {first_seq_num} to {end_seq_num}")
            return
        expected = self._next_index.get(resource["uid"], 0)
        if first != expected:
            say(f"tells of frame {first} of {resource['data_key']}, {expected} is the next")
        self._next_index[resource["uid"]] = end
        found = self._frames.setdefault((descriptor["name"], resource["data_key"]), _Frames())
        found.add(first_seq_num, end_seq_num, resource, first)

    def _take_event(self, say: _Saying, line: int, doc: Document) -> None:
        descriptor = self._descriptors.get(doc["descriptor"])
        if descriptor is None:
            say(f"{doc['seq_num']} comes before its descriptor {doc['descriptor']}")
            return
        stream, seq_num = descriptor["name"], doc["seq_num"]
        expected = self._next_seq_num.get(stream, 1)
        if seq_num != expected:
            say(f"{seq_num} of {stream!r}: {expected} is the next")
        self._next_seq_num[stream] = seq_num + 1
        self._counts[stream] += 1
        data_keys = descriptor["data_keys"]
        external = {k for k, v in data_keys.items() if v.get("external") == "STREAM:"}
        for key in sorted((set(data_keys) - external) ^ set(doc["data"])):
            what = "has no" if key in data_keys else "has, unlike its descriptor,"
            say(f"{seq_num} of {stream!r} {what} {key!r}")
        frames = {}
        for key in sorted(external):
            found = self._frames.get((stream, key), _NO_FRAMES).find(seq_num)
            if found is None:
                say(f"{seq_num} of {stream!r} has no stream_datum of {key!r} before it")
            else:
                frames[key] = found
        self._check.events.append(EventArrays(stream, doc, descriptor, frames))

    def _take_event_page(self, say: _Saying, line: int, doc: Document) -> None:
        from event_model import unpack_event_page

        columns = [doc["seq_num"], doc["time"], doc["uid"], *doc["data"].values()]
        if len({len(column) for column in columns}) > 1:
            say("has columns of several lengths")
            return
        for event in unpack_event_page(cast(Any, doc)):
            self._take_event(say, line, cast(Document, event))

    def _belongs(self, say: _Saying, doc: Document) -> None:
        start = self._check.start
        if start is not None and doc["run_start"] != start["uid"]:
            say(f"is of another run, {doc['run_start']}")

    def _count(self, stop: Document) -> None:
        """Hold the stop document's numbers of Events against what is there."""
        told = stop.get("num_events")
        if told is None:
            return
        frames: dict[str, int] = {}
        for (stream, _), found in self._frames.items():
            frames[stream] = max(frames.get(stream, 0), found.count)
        for stream in sorted(set(told) | set(self._counts)):
            says, there = told.get(stream, 0), self._counts[stream]
            # A flyer's stream may have frames and no Events.
            if says != there and (there or says != frames.get(stream, 0)):
                self._check.problems.append(
                    f"the stop document counts {says} Events of {stream!r}, {there} are there"
                )


@dataclass(frozen=True)
class _Saying:
    """Writes down what is wrong with a document, with where it is."""

    problems: list[str]
    line: int
    name: str

    def __call__(self, what: str) -> None:
        self.problems.append(f"line {self.line}: {self.name} {what}")


class _Frames:
    """Frames of the Events of one data key; a range of many is one entry."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._entries: list[tuple[int, Document, int]] = []

    def add(self, first: int, end: int, resource: Document, index: int) -> None:
        place = bisect_right(self._firsts, first)
        self._firsts.insert(place, first)
        self._entries.insert(place, (end, resource, index))

    def find(self, seq_num: int) -> tuple[Document, int] | None:
        place = bisect_right(self._firsts, seq_num) - 1
        if place < 0:
            return None
        end, resource, index = self._entries[place]
        return (resource, int(index + seq_num - self._firsts[place])) if seq_num < end else None

    @property
    def count(self) -> int:
        return sum(
            end - first for first, (end, *_) in zip(self._firsts, self._entries, strict=True)
        )


_NO_FRAMES = _Frames()
