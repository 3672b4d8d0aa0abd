"""The picture of an uncaging experiment: success over images, and where which response came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stedopt_bluesky.bandit.regret import bootstrap_interval
from stedopt_bluesky.experiments.uncaging import OUTCOMES
from stedopt_bluesky.experiments.uncaging_report import (
    StrategyShares,
    UncagingReport,
    running_share,
)
from stedopt_bluesky.reports.labels import axis_label
from stedopt_bluesky.reports.picture import draw_curve, save_png

_COLOURS = {"silent": "tab:red", "local": "tab:green", "widespread": "tab:orange"}


def save_uncaging_figure(report: UncagingReport, path: Path) -> None:
    """Draw an uncaging experiment and save it as PNG.

    Parameters
    ----------
    report : UncagingReport
        What is drawn.
    path : Path
        Where to save; missing folders are made.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    from matplotlib.figure import Figure

    columns = 2 + len(report.strategies)
    figure: Any = Figure(figsize=(4.2 * columns, 4.4), layout="constrained", dpi=110)
    success, outcomes, *maps = figure.subplots(1, columns)
    _draw_success(success, report)
    _draw_outcomes(outcomes, report)
    for ax, (name, result) in zip(maps, report.strategies.items(), strict=True):
        _draw_map(ax, name, result, report.experiment.seed)
    experiment = report.experiment
    figure.suptitle(
        f"{experiment.runs} runs of {experiment.images} spines on {experiment.cells} cells for "
        "each strategy"
    )
    save_png(figure, path)


def _draw_success(ax: Any, report: UncagingReport) -> None:
    window = report.count
    t = np.arange(1, report.experiment.images + 1)
    for i, (name, result) in enumerate(report.strategies.items()):
        curves = running_share(result.runs, "local", window)
        low, high = bootstrap_interval(curves, seed=report.experiment.seed)
        # A share of one or two images is none.
        shown = t >= min(window, len(t))
        mean = curves.mean(axis=0)
        draw_curve(ax, t[shown], mean[shown], low[shown], high[shown], number=i, label=name)
    ax.set_xlabel("image")
    ax.set_ylabel(f"local responses, share of the last {window}")
    ax.set_ylim(bottom=0)
    ax.set_title("Local responses, mean and 95 % interval", fontsize=10)
    ax.legend(fontsize=8)


def _draw_outcomes(ax: Any, report: UncagingReport) -> None:
    """Bars of the first and the last images' shares, an outcome above the other."""
    labels = []
    for i, (name, result) in enumerate(report.strategies.items()):
        for j, part in enumerate(("first", "last")):
            bottom = 0.0
            for outcome in OUTCOMES:
                share = getattr(result.outcomes[outcome], part).mean
                ax.bar(3 * i + j, share, 0.8, bottom=bottom, color=_COLOURS[outcome])
                bottom += share
            labels.append((3 * i + j, f"{name}\n{part} {report.count}"))
    ax.set_xticks([x for x, _ in labels], [text for _, text in labels], fontsize=7)
    ax.set_ylabel("share of images")
    ax.set_ylim(0, 1)
    ax.set_title("Responses of the first and the last images", fontsize=10)


def _draw_map(ax: Any, name: str, result: StrategyShares, seed: int) -> None:
    """Every pulse at its power and distance, moved a little so that equal ones can be told."""
    power = np.concatenate([run.power_uW for run in result.runs])
    distance = np.concatenate([run.distance_um for run in result.runs])
    rng = np.random.default_rng(seed)
    jitter = rng.uniform(-1, 1, (2, len(power)))
    for outcome in OUTCOMES:
        those = np.concatenate([run.is_outcome(outcome) for run in result.runs])
        ax.scatter(
            power[those] + 1.2 * jitter[0, those],
            distance[those] + 0.1 * jitter[1, those],
            s=8,
            color=_COLOURS[outcome],
            label=f"{outcome} ({those.mean():.0%})",
            lw=0,
        )
    ax.set_xlabel(axis_label("uncaging_power_uW"))
    ax.set_ylabel(axis_label("uncaging_distance_um"))
    ax.set_title(f"{name}: all pulses", fontsize=10)
    ax.legend(fontsize=7, loc="upper right")
