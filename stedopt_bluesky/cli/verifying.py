"""``stedopt catalog verify`` and ``stedopt catalog rebuild``."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stedopt_bluesky.cli.interrupts import EXIT_CODES, INTERRUPTED, terminate_cleanly
from stedopt_bluesky.cli.output import console, fail, print_json, stdout, warn
from stedopt_bluesky.errors import in_one_line

if TYPE_CHECKING:
    from stedopt_bluesky.records.databases import DatabaseCheck
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.verify import Verification


def verify_runs(
    uids: Sequence[str], *, quick: bool, databases: bool, mend: bool, catalog: Path, as_json: bool
) -> None:
    """Check runs, all of them where none is named.

    Raises
    ------
    CatalogError
        When there is no such catalogue or run.
    Exit
        With code 1 when something is wrong.
    """
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.journal import find_run, journal_paths
    from stedopt_bluesky.records.verify import count_events, verify

    folder = CatalogFolder.open(catalog)
    # Each once, however often it is named.
    named = list(dict.fromkeys(find_run(folder, uid) for uid in uids)) or None
    total = count_events(named or journal_paths(folder))
    with _interruptible("what was checked so far is not told"):
        with _progress("Events", total) as advance:
            found = verify(folder, named, quick=quick, mend=mend, advance=advance)
        compared = _compare(folder, named, mend=mend) if databases else None
    whole = found.whole and not (compared and compared.problems)
    if as_json:
        print_json(
            {
                "catalog": str(folder.path),
                "whole": whole,
                "quick": quick,
                "runs": [vars(run) for run in found.runs],
                "orphans": found.orphans,
                "left_over": found.left_over,
                "databases": vars(compared) if compared else None,
            }
        )
    else:
        _tell(found, compared, quick=quick)
    if not whole:
        raise typer.Exit(1)


def _compare(folder: CatalogFolder, named: Sequence[Path] | None, *, mend: bool) -> DatabaseCheck:
    from stedopt_bluesky.records.catalog import Catalog
    from stedopt_bluesky.records.databases import DatabaseCheck, check_databases
    from stedopt_bluesky.records.folder import CatalogError
    from stedopt_bluesky.records.journal import journal_paths
    from stedopt_bluesky.records.tiled_server import is_filled

    if not folder.tiled.exists():
        return DatabaseCheck()  # made when they are first needed
    if not is_filled(folder) and not mend:
        return DatabaseCheck(
            problems=["they are of another place, or not complete: stedopt catalog rebuild"]
        )
    with console.status("opening the databases ..."):
        opened = Catalog(folder)
        try:
            opened.open()
        except CatalogError as error:  # what was found of the runs is told all the same
            return DatabaseCheck(problems=[f"not compared: {error}"])
        except Exception as error:  # whatever SQLite, DuckDB or Tiled have against damaged files
            reason = in_one_line(error)
            return DatabaseCheck(
                problems=[f"they cannot be opened ({reason}): stedopt catalog rebuild"]
            )
    total = len(named or journal_paths(folder))
    with contextlib.closing(opened), _progress("runs in the databases", total) as advance:
        return check_databases(opened, named, mend=mend, advance=advance)


def _tell(found: Verification, compared: DatabaseCheck | None, *, quick: bool) -> None:
    """Tell what was found, one line each, and in how much."""
    lines = []
    for run in found.runs:
        lines += [f"{run.uid[:8]}  mended: {what}" for what in run.mended]
        lines += [f"{run.uid[:8]}  wrong: {what}" for what in run.problems]
    lines += [f"wrong: {what}" for what in found.orphans]
    lines += [f"left over: {what}: no array was written into it" for what in found.left_over]
    if compared is not None:
        lines += [f"databases  mended: {what}" for what in compared.mended]
        lines += [f"databases  wrong: {what}" for what in compared.problems]
    count = Counter(run.status for run in found.runs)
    arrays = sum(run.arrays for run in found.runs)
    unchecked = sum(run.unchecked for run in found.runs)
    told = "looked at, not read (--quick)" if quick else "read and compared with their checksums"
    without = f", {unchecked} without one (older runs)" if unchecked and not quick else ""
    states = ", ".join(f"{count[s]} {s}" for s in ("whole", "wrong", "running") if count[s])
    lines.append(f"{_plural(len(found.runs), 'run')}{': ' if states else ''}{states}")
    lines.append(f"{_plural(arrays, 'array')} {told}{without}")
    if compared is not None:
        lines.append(f"{_plural(compared.runs, 'closed run')} looked for in the databases")
    for line in lines:
        stdout.print(" ".join(line.split("\n")), markup=False)


def rebuild_databases(*, catalog: Path, as_json: bool) -> None:
    """Make Tiled's databases anew.

    Raises
    ------
    CatalogError
        When there is no such catalogue, when another process has it open, or when a run that the
        old databases hold cannot be taken in any more.
    Exit
        With code 1 when a run could not be taken in.
    """
    from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
    from stedopt_bluesky.records.journal import journal_paths

    folder = CatalogFolder.open(catalog)
    with _interruptible("the databases are as before"), terminate_cleanly():
        with console.status("opening ..."):
            from stedopt_bluesky.records.catalog import Catalog

            opened = Catalog(folder, wait_s=0)
        total = len(journal_paths(folder))
        with contextlib.closing(opened), _progress("runs", total) as advance:
            results = opened.rebuild(advance)
    failed = {
        uid: str(result) for uid, result in results.items() if isinstance(result, CatalogError)
    }
    taken_in = sum(result == "inserted" for result in results.values())
    live = [uid for uid, result in results.items() if result == "live"]
    for line in failed.values():
        warn(line)
    if as_json:
        print_json(
            {"catalog": str(folder.path), "runs": taken_in, "running": live, "failed": failed}
        )
    else:
        running = f", {len(live)} under way" if live else ""
        wrong = f", {len(failed)} could not be taken in" if failed else ""
        stdout.print(f"{_plural(taken_in, 'run')} taken in{running}{wrong}", markup=False)
    if failed:
        raise typer.Exit(1)


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


@contextlib.contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], Any]]:
    from stedopt_bluesky.experiments.progress import ExperimentProgress

    with ExperimentProgress(console, what, total) as progress:
        yield progress


@contextlib.contextmanager
def _interruptible(state: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        fail(f"interrupted by the user (Ctrl-C): {state}", code=EXIT_CODES[INTERRUPTED])
