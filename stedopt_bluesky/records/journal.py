"""The journal of a run: every document, one JSON line each, on disk before the plan goes on.

A record is ``[name, document]`` and a newline, written with one call. Floating point numbers
are written with Python's shortest exact form, so they come back bit for bit; not-a-number and
the infinities are legitimate values of an objective and are written as ``NaN``, ``Infinity``
and ``-Infinity``, which Python's ``json`` reads and strict JSON does not know.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import BaseFileLock

from stedopt_bluesky.records import locks
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder

Document = dict[str, Any]

# Of a journal's file, after the run's uid.
SUFFIX = ".jsonl"
# A file system may tell times in steps of this, ns (FAT: 2 s).
_CLOCK_GRAIN_NS = 2_000_000_000
# Which key of a document names the document it belongs to; a start document begins a run.
BELONGS_TO = {
    "stop": "run_start",
    "descriptor": "run_start",
    "event": "descriptor",
    "event_page": "descriptor",
    "stream_resource": "run_start",
    "stream_datum": "descriptor",
    "resource": "run_start",
    "datum": "resource",
    "datum_page": "resource",
}
# Bulk documents, which event-model has too, no RunEngine emits.
DOCUMENT_NAMES = frozenset({"start", *BELONGS_TO})
# Bytes of the longest record that is written and read, a hundred times Imspector's whole tree:
# what is longer would take the memory of a program that only looks.
MOST_RECORD_BYTES = 16 * 2**20
# A uid becomes a file name: letters, digits, dash, dot and underscore, not a hidden file.
_UID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


class Journal:
    """Callback that writes each run's documents into a file of its own.

    Subscribe it first, before any other callback, so that nothing that fails later can lose
    a document. It writes synchronously: when it returns, the record is on its way to the disk
    (``fsync=False``) or on it (``fsync=True``). Runs may be nested or interleaved.

    Parameters
    ----------
    folder : CatalogFolder
        Where to write.
    fsync : bool
        Whether to wait for the disk after each document. Without it the death of the program
        loses nothing, a power cut may lose the last seconds.

    Raises
    ------
    CatalogError
        On a document of a run that has not begun or is closed already, and on a run whose
        journal exists, and on a document that is larger than a record may be.
    OSError
        When the disk refuses; the journal is then cut back to its last whole record.
    """

    def __init__(self, folder: CatalogFolder, *, fsync: bool = True) -> None:
        self.folder = folder
        self.fsync = fsync
        # Every open run under its own uid and under those of its descriptors and resources.
        self._runs: dict[str, _OpenRun] = {}

    def __call__(self, name: str, doc: Document) -> None:
        """Append one document to the journal of its run."""
        if name == "start":
            run = self._runs[doc["uid"]] = _OpenRun(self.folder, doc, fsync=self.fsync)
        else:
            run = self._run_of(name, doc)
        run.write(name, doc)
        if name in ("descriptor", "resource"):
            self._runs[doc["uid"]] = run
        if name == "stop":
            self._forget(run)

    def close(self) -> None:
        """Close the files of runs that are still open, without a stop document."""
        for run in set(self._runs.values()):
            self._forget(run)

    def _run_of(self, name: str, doc: Document) -> _OpenRun:
        key = BELONGS_TO.get(name)
        if key is None:
            raise CatalogError(f"{name!r} is not the name of a document")
        run = self._runs.get(doc.get(key, ""))
        if run is None:
            raise CatalogError(f"this {name} belongs to no open run: {key} is {doc.get(key)!r}")
        return run

    def _forget(self, run: _OpenRun) -> None:
        self._runs = {uid: other for uid, other in self._runs.items() if other is not run}
        run.close()


class _OpenRun:
    """The file of one run that is being written, with its lock."""

    def __init__(self, folder: CatalogFolder, start: Document, *, fsync: bool) -> None:
        uid = start["uid"]
        if not is_uid(uid):
            raise CatalogError(f"the run's uid {uid!r} cannot be the name of a file")
        year = datetime.fromtimestamp(start["time"], UTC).year
        path = folder.journal / f"{year:04d}" / f"{uid}{SUFFIX}"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fsync = fsync
        # By stream, what has been written, and whether anything was not.
        self._events: dict[str, int] = {}
        self._streams: dict[str, str] = {}
        self._refused = False
        self._lock = _hold(folder, path)
        try:
            # Unbuffered: one record is one call to the system, nothing waits in the program.
            self._file = path.open("xb", buffering=0)
        except FileExistsError:
            locks.let_go(self._lock)
            raise CatalogError(f"run {uid} has a journal already: {path}") from None
        if fsync:
            _sync_folder(path.parent)

    def write(self, name: str, doc: Document) -> None:
        """Append one record, or leave the file as it was.

        The RunEngine counts an Event before it hands it out, also one that the disk has refused,
        which ends the run: the stop document then gets the numbers of what is here.
        """
        if name == "stop" and self._refused:
            doc = {**doc, "num_events": dict(self._events)}
        end = self._file.tell()
        try:
            append(self._file.fileno(), name, doc, fsync=self._fsync)
        except BaseException:
            self._refused = True
            os.ftruncate(self._file.fileno(), end)
            self._file.seek(end)
            raise
        self._count(name, doc)

    def _count(self, name: str, doc: Document) -> None:
        if name == "descriptor":
            stream = self._streams[doc["uid"]] = doc.get("name", "")
            self._events.setdefault(stream, 0)
        elif name in ("event", "event_page"):
            count = 1 if name == "event" else len(doc["seq_num"])
            self._events[self._streams[doc["descriptor"]]] += count

    def close(self) -> None:
        self._file.close()
        locks.let_go(self._lock)


def is_uid(uid: object) -> bool:
    """Whether a run's uid can be the name of a file; one from a journal may be anything."""
    return isinstance(uid, str) and _UID.fullmatch(uid) is not None


