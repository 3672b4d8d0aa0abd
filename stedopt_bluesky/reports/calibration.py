"""Laser power calibrations: how straight and how fine they are, and their picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.imspector.calibration import PowerCalibration
from stedopt_bluesky.reports.picture import save_png

# Imspector's least step of a setting, %.
STEP_PERCENT = 0.1
# Panels side by side.
_COLUMNS = 2


def slopes(calibration: PowerCalibration) -> npt.NDArray[np.float64]:
    """Power per percent between each two neighbouring points, in the calibration's unit."""
    steps = np.diff(calibration.power) / np.diff(calibration.percent)
    return np.asarray(steps, dtype=np.float64)


def resolution(calibration: PowerCalibration) -> float:
    """Power that Imspector's least step (0.1 %) changes, where it changes it most."""
    return float(slopes(calibration).max() * STEP_PERCENT)


def nonlinearity_percent(calibration: PowerCalibration) -> float:
    """Largest deviation of a middle point from the straight line, in % of the power's span.

    The line joins the first and the last point (terminal-based nonlinearity); negative where
    the power lies below it. Two points are on it: 0.
    """
    percent, power = np.asarray(calibration.percent), np.asarray(calibration.power)
    line = np.interp(percent, percent[[0, -1]], power[[0, -1]])
    deviation = power - line
    largest = deviation[1:-1][np.argmax(np.abs(deviation[1:-1]))] if len(percent) > 2 else 0.0
    return float(100 * largest / (power[-1] - power[0]))


def save_calibrations(
    calibrations: Mapping[str, PowerCalibration], path: Path, *, title: str
) -> None:
    """Draw calibrations, one panel each, and save them as PNG.

    Parameters
    ----------
    calibrations : mapping of str to PowerCalibration
        By laser, at least one.
    path : Path
        Where to save; missing folders are made.
    title : str
        Over the picture.

    Raises
    ------
    ValueError
        When there is no calibration.
    OSError
        When the file cannot be written.
    """
    from matplotlib.figure import Figure

    if not calibrations:
        raise ValueError("no calibration to draw: at least one")
    columns = min(_COLUMNS, len(calibrations))
    rows = math.ceil(len(calibrations) / columns)
    figure: Any = Figure(figsize=(6.5 * columns, 4.5 * rows), layout="constrained", dpi=110)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (laser, calibration) in zip(axes, calibrations.items(), strict=False):
        _draw(ax, laser, calibration)
    for ax in axes[len(calibrations) :]:
        ax.set_axis_off()
    figure.suptitle(title, parse_math=False)  # a file may have "$" in its name
    save_png(figure, path)


def _draw(ax: Any, laser: str, calibration: PowerCalibration) -> None:
    """Points and what joins them; on the right axis, by how much a step changes the power."""
    percent, power, unit = calibration.percent, calibration.power, calibration.unit
    ends = ([percent[0], percent[-1]], [power[0], power[-1]])
    (straight,) = ax.plot(*ends, ":", color="0.5", lw=1, label="straight line")
    (joined,) = ax.plot(percent, power, "-o", ms=5, color="C0", label="measured, interpolated")
    right = ax.twinx()
    step = slopes(calibration) * STEP_PERCENT
    stairs = right.stairs(step, percent, baseline=None, color="C1", lw=1.2, label="step of 0.1 %")
    right.set_ylim(0, 1.15 * float(step.max()))
    right.set_ylabel(f"power per {STEP_PERCENT:g} % ({unit})", color="C1", fontsize=8)
    ax.set_zorder(right.get_zorder() + 1)  # points before stairs
    ax.patch.set_visible(False)
    name = f"{laser} nm" if laser.isdecimal() else laser
    ax.set_title(
        f"{name}: nonlinearity {nonlinearity_percent(calibration):+.1f} %",
        fontsize=10,
        parse_math=False,
    )
    ax.set_xlabel("setting in Imspector (%)", fontsize=8)
    ax.set_ylabel(f"power at the back aperture ({unit})", fontsize=8)
    for one in (ax, right):
        one.tick_params(labelsize=7)
    ax.legend(handles=[joined, straight, stairs], fontsize=7, loc="lower right")
