"""``stedopt runs``: the list of runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from stedopt_bluesky.cli.output import console, print_json, stdout

if TYPE_CHECKING:
    from stedopt_bluesky.records.query import RunQuery

# A table of more is not read.
MOST_ROWS = 50
# So many journals are read before anybody would see a bar.
_FEW_JOURNALS = 50


def list_runs(query: RunQuery, *, catalog: Path, newest: int | None, as_json: bool) -> None:
    """List the runs that match, newest first.

    Parameters
    ----------
    query : RunQuery
        Which runs.
    catalog : Path
        The catalogue's folder.
    newest : int or None
        How many at most; None: all as JSON, fifty in a table.
    as_json : bool
        Whether all that is known of them is written as JSON.

    Raises
    ------
    CatalogError
        When there is no such catalogue.
    """
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.index import RunIndex

    with RunIndex(CatalogFolder.open(catalog)) as index:
        with _progress() as progress:
            index.update(progress)
        found = index.find(query, newest if as_json or newest is not None else MOST_ROWS)
        total = index.count(query)
    if as_json:
        print_json(
            [
                {**vars(run), "begun": datetime.fromtimestamp(run.time).astimezone().isoformat()}
                for run in found
            ]
        )
        return
    if not found:
        stdout.print("no run matches")
        return
    from stedopt_bluesky.reports.tables import runs_table

    stdout.print(runs_table(found, [condition.name for condition in query.where]))
    if len(found) < total:
        stdout.print(f"the newest {len(found)} of {total} runs; --newest N shows more")


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Bar of the journals that are read, from the moment on when their number is known."""
    from stedopt_bluesky.experiments.progress import ExperimentProgress

    with contextlib.ExitStack() as always:
        bar: ExperimentProgress | None = None

        def advance(done: int, total: int) -> None:
            nonlocal bar
            if bar is None and total > _FEW_JOURNALS:
                bar = always.enter_context(ExperimentProgress(console, "journals", total))
            if bar is not None:
                bar(1)

        yield advance
