import math

import numpy as np
import pytest

from stedopt_bluesky.acquisition import invalid_reason
from stedopt_bluesky.objectives.counts import (
    are_counts,
    as_counts,
    check_same_shape,
    has_contrast,
    no_contrast,
    no_counts,
    ratio,
)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32, bool])
def test_every_type_becomes_float64(dtype):
    assert as_counts(np.ones((2, 3), dtype=dtype)).dtype == np.float64


@pytest.mark.parametrize("shape", [(), (3,), (1, 2, 3)])
def test_an_image_has_two_axes(shape):
    with pytest.raises(ValueError, match=r"shape \(Y, X\)"):
        as_counts(np.ones(shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, -1e300])
def test_one_pixel_that_is_no_count_refuses_the_image(bad):
    image = np.arange(6.0).reshape(2, 3)
    assert are_counts(image)
    image[1, 2] = bad
    assert not are_counts(image)
    assert not has_contrast(image)


def test_empty_and_constant_images_have_no_contrast():
    assert not are_counts(np.ones((0, 3)))
    assert are_counts(np.ones((2, 2)))
    assert not has_contrast(np.ones((2, 2)))
    assert has_contrast(np.array([[-1.0, 1.0]]))


def test_a_mismatch_names_the_images_and_their_shapes():
    check_same_shape({"sted": np.ones((2, 3)), "confocal1": np.zeros((2, 3))})
    with pytest.raises(ValueError, match=r"sted \(2, 3\), confocal1 \(3, 2\)"):
        check_same_shape({"sted": np.ones((2, 3)), "confocal1": np.ones((3, 2))})


def test_ratio():
    assert ratio(1, 4, "dark") == 0.25
    assert ratio(-1, 4, "dark") == -0.25
    for numerator, denominator in [(1, 0), (1, -1), (1, math.nan), (math.nan, 1), (1e300, 1e-300)]:
        assert invalid_reason(ratio(numerator, denominator, "dark")) == "dark"


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((0, 5)), "the image is empty"),
        (np.array([[1.0, np.nan]]), "a pixel of the image is not a finite count"),
        (np.eye(3), "the image is smaller than 4 pixels"),
        (np.full((4, 4), 32767.0), "the image is constant"),
        (-np.eye(4), ""),
    ],
)
def test_why_an_image_shows_nothing(image, reason):
    assert no_contrast(image, "the image", smallest_side=4) == reason
    # A constant or a tiny image can still be counted.
    assert (no_counts(image, "the image") == reason) == (image.size < 5 or not reason)
