"""A small picture of a cloud of options, for where nothing can be clicked."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.preference.front import on_front
from stedopt_bluesky.reports.labels import ARROWS, axis_label

# Colour by this: how long an image takes, else the last objective.
_TIME = "imaging_time_s"
_SIZE_INCHES = (6.0, 3.8)
_DPI = 100
_RING = {"s": 60, "facecolors": "none", "edgecolors": "#b00020"}
_CROSS = {"s": 60, "marker": "x", "color": "black"}
_STAR = {"s": 150, "marker": "*", "color": "#d81b60", "zorder": 3}


def shown_objectives(names: Sequence[str]) -> tuple[str, str, str]:
    """Name the objectives that are shown: x, y and colour; of a single one, all three are it."""
    others = [name for name in names if name != _TIME] or list(names)
    return others[0], others[1 % len(others)], _TIME if _TIME in names else list(names)[-1]


def cloud_png(
    options: Options,
    objectives: Sequence[Objective],
    numbered: Sequence[int],
    suggested: int | None = None,
) -> bytes:
    """Draw a cloud: two objectives as axes, a third as colour; what stands out is ringed.

    Parameters
    ----------
    options : Options
        The cloud.
    objectives : sequence of Objective
        In the order of its columns.
    numbered : sequence of int
        Rows that get a number, from 1: those of :func:`.options_table.options_table`.
    suggested : int, optional
        Row that gets a star.

    Returns
    -------
    bytes
        A PNG.
    """
    from matplotlib.figure import Figure

    names = list(options.objectives)
    shown = shown_objectives(names)
    x, y, colour = (options.values[:, names.index(name)] for name in shown)
    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
    ax = figure.subplots()
    dots = ax.scatter(x, y, c=colour, s=12, cmap="viridis", plotnonfinite=True)
    figure.colorbar(dots, ax=ax, label=axis_label(shown[2]))
    marks: list[tuple[Sequence[int], str, dict[str, Any]]] = [
        (on_front(options, objectives).tolist(), "none is better", _RING),
        (options.imaged, "imaged before", _CROSS),
        ([] if suggested is None else [suggested], "suggested", _STAR),
    ]
    for rows, label, look in marks:
        if rows:
            ax.scatter(x[list(rows)], y[list(rows)], label=label, **look)
    for number, row in enumerate(numbered, start=1):
        if np.isfinite(x[row]) and np.isfinite(y[row]):
            ax.annotate(
                str(number), (x[row], y[row]), (4, 4), textcoords="offset points", fontsize=9
            )
    direction = {o.name: ARROWS[o.direction] for o in objectives}
    ax.set_xlabel(f"{axis_label(shown[0])} {direction[shown[0]]}")
    ax.set_ylabel(f"{axis_label(shown[1])} {direction[shown[1]]}")
    figure.legend(loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()