def append(descriptor: int, name: str, doc: Document, *, fsync: bool) -> None:
    """Write one record at the position of an open file descriptor."""
    record = memoryview(_encode(name, doc))
    while record:  # a system call may write less than it was given, on a full disk for example
        record = record[os.write(descriptor, record) :]
    if fsync:
        os.fsync(descriptor)


def _encode(name: str, doc: Document) -> bytes:
    text = json.dumps([name, doc], default=_plain, separators=(",", ":"))
    record = text.encode("ascii") + b"\n"
    if len(record) > MOST_RECORD_BYTES:
        raise CatalogError(
            f"a {name} document of {len(record)} bytes: at most {MOST_RECORD_BYTES}; images and "
            "the like go into files"
        )
    return record


def _plain(value: Any) -> Any:
    """JSON form of what ``json`` does not know."""
    # The same as event_model.NumpyEncoder, which however imports dask at the first value that
    # it sees: about a second during which the first image would wait.
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"a document holds a {type(value).__name__}, which JSON does not know")


def read_journal(path: Path) -> Iterator[tuple[str, Document]]:
    """Read a journal's documents in order, up to the last whole record.

    A last record that is torn, as a crash leaves it, is left out.

    Raises
    ------
    CatalogError
        When a record that is not the last one cannot be read; the message gives its line.
    """
    return ((name, doc) for name, doc, _ in records(path))


def records(path: Path) -> Iterator[tuple[str, Document, int]]:
    """Yield each whole record with the position of its end in the file, in bytes."""
    return records_from(path, 0)


def records_from(path: Path, position: int) -> Iterator[tuple[str, Document, int]]:
    """Yield each whole record from the end of another one on, as `records` does all of them.

    Raises
    ------
    CatalogError
        When the journal cannot be read, or a record that is not the last one; the message
        gives its line.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise CatalogError(f"the journal {path} cannot be read: {error}") from error
    with file:
        end = file.seek(position)
        for number, line in enumerate(lines(file), start=1):
            begin, end = end, end + len(line)
            record = decode(line)
            if record is None:
                if len(line) > MOST_RECORD_BYTES or file.read(1):
                    where = f"line {number}" if position == 0 else f"byte {begin}"
                    raise CatalogError(f"the journal {path} is damaged in {where}")
                return
            yield *record, end


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a journal; of one longer than a record may be, a piece that is none."""
    while line := file.readline(MOST_RECORD_BYTES + 1):
        yield line
        while len(line) > MOST_RECORD_BYTES and not line.endswith(b"\n"):
            line = file.readline(MOST_RECORD_BYTES + 1)


