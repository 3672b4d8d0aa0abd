"""The picture of a rated image: the image, and the score of each of its pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# Brightest pixels are clipped so that one hot pixel does not darken the image.
_CLIP_PERCENTILE = 99.8
# Scores outside of the foreground mean nothing and are not shown.
_OUTSIDE = "0.9"


def save_score_map(
    image: npt.NDArray[Any],
    score_map: npt.NDArray[np.float32],
    foreground: npt.NDArray[np.bool_],
    path: Path,
    *,
    title: str,
) -> None:
    """Draw an image beside the map of its score and save both as PNG.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Photon counts.
    score_map : ndarray, shape (Y, X)
        Score of each pixel, 0 to 1.
    foreground : ndarray of bool, shape (Y, X)
        Over which the score is the mean; it is outlined.
    path : Path
        Where to save.
    title : str
        Over the picture.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(11, 5), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2)
    # From the least count: an image with an offset, or that is negative, is to be seen too.
    low = float(np.min(image))
    high = max(low + 1.0, float(np.percentile(image, _CLIP_PERCENTILE)))
    drawn = left.imshow(image, cmap="hot", vmin=min(0.0, low), vmax=high)
    figure.colorbar(drawn, ax=left, label="photons", fraction=0.046, pad=0.03)
    left.set_title("Image, its foreground outlined", fontsize=10)
    inside = np.ma.masked_array(score_map, ~foreground)
    scored = right.imshow(inside, cmap="viridis", vmin=0, vmax=1)
    right.set_facecolor(_OUTSIDE)
    figure.colorbar(scored, ax=right, label="score", fraction=0.046, pad=0.03)
    right.set_title("Score of each pixel", fontsize=10)
    for ax, colour in ((left, "C9"), (right, "k")):
        if foreground.any() and not foreground.all() and min(foreground.shape) > 1:
            ax.contour(foreground, levels=[0.5], colors=colour, linewidths=0.8)
        ax.set_xticks([])
        ax.set_yticks([])
    figure.suptitle(title)
    figure.savefig(path, format="png")
