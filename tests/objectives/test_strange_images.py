"""Whatever the detector delivers: a value or a reason, never an exception or a warning.

The page `docs/reference/objectives_on_strange_images.md` states the answers; the table is its.
"""

import dataclasses
import math
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stedopt_bluesky.acquisition import CalciumFrames, ImageSet, Invalid, Line, invalid_reason
from stedopt_bluesky.objectives import OBJECTIVES, rate

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "objectives_on_strange_images.md"

DTYPES = st.sampled_from([np.int16, np.uint16, np.int32, np.float32, np.float64])
# 32 pixels and more reach the Fourier transforms, from 42 a line of 40 pixels finds room; below
# are the tiny and the empty images.
SHAPES = (
    st.tuples(st.integers(0, 9), st.integers(0, 9))
    | st.tuples(st.integers(31, 37), st.integers(31, 37))
    | st.tuples(st.integers(41, 60), st.integers(41, 60))
)
LINE = Line(1.0, 1.0, 7.5, 8.0)


def score(image):
    """A score that any image with contrast has."""
    return float((image > image.mean()).mean())


def image_set(confocal1, sted, last, confocal2, **others):
    """Two STED images, known powers, and the same pixels as frames before and after a pulse."""
    calcium = CalciumFrames(np.stack([confocal1, confocal1]), np.stack([confocal2, confocal2]))
    return ImageSet(
        confocal1,
        (sted, last),
        confocal2,
        pixel_size_nm=20.0,
        dwelltime_us=10.0,
        **{"excitation_power_uW": 5.0, "depletion_power_mW": 100.0, "calcium": calcium} | others,
    )


@st.composite
def image_sets(draw):
    shape, dtype = draw(SHAPES), draw(DTYPES)
    # Few distinct values, spread over the image by `fill`: constant, dark, saturated, broken.
    images = [draw(hnp.arrays(dtype, shape, fill=hnp.from_dtype(np.dtype(dtype)))) for _ in "1234"]
    return image_set(*images, lines=draw(st.sampled_from([(), (LINE,), (LINE,) * 3])))


def constant(value, shape=(40, 40), dtype=np.float64):
    return image_set(*(np.full(shape, value, dtype) for _ in "1234"))


def rate_strictly(images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return rate(images, list(OBJECTIVES), score)


@given(image_sets())
@example(constant(0, (0, 0)))
@example(constant(7, (1, 1)))
@example(constant(32767, dtype=np.int16))
@example(constant(-32768, dtype=np.int16))
@example(constant(np.nan))
@example(constant(np.inf))
@example(constant(1e308))
@settings(deadline=None)
def test_finite_or_a_reason(images):
    for name, value in rate_strictly(images).items():
        assert type(value) in (float, Invalid), name
        assert math.isfinite(value) or invalid_reason(value) not in ("", "invalid"), name


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.int16, np.float32]))
@settings(deadline=None, max_examples=30)
def test_within_its_bounds(seed, dtype):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-2, 4)
    frames = [rng.poisson(scale * rng.random((60, 50)) ** 4).astype(dtype) for _ in range(4)]
    values = rate_strictly(image_set(*frames))
    for name, low, high in [
        ("snr", 0, math.inf),
        ("photobleaching", -math.inf, 1),
        ("sted_photobleaching", -math.inf, 1),
        ("autocorrelation", 0, 2),
        ("resolution_nm", 40, 350),
        ("fwhm_nm", 40, 310),  # two pixels to half of a line of 31
        ("frc", 0, 1),
        ("quality", 0, 1),
        ("quality_last", 0, 1),
        ("response_size_ratio", 0, 1),
        ("df_over_f_peak", -1, math.inf),
    ]:
        assert math.isnan(values[name]) or low <= values[name] <= high, name


def structure(shape=(96, 96), dtype=np.int16):
    """Filaments with a lattice along them: an image of which every objective has a value."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    across = np.exp(-0.5 * (((rows + 24) % 48 - 24) / 3) ** 2)
    expected = 40 * across * (1.2 + np.cos(2 * np.pi * columns / 9.25)) + 1
    return np.random.default_rng(0).poisson(expected).astype(dtype)


def all_of(image):
    return image_set(image, image, image, image)


def with_pixel(value):
    broken = structure(dtype=float)
    broken[3, 4] = value
    return broken


# What each row of the page's table is: all four images and the Ca²⁺ frames are the same.
CASES = {
    "empty": np.zeros((0, 0), np.int16),
    "1 × 1": np.ones((1, 1), np.int16),
    "24 × 24": structure((24, 24)),
    "dark": np.zeros((96, 96), np.int16),
    "constant": np.full((96, 96), 7, np.int16),
    "saturated everywhere": np.full((96, 96), 32767, np.int16),
    "saturated structure": np.where(structure() > 20, 32767, 0).astype(np.int16),
    "a NaN": with_pixel(np.nan),
    "an infinity": with_pixel(np.inf),
    "negative everywhere": (structure() - 20000).astype(np.int16),
    "not square": structure((131, 64)),
    "usual": structure(),
}


def rows_of_the_page():
    """Answers of the page's table: case → objective → value or reason."""
    table = re.search(r"^\| images \|.*?\n\n", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    head, _, *rows = (
        [c.strip() for c in r.strip("| ").split("|")] for r in table[0].splitlines() if r
    )
    names = [re.findall(r"`(\w+)`", cell) for cell in head[1:]]
    return {
        row[0]: {n: cell for group, cell in zip(names, row[1:], strict=True) for n in group}
        for row in rows
    }


def test_the_page_tells_of_every_case_and_every_objective():
    rows = rows_of_the_page()
    assert rows.keys() == CASES.keys()
    assert all(row.keys() == OBJECTIVES.keys() for row in rows.values())


@pytest.mark.parametrize("case", CASES)
def test_the_answers_are_those_of_the_page(case):
    values = rate_strictly(all_of(CASES[case]))
    for name, answer in rows_of_the_page()[case].items():
        reason = invalid_reason(values[name])
        if answer == "value":
            assert reason == "", name
        elif re.fullmatch(r"[-\d.]+", answer):
            assert values[name] == float(answer), name
        else:
            assert answer in reason, (name, reason)
            assert reason, name


def test_a_line_beside_the_image_is_invalid():
    images = dataclasses.replace(all_of(structure()), lines=(Line(0.0, 0.0, 0.0, 1e9),))
    values = rate_strictly(images)
    assert invalid_reason(values["autocorrelation"]) == "a line leaves the image"
    assert invalid_reason(values["fwhm_nm"]) == "a line leaves the image"
