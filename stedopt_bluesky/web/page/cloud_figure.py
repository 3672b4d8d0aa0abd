"""The cloud of options as a figure of plotly, and the option in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.preference.front import on_front
from stedopt_bluesky.reports.cloud_picture import shown_objectives
from stedopt_bluesky.reports.labels import ARROWS, axis_label

_RING = {"symbol": "circle-open", "line": {"width": 2}, "color": "#b00020"}
_IMAGED = {"symbol": "x-thin-open", "size": 9, "color": "#000000"}
_STAR = {"symbol": "star", "size": 16, "color": "#d81b60"}
# The trace of the selected option.
_SELECTED = 4
# Fewer options than these are drawn without WebGL, which a computer without a graphics card, or a
# remote desktop, has to reckon itself.
_MANY = 2000


@dataclass(frozen=True)
class View:
    """Which objectives are shown: two as axes, one as colour.

    Parameters
    ----------
    x, y, colour : str
        Names of objectives; of a single objective, all three are it.
    """

    x: str
    y: str
    colour: str

    @classmethod
    def of(cls, names: Sequence[str]) -> View:
        """Show the first two, coloured by the time or the last one."""
        return cls(*shown_objectives(names))

    def __str__(self) -> str:
        return f"x {self.x}, y {self.y}, colour {self.colour}"


def cloud_figure(
    options: Options,
    objectives: Sequence[Objective],
    view: View,
    *,
    suggested: int | None = None,
    selected: int | None = None,
) -> dict[str, Any]:
    """Draw a cloud: all options that are on offer, and those that stand out.

    Parameters
    ----------
    options : Options
        The cloud.
    objectives : sequence of Objective
        In the order of its columns.
    view : View
        What the axes and the colour are.
    suggested, selected : int, optional
        Rows that are marked.

    Returns
    -------
    dict
        ``data``, ``layout`` and ``config`` of plotly. Each point has its row as ``customdata``.
    """
    names = list(options.objectives)
    x, y, colour = (options.values[:, names.index(n)] for n in (view.x, view.y, view.colour))
    shown = np.isfinite(x) & np.isfinite(y)
    kind = "scattergl" if len(shown) >= _MANY else "scatter"

    def trace(rows: npt.NDArray[np.intp], name: str, **marker: Any) -> dict[str, Any]:
        return {
            "type": kind,
            "mode": "markers",
            "name": name,
            "x": x[rows].round(9).tolist(),
            "y": y[rows].round(9).tolist(),
            "customdata": rows.tolist(),
            "hoverinfo": "none",
            "marker": marker,
        }

    def those(rows: Sequence[int] | npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        return np.array([row for row in rows if shown[row]], dtype=np.intp)

    everything = np.flatnonzero(shown)
    data = [
        trace(
            everything,
            "options",
            size=7,
            color=np.nan_to_num(colour[everything]).round(9).tolist(),
            colorscale="Viridis",
            colorbar={"title": {"text": axis_label(view.colour), "side": "right"}},
        ),
        trace(those(on_front(options, objectives)), "none is better", **_RING, size=11),
        trace(those(options.imaged), "imaged before", **_IMAGED),
        trace(those(_one(suggested)), "suggested", **_STAR),
        # The last one: see `selection`.
        trace(those(_one(selected)), "selected", **{**_RING, "color": "#0047ab"}, size=22),
    ]
    direction = {o.name: ARROWS[o.direction] for o in objectives}

    def axis(name: str) -> dict[str, Any]:
        return {"title": {"text": f"{axis_label(name)} {direction[name]}"}, "zeroline": False}

    return {
        "data": data,
        "layout": {
            "margin": {"l": 60, "r": 10, "t": 10, "b": 50},
            "hovermode": "closest",
            # Zoom and pan stay until another image is chosen for, or the axes are others.
            "uirevision": f"{options.iteration} {view}",
            "xaxis": axis(view.x),
            "yaxis": axis(view.y),
            "legend": {"orientation": "h", "y": 1.08},
            "modebar": {"color": "#595959", "activecolor": "#0b57a4"},
        },
        "config": {
            "displaylogo": False,
            "responsive": True,
            "modeBarButtonsToRemove": ["select2d", "lasso2d"],
        },
    }


def selection(options: Options, view: View, row: int | None) -> tuple[dict[str, Any], list[int]]:
    """Mark a row as selected, or none, in a figure that is drawn: arguments of plotly's restyle.

    Returns
    -------
    dict, list of int
        What is changed, and of which trace.
    """
    names = list(options.objectives)
    rows = _one(row)
    changed = {
        axis: [[float(options.values[r, names.index(name)]) for r in rows]]
        for axis, name in (("x", view.x), ("y", view.y))
    }
    return {**changed, "customdata": [rows]}, [_SELECTED]


def _one(row: int | None) -> list[int]:
    return [] if row is None else [row]


def at_same_place(options: Options, view: View, row: int) -> npt.NDArray[np.intp]:
    """Rows that lie where this one does, in what is shown: a click means any of them."""
    names = list(options.objectives)
    columns = [names.index(view.x), names.index(view.y)]
    there = options.values[:, columns]
    return np.flatnonzero((there == there[row]).all(axis=1))


def next_towards(options: Options, view: View, row: int, right: int, up: int) -> int | None:
    """Row of the nearest option to one side of another one, in what is shown.

    Parameters
    ----------
    options : Options
        The cloud.
    view : View
        What the axes are.
    row : int
        From where.
    right, up : int
        One of them 1 or -1, the other one 0: to which side.

    Returns
    -------
    int or None
        Of those that lie rather to this side than to another one, with each axis scaled to its
        extent; None when there is none.
    """
    names = list(options.objectives)
    places = options.values[:, [names.index(view.x), names.index(view.y)]]
    extent = np.nanmax(places, axis=0) - np.nanmin(places, axis=0)
    away = (places - places[row]) / np.where(extent > 0, extent, 1.0)
    ahead, aside = away @ (right, up), away @ (up, right)
    with np.errstate(invalid="ignore"):  # what is not on offer
        there = np.flatnonzero((ahead > 0) & (np.abs(aside) <= ahead))
    if not there.size:
        return None
    return int(there[np.argmin(np.hypot(ahead[there], aside[there]))])


def in_words(
    options: Options,
    objectives: Sequence[Objective],
    row: int,
    expected: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None,
) -> str:
    """Say what an option is: its configuration and what is promised, with units.

    ``"depletion power 120 mW, dwelltime 15 µs: snr 1.2 ↑, resolution 72 nm ↓"``; with mean and
    standard deviation of what is expected, each (G, M): ``"snr 1.2 ↑ (expected 0.9 ± 0.2)"``.
    """
    settings = [
        _with_unit(name, value)
        for name, value in zip(options.parameters, options.configurations[row], strict=True)
    ]
    promised = [
        f"{_with_unit(o.name, value)} {ARROWS[o.direction]}"
        for o, value in zip(objectives, options.values[row], strict=True)
    ]
    if expected is not None:
        moments = zip(*(part[row] for part in expected), strict=True)
        promised = [
            # Known exactly, as the imaging time is: then it is what stands there.
            text if std == 0 else f"{text} (expected {mean:.3g} ± {std:.2g})"
            for text, (mean, std) in zip(promised, moments, strict=True)
        ]
    return f"{', '.join(settings)}: {', '.join(promised)}"


def _with_unit(name: str, value: float) -> str:
    label, _, unit = axis_label(name).partition(" (")
    return f"{label} {value:.3g} {unit.rstrip(')')}".rstrip()
