"""Ca²⁺ response to glutamate uncaging: how strong it is, and how far it spreads.

The frames are divided into tiles, and each tile's counts right after the pulse are compared with
those before it: the Ca²⁺ objectives of Durand et al. (Nat. Commun. 9:5247, 2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stedopt_bluesky.acquisition import CalciumFrames, Image, Invalid
from stedopt_bluesky.objectives.counts import Mask, no_counts
from stedopt_bluesky.parameters import FloatArray

# The paper's numbers: 8 × 8 pixels, a foreground seen in the baseline and the first 10 response
# frames, a response in the first 2, a tile that responds from ΔF/F = 0.75 on, a local response
# below 0.6 of the foreground.
TILE_PX = 8
FOREGROUND_FRAMES = 10
RESPONSE_FRAMES = 2
RESPONDS_FROM = 0.75
LOCAL_BELOW = 0.6
# The paper's 5 photons, taken as the mean of a tile's pixels: so read, the threshold depends
# neither on the size of the tiles nor on the number of frames, and is what one sees in the image.
THRESHOLD_PHOTONS = 5.0


@dataclass(frozen=True)
class TileResponse:
    """The tiles of some Ca²⁺ frames.

    Attributes
    ----------
    foreground : ndarray of bool, shape (Y // 8, X // 8)
        Tiles that belong to the cell.
    df_over_f : ndarray, shape (Y // 8, X // 8)
        ``(F - F0) / F0`` with F the mean of the first 2 response frames and F0 that of the
        baseline; 0 outside the foreground.
    """

    foreground: Mask
    df_over_f: FloatArray


def tile_means(frames: Image) -> FloatArray:
    """Mean photons per pixel of each tile in each frame.

    Parameters
    ----------
    frames : ndarray, shape (T, Y, X)
        Photon counts.

    Returns
    -------
    ndarray, shape (T, Y // 8, X // 8)
        Rows and columns that fill no tile are left out.
    """
    counts = np.asarray(frames, dtype=np.float64)
    times, rows, columns = counts.shape[0], counts.shape[1] // TILE_PX, counts.shape[2] // TILE_PX
    whole = counts[:, : rows * TILE_PX, : columns * TILE_PX]
    # Rows first, along the memory: a third of the time of both axes at once.
    strips = whole.reshape(times, rows, TILE_PX, columns * TILE_PX).sum(axis=2)
    sums: FloatArray = strips.reshape(times, rows, columns, TILE_PX).sum(axis=3)
    return sums / TILE_PX**2


def tile_response(
    frames: CalciumFrames, threshold_photons: float = THRESHOLD_PHOTONS
) -> TileResponse | Invalid:
    """Find the foreground tiles and their ΔF/F.

    Parameters
    ----------
    frames : CalciumFrames
        Photon counts before and after the pulse.
    threshold_photons : float
        A tile with more photons per pixel than this, on average over the baseline and the first
        10 response frames, is foreground. So that its ΔF/F exists, its baseline must be
        positive too.

    Returns
    -------
    TileResponse or Invalid
        Invalid when no frame was taken before or fewer than 2 after the pulse, when the frames
        hold no whole tile or a pixel that is not a finite count, or when no tile is foreground.

    Raises
    ------
    ValueError
        When the threshold is negative or not finite.
    """
    if not (math.isfinite(threshold_photons) and threshold_photons >= 0):
        raise ValueError(
            f"threshold_photons must be finite and at least 0, got {threshold_photons}"
        )
    # Later frames are not looked at.
    frames = CalciumFrames(frames.baseline, frames.response[:FOREGROUND_FRAMES])
    if reason := _no_tiles(frames):
        return Invalid(reason)
    baseline, response = tile_means(frames.baseline), tile_means(frames.response)
    seen = np.concatenate([baseline, response])
    before = baseline.mean(axis=0)
    foreground = (seen.mean(axis=0) > threshold_photons) & (before > 0)
    if not foreground.any():
        return Invalid(f"no tile is foreground, above {threshold_photons:g} photons per pixel")
    after = response[:RESPONSE_FRAMES].mean(axis=0)
    change = np.zeros_like(before)
    np.divide(after - before, before, out=change, where=foreground)
    return TileResponse(foreground, change)


def _no_tiles(frames: CalciumFrames) -> str:
    """Why the frames have no tiles to look at; ``""`` where they have."""
    if len(frames.baseline) < 1:
        return "there is no frame before the pulse"
    if len(frames.response) < RESPONSE_FRAMES:
        return f"there are fewer than {RESPONSE_FRAMES} frames after the pulse"
    if min(frames.baseline.shape[1:]) < TILE_PX:
        return f"the Ca²⁺ frames are smaller than {TILE_PX} pixels"
    for name, counts in (("before", frames.baseline), ("after", frames.response)):
        if reason := no_counts(np.asarray(counts, np.float64), f"the frames {name} the pulse"):
            return reason
    return ""


def df_over_f_peak(frames: CalciumFrames, threshold_photons: float = THRESHOLD_PHOTONS) -> float:
    """Strongest response right after the pulse: the highest ΔF/F of the foreground tiles.

    The peak of the response in time is in the first 2 frames, its peak in space the tile
    taken here: a mean over the foreground would mix in how far the response spreads, which
    `response_size_ratio` tells.

    Parameters
    ----------
    frames : CalciumFrames
        Photon counts before and after the pulse.
    threshold_photons : float
        Photons per pixel above which a tile is foreground.

    Returns
    -------
    float
        ΔF/F; 0 for no response, 1 for a doubled signal. Invalid as `tile_response`.

    Raises
    ------
    ValueError
        When the threshold is negative or not finite.
    """
    tiles = tile_response(frames, threshold_photons)
    if isinstance(tiles, Invalid):
        return tiles
    return float(tiles.df_over_f[tiles.foreground].max())


def response_size_ratio(
    frames: CalciumFrames, threshold_photons: float = THRESHOLD_PHOTONS
) -> float:
    """Area that responds, relative to the area of the foreground.

    Parameters
    ----------
    frames : CalciumFrames
        Photon counts before and after the pulse.
    threshold_photons : float
        Photons per pixel above which a tile is foreground.

    Returns
    -------
    float
        Share of the foreground tiles with ΔF/F of at least 0.75. Invalid as `tile_response`.

    Raises
    ------
    ValueError
        When the threshold is negative or not finite.
    """
    tiles = tile_response(frames, threshold_photons)
    if isinstance(tiles, Invalid):
        return tiles
    return float((tiles.df_over_f[tiles.foreground] >= RESPONDS_FROM).mean())


def is_local(ratio: float) -> bool:
    """Whether a response is local: there is one, and below 0.6 of the foreground; not if NaN."""
    return 0 < ratio < LOCAL_BELOW
