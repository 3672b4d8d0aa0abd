"""The picture of a run's decisions, then and now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stedopt_bluesky.reports.labels import ARROWS, axis_label
from stedopt_bluesky.reports.picture import save_png
from stedopt_bluesky.reports.what_if import WhatIf


def save_what_if(report: WhatIf, path: Path) -> None:
    """Draw parameters and sampled objectives over images, recorded and new, and save as PNG.

    Parameters
    ----------
    report : WhatIf
        The decisions, at least one.
    path : Path
        Where to save; missing folders are made.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    from matplotlib.figure import Figure

    names = list(report.parameter_units)
    height = max(len(names), len(report.objectives))
    figure: Any = Figure(figsize=(12, 1.5 + 1.9 * height), layout="constrained", dpi=110)
    left, right = figure.subfigures(1, 2)
    left.suptitle("Configurations", fontsize=11)
    right.suptitle("Objectives, as they were sampled", fontsize=11)
    numbers = [row.number for row in report.rows]
    axes = left.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for ax, name in zip(axes, names, strict=True):
        then = [row.recorded[name] for row in report.rows]
        now = [row.configuration[name] for row in report.rows]
        _draw(ax, numbers, then, now, axis_label(name))
    sampled = right.subplots(len(report.objectives), 1, sharex=True, squeeze=False)[:, 0]
    for ax, objective in zip(sampled, report.objectives, strict=True):
        then = [row.recorded_sample[objective.name] for row in report.rows]
        now = [row.sample[objective.name] for row in report.rows]
        label = f"{axis_label(objective.name)} {ARROWS[objective.direction]}"
        _draw(ax, numbers, then, now, label)
    for column in (axes, sampled):
        column[-1].set_xlabel("image", fontsize=8)
        column[-1].legend(fontsize=7)
    asked = ", ".join(report.asked.values())
    figure.suptitle(
        f"run {report.uid[:8]} · {report.agreeing} of {len(report.rows)} decisions agree with "
        f"{asked}"
    )
    save_png(figure, path)


def _draw(ax: Any, numbers: list[int], then: list[float], now: list[float], label: str) -> None:
    ax.vlines(numbers, then, now, color="0.8", lw=1)
    ax.plot(numbers, then, "o", ms=4, color="0.45", label="recorded")
    ax.plot(numbers, now, "x", ms=5, color="C3", label="new")
    ax.set_ylabel(label.replace(" (", "\n("), fontsize=8)
    ax.tick_params(labelsize=7)
