import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu

from stedopt_bluesky.networks.mask import score_mask
from tests.networks.random_weights import spots


def test_it_is_otsus_threshold_of_the_blurred_image():
    image = spots(0, 128).astype(np.float32)
    blurred = gaussian_filter(image.astype(np.float64), 10, mode="nearest")
    expected = blurred > threshold_otsu(blurred)
    # The threshold is that of 256 bins: a few pixels at the edge may go either way.
    assert np.mean(score_mask(image) != expected) < 0.01
    assert 0 < score_mask(image).mean() < 0.5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.floats(0.01, 1000))
def test_it_does_not_depend_on_the_brightness(seed, factor):
    image = spots(seed, 48).astype(np.float32)
    differing = score_mask(image) != score_mask(image * np.float32(factor))
    assert differing.mean() < 0.01  # rounding, at the edge


def test_it_is_where_the_structure_is():
    image = np.zeros((96, 96), np.float32)
    image[20:50, 30:60] = 100
    mask = score_mask(image)
    assert mask[35, 45]
    assert not mask[85, 10]


@pytest.mark.parametrize("value", [-3, 0, 1, 12345])
@pytest.mark.parametrize("shape", [(1, 1), (40, 50)])
def test_a_constant_image_has_no_foreground(value, shape):
    assert not score_mask(np.full(shape, value, np.float32)).any()


def test_negative_counts_are_no_trouble():
    image = spots(0).astype(np.float32)
    assert score_mask(image - 1000).any()
