"""Signal ratio: the signal-to-noise ratio of the published program."""

from __future__ import annotations

import math

import numpy as np

from stedopt_bluesky.acquisition import Image
from stedopt_bluesky.objectives.counts import (
    Mask,
    are_counts,
    as_counts,
    check_same_shape,
    ratio_or_nan,
)
from stedopt_bluesky.objectives.foreground import otsu_foreground

# The published program's percentile: the bright part of the foreground, without its outliers.
PERCENTILE = 75.0


def signal_ratio(
    sted: Image,
    confocal1: Image,
    *,
    sted_fg: Mask | None = None,
    confocal1_fg: Mask | None = None,
) -> float:
    """STED signal above its background, relative to the confocal signal.

    ``(P75(STED_fg) - mean(STED outside fg)) / P75(Confocal1_fg)``, with STED's foreground
    restricted to the confocal image's. This is the released program of Durand et al. (Nat.
    Commun. 9:5247, 2018); the paper itself prints ``mean(STED_fg)`` as the subtrahend.

    Parameters
    ----------
    sted, confocal1 : ndarray, shape (Y, X)
        Photon counts.
    sted_fg, confocal1_fg : ndarray of bool, shape (Y, X), optional
        Foreground masks; computed when they are not given.

    Returns
    -------
    float
        0 when nothing of the confocal foreground is seen in the STED image. NaN, that is
        invalid, when the ratio is negative, when the confocal image has no foreground or no
        positive signal to compare with, or when a pixel is not a finite count.

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    check_same_shape({"sted": sted, "confocal1": confocal1})
    sted, confocal1 = as_counts(sted), as_counts(confocal1)
    if not (are_counts(sted) and are_counts(confocal1)):
        return math.nan
    if confocal1_fg is None:
        confocal1_fg = otsu_foreground(confocal1)
    if not confocal1_fg.any():
        return math.nan
    if sted_fg is None:
        sted_fg = otsu_foreground(sted) & confocal1_fg
    if not sted_fg.any():
        return 0.0
    if sted_fg.all():
        return math.nan  # a mask from elsewhere may leave no background to subtract
    signal = np.percentile(sted[sted_fg], PERCENTILE) - sted[~sted_fg].mean()
    ratio = ratio_or_nan(signal, np.percentile(confocal1[confocal1_fg], PERCENTILE))
    return ratio if ratio >= 0 else math.nan
