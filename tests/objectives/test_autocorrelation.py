import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import gaussian_filter

from stedopt_bluesky.acquisition import Line, invalid_reason
from stedopt_bluesky.objectives import (
    autocorrelation_amplitude,
    autocorrelation_of_lines,
    filament_lines,
    line_profile,
)
from stedopt_bluesky.objectives.autocorrelation import mean_of_middle_half

POINTS = np.arange(40)
ROWS, COLUMNS = np.mgrid[:224, :224].astype(float)


def slow_amplitude(profile):
    """Amplitude by loops, from the definition."""
    deviation = profile - profile.mean()
    variance = sum(d * d for d in deviation)
    if variance <= 1e-18 * max(abs(profile)) ** 2 * len(profile):
        return 0.0
    lags = range(len(profile) // 2 + 1)
    r = [
        sum(deviation[i] * deviation[i + k] for i in range(len(profile) - k)) / variance
        for k in lags
    ]
    for low in range(1, len(r) - 1):
        if r[low] <= r[low - 1] and r[low] < r[low + 1]:
            for high in range(low + 1, len(r) - 1):
                if r[high] > r[high - 1] and r[high] >= r[high + 1]:
                    return r[high] - r[low]
            return 0.0
    return 0.0


def lattice(period_px, depth=1.0, width_px=10.0):
    """A dendrite from left to right with rings across it; depth 1 is no light between them."""
    rings = 1 + depth * np.cos(2 * np.pi * COLUMNS / period_px)
    return rings * np.exp(-0.5 * ((ROWS - 112) / width_px) ** 4)


def confocal_of(image):
    """What a confocal microscope sees of it: 240 nm at 20 nm pixels."""
    return gaussian_filter(image, 12 / 2.3548)


@pytest.mark.parametrize("period", [6, 8, 10, 12])
def test_a_cosine(period):
    """Known in closed form but for the ends: the lag k takes k / 40 off, r(k) ≈ cos(2πk / T)."""
    amplitude = autocorrelation_amplitude(100 + 5 * np.cos(2 * np.pi * POINTS / period))
    assert amplitude == pytest.approx((1 - period / 40) + (1 - period / 80), abs=0.15)


@given(
    st.floats(4, 15),
    st.floats(0, 6),
    st.floats(0, 2),
    st.integers(0, 2**32 - 1),
    st.integers(3, 90),
)
def test_equals_the_definition(period, phase, noise, seed, points):
    x = np.arange(points)
    profile = 50 + 10 * np.cos(2 * np.pi * x / period + phase)
    profile += noise * np.random.default_rng(seed).normal(size=points)
    assert autocorrelation_amplitude(profile) == pytest.approx(slow_amplitude(profile), abs=1e-9)


@given(hnp.arrays(np.float64, st.integers(0, 50), elements=st.integers(0, 40)))
def test_any_counts_give_an_amplitude(profile):
    assert 0 <= autocorrelation_amplitude(profile) < 2


def test_what_does_not_repeat_has_no_amplitude():
    assert autocorrelation_amplitude(np.linspace(0, 9, 40)) == 0.0
    assert autocorrelation_amplitude(np.exp(-0.5 * ((POINTS - 20) / 6) ** 2)) == 0.0


@pytest.mark.parametrize("profile", [np.zeros(0), np.ones(1), np.full(40, 7.0), [1.0, 2.0]])
def test_a_profile_without_contrast_or_length_has_none(profile):
    assert autocorrelation_amplitude(np.array(profile)) == 0.0


def test_rounding_errors_do_not_repeat():
    assert autocorrelation_amplitude(0.1 + 1e-17 * np.cos(POINTS)) == 0.0
    assert autocorrelation_amplitude(1e6 + 1e-10 * np.cos(POINTS)) == 0.0


def test_offset_and_scale_do_not_matter():
    profile = np.random.default_rng(0).poisson(9, 40).astype(float)
    assert autocorrelation_amplitude(7 * profile + 90) == pytest.approx(
        autocorrelation_amplitude(profile)
    )


@pytest.mark.parametrize(
    ("values", "mean"),
    [([3.0], 3.0), ([1.0, 5.0], 3.0), ([9, 1, 2, 3, 100], 14 / 3), ([0, 1, 3, 99], 2.0)],
)
def test_outliers_are_left_out(values, mean):
    assert mean_of_middle_half(values) == pytest.approx(mean)


def test_a_drawn_line_is_read_along_its_profile():
    image = np.random.default_rng(0).poisson(20 * lattice(9.25))
    line = Line(112, 60, 112, 99)
    profile = line_profile(image, line)
    assert profile.size == 40
    assert autocorrelation_of_lines(image, [line]) == autocorrelation_amplitude(profile) > 1


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("period", [8.0, 9.25, 10.0])
def test_automatic_lines_find_the_lattice(period, turn):
    rng = np.random.default_rng(1)
    image = np.rot90(lattice(period), turn)
    lines = filament_lines(rng.poisson(60 * confocal_of(image)))
    assert len(lines) >= 5
    expected = (1 - period / 40) + (1 - period / 80)
    assert autocorrelation_of_lines(rng.poisson(30 * image), lines) == pytest.approx(
        expected, abs=0.2
    )


def test_a_dendrite_without_lattice_has_less():
    rng = np.random.default_rng(2)
    smooth = lattice(9.25, depth=0)
    lines = filament_lines(rng.poisson(60 * confocal_of(smooth)))
    assert autocorrelation_of_lines(rng.poisson(30 * smooth), lines) < 0.3


def test_the_deeper_the_lattice_the_higher():
    rng = np.random.default_rng(3)
    lines = filament_lines(confocal_of(lattice(9.25)))
    values = [
        autocorrelation_of_lines(rng.poisson(20 * lattice(9.25, depth)), lines)
        for depth in (0, 0.3, 0.6, 1)
    ]
    assert values == sorted(values)


def test_a_blurred_real_image_has_less(real_image):
    lines = filament_lines(confocal_of(real_image.astype(float)))
    rng = np.random.default_rng(0)
    if autocorrelation_of_lines(real_image, lines) < 0.2:
        pytest.skip("no lattice: tubulin")
    blurred = rng.poisson(gaussian_filter(real_image.astype(float), 4))
    assert autocorrelation_of_lines(blurred, lines) < 0.6 * autocorrelation_of_lines(
        real_image, lines
    )


@pytest.mark.parametrize(
    ("image", "lines", "reason"),
    [
        (np.zeros((0, 0)), [], "the STED image is empty"),
        (np.full((64, 64), 9), [Line(0, 0, 0, 9)], "the STED image is constant"),
        (np.eye(64), [], "no filament is straight for 40 pixels"),
        (np.eye(64), [Line(0, 0, 0, 9), Line(0, 0, 0, 64)], "a line leaves the image"),
    ],
)
def test_no_line_no_answer(image, lines, reason):
    assert invalid_reason(autocorrelation_of_lines(image, lines)) == reason
