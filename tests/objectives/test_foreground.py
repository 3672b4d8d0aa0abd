import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.filters import threshold_otsu

from stedopt_bluesky.objectives import otsu_foreground, otsu_threshold, sted_foreground

counts = hnp.arrays(
    np.int16,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.integers(0, 30),
)


def between_class_variance(image, threshold):
    """Otsu's criterion from its definition: w0 · w1 · (mean0 - mean1)²."""
    low, high = image[image <= threshold], image[image > threshold]
    if not (low.size and high.size):
        return 0.0
    return low.size * high.size * (low.mean() - high.mean()) ** 2


@given(counts)
def test_the_threshold_is_the_best_of_all_counts(image):
    threshold = otsu_threshold(image)
    if image.min() == image.max():
        assert math.isnan(threshold)
        return
    best = max(between_class_variance(image, value) for value in np.unique(image))
    # scikit-image weighs the classes in float32: ties are resolved to 1e-6.
    assert between_class_variance(image, threshold) == pytest.approx(best, rel=1e-5)
    assert threshold in image


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mean", [0.3, 3, 300])
def test_the_threshold_is_scikit_images(seed, mean):
    rng = np.random.default_rng(seed)
    image = rng.poisson(mean * rng.integers(1, 5, (40, 50)))
    assert otsu_threshold(image.astype(np.int16)) == threshold_otsu(image)


def test_few_counts_as_floats_have_the_threshold_of_the_integers():
    image = np.array([[0, 0, 0, 1, 1], [0, 1, 3, 4, 3]])
    assert otsu_threshold(image) == otsu_threshold(image.astype(float)) == 1.0
    assert otsu_foreground(image).sum() == 3


@given(counts)
def test_real_values_are_not_binned(image):
    # 1/8 is exact, so the scaled image has the same ties; it takes the path of real values.
    assert np.array_equal(otsu_foreground(image / 8), otsu_foreground(image))


def test_saturated_and_negative_counts():
    image = np.array([[-32768, -32768], [32767, 32767]], dtype=np.int16)
    assert np.array_equal(otsu_foreground(image), [[False, False], [True, True]])


def test_a_few_huge_counts_do_not_need_a_huge_histogram():
    image = np.array([[0, 0, 2**31 - 1]], dtype=np.int64)
    assert otsu_foreground(image).sum() == 1


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 0)),
        np.zeros((4, 0)),
        np.zeros((1, 1)),
        np.full((3, 4), 7),
        np.array([[1.0, np.nan]]),
        np.array([[1.0, np.inf]]),
    ],
)
def test_no_two_classes_no_foreground(image):
    mask = otsu_foreground(image)
    assert mask.shape == image.shape
    assert mask.dtype == np.bool_
    assert not mask.any()


def test_sted_foreground_lies_in_the_confocal_foreground():
    sted = np.array([[9, 9, 0, 0]])
    confocal = np.array([[9, 0, 9, 0]])
    assert np.array_equal(sted_foreground(sted, confocal), [[True, False, False, False]])
    with pytest.raises(ValueError, match="one shape"):
        sted_foreground(sted, confocal.T)
