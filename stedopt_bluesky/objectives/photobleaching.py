"""Photobleaching: the share of the confocal signal that the STED images have cost."""

from __future__ import annotations

import math

from stedopt_bluesky.acquisition import Image
from stedopt_bluesky.objectives.counts import (
    Mask,
    are_counts,
    as_counts,
    check_same_shape,
    ratio_or_nan,
)
from stedopt_bluesky.objectives.foreground import otsu_foreground


def photobleaching_fraction(
    confocal1: Image, confocal2: Image, *, confocal1_fg: Mask | None = None
) -> float:
    """Relative loss of signal between the confocal images before and after.

    ``(mean(C1_fg) - mean(C2_fg)) / mean(C1_fg)``, both means over the foreground of the image
    before (Durand et al., Nat. Commun. 9:5247, 2018).

    Parameters
    ----------
    confocal1, confocal2 : ndarray, shape (Y, X)
        Photon counts before and after the STED images, with the same settings.
    confocal1_fg : ndarray of bool, shape (Y, X), optional
        Foreground of ``confocal1``; computed when it is not given.

    Returns
    -------
    float
        0 for no loss, 1 for all signal lost; slightly negative where noise outweighs the loss.
        NaN when ``confocal1`` has no foreground or no positive signal on it, or when a pixel is
        not a finite count.

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    check_same_shape({"confocal1": confocal1, "confocal2": confocal2})
    confocal1, confocal2 = as_counts(confocal1), as_counts(confocal2)
    if not (are_counts(confocal1) and are_counts(confocal2)):
        return math.nan
    if confocal1_fg is None:
        confocal1_fg = otsu_foreground(confocal1)
    if not confocal1_fg.any():
        return math.nan
    before = confocal1[confocal1_fg].mean()
    return ratio_or_nan(before - confocal2[confocal1_fg].mean(), before)
