"""The list of runs: one line per journal, newest first."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.journal import (
    MOST_RECORD_BYTES,
    Document,
    decode,
    is_live,
    is_uid,
    lines,
    read_journal,
)
from stedopt_bluesky.records.query import DAMAGED, ENDED, INTERRUPTED, RUNNING, RunQuery
from stedopt_bluesky.records.reached import Reached


@dataclass(frozen=True)
class RunSummary:
    """What a list of runs tells about one.

    Parameters
    ----------
    uid : str
        The run's uid.
    time : float
        When it began, in s since 1970 (UTC).
    sample, structure, preset, plan_name, operator, microscope : str or None
        From the start document; ``None`` where it does not tell.
    seed : int or None
        Seed of the run's decisions.
    parameters, objectives : list of str
        Names of what was optimised, and by what.
    networks : mapping
        Of each network that rated or chose, by ``"quality"`` or ``"preference"``: ``name``,
        ``version``, ``sha256``.
    images : int
        Events of the primary stream.
    exit_status : str
        ``"success"``, ``"abort"`` or ``"fail"`` from the stop document; without one
        ``"running"`` (a living process writes it), ``"interrupted"`` (none does),
        or ``"damaged"``.
    reason : str
        Why it ended so; may be empty.
    exposure_s : float
        Exposure of all images, s.
    reached, best, used : mapping of str to float
        What it has come to, each in its unit: of each objective the median of the last ten
        images and the best image, of each setting the median of the last ten images.
    """

    uid: str
    time: float
    sample: str | None = None
    preset: str | None = None
    images: int = 0
    exit_status: str = ""
    reason: str = ""
    plan_name: str | None = None
    operator: str | None = None
    seed: int | None = None
    structure: str | None = None
    microscope: str | None = None
    parameters: list[str] = field(default_factory=list)
    objectives: list[str] = field(default_factory=list)
    networks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    exposure_s: float = 0.0
    reached: Mapping[str, float] = field(default_factory=dict)
    best: Mapping[str, float] = field(default_factory=dict)
    used: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        start: Document,
        *,
        images: int,
        exit_status: str,
        reason: str,
        summary: Mapping[str, Any] | None = None,
    ) -> RunSummary:
        """Make the summary from a start document and what is known of the run's end.

        ``summary`` is what `Reached.summary` gives.
        """
        left_out = ("images", "networks")
        come_to: dict[str, Any] = {k: v for k, v in (summary or {}).items() if k not in left_out}
        # Of other programs, a sample may be a table.
        told: dict[str, Any] = {
            key: value for key in _OF_THE_START if isinstance(value := start.get(key), str)
        }
        seed, networks = start.get("seed"), start.get("networks")
        return cls(
            uid=start["uid"],
            time=start["time"],
            images=images,
            exit_status=exit_status,
            reason=reason,
            seed=seed if isinstance(seed, int) else None,
            parameters=_texts(start.get("parameters")),
            objectives=_texts(start.get("objectives")),
            networks=networks if isinstance(networks, dict) else {},
            **told,
            **come_to,
        )

    @classmethod
    def of_closed(cls, start: Document, stop: Document) -> RunSummary:
        """Make the summary of a run that has a stop document, one of a catalogue's."""
        images = (stop.get("num_events") or {}).get("primary", 0)
        return cls.of(
            start,
            images=images,
            exit_status=stop["exit_status"],
            reason=stop.get("reason") or "",
            summary=stop.get("summary"),
        )


_OF_THE_START = ("sample", "structure", "preset", "plan_name", "operator", "microscope")


def _texts(value: object) -> list[str]:
    """Those of a list that are texts; of other programs, it may be anything."""
    return [v for v in value if isinstance(v, str)] if isinstance(value, list | tuple) else []


