"""Lines that a person draws on an image: read from the figure, their profiles, what they show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Line
from stedopt_bluesky.objectives.autocorrelation import autocorrelation_amplitude
from stedopt_bluesky.objectives.fwhm import FWHM_PER_SIGMA, fit_gaussian
from stedopt_bluesky.objectives.line_profiles import line_profile


def lines_of(
    shapes: Sequence[Any], axis: str, shape: tuple[int, int], pixel_size_nm: float
) -> tuple[Line, ...]:
    """Lines that were drawn on a panel, clipped to the centres of its pixels.

    Parameters
    ----------
    shapes : sequence of [xref, x0, y0, x1, y1]
        Of plotly, µm; what is none is left out.
    axis : str
        The panel's x axis.
    shape : tuple of int
        Pixels of the image along Y and X.
    pixel_size_nm : float
        Side of a pixel, nm.
    """
    height, width = shape
    lines = []
    for drawn in shapes:
        if not (isinstance(drawn, list) and len(drawn) == 5 and drawn[0] == axis):
            continue
        try:
            x0, y0, x1, y1 = (float(v) * 1000 / pixel_size_nm - 0.5 for v in drawn[1:])
        except (TypeError, ValueError):
            continue
        xs = [min(max(x, 0.0), width - 1.0) for x in (x0, x1)]
        ys = [min(max(y, 0.0), height - 1.0) for y in (y0, y1)]
        if all(map(math.isfinite, xs + ys)) and (xs[0], ys[0]) != (xs[1], ys[1]):
            lines.append(Line(ys[0], xs[0], ys[1], xs[1]))
    return tuple(lines)


def profile_figure(
    image: npt.NDArray[Any], lines: Sequence[Line], pixel_size_nm: float
) -> dict[str, Any]:
    """Draw counts along lines in an image (Y, X), over the way from their first ends."""
    data = []
    for number, line in enumerate(lines, start=1):
        profile = line_profile(image, line)
        length_nm = math.hypot(line.x1 - line.x0, line.y1 - line.y0) * pixel_size_nm
        way_nm = np.linspace(0, length_nm, len(profile))
        data.append(
            {"type": "scatter", "mode": "lines", "name": f"line {number}",
             "x": way_nm.round(3).tolist(), "y": profile.round(6).tolist()}
        )  # fmt: skip
    return {
        "data": data,
        "layout": {
            "margin": {"l": 50, "r": 10, "t": 10, "b": 40},
            "xaxis": {"title": {"text": "along the line (nm)"}},
            "yaxis": {"title": {"text": "photons"}, "rangemode": "tozero"},
            "showlegend": len(lines) > 1,
        },
        "config": {"displaylogo": False, "responsive": True},
    }


def line_in_words(image: npt.NDArray[Any], line: Line, pixel_size_nm: float) -> str:
    """Say what a line shows: ``"FWHM 82 nm, autocorrelation 0.31, 1.2 µm long"``."""
    profile = line_profile(image, line)
    fit = fit_gaussian(profile)
    good = fit is not None and fit.is_good(len(profile))
    width = "none, no single peak in its middle"
    if good and fit:
        width = f"{fit.sigma_px * FWHM_PER_SIGMA * pixel_size_nm:.0f} nm"
    length_um = math.hypot(line.x1 - line.x0, line.y1 - line.y0) * pixel_size_nm / 1000
    repeats = autocorrelation_amplitude(profile)
    return f"FWHM {width}, autocorrelation {repeats:.2f}, {length_um:.2g} µm long"
