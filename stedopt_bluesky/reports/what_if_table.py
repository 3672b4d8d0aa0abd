"""The table of a run's decisions, then and now, for the terminal."""

from __future__ import annotations

import math

from rich.table import Table

from stedopt_bluesky.reports.labels import ARROWS, heading
from stedopt_bluesky.reports.what_if import WhatIf, WhatIfRow


def what_if_table(report: WhatIf) -> Table:
    """Table with two lines per decision: recorded, and below it new where that is another one.

    Parameters
    ----------
    report : WhatIf
        The decisions.
    """
    table = Table(
        title="Each decision: recorded, and new (→) where it is another one",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    objectives = [f"{heading(o.name)}\n{ARROWS[o.direction]}" for o in report.objectives]
    for text in ("image", *map(heading, report.parameter_units), "steps", *objectives, "regret"):
        table.add_column(text, justify="right", overflow="fold")
    for row in report.rows:
        table.add_row(*_recorded(row))
        if not row.same:
            table.add_row(*_new(row))
    return table


def _recorded(row: WhatIfRow) -> list[str]:
    parameters = [f"{value:.4g}" for value in row.recorded.values()]
    samples = [_shown(value) for value in row.recorded_sample.values()]
    return [str(row.number), *parameters, "0" if row.same else "", *samples, ""]


def _new(row: WhatIfRow) -> list[str]:
    parameters = [f"{value:.4g}" for value in row.configuration.values()]
    samples = [_shown(value) for value in row.sample.values()]
    regret = "-" if math.isnan(row.regret) else f"{row.regret:+.3f}"
    return ["→", *parameters, str(row.distance), *samples, regret]


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"