def decode(line: bytes) -> tuple[str, Document] | None:
    """Decode one line of a journal; ``None`` when it is not a whole record."""
    if not line.endswith(b"\n") or len(line) > MOST_RECORD_BYTES:
        return None
    try:
        name, doc = json.loads(line)
    except (ValueError, TypeError, RecursionError):  # not JSON, not two things, too deep
        return None
    known = isinstance(name, str) and name in DOCUMENT_NAMES
    return (name, doc) if known and isinstance(doc, dict) else None


def journal_paths(folder: CatalogFolder) -> list[Path]:
    """Paths of all journals of a catalogue, by year and uid."""
    return sorted(Path(entry.path) for entry in journal_files(folder))


def journal_files(folder: CatalogFolder) -> Iterator[os.DirEntry[str]]:
    """All journals of a catalogue, as the folders list them."""
    for year in _years(folder):
        yield from _files(year)


def _years(folder: CatalogFolder) -> list[str]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder.journal) as years:
        return [year.path for year in years if year.is_dir()]
    return []  # there is none yet


def _files(year: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(year) as files:
        yield from (entry for entry in files if entry.name.endswith(SUFFIX))


class NewJournals:
    """Looks for journals again and again; lists only folders in which files have come or gone.

    Parameters
    ----------
    folder : CatalogFolder
        Whose journals.
    """

    def __init__(self, folder: CatalogFolder) -> None:
        self._folder = folder
        self._listed: dict[str, int] = {}

    def look(self) -> list[Path]:
        """Journals in the folders that have changed since the last look; at first, all."""
        found: list[Path] = []
        for year in _years(self._folder):
            with contextlib.suppress(FileNotFoundError):  # moved away meanwhile
                # Asked before it is listed. What comes within the clock's grain of that may have
                # the same time: a folder that has just changed is listed once more.
                changed_ns = os.stat(year).st_mtime_ns
                if self._listed.get(year) == changed_ns:
                    continue
                settled = time.time_ns() - changed_ns > _CLOCK_GRAIN_NS
                self._listed[year] = changed_ns if settled else -1
                found += [Path(entry.path) for entry in _files(year)]
        return found


def find_run(folder: CatalogFolder, uid_prefix: str) -> Path:
    """Path of the journal of the run whose uid begins with ``uid_prefix``.

    Raises
    ------
    CatalogError
        When no run, or more than one, begins so.
    """
    if not uid_prefix:
        raise CatalogError("give the first characters of a run's uid")
    found = sorted(
        Path(entry.path)
        for entry in journal_files(folder)
        if entry.name.removesuffix(SUFFIX).startswith(uid_prefix)
    )
    exact = [p for p in found if p.stem == uid_prefix]
    if len(exact or found) > 1:
        first = ", ".join(p.stem for p in found[:3])
        raise CatalogError(
            f"{len(found)} runs in {folder.path} begin with {uid_prefix!r} ({first}"
            f"{', …' if len(found) > 3 else ''}); give more characters"
        )
    if not found:
        raise CatalogError(f"no run in {folder.path} begins with {uid_prefix!r}")
    return (exact or found)[0]


def is_live(folder: CatalogFolder, path: Path) -> bool:
    """Whether a living process is still writing this journal."""
    return locks.is_held(lock_path(folder, path))


def lock_path(folder: CatalogFolder, path: Path) -> Path:
    """Lock file that the writer of a journal holds."""
    return folder.locks / f"{path.stem}.lock"


def _hold(folder: CatalogFolder, path: Path) -> BaseFileLock:
    lock = locks.hold(lock_path(folder, path))
    if lock is None:
        raise CatalogError(f"run {path.stem} is being written by another journal")
    return lock


def _sync_folder(path: Path) -> None:
    """Make a new file's name as safe as its content, where folders can be synchronised."""
    with contextlib.suppress(OSError):  # Windows cannot open folders and needs no such thing
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
