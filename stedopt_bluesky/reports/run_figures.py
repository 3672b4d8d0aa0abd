"""Figures of a run for a report, as the paper draws them; each one PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.bandit.regret import cumulative_regret
from stedopt_bluesky.parameters import ParameterSpace
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.reports.figure import draw_series
from stedopt_bluesky.reports.image_panels import brightest, draw_image, first_and_last
from stedopt_bluesky.reports.labels import ARROWS, axis_label
from stedopt_bluesky.reports.summary import RunReport

FloatArray = npt.NDArray[np.float64]
# By name: a caption, and a PNG.
Figures = Mapping[str, tuple[str, bytes]]

# The paper compares tens of images.
TEN = 10
# First and last images of a gallery.
SHOWN = 5
_DPI = 110


@dataclass(frozen=True)
class Posterior:
    """What a run's models expect over its grid when it has ended.

    Parameters
    ----------
    space : ParameterSpace
        The grid of G configurations.
    mean, std : ndarray, shape (G, M)
        Each column in its objective's unit.
    """

    space: ParameterSpace
    mean: FloatArray
    std: FloatArray


def figures_of(record: RunRecord, report: RunReport, posterior: Posterior | None = None) -> Figures:
    """Draw all figures of a run.

    Parameters
    ----------
    record : RunRecord
        Where the images come from.
    report : RunReport
        Objectives and parameters; of at least one image.
    posterior : Posterior, optional
        Left out: no posterior is drawn, of a strategy without models.

    Returns
    -------
    dict of name to (caption, PNG)
        ``"evolution"``, ``"tens"``, ``"parameters"``, ``"regret"``, ``"posterior"``, ``"gallery"``.

    Raises
    ------
    CatalogError
        When the images cannot be read.
    """
    drawn: dict[str, tuple[str, Callable[[Any], None], tuple[float, float]]] = {
        "evolution": (
            "Objectives and utility of each image, and a moving average of five.",
            lambda figure: draw_series(figure, report),
            (9, 1.6 * (len(report.objectives) + 1)),
        ),
        "tens": (
            "Each objective per ten images: median, quartiles, whiskers of 1.5 quartile ranges.",
            lambda figure: _tens(figure, report),
            (9, 1.8 * len(report.objectives)),
        ),
        "parameters": (
            "Values of each parameter per ten images; the area is the share of the images.",
            lambda figure: _bubbles(figure, report),
            (9, 2.0 * len(report.parameter_units)),
        ),
        "regret": (
            "Cumulative regret: by how much each image's utility fell short of the best one's, "
            "summed up. Images without a utility count as the worst one.",
            lambda figure: _regret(figure, report),
            (9, 3),
        ),
    }
    if posterior is not None:
        rows = len(report.objectives)
        drawn["posterior"] = (
            "What the models expect, through the best image's configuration, one parameter changed "
            "at a time: mean, and twice the standard deviation on either side.",
            lambda figure: _slices(figure, report, posterior),
            (3.2 * len(posterior.space.names), 2.0 * rows),
        )
    drawn["gallery"] = (
        f"The first and last {SHOWN} images at most: confocal before, STED, confocal after. Each "
        "row has one scale, from 0.",
        lambda figure: _gallery(figure, record, report),
        (1.6 * min(2 * SHOWN, len(report.rows)) + 1, 5),
    )
    return {name: (caption, _png(draw, size)) for name, (caption, draw, size) in drawn.items()}


def _png(draw: Callable[[Any], None], size: tuple[float, float]) -> bytes:
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=size, layout="constrained", dpi=_DPI)
    draw(figure)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _tens(figure: Any, report: RunReport) -> None:
    axes = figure.subplots(len(report.objectives), 1, sharex=True, squeeze=False)[:, 0]
    tens = tens_of(len(report.rows))
    for ax, objective in zip(axes, report.objectives, strict=True):
        values = _column(report, objective.name)
        parts = [values[ten][np.isfinite(values[ten])] for ten in tens]
        ax.boxplot(parts, tick_labels=[f"{t.start + 1}-{t.stop}" for t in tens], widths=0.6)
        label = f"{axis_label(objective.name)} {ARROWS[objective.direction]}"
        ax.set_ylabel(label.replace(" (", "\n("), fontsize=8)
        ax.tick_params(labelsize=7)
    axes[-1].set_xlabel("images", fontsize=8)
    figure.align_ylabels(axes)


def _bubbles(figure: Any, report: RunReport) -> None:
    names = list(report.parameter_units)
    axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    tens = tens_of(len(report.rows))
    for ax, name in zip(axes, names, strict=True):
        values = np.array([row.parameters[name] for row in report.rows])
        for place, ten in enumerate(tens, start=1):
            chosen, counts = np.unique(values[ten], return_counts=True)
            share = counts / counts.sum()
            ax.scatter(np.full(len(chosen), place), chosen, s=600 * share, alpha=0.6, color="C0")
        ax.set_ylabel(axis_label(name).replace(" (", "\n("), fontsize=8)
        ax.tick_params(labelsize=7)
    axes[-1].set_xticks(range(1, len(tens) + 1), [f"{t.start + 1}-{t.stop}" for t in tens])
    axes[-1].set_xlabel("images", fontsize=8)
    figure.align_ylabels(axes)


def _regret(figure: Any, report: RunReport) -> None:
    ax = figure.subplots()
    utility = np.array([row.utility for row in report.rows])
    regret = cumulative_regret(missed_utility(utility))
    ax.plot(np.arange(1, len(regret) + 1), regret, lw=2)
    ax.set_xlabel("image")
    ax.set_ylabel("cumulative regret")


def _slices(figure: Any, report: RunReport, posterior: Posterior) -> None:
    space = posterior.space
    best = report.best(1) or report.rows[:1]
    at = space.index([best[0].parameters[name] for name in space.names])
    axes = figure.subplots(len(report.objectives), len(space.names), sharey="row", squeeze=False)
    for column, parameter in enumerate(space):
        rows = slice_rows(space, at, column)
        for ax, objective, mean, std in zip(
            axes[:, column], report.objectives, posterior.mean[rows].T, posterior.std[rows].T,
            strict=True,
        ):  # fmt: skip
            ax.fill_between(parameter.values, mean - 2 * std, mean + 2 * std, alpha=0.25, lw=0)
            ax.plot(parameter.values, mean, lw=2)
            ax.axvline(space.grid[at, column], color="C3", lw=1, ls=":")
            ax.tick_params(labelsize=7)
            if column == 0:
                label = f"{axis_label(objective.name)} {ARROWS[objective.direction]}"
                ax.set_ylabel(label.replace(" (", "\n("), fontsize=8)
        axes[-1, column].set_xlabel(axis_label(parameter.name), fontsize=8)


def _gallery(figure: Any, record: RunRecord, report: RunReport) -> None:
    shown = first_and_last(len(report.rows), SHOWN)
    keys = [k for k in record.array_keys if k.endswith(("_confocal1", "_sted1", "_confocal2"))]
    axes = figure.subplots(len(keys), len(shown), squeeze=False)
    for line, key in zip(axes, keys, strict=True):
        taken = record.arrays(key)
        high = brightest(*(taken[index] for index in shown))
        for ax, index in zip(line, shown, strict=True):
            draw_image(ax, taken[index], report.size_um(report.rows[index]), high)
        line[0].set_ylabel(key.rpartition("_")[2], fontsize=8)
    for ax, index in zip(axes[0], shown, strict=True):
        utility = report.rows[index].utility
        words = "invalid" if math.isnan(utility) else f"{utility:.2f}"
        ax.set_title(f"image {index + 1}\nutility {words}", fontsize=7)


def tens_of(images: int) -> list[slice]:
    """Tens of images, the last one as it is; a rest of less than five belongs to the ten before."""
    starts = list(range(0, images, TEN))
    if len(starts) > 1 and images - starts[-1] < TEN // 2:
        starts.pop()
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], images], strict=True)]


def missed_utility(utility: FloatArray) -> FloatArray:
    """By how much each image's utility fell short of the best one's.

    Parameters
    ----------
    utility : ndarray, shape (N,)
        Of each image; NaN counts as the lowest one, 0 where all are.
    """
    worst = 0.0 if np.isnan(utility).all() else float(np.nanmin(utility))
    known = np.nan_to_num(utility, nan=worst)
    return np.asarray(known.max() - known)


def slice_rows(space: ParameterSpace, at: int, column: int) -> npt.NDArray[np.intp]:
    """Rows of the grid that differ from one in one parameter alone, in the order of its values."""
    place = list(np.unravel_index(at, space.shape))
    values = np.arange(space.shape[column])
    places = [values if axis == column else np.full_like(values, p) for axis, p in enumerate(place)]
    return np.asarray(np.ravel_multi_index(places, space.shape))


def _column(report: RunReport, name: str) -> FloatArray:
    return np.array([row.objectives[name] for row in report.rows])
