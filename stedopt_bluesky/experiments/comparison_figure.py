"""The picture of a comparison: regret and objectives of the groups, first against last."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from stedopt_bluesky.experiments.comparison import ComparisonReport
from stedopt_bluesky.reports.labels import ARROWS, axis_label
from stedopt_bluesky.reports.picture import draw_curve, save_png


def save_comparison_figure(report: ComparisonReport, path: Path) -> None:
    """Draw a comparison and save it as PNG.

    Parameters
    ----------
    report : ComparisonReport
        What is drawn.
    path : Path
        Where to save; missing folders are made.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(13, 5.5), layout="constrained", dpi=110)
    left, right = figure.subfigures(1, 2)
    _draw_regret(left.subplots(), report)
    _draw_medians(right, report)
    figure.suptitle(
        f"{sum(len(g.uids) for g in report.groups)} runs, {report.images} images each · failure: "
        + " or ".join(_failure(report, name, at) for name, at in report.thresholds.items())
    )
    save_png(figure, path)


def _draw_regret(ax: Any, report: ComparisonReport) -> None:
    t = np.arange(1, report.images + 1)
    for i, group in enumerate(report.groups):
        count = len(group.uids)
        growth = "" if math.isnan(group.exponent) else f", t^{group.exponent:z.2f}"
        label = f"{group.name} ({count} run{'s' if count > 1 else ''}{growth})"
        draw_curve(ax, t, group.regret, group.regret_low, group.regret_high, number=i, label=label)
    ax.set_xlabel("image")
    ax.set_ylabel("failures so far")
    ax.set_ylim(bottom=0)
    ax.set_title("Cumulative regret, mean and 95 % bootstrap interval", fontsize=11)
    ax.legend(fontsize=8)


def _draw_medians(figure: Any, report: ComparisonReport) -> None:
    """Medians of the first and of the last images, a line per group."""
    figure.suptitle(f"Medians of the first and the last {report.count} images", fontsize=11)
    axes = figure.subplots(1, len(report.objectives), squeeze=False)[0]
    for ax, objective in zip(axes, report.objectives, strict=True):
        for i, group in enumerate(report.groups):
            result = group.objectives[objective.name]
            medians = [result.first_median, result.last_median]
            p_value = "" if math.isnan(result.p_value) else f"p = {result.p_value:.2g}"
            ax.plot([0, 1], medians, "-o", color=f"C{i % 10}", label=p_value or group.name)
        ax.set_xticks([0, 1], ["first", "last"])
        ax.set_xlim(-0.3, 1.3)
        ax.set_ylabel(f"{axis_label(objective.name)} {ARROWS[objective.direction]}", fontsize=8)
        ax.tick_params(labelsize=7)
        ax.legend(fontsize=7)


def _failure(report: ComparisonReport, name: str, threshold: float) -> str:
    """Say what a failure is: "photobleaching above 0.6"."""
    direction = next(o.direction for o in report.objectives if o.name == name)
    return f"{axis_label(name)} {'below' if direction == 'maximise' else 'above'} {threshold:g}"
