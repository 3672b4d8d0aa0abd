"""The picture of a training: loss over epochs, and what the trained network is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stedopt_bluesky.networks.evaluation import QualityEvaluation
from stedopt_bluesky.networks.history import Epoch
from stedopt_bluesky.reports.picture import save_png

# Dots of many images lie over one another: so pale that their density shows.
_DOT_ALPHA = 0.35


def save_learning_curve(
    history: Sequence[Epoch],
    path: Path,
    *,
    title: str,
    loss: str = "RMSE",
    evaluation: QualityEvaluation | None = None,
) -> None:
    """Draw a training and save it as PNG.

    Parameters
    ----------
    history : sequence of Epoch
        At least one.
    path : Path
        Where to save; missing folders are made.
    title : str
        Over the picture.
    loss : str
        What the losses are.
    evaluation : QualityEvaluation, optional
        Of a quality network on the validation images: drawn beside the losses.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    from matplotlib.figure import Figure

    panels = 1 if evaluation is None else 3
    figure: Any = Figure(figsize=(1 + 4.3 * panels, 4.4), layout="constrained", dpi=110)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    _draw_losses(axes[0], history, loss)
    if evaluation is not None:
        _draw_scores(axes[1], evaluation)
        _draw_errors(axes[2], evaluation)
    figure.suptitle(title)
    save_png(figure, path)


def _draw_losses(ax: Any, history: Sequence[Epoch], loss: str) -> None:
    numbers = [epoch.number for epoch in history]
    # One epoch alone is a dot, not a line.
    style = {"marker": "o", "ms": 3 if len(history) < 50 else 0, "lw": 1.5}
    ax.plot(numbers, [e.training_loss for e in history], color="0.55", label="training", **style)
    ax.plot(numbers, [e.validation_loss for e in history], color="C0", label="validation", **style)
    best = min(history, key=lambda epoch: epoch.validation_loss)
    ax.plot(best.number, best.validation_loss, "*", ms=12, mfc="none", mec="C3", label="kept")
    ax.set_xlabel("epoch")
    ax.set_ylabel(loss)
    ax.set_ylim(bottom=0)
    ax.set_title("Loss over epochs", fontsize=11)
    ax.legend(fontsize=8)


def _draw_scores(ax: Any, evaluation: QualityEvaluation) -> None:
    ax.plot([0, 1], [0, 1], color="0.7", lw=1)
    ax.plot(evaluation.ratings, evaluation.scores, "o", ms=3, mew=0, alpha=_DOT_ALPHA, color="C0")
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    ax.set_aspect("equal")
    ax.set_xlabel("rating")
    ax.set_ylabel("score")
    words = f"RMSE {evaluation.rmse:.3f}, rank correlation {evaluation.rank_correlation:.3f}"
    ax.set_title(f"Validation images: {words}", fontsize=10)


def _draw_errors(ax: Any, evaluation: QualityEvaluation) -> None:
    shown = [part for part in evaluation.bins if part.images]
    middles = [(part.low + part.high) / 2 for part in shown]
    width = 0.8 * (shown[0].high - shown[0].low)
    ax.bar(middles, [p.rmse for p in shown], width, color="C0", alpha=0.4, label="RMSE")
    ax.plot(middles, [p.bias for p in shown], "o-", color="C3", label="mean of score - rating")
    for middle, part in zip(middles, shown, strict=True):
        ax.annotate(
            f"{part.images}",
            (middle, part.rmse),
            ha="center",
            va="bottom",
            fontsize=7,
        )
    ax.axhline(0, color="0.7", lw=1)
    ax.set_xlim(0, 1)
    ax.set_xlabel("rating")
    ax.set_ylabel("error")
    ax.set_title("Error over quality (number of images)", fontsize=10)
    ax.legend(fontsize=8)
