"""What pictures have in common: how one is saved, and curves with their interval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# Matplotlib's cycle of colours has so many.
_COLOURS = 10


def save_png(figure: Any, path: Path) -> None:
    """Save a figure as PNG; missing folders are made.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")


def draw_curve(
    ax: Any,
    t: npt.NDArray[Any],
    curve: FloatArray,
    low: FloatArray,
    high: FloatArray,
    *,
    number: int,
    label: str,
) -> None:
    """Draw a curve and shade its interval.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where.
    t, curve, low, high : ndarray, shape (T,)
        Abscissa, curve and the interval's ends.
    number : int
        Of the curve in its picture: gives the colour.
    label : str
        In the legend.
    """
    colour = f"C{number % _COLOURS}"
    ax.plot(t, curve, color=colour, lw=2, label=label)
    ax.fill_between(t, low, high, color=colour, alpha=0.25, lw=0)
