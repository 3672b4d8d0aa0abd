"""What a run comes to, image by image, as figures of plotly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.bandit.regret import cumulative_regret
from stedopt_bluesky.reports.labels import ARROWS, axis_label
from stedopt_bluesky.reports.run_figures import missed_utility, slice_rows

if TYPE_CHECKING:
    from stedopt_bluesky.reports.run_figures import Posterior

FloatArray = npt.NDArray[np.float64]
Plot = dict[str, Any]

_BLUE, _RED, _SHADE = "#0b57a4", "#b00020", "rgba(11, 87, 164, 0.2)"
# From so many points on they are drawn by the graphics card: plotly's other way is slow.
_MANY = 1000
# Digits of a number that is drawn: nobody sees more, and all of them go to the browser.
_DIGITS = 6
# Share of a row's height, and of a column's width, that stays free beside the next one.
_GAP = 0.15
# Heights of a figure: of each row, and of what stands around them, pixels.
_ROW_PX, _AROUND_PX = 110, 70
# Up to so many images each has its number at the axis.
_FEW = 12


def objectives_plot(
    numbers: Sequence[int],
    objectives: Sequence[Objective],
    values: FloatArray,
    utility: FloatArray,
) -> Plot:
    """Draw each objective, and the utility below them, over the images.

    Parameters
    ----------
    numbers : sequence of int, length N
        Of the images.
    objectives : sequence of Objective, length M
        A row each, with an arrow to where it is better.
    values : ndarray, shape (N, M)
        Each column in its objective's unit; where invalid, NaN: marked at the row's lower end.
    utility : ndarray, shape (N,)
        NaN where an image has none.

    Returns
    -------
    dict
        ``data``, ``layout`` and ``config`` of plotly.
    """
    titles = [f"{axis_label(o.name)} {ARROWS[o.direction]}" for o in objectives]
    rows = [*values.T, utility]
    data = []
    for place, column in enumerate(rows, start=1):
        data.append(_points(numbers, column, place, "lines+markers", color=_BLUE, size=5))
        invalid = np.flatnonzero(np.isnan(column)).tolist()
        low = 0.0 if len(invalid) == len(column) else float(np.nanmin(column))
        there = [numbers[n] for n in invalid]
        data.append(
            {
                **_points(there, np.full(len(there), low), place, "markers"),
                "marker": {"symbol": "x", "color": _RED, "size": 7},
                "hovertemplate": "image %{x}: invalid<extra></extra>",
            }
        )
    return _figure(data, _rows_layout([*titles, "utility ↑"], numbers), len(rows))


def parameters_plot(numbers: Sequence[int], names: Sequence[str], values: FloatArray) -> Plot:
    """Draw the parameters that were chosen over the images.

    Parameters
    ----------
    numbers : sequence of int, length N
        Of the images.
    names : sequence of str, length P
        A row each.
    values : ndarray, shape (N, P)
        Each column in its parameter's unit.
    """
    data = [
        _points(numbers, column, place, "markers", color=_BLUE, size=5, opacity=0.7)
        for place, column in enumerate(values.T, start=1)
    ]
    return _figure(data, _rows_layout([axis_label(name) for name in names], numbers), len(names))


def regret_plot(numbers: Sequence[int], utility: FloatArray) -> Plot:
    """Draw the cumulative regret over the images, as the report of a run has it.

    Parameters
    ----------
    numbers : sequence of int, length N
        Of the images.
    utility : ndarray, shape (N,)
        NaN where an image has none: it counts as the worst one.
    """
    regret = cumulative_regret(missed_utility(utility)) if len(utility) else utility
    data = [_points(numbers, regret, 1, "lines", color=_BLUE)]
    return _figure(data, _rows_layout(["cumulative regret"], numbers), 1)


def posterior_plot(posterior: Posterior, objectives: Sequence[Objective], at: int) -> Plot:
    """Draw what the models expect through one configuration, one parameter changed at a time.

    Parameters
    ----------
    posterior : Posterior
        Mean and standard deviation over the grid.
    objectives : sequence of Objective, length M
        A row each; a column for each parameter. Shaded are two standard deviations on either side.
    at : int
        The configuration's row of the grid; marked by dotted lines.
    """
    space = posterior.space
    across, down = _parts(len(space.names)), _parts(len(objectives))[::-1]
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"shapes": []}
    for column, parameter in enumerate(space):
        rows = slice_rows(space, at, column)
        x = _listed(np.asarray(parameter.values, dtype=np.float64))
        for row, objective in enumerate(objectives):
            place = row * len(space.names) + column + 1
            mean, std = posterior.mean[rows, row], posterior.std[rows, row]
            axes = {"xaxis": _axis("x", place), "yaxis": _axis("y", place)}
            data.append(
                {
                    "type": "scatter", "mode": "lines", "line": {"width": 0}, "fill": "toself",
                    "fillcolor": _SHADE, "hoverinfo": "skip", "x": [*x, *x[::-1]],
                    "y": [*_listed(mean + 2 * std), *_listed(mean - 2 * std)[::-1]], **axes,
                }
            )  # fmt: skip
            data.append(
                {
                    "type": "scatter", "mode": "lines+markers", "x": x, "y": _listed(mean),
                    "line": {"color": _BLUE}, "marker": {"size": 4}, "customdata": _listed(std),
                    "hovertemplate": "%{x:.4g}: %{y:.4g} ± %{customdata:.2g}<extra></extra>",
                    **axes,
                }
            )  # fmt: skip
            layout["shapes"].append(
                {
                    "type": "line", "xref": axes["xaxis"], "yref": f"{axes['yaxis']} domain",
                    "x0": float(space.grid[at, column]), "x1": float(space.grid[at, column]),
                    "y0": 0, "y1": 1, "line": {"color": _RED, "dash": "dot", "width": 1},
                }
            )  # fmt: skip
            last, first = row == len(objectives) - 1, column == 0
            layout[_axis("xaxis", place)] = {
                "domain": across[column], "anchor": axes["yaxis"], "showticklabels": last,
                "title": {"text": axis_label(parameter.name) if last else ""}, "zeroline": False,
            }  # fmt: skip
            label = f"{axis_label(objective.name)} {ARROWS[objective.direction]}"
            layout[_axis("yaxis", place)] = {
                "domain": down[row], "anchor": axes["xaxis"], "showticklabels": first,
                "title": _title(label if first else ""),
                "zeroline": False, "automargin": True,
            }  # fmt: skip
            if not first:
                layout[_axis("yaxis", place)]["matches"] = _axis("y", place - column)
    return _figure(data, layout, len(objectives))


def _points(
    numbers: Sequence[int], values: FloatArray, place: int, mode: str, **marker: Any
) -> dict[str, Any]:
    """Draw values over the images, in the row of that place from above."""
    return {
        "type": "scattergl" if len(numbers) >= _MANY else "scatter",
        "mode": mode,
        "x": list(numbers),
        "y": _listed(values),
        "yaxis": _axis("y", place),
        "marker": marker,
        "line": {"color": marker.get("color", _BLUE), "width": 1.5},
        "hovertemplate": "image %{x}: %{y:.4g}<extra></extra>",
    }


def _rows_layout(titles: Sequence[str], numbers: Sequence[int]) -> dict[str, Any]:
    """Rows one below the other, over the images' numbers."""
    layout: dict[str, Any] = {
        "xaxis": {
            "title": {"text": "image"},
            "anchor": _axis("y", len(titles)),
            "zeroline": False,
            # There is no image 1.5.
            "dtick": 1 if len(numbers) <= _FEW else None,
        }
    }
    for place, (title, part) in enumerate(zip(titles, _parts(len(titles))[::-1], strict=True), 1):
        layout[_axis("yaxis", place)] = {
            "domain": part, "title": _title(title),
            "zeroline": False, "automargin": True,
        }  # fmt: skip
    return layout


