"""The picture of a replay experiment, in the manner of the paper's Fig. 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.experiments.dataset import UTILITY, ReplayDataset
from stedopt_bluesky.experiments.replay import ReplayReport
from stedopt_bluesky.reports.labels import ARROWS, axis_label
from stedopt_bluesky.reports.picture import draw_curve, save_png

# Examples side by side, from the lowest to the highest value; more would be too small to see.
_EXAMPLES = 4
# Brightest pixels are clipped so that one hot pixel does not darken the image.
_CLIP_PERCENTILE = 99.8
_BAR_UM = 1.0
_RELEVANT = {"color": "C2", "alpha": 0.12, "lw": 0}
# Width of all bars at one configuration, in steps of the axis.
_BARS_WIDTH = 0.8


def save_replay_figure(report: ReplayReport, dataset: ReplayDataset, path: Path) -> None:
    """Draw a replay experiment and save it as PNG.

    Parameters
    ----------
    report : ReplayReport
        What the trials came to.
    dataset : ReplayDataset
        Whose examples are shown, if it has any.
    path : Path
        Where to save; missing folders are made.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    from matplotlib.figure import Figure

    with_examples = len(dataset.examples) > 0
    figure: Any = Figure(figsize=(13, 12 if with_examples else 9), layout="constrained", dpi=110)
    if with_examples:
        top, bottom = figure.subfigures(2, 1, height_ratios=(1, 2.4))
        _draw_examples(top, dataset)
    else:
        bottom = figure
    (ratings, chosen), (regret, errors) = bottom.subplots(2, 2)
    _draw_ratings(ratings, report)
    _draw_chosen(chosen, report)
    _draw_regret(regret, report)
    _draw_errors(errors, report)
    figure.suptitle(
        f"Replay of {len(dataset.configurations)} images · {report.trials} trials × "
        f"{report.experiment.images} images · seed {report.experiment.seed}"
    )
    save_png(figure, path)


def _draw_examples(figure: Any, dataset: ReplayDataset) -> None:
    """STED images at some configurations, each on its own scale of brightness."""
    shown = np.unique(np.linspace(0, dataset.space.size - 1, _EXAMPLES).round().astype(int))
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    figure.suptitle("STED images of the dataset, each on its own scale", fontsize=11)
    for ax, g in zip(axes, shown, strict=True):
        image = dataset.examples[g]
        size_um = np.array(image.shape) * dataset.pixel_size_nm / 1000
        high = max(1.0, float(np.percentile(image, _CLIP_PERCENTILE)))
        extent = (0.0, size_um[1], size_um[0], 0.0)
        drawn = ax.imshow(image, cmap="hot", vmin=0, vmax=high, extent=extent)
        ax.plot([0.2, 0.2 + _BAR_UM], [0.94 * size_um[0]] * 2, color="w", lw=3)
        ax.text(0.2, 0.9 * size_um[0], f"{_BAR_UM:g} µm", color="w", fontsize=7)
        at = zip(dataset.space, dataset.space.grid[g], strict=True)
        words = [f"{axis_label(p.name).partition(' (')[0]} {v:.3g} {p.unit}" for p, v in at]
        ax.set_title("\n".join(words), fontsize=9)
        ax.set_xticks([])
        ax.set_yticks([])
        bar = ax.figure.colorbar(drawn, ax=ax, fraction=0.046, pad=0.03)
        bar.set_label("photons", fontsize=7)
        bar.ax.tick_params(labelsize=7)


def _draw_ratings(ax: Any, report: ReplayReport) -> None:
    """All ratings of the dataset, their means, the relevant region and the threshold."""
    experiment, truth = report.experiment, report.truth
    x = _positions(report)
    for position, queue in zip(x, experiment.queues, strict=True):
        ax.plot(np.full(len(queue), position), queue, "o", ms=3, color="0.6", alpha=0.6)
    ax.plot(x, truth.means, "-o", ms=4, color="C1", label="mean of all images")
    ax.axhline(truth.threshold, ls="--", lw=1, color="C3", label="below is a failure")
    if experiment.objective.direction == "minimise":
        ax.lines[-1].set_label("above is a failure")
    _mark_relevant(ax, report, label="relevant region")
    _label_configurations(ax, report)
    ax.set_ylabel(_objective_label(report))
    ax.set_title("Ratings of the dataset's images", fontsize=11)
    ax.legend(fontsize=8)


