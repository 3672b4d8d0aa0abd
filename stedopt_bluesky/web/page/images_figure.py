"""Images side by side as a figure of plotly: colour bars, scale bars, one zoom for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from stedopt_bluesky.acquisition import Line
from stedopt_bluesky.reports.image_panels import BARS_UM, brightest
from stedopt_bluesky.web.page.pictures import picture

# What the title of the panel ends in on which lines are drawn.
STED = "STED"
# Share of a panel's width that its colour bar takes, with the ticks of the next panel.
_GAP = 0.27
# Share of the height that titles take where there are several rows.
_TITLE = 0.12
_LINE = {"color": "#00e5ff", "width": 2}
SCORE_MAP = "score of each pixel"


def images_figure(
    images: Mapping[str, npt.NDArray[Any]],
    pixel_size_nm: float,
    *,
    one_scale: bool = False,
    lines: Sequence[Line] = (),
    score_map: npt.NDArray[Any] | None = None,
    drawing: int = 0,
    scales: Mapping[str, float] | None = None,
    columns: int | None = None,
    drawable: bool = True,
) -> dict[str, Any]:
    """Draw images side by side: each with a colour bar and a scale bar; they zoom together.

    Parameters
    ----------
    images : mapping of title to ndarray, shape (Y, X)
        Photon counts; lines are drawn on the one whose title ends in ``"STED"``.
    pixel_size_nm : float
        Side of a pixel, nm.
    one_scale : bool
        Whether all have the brightness of the brightest one.
    lines : sequence of Line
        Drawn on the STED image, pixels.
    score_map : ndarray, shape (Y, X), optional
        Score of each pixel, 0 to 1, NaN outside of the foreground; a further panel.
    drawing : int
        Number of this drawing: plotly keeps lines of the one before where it is the same. The
        figure has it as ``layout.meta``.
    scales : mapping of title to float, optional
        Upper end of the scale of brightness, photons; each image's own when left out.
    columns : int, optional
        Panels of a row; all of them when left out.
    drawable : bool
        Whether lines can be drawn.

    Returns
    -------
    dict
        ``data``, ``layout`` and ``config`` of plotly; axes in µm.
    """
    highs = dict(scales or {title: brightest(image) for title, image in images.items()})
    if one_scale:
        highs = dict.fromkeys(highs, max(highs.values()))
    panels = [(title, picture(image, highs[title]), "Hot", highs[title], "photons")
              for title, image in images.items()]  # fmt: skip
    if score_map is not None:
        panels.append((SCORE_MAP, picture(score_map, 1.0, "viridis"), "Viridis", 1.0, "score"))
    height, width = next(iter(images.values())).shape
    width_um, height_um = width * pixel_size_nm / 1000, height * pixel_size_nm / 1000
    columns = columns or len(panels)
    rows = -(-len(panels) // columns)
    step, row_step = 1 / columns, 1 / rows
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "margin": {"l": 40, "r": 10, "t": 30, "b": 40},
        "dragmode": "zoom",
        "showlegend": False,
        "images": [],
        "shapes": [],
        "annotations": [],
        "newshape": {"line": _LINE},
        "uirevision": "images",
        "editrevision": drawing,
        "meta": drawing,
        # Beside the images, not over their titles.
        "modebar": {"orientation": "v"},
    }
    for number, (title, source, colours, high, unit) in enumerate(panels, start=1):
        n = "" if number == 1 else str(number)
        row, column = divmod(number - 1, columns)
        left, right = column * step, (column + 1) * step - _GAP * step
        low, upper = 1 - (row + 1) * row_step, 1 - row * row_step - (_TITLE if rows > 1 else 0.0)
        layout[f"xaxis{n}"] = {
            "domain": [left, right], "range": [0, width_um], "anchor": f"y{n}", "matches": "x",
            "constrain": "domain", "zeroline": False, "showgrid": False, "title": {"text": "µm"},
        }  # fmt: skip
        layout[f"yaxis{n}"] = {
            "domain": [low, upper], "range": [height_um, 0], "anchor": f"x{n}",
            "scaleanchor": f"x{n}", "matches": "y",
            "constrain": "domain", "zeroline": False, "showgrid": False,
        }  # fmt: skip
        if number == 1:  # an axis does not match itself
            del layout["xaxis"]["matches"], layout["yaxis"]["matches"]
        layout["images"].append(
            {"source": source, "xref": f"x{n}", "yref": f"y{n}", "x": 0, "y": 0,
             "sizex": width_um, "sizey": height_um, "sizing": "stretch", "layer": "below"}
        )  # fmt: skip
        layout["annotations"].append(
            {"text": title, "xref": "paper", "yref": "paper", "x": left, "y": upper,
             "xanchor": "left", "yanchor": "bottom", "showarrow": False}
        )  # fmt: skip
        layout["shapes"] += _scale_bar(n, width_um, height_um)
        layout["annotations"].append(_scale_text(n, width_um, height_um))
        # A trace that is not seen has the colour bar.
        data.append(
            {"type": "scatter", "mode": "markers", "x": [None], "y": [None],
             "xaxis": f"x{n}", "yaxis": f"y{n}", "hoverinfo": "skip",
             "marker": {"color": [0], "cmin": 0, "cmax": high, "colorscale": colours,
                        "showscale": True,
                        "colorbar": {"x": right + 0.005, "thickness": 10,
                                     "y": (low + upper) / 2, "len": 0.9 * (upper - low),
                                     "title": {"text": unit, "side": "right"}}}}
        )  # fmt: skip
        if title.endswith(STED):
            layout["shapes"] += [_drawn(line, n, pixel_size_nm) for line in lines]
    return {
        "data": data,
        "layout": layout,
        "config": {
            "displaylogo": False,
            "responsive": True,
            "displayModeBar": True,
            "modeBarButtonsToAdd": ["drawline", "eraseshape"] if drawable else [],
            "modeBarButtonsToRemove": ["select2d", "lasso2d", "toImage"],
        },
    }


def _scale_bar(n: str, width_um: float, height_um: float) -> list[dict[str, Any]]:
    x0, y = 0.05 * width_um, 0.95 * height_um
    return [
        {"type": "line", "xref": f"x{n}", "yref": f"y{n}", "x0": x0, "x1": x0 + _bar_um(width_um),
         "y0": y, "y1": y, "line": {"color": "#ffffff", "width": 4}, "editable": False,
         "name": "scale"}
    ]  # fmt: skip


def _scale_text(n: str, width_um: float, height_um: float) -> dict[str, Any]:
    return {
        "text": f"{_bar_um(width_um):g} µm", "xref": f"x{n}", "yref": f"y{n}",
        "x": 0.05 * width_um, "y": 0.93 * height_um, "xanchor": "left", "yanchor": "bottom",
        "showarrow": False, "font": {"color": "#ffffff"}, "bgcolor": "rgba(0,0,0,0.6)",
    }  # fmt: skip


def _bar_um(width_um: float) -> float:
    return max((bar for bar in BARS_UM if bar <= width_um / 3), default=BARS_UM[0])


def _drawn(line: Line, n: str, pixel_size_nm: float) -> dict[str, Any]:
    x0, y0, x1, y1 = (
        (v + 0.5) * pixel_size_nm / 1000 for v in (line.x0, line.y0, line.x1, line.y1)
    )
    return {
        "type": "line", "xref": f"x{n}", "yref": f"y{n}", "x0": x0, "y0": y0, "x1": x1, "y1": y1,
        "line": _LINE, "editable": True,
    }  # fmt: skip
