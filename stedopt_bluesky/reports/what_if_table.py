"""The table of a run's decisions, then and now, for the terminal."""

from __future__ import annotations

import math

from rich.table import Table

from stedopt_bluesky.reports.labels import ARROWS, heading
from stedopt_bluesky.reports.what_if import WhatIf, WhatIfRow


def what_if_table(report: WhatIf) -> Table:
    """Table with a line per decision: recorded → new.

    Parameters
    ----------
    report : WhatIf
        The decisions.
    """
    table = Table(
        title="Each decision, recorded → new (=: the same)",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    objectives = [f"{heading(o.name)}\n{ARROWS[o.direction]}" for o in report.objectives]
    for text in ("image", *map(heading, report.parameter_units), "steps", *objectives, "regret"):
        table.add_column(text, justify="right", overflow="fold")
    for row in report.rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: WhatIfRow) -> list[str]:
    parameters = [
        f"{value:.4g}" if value == row.configuration[name] else
        f"{value:.4g} → {row.configuration[name]:.4g}"
        for name, value in row.recorded.items()
    ]  # fmt: skip
    samples = [
        f"{_shown(value)} → {_shown(row.sample[name])}"
        for name, value in row.recorded_sample.items()
    ]
    regret = "-" if math.isnan(row.regret) else f"{row.regret:+.3f}"
    return [str(row.number), *parameters, "=" if row.same else str(row.distance), *samples, regret]


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"
