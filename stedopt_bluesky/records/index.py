"""An index of the runs, so that a list of ten thousand takes no longer than one of ten.

It lies in ``DIR/runs.sqlite`` and follows from the journals: a journal that is new, or has
another size or time than when it was last looked at, is read again; what is missing, damaged or
of another version is made anew. Where it cannot be written, it is a copy in memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.journal import SUFFIX, journal_files
from stedopt_bluesky.records.query import ENDED, GROUPS, OF_THE_RUN, RunQuery, timestamp
from stedopt_bluesky.records.reached import network_names
from stedopt_bluesky.records.runs import RunSummary, summarize

# Raised when what is stored, or how it is reckoned, changes.
_VERSION = 3
# Others may be making it just now; s.
_PATIENCE_S = 30.0
# Journals that are read between two commits: what was read is kept when it is interrupted.
_BATCH = 200

# Columns that hold what start documents say.
_TEXTS = ("sample", "structure", "preset", "operator")
_TABLES = ("runs", "summaries", "numbers")
_SCHEMA = (
    """CREATE TABLE runs (
        journal TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, uid TEXT, time REAL,
        sample TEXT, structure TEXT, preset TEXT, operator TEXT, plan_name TEXT, exit_status TEXT,
        parameters TEXT, objectives TEXT, networks TEXT
    ) WITHOUT ROWID""",
    # Apart: what is searched through is a few pages.
    "CREATE TABLE summaries (journal TEXT PRIMARY KEY, summary TEXT)",
    """CREATE TABLE numbers (
        name TEXT, value REAL, journal TEXT, PRIMARY KEY (name, value, journal)
    ) WITHOUT ROWID""",
    "CREATE INDEX runs_by_time ON runs (time)",
    "CREATE INDEX numbers_by_journal ON numbers (journal)",
    f"PRAGMA user_version = {_VERSION}",
)


class RunIndex:
    """Index of a catalogue's runs: ``with RunIndex(folder) as index: index.update()``.

    Parameters
    ----------
    folder : CatalogFolder
        Whose runs.

    Raises
    ------
    CatalogError
        When other programs keep it busy.
    """

    def __init__(self, folder: CatalogFolder) -> None:
        self._folder = folder
        self._db: sqlite3.Connection | None = None

    def __enter__(self) -> RunIndex:
        with _clear_errors(self._folder.index):
            self._db = _opened(self._folder.index)
        return self

    def __exit__(self, *_: object) -> None:
        if self._db is not None:
            self._db.close()
        self._db = None

    @property
    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            raise CatalogError(f"the index {self._folder.index} is not open")
        return self._db

    def update(self, progress: Callable[[int, int], object] = lambda done, total: None) -> None:
        """Read the journals that are new or have changed, and forget those that are gone.

        Parameters
        ----------
        progress : callable, optional
            Called with how many were read of how many that have to be.
        """
        with _clear_errors(self._folder.index):
            try:
                self._update(progress)
            except sqlite3.OperationalError as error:
                if _is_busy(error):
                    raise
                # A catalogue of somebody else, a medium that may only be read, a full disk.
                copy = sqlite3.connect(":memory:")
                self._open.backup(copy)
                self._open.close()
                self._db = copy
                self._update(progress)
            except sqlite3.DatabaseError:
                self._make_anew(progress)

    def _make_anew(self, progress: Callable[[int, int], object] = lambda done, total: None) -> None:
        """Forget a damaged index: it holds nothing that the journals do not."""
        self._open.close()
        self._db = _anew(self._folder.index)
        self._update(progress)

    def _update(self, progress: Callable[[int, int], object]) -> None:
        db = self._open
        # Of a run without stop document it depends on its writer what it is called.
        known = {
            journal: (size, mtime_ns) if exit_status in ENDED else None
            for journal, size, mtime_ns, exit_status in db.execute(
                "SELECT journal, size, mtime_ns, exit_status FROM runs"
            )
        }
        there: set[str] = set()
        waiting: list[tuple[Path, int, int]] = []
        for entry in journal_files(self._folder):
            journal = _text(entry.name.removesuffix(SUFFIX))
            there.add(journal)
            with contextlib.suppress(OSError):  # moved away meanwhile
                stat = entry.stat()
                if known.get(journal) != (stat.st_size, stat.st_mtime_ns):
                    waiting.append((Path(entry.path), stat.st_size, stat.st_mtime_ns))
        gone = [(journal,) for journal in known if journal not in there]
        if gone:
            with db:
                db.executemany("DELETE FROM runs WHERE journal = ?", gone)
                db.executemany("DELETE FROM summaries WHERE journal = ?", gone)
                db.executemany("DELETE FROM numbers WHERE journal = ?", gone)
        for first in range(0, len(waiting), _BATCH):
            batch = waiting[first : first + _BATCH]
            # Read before the database is locked: others may list runs meanwhile.
            rows = []
            for number, (path, size, mtime_ns) in enumerate(batch, start=first + 1):
                with contextlib.suppress(OSError):
                    run = summarize(self._folder, path, whole=True)
                    rows.append((_text(path.stem), size, mtime_ns, run))
                progress(number, len(waiting))
            with db:
                for row in rows:
                    _put(db, *row)

    def find(self, query: RunQuery, newest: int | None = None, skip: int = 0) -> list[RunSummary]:
        """Runs that match, newest first; so many at most, after so many that are left out."""
        order = "ORDER BY time DESC, uid DESC LIMIT ? OFFSET ?"
        most = -1 if newest is None else newest
        rows = self._select("summary FROM runs NATURAL JOIN summaries", query, order, most, skip)
        return [RunSummary(**json.loads(row[0])) for row in rows]

    def count(self, query: RunQuery) -> int:
        """How many runs match."""
        return int(self._select("count(*) FROM runs", query)[0][0])

    def values(self, key: str, most: int) -> list[str]:
        """What all runs say for a key of the start document, in order; so many at most.

        Raises
        ------
        KeyError
            When runs are not looked for by it.
        """
        if key not in _TEXTS:
            raise KeyError(key)
        order = f"AND {key} <> '' ORDER BY {key} LIMIT ?"
        return [
            row[0] for row in self._select(f"DISTINCT {key} FROM runs", RunQuery(), order, most)
        ]

    def _select(self, what: str, query: RunQuery, order: str = "", *more: int) -> list[Any]:
        where, values = _conditions(query)
        # The condition has names of this module and of Condition alone; values are bound.
        question = f"SELECT {what} WHERE {where} {order}"
        with _clear_errors(self._folder.index):
            try:
                return self._open.execute(question, [*values, *more]).fetchall()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self._make_anew()
                return self._open.execute(question, [*values, *more]).fetchall()


def _put(db: sqlite3.Connection, journal: str, size: int, mtime_ns: int, run: RunSummary) -> None:
    whole = dataclasses.asdict(run)
    of_the_start = (run.sample, run.structure, run.preset, run.operator, run.plan_name)
    db.execute(
        "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            journal,
            size,
            mtime_ns,
            _text(run.uid),
            run.time,
            *(text and _text(text) for text in of_the_start),
            run.exit_status,
            json.dumps(run.parameters),
            json.dumps(run.objectives),
            _text(network_names(run.networks)),
        ),
    )
    db.execute("INSERT OR REPLACE INTO summaries VALUES (?, ?)", (journal, json.dumps(whole)))
    db.execute("DELETE FROM numbers WHERE journal = ?", (journal,))
    numbers = {name: float(whole[name]) for name in OF_THE_RUN}
    for group in GROUPS:
        numbers |= {f"{group}.{name}": value for name, value in whole[group].items()}
    db.executemany(
        "INSERT INTO numbers VALUES (?, ?, ?)",
        [(name, value, journal) for name, value in numbers.items()],
    )


def _text(text: str) -> str:
    """Text as a database takes it: what is no Unicode, of a strange journal, is replaced."""
    return text.encode(errors="replace").decode()


def _conditions(query: RunQuery) -> tuple[str, list[str | float]]:
    """Condition in SQL, and its values."""
    said: list[str] = ["1"]
    values: list[str | float] = []

    def add(condition: str, value: str | float) -> None:
        said.append(condition)
        values.append(value)

    for key, text in query.exactly.items():
        add(f"{key} = ?", text)
    if query.exit_status is not None:
        add("exit_status = ?", query.exit_status)
    for key, name in (("parameters", query.parameter), ("objectives", query.objective)):
        if name is not None:
            add(f"instr({key}, ?)", json.dumps(name))
    if query.network is not None:
        add("instr(networks, ?)", query.network)
    if query.since is not None:
        add("time >= ?", timestamp(query.since))
    if query.until is not None:
        add("time < ?", timestamp(query.until))
    if query.uid_prefix:
        add("substr(uid, 1, length(?)) = ?", query.uid_prefix)
        values.append(query.uid_prefix)
    for condition in query.where:
        add(
            f"journal IN (SELECT journal FROM numbers WHERE name = ? AND value {condition.sign} ?)",  # noqa: S608
            condition.name,
        )
        values.append(condition.value)
    return " AND ".join(said), values


def _opened(path: Path) -> sqlite3.Connection:
    try:
        return _made(path)
    except sqlite3.OperationalError as error:
        if _is_busy(error):
            raise
        return _made(Path(":memory:"))
    except sqlite3.DatabaseError:
        return _anew(path)


def _anew(path: Path) -> sqlite3.Connection:
    """Make a damaged index anew; in memory where it cannot be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return _made(Path(":memory:"))
    return _made(path)


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return "locked" in str(error)


def _made(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_PATIENCE_S)
    try:
        with db:
            db.execute("BEGIN IMMEDIATE")
            if db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                _make(db)
        db.execute("SELECT count(*) FROM runs").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def _make(db: sqlite3.Connection) -> None:
    for statement in (*(f"DROP TABLE IF EXISTS {name}" for name in _TABLES), *_SCHEMA):
        db.execute(statement)


@contextlib.contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise CatalogError(f"the list of runs {path}: {error}") from error
