"""Photobleaching: the share of the signal that imaging has cost."""

from __future__ import annotations

from stedopt_bluesky.acquisition import Image, Invalid
from stedopt_bluesky.objectives.counts import (
    FloatImage,
    Mask,
    as_counts,
    check_same_shape,
    no_counts,
    ratio,
)
from stedopt_bluesky.objectives.foreground import otsu_foreground

# What the reasons call the images before and after.
CONFOCALS = ("confocal 1", "confocal 2")
STEDS = ("the first STED image", "the last STED image")


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
        Invalid when ``confocal1`` has no foreground or no positive signal on it, or when a
        pixel is not a finite count.

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    check_same_shape({"confocal1": confocal1, "confocal2": confocal2})
    return _loss(as_counts(confocal1), as_counts(confocal2), confocal1_fg, CONFOCALS)


def sted_photobleaching_fraction(
    first: Image, last: Image, *, first_fg: Mask | None = None
) -> float:
    """Relative loss of signal between the first and the last STED image.

    `photobleaching_fraction` of the STED images themselves: what the structure loses from one
    STED image to the next, as a time series of a live cell would.

    Parameters
    ----------
    first, last : ndarray, shape (Y, X)
        Photon counts, with the same settings.
    first_fg : ndarray of bool, shape (Y, X), optional
        Foreground of ``first``; computed when it is not given.

    Returns
    -------
    float
        As of `photobleaching_fraction`; where more than two STED images were taken, the loss
        over all of them.

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    check_same_shape({"first": first, "last": last})
    return _loss(as_counts(first), as_counts(last), first_fg, STEDS)


def _loss(
    before: FloatImage, after: FloatImage, before_fg: Mask | None, names: tuple[str, str]
) -> float:
    """Loss of signal on the foreground before; the reasons call the images by their names."""
    if reason := no_counts(before, names[0]) or no_counts(after, names[1]):
        return Invalid(reason)
    if before_fg is None:
        before_fg = otsu_foreground(before)
    if not before_fg.any():
        return Invalid(f"{names[0]} has no foreground")
    signal = float(before[before_fg].mean())
    lost = signal - float(after[before_fg].mean())
    return ratio(lost, signal, f"{names[0]} has no positive signal")
