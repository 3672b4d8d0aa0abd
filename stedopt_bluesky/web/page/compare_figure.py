"""One objective of two runs over their images, as a figure of plotly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stedopt_bluesky.objective_table import known_objective
from stedopt_bluesky.reports.labels import ARROWS, axis_label
from stedopt_bluesky.reports.two_runs import RunBeside

# Told apart by form too, not by colour alone.
_STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#0b57a4", "symbol": "circle"},
    {"color": "#b3541e", "symbol": "square-open"},
)


def compare_figure(objective: str, runs: Sequence[tuple[str, RunBeside]]) -> dict[str, Any]:
    """Draw one objective of each image of two runs.

    Parameters
    ----------
    objective : str
        Its name.
    runs : sequence of (str, RunBeside)
        Two, each with what it is called.

    Returns
    -------
    dict
        ``data``, ``layout`` and ``config`` of plotly.
    """
    data: list[dict[str, Any]] = []
    for (name, run), style in zip(runs, _STYLES, strict=True):
        values = run.objectives.get(objective)
        if values is None:
            continue
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": list(range(1, len(values) + 1)),
                "y": [v if np.isfinite(v) else None for v in values.tolist()],
                "line": {"color": style["color"], "width": 1},
                "marker": {**style, "size": 6},
            }
        )
    return {
        "data": data,
        "layout": {
            "margin": {"l": 60, "r": 10, "t": 10, "b": 45},
            "xaxis": {"title": {"text": "image"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": objective_label(objective)}},
            "showlegend": True,
            "legend": {"orientation": "h", "y": 1.12},
        },
        "config": {"displaylogo": False, "responsive": True},
    }


def objective_label(objective: str) -> str:
    """Name an objective with its unit, and where it is better where that is known."""
    known = known_objective(objective)
    arrow = f" {ARROWS[known.direction]}" if known is not None else ""
    return f"{axis_label(objective)}{arrow}"
