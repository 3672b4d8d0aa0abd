import math

import numpy as np
import pytest

from stedopt_bluesky.acquisition import Invalid, invalid_reason
from stedopt_bluesky.objectives.quality import quality

IMAGE = np.eye(4, dtype=np.int16)


def test_the_score_of_the_image():
    seen = []
    assert quality(IMAGE, lambda image: seen.append(image) or 0.7) == 0.7
    (image,) = seen
    assert image.dtype == np.float64
    assert np.array_equal(image, IMAGE)


@pytest.mark.parametrize("value", [0, 1, 0.25, np.float32(0.5), True])
def test_any_number_from_0_to_1_becomes_a_float(value):
    assert type(quality(IMAGE, lambda image: value)) is float


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Invalid("too dark to tell"), "too dark to tell"),
        (math.nan, "the score of the STED image is not a number"),
        (80, "the score of the STED image is 80, not 0 to 1"),
        (-0.1, "the score of the STED image is -0.1, not 0 to 1"),
        (math.inf, "the score of the STED image is inf, not 0 to 1"),
    ],
)
def test_a_score_that_is_none(value, reason):
    assert invalid_reason(quality(IMAGE, lambda image: value)) == reason


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((0, 3)), "the last STED image is empty"),
        (np.full((5, 5), 32767), "the last STED image is constant"),
        (np.array([[np.nan, 1.0]]), "a pixel of the last STED image is not a finite count"),
    ],
)
def test_an_image_that_shows_nothing_is_shown_to_nobody(image, reason):
    assert invalid_reason(quality(image, pytest.fail, "the last STED image")) == reason
