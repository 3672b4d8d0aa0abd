"""Images of photon counts in a figure: which of a run, how bright, with scale and colour bar."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Brightest pixels are clipped so that one hot pixel does not darken the image.
_CLIP_PERCENTILE = 99.8
# Lengths of scale bars, µm; the longest one that takes at most a third of the image is drawn.
BARS_UM = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


def first_and_last(images: int, most: int) -> list[int]:
    """Indices of the images shown: as many of the first as of the last, none twice.

    Parameters
    ----------
    images : int
        How many there are, at least 1.
    most : int
        How many of the first are shown, and of the last, at most.
    """
    if images == 1:
        return [0]
    count = min(most, images // 2)
    return [*range(count), *range(images - count, images)]


def brightest(*images: npt.NDArray[Any]) -> float:
    """Upper end of a scale of brightness for images (Y, X) of photon counts, photons."""
    return max(1.0, *(float(np.percentile(image, _CLIP_PERCENTILE)) for image in images))


def draw_image(ax: Any, image: npt.NDArray[Any], size_um: float, high: float | None = None) -> None:
    """Draw an image with a scale bar and a colour bar.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where.
    image : ndarray, shape (Y, X)
        Photon counts.
    size_um : float
        Its side, µm.
    high : float, optional
        Upper end of the scale of brightness, which begins at 0, photons; the image's own when left
        out.
    """
    high = brightest(image) if high is None else high
    extent = (0.0, size_um, size_um, 0.0)
    drawn = ax.imshow(image, cmap="hot", vmin=0, vmax=high, extent=extent)
    bar_um = max((b for b in BARS_UM if b <= size_um / 3), default=BARS_UM[0])
    left, low = 0.05 * size_um, 0.94 * size_um
    ax.plot([left, left + bar_um], [low, low], color="w", lw=3)
    ax.text(left + bar_um / 2, 0.9 * size_um, f"{bar_um:g} µm", color="w", ha="center", fontsize=6)
    ax.set_xticks([])
    ax.set_yticks([])
    bar = ax.figure.colorbar(drawn, ax=ax, fraction=0.046, pad=0.03)
    bar.set_label("photons", fontsize=6)
    bar.ax.tick_params(labelsize=6)
