"""Signal ratio: the signal-to-noise ratio of the published program."""

from __future__ import annotations

import numpy as np

from stedopt_bluesky.acquisition import Image, Invalid
from stedopt_bluesky.objectives.counts import (
    STED,
    Mask,
    as_counts,
    check_same_shape,
    no_counts,
    ratio,
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
        0 when nothing of the confocal foreground is seen in the STED image. Invalid when
        the ratio is negative, when the confocal image has no foreground or no
        positive signal to compare with, or when a pixel is not a finite count.

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    check_same_shape({"sted": sted, "confocal1": confocal1})
    sted, confocal1 = as_counts(sted), as_counts(confocal1)
    if reason := no_counts(sted, STED) or no_counts(confocal1, "confocal 1"):
        return Invalid(reason)
    if confocal1_fg is None:
        confocal1_fg = otsu_foreground(confocal1)
    if not confocal1_fg.any():
        return Invalid("confocal 1 has no foreground")
    if sted_fg is None:
        sted_fg = otsu_foreground(sted) & confocal1_fg
    if not sted_fg.any():
        return 0.0
    if sted_fg.all():  # a mask from elsewhere may leave no background to subtract
        return Invalid("the STED image has no background")
    signal = np.percentile(sted[sted_fg], PERCENTILE) - sted[~sted_fg].mean()
    if signal < 0:
        return Invalid("the STED image's foreground is darker than its background")
    reference = np.percentile(confocal1[confocal1_fg], PERCENTILE)
    return ratio(float(signal), float(reference), "confocal 1 has no positive signal")
