"""Runs that their program left open: the journal gets the stop document that is missing."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

from stedopt_bluesky.records import locks
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.journal import Document, append, lock_path, records

BROKEN_REASON = "the program ended before the run was closed"


def close_broken_run(folder: CatalogFolder, path: Path) -> Document | None:
    """Give a run that its program left open a stop document, in the journal itself.

    A torn last record is cut off first. The stop document says ``exit_status: "fail"`` with
    the reason, and bears the time of the run's last document: that is when the run ended.

    Returns
    -------
    dict or None
        The stop document that was added; ``None`` when there is one already or
        when a living process is still writing this journal.

    Raises
    ------
    CatalogError
        When the journal is damaged or has no start document.
    """
    lock = locks.hold(lock_path(folder, path))
    if lock is None:
        return None
    try:
        return _close(path)
    finally:
        locks.let_go(lock)


def _close(path: Path) -> Document | None:
    """Add the stop document to a journal that this process has locked."""
    whole = list(records(path))
    if not whole or whole[0][0] != "start":
        raise CatalogError(f"the journal {path} has no start document")
    if whole[-1][0] == "stop":
        return None
    stop = _stop_document([(name, doc) for name, doc, _ in whole])
    end = whole[-1][2]
    with path.open("r+b", buffering=0) as file:
        file.truncate(end)
        file.seek(end)
        append(file.fileno(), "stop", stop, fsync=True)
    return stop


def _stop_document(documents: Sequence[tuple[str, Document]]) -> Document:
    streams: dict[str, str] = {}
    num_events: dict[str, int] = {}
    for name, doc in documents:
        if name == "descriptor":
            streams[doc["uid"]] = doc["name"]
            num_events.setdefault(doc["name"], 0)
        elif name in ("event", "event_page"):
            count = 1 if name == "event" else len(doc["seq_num"])
            num_events[streams[doc["descriptor"]]] += count
    # Pages bear a list of times, the documents of assets none.
    times = [doc["time"] for _, doc in documents if isinstance(doc.get("time"), int | float)]
    return {
        "uid": str(uuid.uuid4()),
        "time": max(times),
        "run_start": documents[0][1]["uid"],
        "exit_status": "fail",
        "reason": BROKEN_REASON,
        "num_events": num_events,
    }
