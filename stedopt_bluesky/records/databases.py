"""Whether Tiled's databases hold all that the journals do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stedopt_bluesky.errors import in_one_line
from stedopt_bluesky.records.catalog import Catalog
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.journal import journal_paths
from stedopt_bluesky.records.journal_check import JournalCheck, check_journal


@dataclass
class DatabaseCheck:
    """What was found of the databases.

    Parameters
    ----------
    runs : int
        Closed runs that were looked for.
    problems : list of str
        What is wrong, one line each; what was mended is not among them.
    mended : list of str
        What was wrong and is no more.
    """

    runs: int = 0
    problems: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)


def check_databases(
    catalog: Catalog,
    journals: Sequence[Path] | None = None,
    *,
    mend: bool = False,
    advance: Callable[[int], object] = lambda count: None,
) -> DatabaseCheck:
    """Look for each closed run, its stop document and its Events of each stream.

    A journal that cannot be read is left to :func:`~stedopt_bluesky.records.verify.verify`.

    Parameters
    ----------
    catalog : Catalog
        Open.
    journals : sequence of Path, optional
        Of which runs; left out: of all, and no other run may be there.
    mend : bool
        Whether to take in runs that are missing, or there in part.
    advance : callable, optional
        Called with 1 after each run.
    """
    check = DatabaseCheck()
    problems: dict[str, str] = {}
    lacking: list[Path] = []
    for path in journal_paths(catalog.folder) if journals is None else journals:
        journal = check_journal(path)
        if not (journal.problems or journal.left_open):
            check.runs += 1
            if problem := _problem(catalog, path.stem, journal):
                problems[path.stem] = problem
            # One with its stop document is not taken in again: what is wrong, a rebuilding mends.
            if problem in (_MISSING, _IN_PART):
                lacking.append(path)
        advance(1)
    if mend and lacking:
        results = catalog.sync(lacking)
        for path in lacking:
            uid = path.stem
            if isinstance(result := results[uid], CatalogError):
                problems[uid] = f"{problems[uid]}; {result}"
            else:
                check.mended.append(f"run {uid}: {problems[uid]}; it was taken in")
                problems[uid] = _problem(catalog, uid, check_journal(path))
    check.problems += [f"run {uid}: {problem}" for uid, problem in problems.items() if problem]
    if journals is None:
        there = {path.stem for path in journal_paths(catalog.folder)}
        check.problems += [
            f"run {uid}: is in the databases, and its journal is not there"
            for uid in sorted(set(catalog.client) - there)
        ]
    return check


_MISSING = "is missing from the databases"
_IN_PART = "is in the databases in part"


def _problem(catalog: Catalog, uid: str, journal: JournalCheck) -> str:
    try:
        return _difference(catalog, uid, journal)
    except Exception as error:  # whatever SQLite, DuckDB or Tiled have against damaged files
        return f"cannot be read from the databases: {in_one_line(error)}"


def _difference(catalog: Catalog, uid: str, journal: JournalCheck) -> str:
    from databroker.queries import Key

    found = catalog.client.search(Key("uid") == uid).values().head(1)
    if not found:
        return _MISSING
    stop, expected = found[0].metadata.get("stop"), journal.stop or {}
    if not stop:
        return _IN_PART
    if any(stop.get(key) != expected.get(key) for key in ("uid", "exit_status", "num_events")):
        return "has another stop document in the databases"
    counts = Counter(event.stream for event in journal.events)
    for stream in sorted(counts):
        there = _count(catalog, found[0], stream)
        if there != counts[stream]:
            return (
                f"has {there} Events of {stream!r} in the databases, "
                f"{counts[stream]} in the journal"
            )
    return ""


def _count(catalog: Catalog, run: Any, stream: str) -> int:
    """Events of a stream that the databases have: rows of its table, or frames of an array."""
    if stream not in set(run):
        return 0
    base = run[stream].base
    if "internal" in base:
        return len(catalog.table(run.metadata["start"]["uid"], stream))
    return max((base[key].shape[0] for key in base), default=0)