def list_runs(
    folder: CatalogFolder,
    query: RunQuery = RunQuery(),  # noqa: B008  frozen
    progress: Callable[[int, int], object] = lambda done, total: None,
    *,
    newest: int | None = None,
) -> list[RunSummary]:
    """Summarise the runs of a catalogue, newest first.

    Damaged journals are listed as such; they never hide the others. A damaged one that does
    not even tell its start is found by no key of it.

    Parameters
    ----------
    folder : CatalogFolder
        Whose runs.
    query : RunQuery
        Which of them.
    progress : callable, optional
        Called with how many journals were read of how many that have to be: those that are new
        or have changed since runs were last listed.
    newest : int, optional
        How many at most; left out: all.

    Raises
    ------
    CatalogError
        When other programs keep the list busy.
    """
    from stedopt_bluesky.records.index import RunIndex

    with RunIndex(folder) as index:
        index.update(progress)
        return index.find(query, newest)


def summarize(folder: CatalogFolder, path: Path, *, whole: bool = False) -> RunSummary:
    """Summarise one journal from its first and its last record.

    Only a journal without stop document is read through, to count its images.

    Parameters
    ----------
    folder : CatalogFolder
        Whose journal.
    path : Path
        The journal.
    whole : bool
        Whether it is read through to tell what the run has come to.
    """
    try:
        with path.open("rb") as file:
            first = decode(next(lines(file), b""))
            last = decode(_last_line(file))
    except OSError as error:
        return _damaged(path, str(error))
    if first is None or first[0] != "start":
        # A run that is just beginning has its journal before it has its first record.
        status = RUNNING if is_live(folder, path) else DAMAGED
        return _damaged(path, "no start document", status)
    stop = last[1] if last is not None and last[0] == "stop" else None
    try:
        return _understood(folder, path, first[1], stop, whole=whole)
    except KeyError as error:
        return _damaged(path, f"a document lacks {error.args[0]!r}")
    except (TypeError, AttributeError, ValueError, OverflowError):
        return _damaged(path, "a document is none by event-model")


def _understood(
    folder: CatalogFolder, path: Path, start: Document, stop: Document | None, *, whole: bool
) -> RunSummary:
    if not (is_uid(start["uid"]) and _is_time(start["time"])):
        return _damaged(path, "its start document has no uid and time that can be")
    if stop is not None and not _is_end(stop):
        return _damaged(path, "its stop document has no exit status and counts that can be")
    if stop is not None and not whole:
        return RunSummary.of_closed(start, stop)
    # Asked before counting: a run that is closed meanwhile must not look interrupted.
    status = RUNNING if stop is None and is_live(folder, path) else INTERRUPTED
    reached = Reached()
    try:
        for name, doc in read_journal(path):
            reached(name, doc)
    except CatalogError as error:
        return RunSummary.of(start, images=0, exit_status=DAMAGED, reason=str(error))
    summary = reached.summary()
    if stop is not None:
        return RunSummary.of_closed(start, {**stop, "summary": summary})
    return RunSummary.of(
        start, images=reached.images, exit_status=status, reason="", summary=summary
    )


def _is_end(stop: Document) -> bool:
    """Whether a stop document tells how a run has ended, and how many images it has."""
    images = (stop.get("num_events") or {}).get("primary", 0)
    return (
        stop.get("exit_status") in ENDED
        and isinstance(stop.get("reason", ""), str | None)
        and isinstance(images, int)
        and 0 <= images <= _MOST_IMAGES
    )


# A whole number that any database can hold.
_MOST_IMAGES = 2**63 - 1


def _is_time(value: object) -> bool:
    """Whether this can be a time in s since 1970 that a calendar knows, of the years to 9998."""
    return isinstance(value, int | float) and 0 <= value < 253_370_000_000


def _damaged(path: Path, reason: str, status: str = DAMAGED) -> RunSummary:
    # The file's own time stands in for the one that cannot be read.
    return RunSummary(uid=path.stem, time=path.stat().st_mtime, exit_status=status, reason=reason)


def _last_line(file: BinaryIO) -> bytes:
    """Last line of a file, read from its end."""
    end = file.seek(0, os.SEEK_END)
    # A stop document is a few hundred bytes; doubled until the whole line is in.
    size = 4096
    while True:
        start = max(0, end - size)
        file.seek(start)
        found = file.read(end - start).splitlines(keepends=True)
        # One that is longer than any record is not one; read no further for it.
        if len(found) > 1 or start == 0 or size > MOST_RECORD_BYTES:
            return found[-1] if found else b""
        size *= 2
