import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from stedopt_bluesky.acquisition import Line, invalid_reason
from stedopt_bluesky.objectives import cross_lines, fit_gaussian, fwhm_nm
from stedopt_bluesky.objectives.fwhm import FWHM_PER_SIGMA, GaussianFit

PIXEL_NM = 20.0
ROWS, COLUMNS = np.mgrid[:224, :224].astype(float)
X = np.arange(31.0)


def gaussian(x, amplitude, offset, centre, sigma):
    return amplitude * np.exp(-0.5 * ((x - centre) / sigma) ** 2) + offset


def filaments(fwhm_px, angle=0.3, spacing=50):
    """Parallel filaments with a Gaussian profile across them."""
    across = ROWS * math.cos(angle) - COLUMNS * math.sin(angle) + 500
    distance = (across + spacing / 2) % spacing - spacing / 2
    return np.exp(-0.5 * (distance * FWHM_PER_SIGMA / fwhm_px) ** 2)


def drawn_lines(angle=0.3, spacing=50):
    """Lines of 31 px, as a person would draw them across these filaments."""
    across = ROWS * math.cos(angle) - COLUMNS * math.sin(angle) + 500
    near = np.abs((across + spacing / 2) % spacing - spacing / 2) < 0.5
    inside = (np.abs(ROWS - 112) < 80) & (np.abs(COLUMNS - 112) < 80)
    centres = np.argwhere(near & inside)[::120]
    half = 15 * np.array([math.cos(angle), -math.sin(angle)])
    return [Line(*(c - half), *(c + half)) for c in centres.astype(float)]


@given(
    st.floats(0.5, 1000), st.floats(-50, 500), st.floats(10, 20), st.floats(0.9, 6), st.booleans()
)
@settings(deadline=None)
def test_an_exact_gaussian_is_found_exactly(amplitude, offset, centre, sigma, upwards):
    fit = fit_gaussian(gaussian(X, amplitude if upwards else -amplitude, offset, centre, sigma))
    if upwards:
        assert fit.amplitude == pytest.approx(amplitude, rel=1e-3)
        assert fit.offset == pytest.approx(offset, abs=2e-3 * amplitude)
        assert fit.centre_px == pytest.approx(centre, abs=1e-3)
        assert fit.sigma_px == pytest.approx(sigma, rel=1e-3)
        assert fit.explained == pytest.approx(1, abs=1e-5)
    else:
        assert fit is None or not fit.is_good(31)


@pytest.mark.parametrize("seed", range(10))
def test_equals_scipys_curve_fit(seed):
    y = np.random.default_rng(seed).poisson(gaussian(X, 20, 2, 14, 2.5))
    best, _ = curve_fit(gaussian, X, y, (20, 2, 14, 2.5))
    fit = fit_gaussian(y.astype(float))
    found = (fit.amplitude, fit.offset, fit.centre_px, fit.sigma_px)
    np.testing.assert_allclose(found, best, rtol=1e-2)


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"amplitude": -10.0}, False),
        ({"centre_px": 6.0}, False),
        ({"centre_px": 8.0}, True),
        ({"sigma_px": 0.8}, False),  # 1.9 px wide
        ({"sigma_px": 6.7}, False),  # 15.8 of 31 px wide
        ({"explained": 0.79}, False),
    ],
)
def test_which_fits_are_good(changes, good):
    fit = {"amplitude": 9.0, "offset": 1.0, "centre_px": 15.0, "sigma_px": 2.0, "explained": 0.9}
    assert GaussianFit(**(fit | changes)).is_good(31) == good


@pytest.mark.parametrize("profile", [np.zeros(0), np.ones(31), np.array([0.0, 1, 2, 1])])
def test_what_cannot_be_fitted(profile):
    assert fit_gaussian(profile) is None


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1e4))
@settings(deadline=None)
def test_any_counts_can_be_tried(seed, mean):
    fit = fit_gaussian(np.random.default_rng(seed).poisson(mean, 31).astype(float))
    assert fit is None or math.isfinite(fit.sigma_px)


def widened(fwhm_px):
    """Linear interpolation between pixels adds 1/6 px² to the variance, on average."""
    return FWHM_PER_SIGMA * math.sqrt((fwhm_px / FWHM_PER_SIGMA) ** 2 + 1 / 6)


@pytest.mark.parametrize("fwhm", [3, 4, 6, 9, 12])
def test_known_width_on_drawn_lines(fwhm):
    value = fwhm_nm(100 * filaments(fwhm), drawn_lines(), PIXEL_NM)
    assert value == pytest.approx(PIXEL_NM * widened(fwhm), rel=0.03)


@pytest.mark.parametrize("fwhm", [3, 4, 6, 9])
@pytest.mark.parametrize("angle", [0.0, 0.3, 1.2])
@pytest.mark.parametrize("photons", [100, 20])
def test_known_width_on_automatic_lines(fwhm, angle, photons):
    image = np.random.default_rng(0).poisson(photons * filaments(fwhm, angle) + 0.5)
    value = fwhm_nm(image.astype(np.int16), cross_lines(image), PIXEL_NM)
    assert value == pytest.approx(PIXEL_NM * widened(fwhm), rel=0.1)


def test_repeated_images_scatter_by_less_than_the_noise_bound():
    rng = np.random.default_rng(0)
    images = [rng.poisson(20 * filaments(4) + 0.5) for _ in range(10)]
    assert np.std([fwhm_nm(i, cross_lines(i), PIXEL_NM) for i in images]) < 5  # nm


def test_lines_on_nothing_do_not_matter():
    image = np.random.default_rng(0).poisson(50 * filaments(4))
    lines = drawn_lines()
    astray = [Line(y, 1, y, 12) for y in range(20, 20 + 5 * len(lines), 5)]
    assert fwhm_nm(image, lines + astray, PIXEL_NM) == pytest.approx(
        fwhm_nm(image, lines, PIXEL_NM), rel=0.05
    )


def test_nanometres_scale_with_the_pixel():
    image = 50 * filaments(4)
    assert fwhm_nm(image, drawn_lines(), 30.0) == 1.5 * fwhm_nm(image, drawn_lines(), 20.0)


@pytest.mark.parametrize("seed", range(5))
def test_noise_has_no_width(seed):
    noise = np.random.default_rng(seed).poisson(5, (224, 224))
    assert "good fit" in invalid_reason(fwhm_nm(noise, cross_lines(noise), PIXEL_NM))


@pytest.mark.parametrize(
    ("image", "lines", "reason"),
    [
        (np.zeros((0, 0)), [], "the STED image is empty"),
        (np.full((64, 64), 9), [Line(0, 0, 0, 9)], "the STED image is constant"),
        (np.eye(64), [], "no filament stands by itself"),
        (np.eye(64), [Line(0, 0, 0, 9), Line(0, 0, 0, 64)], "a line leaves the image"),
        (
            filaments(4),
            drawn_lines()[:2],
            "2 of 2 line profiles have a good fit, 3 are needed",
        ),
    ],
)
def test_no_answer(image, lines, reason):
    assert invalid_reason(fwhm_nm(image, lines, PIXEL_NM)) == reason


@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf])
def test_the_pixel_size_must_be_positive_and_finite(wrong):
    with pytest.raises(ValueError, match="pixel_size_nm must be positive"):
        fwhm_nm(np.eye(64), [], wrong)
