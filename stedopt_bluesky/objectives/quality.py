"""Quality of a STED image: the score that a network, or a person, gives it."""

from __future__ import annotations

import math
from collections.abc import Callable

from stedopt_bluesky.acquisition import Image, Invalid
from stedopt_bluesky.objectives.counts import FloatImage, as_counts, no_contrast

# Photon counts (Y, X), as float64, in; quality from 0 to 1 out, or `Invalid`. Who gives scores
# stands above this room: here no network is known.
Score = Callable[[FloatImage], float]


def quality(image: Image, score: Score, name: str = "the STED image") -> float:
    """Score of one image, checked.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Photon counts.
    score : callable
        Gives an image a quality from 0 to 1 (Durand et al., Nat. Commun. 9:5247, 2018).
    name : str
        What the reason is to call the image.

    Returns
    -------
    float
        Quality from 0 to 1. Invalid, and the image is not shown to anyone, when it is empty,
        constant or has a pixel that is not a finite count; invalid as well when the score says
        so, is not a number or lies outside 0 to 1.
    """
    counts = as_counts(image)
    if reason := no_contrast(counts, name):
        return Invalid(reason)
    value = score(counts)
    if isinstance(value, Invalid):
        return value
    value = float(value)
    if math.isnan(value):
        return Invalid(f"the score of {name} is not a number")
    return value if 0 <= value <= 1 else Invalid(f"the score of {name} is {value:g}, not 0 to 1")