def _figure(data: list[dict[str, Any]], layout: dict[str, Any], rows: int) -> Plot:
    return {
        "data": data,
        "layout": {
            "margin": {"l": 75, "r": 10, "t": 10, "b": 45},
            "height": _ROW_PX * max(rows, 2) + _AROUND_PX,
            "showlegend": False,
            "hovermode": "closest",
            # Zoom and pan stay while images come.
            "uirevision": "run",
            **layout,
        },
        "config": {"displaylogo": False, "responsive": True},
    }


def _parts(count: int) -> list[list[float]]:
    """Divide the way from 0 to 1 into so many parts, with gaps."""
    return [[n / count, (n + 1 - (_GAP if count > 1 else 0)) / count] for n in range(count)]


def _axis(name: str, place: int) -> str:
    return name if place == 1 else f"{name}{place}"


def _title(words: str) -> dict[str, Any]:
    """Title of a row, its unit on a line of its own."""
    return {"text": words.replace(" (", "<br>("), "font": {"size": 11}, "standoff": 8}


def _listed(values: FloatArray) -> list[float | None]:
    """Round values, and have None where there is none: JSON knows no NaN."""
    finite = np.isfinite(values)
    size = np.abs(np.where(finite & (values != 0), values, 1.0))
    decimals = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(size)))
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.round(values * decimals) / decimals
    rounded = np.where(np.isfinite(rounded), rounded, values)
    return [v if ok else None for v, ok in zip(rounded.tolist(), finite.tolist(), strict=True)]
