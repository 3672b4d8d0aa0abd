"""Which images objectives ask a score of, and scores that were given to these images before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stedopt_bluesky.acquisition import ImageSet, Invalid
from stedopt_bluesky.objectives.counts import FloatImage
from stedopt_bluesky.objectives.prepared import PreparedImages
from stedopt_bluesky.objectives.quality import Score
from stedopt_bluesky.objectives.registry import SCORE, objective_functions


def scored_images(
    names: Sequence[str], images: ImageSet, channels: Sequence[str] = ()
) -> dict[str, FloatImage]:
    """Find the image that each objective asks a score of.

    Parameters
    ----------
    names : sequence of str
        Of objectives; those that need no score are left out of what is returned.
    images : ImageSet
        The images of one region.
    channels : sequence of str
        Names of the further channels that objectives may be of.

    Returns
    -------
    dict of str to ndarray, shape (Y, X)
        Photon counts by the objective's name. An image that nobody is shown, as an empty one is
        not, is left out: its objective is invalid whoever rates.

    Raises
    ------
    ValueError
        When a name is unknown, or the images do not fit one another.
    """
    found = {}
    for name, function in objective_functions(names, channels).items():
        if SCORE in function.needs:
            asked: list[FloatImage] = []

            def score(image: FloatImage, asked: list[FloatImage] = asked) -> float:
                asked.append(image)
                return 0.0

            function.evaluate(PreparedImages(images, score))
            if asked:
                found[name] = asked[0]
    return found


def score_as_given(images: Mapping[str, FloatImage], scores: Mapping[str, float]) -> Score:
    """Make a score that answers with what each image was given.

    Parameters
    ----------
    images : mapping of str to ndarray, shape (Y, X)
        From `scored_images`.
    scores : mapping of str to float
        By the same names: from 0 to 1, or `Invalid`.

    Returns
    -------
    callable
        From an image to its score; `Invalid` for one that has none.
    """

    def score(image: FloatImage) -> float:
        for name, shown in images.items():
            if name in scores and np.array_equal(image, shown):
                return scores[name]
        return Invalid("nobody has rated the image")

    return score