def _draw_chosen(ax: Any, report: ReplayReport) -> None:
    """How often each strategy chose each configuration."""
    x = _positions(report)
    step = float(np.min(np.diff(x))) if len(x) > 1 else 1.0
    width = _BARS_WIDTH * step / len(report.results)
    middle = (len(report.results) - 1) / 2
    for i, result in enumerate(report.results):
        share = f"{_name(result.name)}: {result.relevant_share:.0%} in the relevant region"
        ax.bar(x + (i - middle) * width, result.chosen, width, color=f"C{i}", label=share)
    _mark_relevant(ax, report)
    _label_configurations(ax, report)
    ax.set_ylabel(f"images of {report.experiment.images}, mean of the trials")
    ax.set_title("Chosen configurations", fontsize=11)
    ax.legend(fontsize=8)


def _draw_regret(ax: Any, report: ReplayReport) -> None:
    """Failures so far, mean of the trials and its bootstrap interval."""
    t = np.arange(1, report.experiment.images + 1)
    for i, result in enumerate(report.results):
        label = f"{_name(result.name)}: t^{result.exponent:z.2f}"
        draw_curve(
            ax, t, result.regret, result.regret_low, result.regret_high, number=i, label=label
        )
    ax.set_xlabel("image")
    ax.set_ylabel("failures so far")
    ax.set_ylim(bottom=0)
    ax.set_title("Cumulative regret, mean and 95 % bootstrap interval", fontsize=11)
    ax.legend(fontsize=8, title="growth, second half of the images", title_fontsize=8)


def _draw_errors(ax: Any, report: ReplayReport) -> None:
    """Distribution of the estimation error over the trials."""
    errors = [r.errors[~np.isnan(r.errors)] for r in report.results]
    known = [
        f"\n({of_one.size} of {report.trials} trials)" if of_one.size < report.trials else ""
        for of_one in errors
    ]
    labels = [_name(r.name) + note for r, note in zip(report.results, known, strict=True)]
    ax.boxplot(errors, tick_labels=labels, whis=(5, 95), showmeans=True)
    ax.set_ylim(bottom=0)
    ax.set_ylabel(f"error of the estimated {_objective_label(report, arrow=False)}")
    whose = "Kernel TS" if any(r.name == "kernel_ts" for r in report.results) else "its strategy"
    ax.set_title(f"Estimate at the configuration {whose} chose most", fontsize=11)


def _positions(report: ReplayReport) -> npt.NDArray[np.float64]:
    """Where the configurations stand on the axis: by value, or by number when there are more."""
    space = report.experiment.space
    one = len(space.parameters) == 1
    return space.grid[:, 0] if one else np.arange(space.size, dtype=np.float64)


def _label_configurations(ax: Any, report: ReplayReport) -> None:
    names = report.experiment.space.names
    ax.set_xlabel(axis_label(names[0]) if len(names) == 1 else "configuration")


def _mark_relevant(ax: Any, report: ReplayReport, label: str | None = None) -> None:
    """Shade the relevant region; neighbours of the grid make one band."""
    x = _positions(report)
    edges = np.concatenate([[1.5 * x[0] - 0.5 * x[1]], (x[1:] + x[:-1]) / 2]) if len(x) > 1 else x
    ends = np.append(edges[1:], 1.5 * x[-1] - 0.5 * x[-2]) if len(x) > 1 else x
    for g in report.truth.relevant:
        ax.axvspan(edges[g], ends[g], label=label, **_RELEVANT)
        label = None


def _objective_label(report: ReplayReport, *, arrow: bool = True) -> str:
    objective = report.experiment.objective
    what = "utility (weighted objectives)" if objective.name == UTILITY else ""
    label = what or axis_label(objective.name)
    return f"{label} {ARROWS[objective.direction]}" if arrow else label


def _name(strategy: str) -> str:
    """Name of a strategy in words."""
    return {"kernel_ts": "Kernel TS", "kernel_ucb": "Kernel UCB"}.get(
        strategy, strategy.replace("_", " ")
    )
