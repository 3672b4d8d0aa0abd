"""Whatever the detector delivers: a finite value or NaN, never an exception or a warning."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stedopt_bluesky.acquisition import ImageSet
from stedopt_bluesky.objectives import OBJECTIVES, rate

DTYPES = st.sampled_from([np.int16, np.uint16, np.int32, np.float32, np.float64])
# 32 pixels and more reach the Fourier transforms, below are the tiny and the empty images.
SHAPES = st.tuples(st.integers(0, 6), st.integers(0, 6)) | st.tuples(
    st.integers(31, 37), st.integers(31, 37)
)


@st.composite
def image_sets(draw):
    shape, dtype = draw(SHAPES), draw(DTYPES)
    # Few distinct values, spread over the image by `fill`: constant, dark, saturated, broken.
    images = [draw(hnp.arrays(dtype, shape, fill=hnp.from_dtype(np.dtype(dtype)))) for _ in "123"]
    return ImageSet(images[0], (images[1],), images[2], 20.0, 10.0)


def constant(value, shape=(40, 40), dtype=np.float64):
    return ImageSet(
        *(wrap(np.full(shape, value, dtype)) for wrap in (np.array, lambda i: (i,), np.array)),
        20.0,
        1.0,
    )


def rate_strictly(images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return rate(images, list(OBJECTIVES))


@given(image_sets())
@example(constant(0, (0, 0)))
@example(constant(7, (1, 1)))
@example(constant(32767, dtype=np.int16))
@example(constant(-32768, dtype=np.int16))
@example(constant(np.nan))
@example(constant(np.inf))
@example(constant(1e308))
@settings(deadline=None)
def test_finite_or_nan(images):
    for name, value in rate_strictly(images).items():
        assert isinstance(value, float), name
        assert math.isfinite(value) or math.isnan(value), name


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.int16, np.float32]))
@settings(deadline=None, max_examples=30)
def test_within_its_bounds(seed, dtype):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-2, 4)
    frames = [rng.poisson(scale * rng.random((40, 50)) ** 4).astype(dtype) for _ in range(3)]
    values = rate_strictly(ImageSet(frames[0], (frames[1],), frames[2], 20.0, 10.0))
    for name, low, high in [
        ("snr", 0, math.inf),
        ("photobleaching", -math.inf, 1),
        ("resolution_nm", 40, 350),
        ("frc", 0, 1),
    ]:
        assert math.isnan(values[name]) or low <= values[name] <= high, name


@pytest.mark.parametrize("value", [0, 1, 32767])
def test_a_blank_region_is_invalid_but_for_its_time(value):
    values = rate_strictly(constant(value))
    assert values.pop("imaging_time_s") > 0
    assert all(math.isnan(v) for v in values.values())
