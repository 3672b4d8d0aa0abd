"""Tables of runs and images for the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from stedopt_bluesky.records.runs import RunSummary
from stedopt_bluesky.reports.labels import heading
from stedopt_bluesky.reports.summary import ImageRow, RunReport

_BEST_COUNT = 3
_LAST_COUNT = 5


def images_tables(report: RunReport) -> tuple[Table, Table]:
    """Tables of a run's best and last images, narrow enough for 80 columns.

    Parameters
    ----------
    report : RunReport
        The run.
    """
    best = report.best(_BEST_COUNT)
    last = report.rows[-_LAST_COUNT:]
    return (
        _images_table(report, f"The best {len(best)} of {len(report.rows)} images", best),
        _images_table(report, f"The last {len(last)} images", last),
    )


def _images_table(report: RunReport, title: str, rows: Sequence[ImageRow]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("image", justify="right")
    for name in report.parameter_units:
        table.add_column(heading(name), justify="right")
    for objective in report.objectives:
        arrow = "↑" if objective.direction == "maximise" else "↓"
        table.add_column(f"{heading(objective.name)}\n{arrow}", justify="right")
    table.add_column("utility\n↑", justify="right")
    for row in rows:
        table.add_row(*_cells(row))
    return table


def runs_table(runs: Iterable[RunSummary]) -> Table:
    """Table of runs, one line each."""
    table = Table(title="Runs, newest first", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("uid", "begun", "sample", "preset", "images", "ended", "reason"):
        table.add_column(
            column,
            justify="right" if column == "images" else "left",
            no_wrap=column != "reason",
        )
    for run in runs:
        table.add_row(
            Text(run.uid[:8]),
            f"{datetime.fromtimestamp(run.time):%Y-%m-%d %H:%M}",
            Text(run.sample or ""),
            Text(run.preset or ""),
            str(run.images),
            run.exit_status,
            Text(run.reason),
        )
    return table


def _cells(row: ImageRow) -> list[str]:
    values = [*row.parameters.values(), *row.objectives.values()]
    shown = ["invalid" if math.isnan(v) else f"{v:.3g}" for v in values]
    utility = "invalid" if math.isnan(row.utility) else f"{row.utility:.3f}"
    return [str(row.number), *shown, utility]
