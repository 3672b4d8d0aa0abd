"""The rating of a region's images by some of the objectives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stedopt_bluesky.acquisition import ImageSet
from stedopt_bluesky.objectives.prepared import NO_SCORE, PreparedImages
from stedopt_bluesky.objectives.quality import Score
from stedopt_bluesky.objectives.registry import SCORE, objective_functions


def make_rater(
    names: Sequence[str], score: Score | None = None, channels: Sequence[str] = ()
) -> Callable[[ImageSet], dict[str, float]]:
    """Make the function that rates a region's images by the named objectives.

    Parameters
    ----------
    names : sequence of str
        Names in `OBJECTIVES`; of a further channel as ``"orange_quality"``.
    score : callable, optional
        Takes an image (Y, X) of photon counts, returns its quality from 0 to 1 or `Invalid`. It
        is asked at most once for each image.
    channels : sequence of str
        Names of the further channels that objectives may be of.

    Returns
    -------
    callable
        Takes an `ImageSet`, returns name → value in the order of ``names``, `Invalid` for an
        objective that the images give no valid value of. The masks that several objectives
        need are computed once. It raises ValueError when the images do not fit one another.

    Raises
    ------
    ValueError
        When a name is unknown, or an objective needs a score and none is given: at once and not
        only when the first image is there.
    """
    functions = objective_functions(names, channels)
    for name, function in functions.items():
        if SCORE in function.needs and score is None:
            raise ValueError(f"the objective {name} {NO_SCORE}")

    def rate_images(images: ImageSet) -> dict[str, float]:
        prepared = PreparedImages(images, score)
        return {name: function.evaluate(prepared) for name, function in functions.items()}

    return rate_images


def rate(images: ImageSet, names: Sequence[str], score: Score | None = None) -> dict[str, float]:
    """Rate one region's images by the named objectives; see `make_rater`.

    Parameters
    ----------
    images : ImageSet
        The images of one region.
    names : sequence of str
        Names in `OBJECTIVES`.
    score : callable, optional
        Gives an image a quality from 0 to 1.

    Returns
    -------
    dict of str to float
        Value of each objective in its unit, `Invalid` where there is none.

    Raises
    ------
    ValueError
        When a name is unknown, a score is needed and not given, or the images do not fit one
        another.
    """
    return make_rater(names, score)(images)
