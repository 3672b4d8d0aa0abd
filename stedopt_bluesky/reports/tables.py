"""Tables of runs and images for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from stedopt_bluesky.records.runs import RunSummary
from stedopt_bluesky.reports.labels import heading
from stedopt_bluesky.reports.live_run import reasons_in_short
from stedopt_bluesky.reports.summary import ImageRow, RunReport

_BEST_COUNT = 3
_LAST_COUNT = 5
# A longer name is cut off; presets' names have up to 13 letters.
_SAMPLE_WIDTH = 12


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
    headings = ["image", *map(heading, report.parameter_units)]
    for objective in report.objectives:
        arrow = "↑" if objective.direction == "maximise" else "↓"
        headings.append(f"{heading(objective.name)}\n{arrow}")
    for text in (*headings, "utility\n↑"):
        # Folded, where all objectives at once leave too little room: no digit is cut off.
        table.add_column(text, justify="right", overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    why = [f"image {r.number}: {reasons_in_short(r.invalid_because)}" for r in rows
           if r.invalid_because]  # fmt: skip
    if why:
        table.caption, table.caption_justify = Text("\n".join(why)), "left"
    return table


def runs_table(runs: Sequence[RunSummary], numbers: Sequence[str] = ()) -> Table:
    """Table of runs, one line each, narrow enough for 80 columns.

    Parameters
    ----------
    runs : sequence of RunSummary
        The runs.
    numbers : sequence of str
        Numbers of them that are shown as well, as ``"reached.snr"`` or ``"images"``.
    """
    table = Table(
        title="Runs, newest first",
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=0,
    )
    for column in ("uid", "begun"):
        table.add_column(column, no_wrap=True)
    table.add_column("sample", no_wrap=True, max_width=_SAMPLE_WIDTH)
    table.add_column("preset", no_wrap=True)
    table.add_column("images", no_wrap=True, justify="right")
    table.add_column("ended", no_wrap=True)
    further = [name for name in dict.fromkeys(numbers) if name != "images"]
    for name in further:
        table.add_column(heading(name.removeprefix("reached.").removeprefix("used.")))
    table.add_column("reason")  # the only one that gives way when there is little room
    for run in runs:
        table.add_row(
            Text(run.uid[:8]),
            f"{datetime.fromtimestamp(run.time):%Y-%m-%d %H:%M}",
            Text(run.sample or ""),
            Text(run.preset or ""),
            str(run.images),
            run.exit_status,
            *(number_text(run, name) for name in further),
            Text(run.reason, no_wrap=True, overflow="ellipsis"),
        )
    return table


def number_text(run: RunSummary, name: str) -> str:
    """Number of a run as a table shows it, of ``"reached.snr"`` or ``"images"``, say."""
    group, _, own = name.rpartition(".")
    value = getattr(run, group).get(own) if group else getattr(run, own)
    return "" if value is None else f"{value:.4g}"


def _cells(row: ImageRow) -> list[str]:
    values = [*row.parameters.values(), *row.objectives.values()]
    shown = ["invalid" if math.isnan(v) else f"{v:.3g}" for v in values]
    utility = "invalid" if math.isnan(row.utility) else f"{row.utility:.3f}"
    return [str(row.number), *shown, utility]
