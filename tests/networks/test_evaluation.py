import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import spearmanr

from stedopt_bluesky.acquisition import Invalid
from stedopt_bluesky.networks.datasets import DatasetError, RatedImages
from stedopt_bluesky.networks.evaluation import BINS, compare_scores, evaluate_quality

UNIT = st.floats(0, 1, width=32)
PAIRS = hnp.arrays(np.float64, st.tuples(st.integers(2, 40), st.just(2)), elements=UNIT)


@given(PAIRS)
def test_the_numbers_are_numpys_and_scipys(pairs):
    scores, ratings = pairs.T
    found = compare_scores(scores, ratings)

    assert found.rmse == pytest.approx(np.sqrt(np.mean((scores - ratings) ** 2)))
    assert found.bias == pytest.approx(np.mean(scores) - np.mean(ratings), abs=1e-9)
    if len(set(scores)) > 1 and len(set(ratings)) > 1:
        assert found.rank_correlation == pytest.approx(spearmanr(scores, ratings).statistic)
    else:
        assert math.isnan(found.rank_correlation)


@given(PAIRS)
def test_the_bins_add_up(pairs):
    scores, ratings = pairs.T
    found = compare_scores(scores, ratings)

    assert sum(part.images for part in found.bins) == len(scores)
    squares = sum(part.images * part.rmse**2 for part in found.bins if part.images)
    assert squares == pytest.approx(len(scores) * found.rmse**2)
    counts, _ = np.histogram(ratings, BINS, (0, 1))
    # A rating on an edge may fall to either side of it by rounding.
    on_edge = sum(abs(r * BINS - round(r * BINS)) < 1e-9 for r in ratings)
    assert sum(abs(p.images - c) for p, c in zip(found.bins, counts, strict=True)) <= 2 * on_edge


def test_a_bin_by_hand():
    found = compare_scores(np.array([0.1, 0.3, 0.9]), np.array([0.0, 0.1, 1.0]))

    first, last = found.bins[0], found.bins[-1]
    assert (first.low, first.high, first.images) == (0.0, 0.2, 2)
    assert first.bias == pytest.approx(0.15)
    assert first.rmse == pytest.approx(math.sqrt((0.1**2 + 0.2**2) / 2))
    assert (last.images, last.bias) == (1, pytest.approx(-0.1))
    assert math.isnan(found.bins[2].rmse)
    assert found.as_json()["over_quality"][2]["rmse"] is None


@dataclass(frozen=True)
class Said:
    score: float


class TheirMean:
    """Scores an image by its mean; one that is 0 everywhere has none."""

    def rate(self, images):
        return [Said(float(i.mean()) if i.any() else Invalid("dark")) for i in images]


def dataset(values):
    values = np.asarray(values, dtype=np.float64)
    texts = ("",) * len(values)
    return RatedImages([np.full((2, 2), v) for v in values], values, texts, texts, texts)


def test_images_without_a_score_are_counted_and_left_out():
    done = []
    found = evaluate_quality(TheirMean(), dataset([0, *np.linspace(0.1, 1, 70)]), done.append)

    assert (found.invalid, len(found.scores)) == (1, 70)
    assert found.rmse == 0
    assert found.rank_correlation == pytest.approx(1)
    assert sum(done) == 71


def test_without_any_score_there_is_nothing_to_say():
    with pytest.raises(DatasetError, match="no image of the dataset has a score"):
        evaluate_quality(TheirMean(), dataset([0.0, 0.0]))
