"""One page of the list of runs, as rows for a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from stedopt_bluesky.records.folder import CatalogFolder
from stedopt_bluesky.records.index import RunIndex
from stedopt_bluesky.records.query import RunQuery
from stedopt_bluesky.records.runs import RunSummary
from stedopt_bluesky.reports.labels import axis_label
from stedopt_bluesky.reports.live_run import plain_text
from stedopt_bluesky.reports.tables import number_text
from stedopt_bluesky.web.page.reading import Progress
from stedopt_bluesky.web.page.run_filter import TEXT_FIELDS

# Runs on one page.
ON_A_PAGE = 25
# So many samples, operators, ... are offered to be taken; others are typed.
_MOST_OFFERED = 200


@dataclass(frozen=True)
class ListedRun:
    """One run of the list.

    Parameters
    ----------
    uid : str
        Its uid.
    texts : list of str
        What is told of it, in the order of the columns, safe to be shown; the beginning of the
        uid first.
    """

    uid: str
    texts: list[str]


@dataclass(frozen=True)
class Listed:
    """One page of the runs that match.

    Parameters
    ----------
    rows : list of ListedRun
        Newest first.
    columns : list of str
        Those that every list has, and a number for each condition.
    page, pages : int
        Which page it is, from 1, of how many.
    total : int
        Runs that match.
    offered : dict of a field's name to list of str
        What runs of the catalogue say there.
    """

    rows: list[ListedRun]
    columns: list[str]
    page: int
    pages: int
    total: int
    offered: dict[str, list[str]]


def list_page(
    folder: CatalogFolder,
    query: RunQuery,
    page: int,
    progress: Progress = lambda done, total: None,
) -> Listed:
    """List the runs that match, newest first.

    Parameters
    ----------
    folder : CatalogFolder
        Whose runs.
    query : RunQuery
        Which of them.
    page : int
        Which page, from 1; beyond the last one, the last one.
    progress : callable, optional
        Told how many journals were read of how many that have to be.

    Raises
    ------
    CatalogError
        When other programs keep the list busy.
    """
    with RunIndex(folder) as index:
        index.update(progress)
        total = index.count(query)
        pages = max(1, -(-total // ON_A_PAGE))
        page = min(max(1, page), pages)
        found = index.find(query, ON_A_PAGE, ON_A_PAGE * (page - 1))
        offered = {key: index.values(key, _MOST_OFFERED) for key in TEXT_FIELDS}
    numbers = [n for n in dict.fromkeys(c.name for c in query.where) if n != "images"]
    columns = ["run", "begun", *TEXT_FIELDS, "images", "ended", *map(_label, numbers), "reason"]
    return Listed([_row(run, numbers) for run in found], columns, page, pages, total, offered)


def run_address(uid: str) -> str:
    """Where the page shows a run."""
    return f"/runs/{quote(uid, safe='')}"


def comparison_address(first: str, second: str) -> str:
    """Where the page shows two runs side by side."""
    return f"/compare/{quote(first, safe='')}/{quote(second, safe='')}"


def begun_text(time_s: float) -> str:
    """When a run began, in local time."""
    return f"{datetime.fromtimestamp(time_s):%Y-%m-%d %H:%M}"


def _label(number: str) -> str:
    group, _, own = number.rpartition(".")
    return axis_label(own) if group in ("", "reached", "used") else f"{group} {axis_label(own)}"


def _row(run: RunSummary, numbers: Sequence[str]) -> ListedRun:
    told = [
        run.uid[:8],
        begun_text(run.time),
        *(getattr(run, key) or "" for key in TEXT_FIELDS),
        str(run.images),
        run.exit_status,
        *(number_text(run, name) for name in numbers),
        run.reason,
    ]
    return ListedRun(run.uid, [plain_text(text) for text in told])
