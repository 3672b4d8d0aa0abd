"""The picture of a run: objectives over time, where the parameters went, first and last images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.reports.image_panels import draw_image, first_and_last
from stedopt_bluesky.reports.labels import ARROWS, axis_label
from stedopt_bluesky.reports.picture import save_png
from stedopt_bluesky.reports.summary import RunReport

if TYPE_CHECKING:
    pass

# First and last images shown: as many as fit side by side and still show the structure.
_SHOWN = 3
# A moving average over five images shows the trend that single images' scatter hides.
_SMOOTH = 5
# Axes leave out the most extreme values, of runs that have enough images to tell.
_SHOWN_PERCENTILES = (4, 98)
_FEW = 20


def save_figure(record: RunRecord, report: RunReport, path: Path) -> None:
    """Draw a run and save it as PNG.

    Parameters
    ----------
    record : RunRecord
        Where the images come from.
    report : RunReport
        Objectives and parameters.
    path : Path
        Where to save; missing folders are made.

    Raises
    ------
    ValueError
        When the run has no image.
    CatalogError
        When its images cannot be read.
    OSError
        When the file cannot be written.
    """
    from matplotlib.figure import Figure

    if not report.rows:
        raise ValueError(f"run {report.uid} has no image to draw")
    figure: Any = Figure(figsize=(13, 9), layout="constrained", dpi=110)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.9, 1))
    left, right = top.subfigures(1, 2)
    left.suptitle("Objectives over time", fontsize=11)
    draw_series(left, report)
    _draw_parameters(right, report)
    _draw_images(bottom, record, report)
    sample = report.start.get("sample", "")
    figure.suptitle(
        f"{report.start.get('plan_name', 'run')} {report.uid[:8]} · sample {sample} · "
        f"{len(report.rows)} images · {report.exit_status}"
    )
    save_png(figure, path)


def draw_series(figure: Any, report: RunReport) -> None:
    """Draw each objective and the utility over the images, with a moving average of five.

    Parameters
    ----------
    figure : matplotlib.figure.FigureBase
        Where; it gets an axes for each.
    report : RunReport
        Of at least one image.
    """
    axes = figure.subplots(len(report.objectives) + 1, 1, sharex=True, squeeze=False)[:, 0]
    numbers = np.array([row.number for row in report.rows])
    series = [
        (
            f"{axis_label(o.name)} {ARROWS[o.direction]}",
            [row.objectives[o.name] for row in report.rows],
        )
        for o in report.objectives
    ]
    series.append((f"utility {ARROWS['maximise']}", [row.utility for row in report.rows]))
    for ax, (label, values) in zip(axes, series, strict=True):
        ax.plot(numbers, values, "o", ms=3, color="0.55", label="image")
        average = _moving_average(np.array(values))
        ax.plot(numbers, average, color="C0", lw=2, label=f"mean of {_SMOOTH}")
        limits = _limits_without_outliers(np.array(values))
        if limits is not None:
            ax.set_ylim(*limits)
        ax.set_ylabel(label.replace(" (", "\n("), fontsize=8)
        ax.tick_params(labelsize=7)
    axes[-1].legend(fontsize=7, loc="lower right", ncols=2)
    axes[-1].set_xlabel("image (a few outliers lie outside of the axes)", fontsize=8)
    figure.align_ylabels(axes)


def _draw_parameters(figure: Any, report: RunReport) -> None:
    """Each parameter over images, coloured by utility."""
    figure.suptitle("Where the parameters went (colour: utility, star: best image)", fontsize=11)
    names = list(report.parameter_units)
    axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    numbers = [row.number for row in report.rows]
    utility = [row.utility for row in report.rows]
    limits = _limits_without_outliers(np.array(utility))
    scale = {} if limits is None else {"vmin": limits[0], "vmax": limits[1]}
    for ax, name in zip(axes, names, strict=True):
        values = [row.parameters[name] for row in report.rows]
        dots = ax.scatter(
            numbers, values, c=utility, cmap="viridis", s=18, plotnonfinite=True, **scale
        )
        for row in report.best(1):
            ax.plot(row.number, row.parameters[name], "*", ms=11, mfc="none", mec="C3")
        ax.set_ylabel(axis_label(name), fontsize=8)
        ax.tick_params(labelsize=7)
    axes[-1].set_xlabel("image", fontsize=8)
    figure.align_ylabels(axes)
    figure.colorbar(dots, ax=list(axes), label="utility")


def _draw_images(figure: Any, record: RunRecord, report: RunReport) -> None:
    """First and last STED images side by side, each on its own scale."""
    key = next(k for k in record.array_keys if k.endswith("_sted1"))
    images = record.arrays(key)
    shown = first_and_last(len(images), _SHOWN)
    half = len(shown) // 2
    title = f"First {half} and last {half} STED images" if half else "The only STED image"
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for ax, index in zip(axes, shown, strict=True):
        row = report.rows[index]
        draw_image(ax, images[index], report.size_um(row))
        utility = "invalid" if math.isnan(row.utility) else f"{row.utility:.2f}"
        ax.set_title(f"image {row.number}, utility {utility}", fontsize=9)
        ax.set_xlabel(_in_words(row.objectives), fontsize=7)


def _in_words(objectives: Mapping[str, float]) -> str:
    """One objective a line, with its unit."""
    lines = []
    for name, value in objectives.items():
        shown = "invalid" if math.isnan(value) else f"{value:.3g}"
        lines.append(f"{axis_label(name)}: {shown}")
    return "\n".join(lines)


def _limits_without_outliers(values: npt.NDArray[np.float64]) -> tuple[float, float] | None:
    """Limits of an axis that shows nearly all values; None when there is no spread.

    One image without structure (resolution at its cap, say) would flatten all others.
    """
    valid = values[~np.isnan(values)]
    if valid.size < _FEW:
        return None
    low, high = np.percentile(valid, _SHOWN_PERCENTILES)
    margin = 0.08 * (high - low)
    return (float(low - margin), float(high + margin)) if high > low else None


def _moving_average(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean of each value and those up to two before and after it; NaN are left out."""
    half = _SMOOTH // 2
    averages = np.full(len(values), np.nan)
    for i in range(len(values)):
        window = values[max(0, i - half) : i + half + 1]
        valid = window[~np.isnan(window)]
        if valid.size:
            averages[i] = valid.mean()
    return averages
