"""The list of runs: one line per journal, newest first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import BinaryIO

from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.journal import (
    MOST_RECORD_BYTES,
    Document,
    decode,
    is_live,
    is_uid,
    journal_paths,
    lines,
    read_journal,
)

# What a list shows in place of an exit status when the journal has no stop document.
RUNNING, INTERRUPTED, DAMAGED = "running", "interrupted", "damaged"

Moment = str | float | date | datetime


@dataclass(frozen=True)
class RunSummary:
    """What a list of runs tells about one.

    Parameters
    ----------
    uid : str
        The run's uid.
    time : float
        When it began, in s since 1970 (UTC).
    sample, preset, plan_name, operator : str or None
        From the start document; ``None`` where it does not tell.
    seed : int or None
        Seed of the run's decisions.
    images : int
        Events of the primary stream.
    exit_status : str
        ``"success"``, ``"abort"`` or ``"fail"`` from the stop document; without one
        ``"running"`` (a living process writes it), ``"interrupted"`` (none does),
        or ``"damaged"``.
    reason : str
        Why it ended so; may be empty.
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

    @classmethod
    def of(cls, start: Document, *, images: int, exit_status: str, reason: str) -> RunSummary:
        """Make the summary from a start document and what is known of the run's end."""
        texts = {k: start.get(k) for k in ("sample", "preset", "plan_name", "operator")}
        seed = start.get("seed")
        return cls(
            uid=start["uid"],
            time=start["time"],
            images=images,
            exit_status=exit_status,
            reason=reason,
            seed=seed if isinstance(seed, int) else None,
            # Of other programs, a sample may be a table.
            **{k: v if isinstance(v, str) else None for k, v in texts.items()},
        )

    @classmethod
    def of_closed(cls, start: Document, stop: Document) -> RunSummary:
        """Make the summary of a run that has a stop document."""
        images = (stop.get("num_events") or {}).get("primary", 0)
        return cls.of(
            start, images=images, exit_status=stop["exit_status"], reason=stop.get("reason") or ""
        )


def list_runs(
    folder: CatalogFolder,
    *,
    sample: str | None = None,
    preset: str | None = None,
    plan: str | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
) -> list[RunSummary]:
    """Summarise the runs of a catalogue, newest first.

    Damaged journals are listed as such; they never hide the others. A damaged one that does
    not even tell its start passes no filter on sample, preset or plan.

    Parameters
    ----------
    folder : CatalogFolder
        Whose runs.
    sample, preset, plan : str, optional
        Only runs whose start document has exactly this.
    since, until : str, float, date or datetime, optional
        Only runs that began at ``since`` or later and before ``until``; see
        :func:`timestamp`.

    Raises
    ------
    CatalogError
        When ``since`` or ``until`` is not a time.
    """
    wanted = {"sample": sample, "preset": preset, "plan_name": plan}
    low = float("-inf") if since is None else timestamp(since)
    high = float("inf") if until is None else timestamp(until)
    summaries = [
        summary
        for summary in (summarize(folder, path) for path in journal_paths(folder))
        if low <= summary.time < high
        and all(v is None or getattr(summary, k) == v for k, v in wanted.items())
    ]
    return sorted(summaries, key=lambda s: (s.time, s.uid), reverse=True)


def summarize(folder: CatalogFolder, path: Path) -> RunSummary:
    """Summarise one journal from its first and its last record; the rest is not read.

    Only a journal without stop document is read through, to count its images.
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
    try:
        return _summary(folder, path, first[1], last)
    except KeyError as error:
        return _damaged(path, f"a document lacks {error.args[0]!r}")
    except (TypeError, AttributeError):
        return _damaged(path, "a document is none by event-model")


def _summary(
    folder: CatalogFolder, path: Path, start: Document, last: tuple[str, Document] | None
) -> RunSummary:
    if not (is_uid(start["uid"]) and _is_time(start["time"])):
        return _damaged(path, "its start document has no uid and time that can be")
    if last is not None and last[0] == "stop":
        return RunSummary.of_closed(start, last[1])
    try:
        # Asked before counting: a run that is closed meanwhile must not look interrupted.
        status = RUNNING if is_live(folder, path) else INTERRUPTED
        images = _count_images(read_journal(path))
        return RunSummary.of(start, images=images, exit_status=status, reason="")
    except CatalogError as error:
        return RunSummary.of(start, images=0, exit_status=DAMAGED, reason=str(error))


def timestamp(moment: Moment) -> float:
    """Seconds since 1970 (UTC) of a time.

    Parameters
    ----------
    moment : str, float, date or datetime
        A number of seconds; or a date with or without a time, as text in ISO 8601
        (``"2026-11-20"``, ``"2026-11-20 14:30"``). Without a time zone, local time is meant;
        without a time, midnight.

    Raises
    ------
    CatalogError
        When the text is not a date.
    """
    if isinstance(moment, int | float):
        return float(moment)
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            raise CatalogError(
                f"{moment!r} is not a time; give YYYY-MM-DD or YYYY-MM-DD HH:MM"
            ) from None
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    return moment.timestamp()


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


def _count_images(documents: Iterator[tuple[str, Document]]) -> int:
    primary: set[str] = set()
    images = 0
    for name, doc in documents:
        if name == "descriptor" and doc["name"] == "primary":
            primary.add(doc["uid"])
        elif name == "event" and doc["descriptor"] in primary:
            images += 1
        elif name == "event_page" and doc["descriptor"] in primary:
            images += len(doc["seq_num"])
    return images
