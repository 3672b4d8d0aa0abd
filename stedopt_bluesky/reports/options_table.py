"""A cloud of options as a table: the few that stand out, of what they promise and how."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.preference.front import on_front
from stedopt_bluesky.reports.labels import ARROWS, heading

MARKS = "* suggested, + imaged before"


def standing_out(
    options: Options, objectives: Sequence[Objective], suggested: int | None = None
) -> list[int]:
    """Rows that no other option is better than in every objective, and the suggested one.

    Parameters
    ----------
    options : Options
        The cloud.
    objectives : sequence of Objective
        In the order of its columns.
    suggested : int, optional
        A row that is listed in any case.

    Returns
    -------
    list of int
        From the best to the worst by the first objective. Where every option has a NaN: all
        that are on offer.
    """
    rows = on_front(options, objectives)
    if not rows.size:
        rows = np.flatnonzero(np.isfinite(options.values).any(axis=1))
    if suggested is not None:
        rows = np.union1d(rows, [suggested])
    first = options.values[rows, 0]
    best_first = -first if objectives[0].direction == "maximise" else first
    return [int(row) for row in rows[np.argsort(best_first, kind="stable")]]


def spread_out(options: Options, rows: Sequence[int], most: int, first: int | None) -> list[int]:
    """Of some rows those that differ most in their objectives, in the order in which they were.

    Parameters
    ----------
    options : Options
        The cloud.
    rows : sequence of int
        Which options.
    most : int
        How many of them, at most.
    first : int, optional
        A row that is among them in any case.

    Returns
    -------
    list of int
        Each next one is the farthest from those that are there, with each objective scaled to its
        extent in ``rows``.
    """
    values = np.nan_to_num(options.values[list(rows)])
    extent = np.ptp(values, axis=0)
    scaled = values / np.where(extent > 0, extent, 1.0)
    kept = [rows.index(first)] if first in rows else [0]
    nearest = np.full(len(rows), np.inf)
    while len(kept) < min(most, len(rows)):
        nearest = np.minimum(nearest, np.linalg.norm(scaled - scaled[kept[-1]], axis=1))
        nearest[kept] = -1.0
        kept.append(int(np.argmax(nearest)))
    return [rows[i] for i in sorted(kept)]


def options_table(
    options: Options,
    objectives: Sequence[Objective],
    rows: Sequence[int],
    suggested: int | None = None,
) -> Table:
    """Make a table of some options: numbered from 1, objectives, configuration.

    Parameters
    ----------
    options : Options
        The cloud.
    objectives : sequence of Objective
        In the order of its columns.
    rows : sequence of int
        Which options.
    suggested : int, optional
        Row that is marked as suggested.
    """
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("", justify="right")
    table.add_column("")
    for objective in objectives:
        label = f"{heading(objective.name)} {ARROWS[objective.direction]}"
        table.add_column(label, justify="right", style="cyan")
    for name in options.parameters:
        table.add_column(heading(name), justify="right")
    imaged = set(options.imaged)
    for number, row in enumerate(rows, start=1):
        marks = ("*" if row == suggested else "") + ("+" if row in imaged else "")
        values = [_shown(value) for value in options.values[row]]
        settings = [f"{value:.4g}" for value in options.configurations[row]]
        table.add_row(str(number), marks, *values, *settings)
    return table


def _shown(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3g}"
