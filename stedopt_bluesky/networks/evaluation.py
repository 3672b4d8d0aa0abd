"""How well a quality network does on rated images: its error, also over quality, and its ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Image
from stedopt_bluesky.networks.datasets import DatasetError, RatedImages

# Fifths of the quality: as many as a table shows, with enough images in each.
BINS = 5
# Images between two calls of `advance`: half a second on one core, for images of 224² pixels.
_AT_ONCE = 32


class Scored(Protocol):
    """What a rater says of an image."""

    @property
    def score(self) -> float:
        """Between 0 and 1, or NaN."""
        ...


class Rates(Protocol):
    """A rater of images, as `stedopt_bluesky.networks.rater.QualityRater`."""

    def rate(self, images: Sequence[Image]) -> Sequence[Scored]:
        """Rate images."""
        ...


@dataclass(frozen=True)
class QualityBin:
    """Images of about the same quality.

    Parameters
    ----------
    low, high : float
        Ratings from ``low`` to below ``high``; the last bin holds 1 too.
    images : int
        How many.
    bias : float
        Mean of score - rating; NaN where there is no image.
    rmse : float
        Root of the mean square of score - rating; NaN where there is no image.
    """

    low: float
    high: float
    images: int
    bias: float
    rmse: float


@dataclass(frozen=True, eq=False)
class QualityEvaluation:
    """What a quality network's scores are worth.

    Parameters
    ----------
    rmse : float
        Root of the mean square of score - rating.
    bias : float
        Mean of score - rating.
    rank_correlation : float
        Spearman's, of scores and ratings; NaN where all of one are the same.
    bins : tuple of QualityBin
        The same over quality, in fifths.
    invalid : int
        Images without a score; they are in none of the numbers.
    ratings, scores : ndarray, shape (N,)
        Of the images that have one.
    """

    rmse: float
    bias: float
    rank_correlation: float
    bins: tuple[QualityBin, ...]
    invalid: int
    ratings: npt.NDArray[np.float64] = field(repr=False)
    scores: npt.NDArray[np.float64] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """The numbers, without the images'; None where one is not defined."""
        return {
            "images": len(self.scores),
            "invalid": self.invalid,
            "rmse": self.rmse,
            "bias": self.bias,
            "rank_correlation": _or_none(self.rank_correlation),
            "over_quality": [
                {key: _or_none(value) for key, value in asdict(part).items()} for part in self.bins
            ],
        }


def evaluate_quality(
    rater: Rates, dataset: RatedImages, advance: Callable[[int], None] = lambda _: None
) -> QualityEvaluation:
    """Compare the scores of a quality network with ratings.

    Parameters
    ----------
    rater : QualityRater
        The network.
    dataset : RatedImages
        Images that it was not trained on.
    advance : callable
        Told the number of images that have just been scored.

    Raises
    ------
    DatasetError
        When no image has a score.
    """
    scores: list[float] = []
    for start in range(0, len(dataset), _AT_ONCE):
        part = rater.rate(dataset.images[start : start + _AT_ONCE])
        scores += [rated.score for rated in part]
        advance(len(part))
    return compare_scores(np.array(scores), dataset.ratings)


def compare_scores(
    scores: npt.NDArray[np.float64], ratings: npt.NDArray[np.float64]
) -> QualityEvaluation:
    """Compare scores with ratings, both of shape (N,); a score that is NaN is left out.

    Raises
    ------
    DatasetError
        When no score is left.
    """
    valid = ~np.isnan(scores)
    if not valid.any():
        raise DatasetError(
            "no image of the dataset has a score: all are empty, constant or damaged"
        )
    scores, ratings = scores[valid], ratings[valid]
    error = scores - ratings
    number = np.minimum((ratings * BINS).astype(int), BINS - 1)
    return QualityEvaluation(
        rmse=_rms(error),
        bias=float(error.mean()),
        rank_correlation=_rank_correlation(scores, ratings),
        bins=tuple(_bin(k, error[number == k]) for k in range(BINS)),
        invalid=int((~valid).sum()),
        ratings=ratings,
        scores=scores,
    )


def _bin(number: int, error: npt.NDArray[np.float64]) -> QualityBin:
    low, high = number / BINS, (number + 1) / BINS
    if not error.size:
        return QualityBin(low, high, 0, math.nan, math.nan)
    return QualityBin(low, high, error.size, float(error.mean()), _rms(error))


def _rms(error: npt.NDArray[np.float64]) -> float:
    return math.sqrt(float((error**2).mean()))


def _rank_correlation(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Pearson's correlation of the ranks; values that are the same share their mean rank."""
    from scipy.stats import rankdata

    ranks_a, ranks_b = (rankdata(values) - (len(values) + 1) / 2 for values in (a, b))
    scale = math.sqrt(float((ranks_a**2).sum() * (ranks_b**2).sum()))
    return float((ranks_a * ranks_b).sum()) / scale if scale > 0 else math.nan


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
