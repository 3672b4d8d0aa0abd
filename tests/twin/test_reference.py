"""The rating by the truth: what an ideal image, a blurred and a noisy one get."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from stedopt_bluesky.twin.reference import resolved_detail, structure_window
from stedopt_bluesky.twin.samples import make_sample

PIXEL_M = 20e-9
SIDE = 128


@pytest.fixture(scope="module")
def structure():
    return structure_window(make_sample("actin", 3, 8e-6), 0.0, 0.0, (SIDE, SIDE), PIXEL_M)


@pytest.fixture(scope="module")
def ideal(structure):
    margin = (len(structure) - SIDE) // 2
    return structure[margin:-margin, margin:-margin]


def test_the_window_has_the_region_in_its_middle():
    sample = make_sample("tubulin", 1, 8e-6)
    window = structure_window(sample, 0.4e-6, -0.6e-6, (40, 60), PIXEL_M)
    margin = (window.shape[0] - 40) // 2
    assert window.shape == (40 + 2 * margin, 60 + 2 * margin)
    inner = sample.window(0.4e-6, -0.6e-6, (40, 60), PIXEL_M)
    np.testing.assert_allclose(window[margin:-margin, margin:-margin], inner, atol=1e-4)
    # A confocal focus of 220 nm reaches 4 standard deviations, 374 nm, into the margin.
    assert margin * PIXEL_M >= 4 * 220e-9 / 2.3548


def test_the_structure_itself_resolves_all_of_it(structure, ideal):
    # At the border the image lacks what lies outside.
    assert resolved_detail(ideal, structure, PIXEL_M) > 0.97


def test_an_image_of_something_else_resolves_nothing(structure, ideal):
    rng = np.random.default_rng(0)
    assert resolved_detail(rng.poisson(5, (SIDE, SIDE)), structure, PIXEL_M) < 0.02
    assert resolved_detail(-ideal, structure, PIXEL_M) == 0.0
    assert resolved_detail(np.full((SIDE, SIDE), 7), structure, PIXEL_M) == 0.0


def test_blur_lowers_it_down_to_a_confocal_image(structure, ideal):
    seen = [resolved_detail(gaussian_filter(ideal, sigma), structure, PIXEL_M)
            for sigma in (0.5, 1, 1.5, 2, 3, 4.7)]  # fmt: skip
    assert seen == sorted(seen, reverse=True)
    assert seen[1] > 0.8  # FWHM of 47 nm
    assert seen[-1] < 0.2  # FWHM of 221 nm, confocal


def test_fewer_photons_lower_it(structure, ideal):
    rng = np.random.default_rng(1)
    sharp = gaussian_filter(ideal, 1.5) / gaussian_filter(ideal, 1.5).max()
    seen = [resolved_detail(rng.poisson(sharp * peak), structure, PIXEL_M)
            for peak in (300, 30, 10, 3, 1, 0.3)]  # fmt: skip
    assert seen == sorted(seen, reverse=True)
    assert seen[0] > 0.6 > seen[-1]


@given(st.floats(0.01, 1e3), st.floats(-50, 1e3))
@settings(deadline=None, max_examples=20)
def test_neither_brightness_nor_an_even_background_matters(structure, ideal, gain, offset):
    image = gaussian_filter(ideal, 2.0)
    expected = resolved_detail(image, structure, PIXEL_M)
    assert resolved_detail(gain * image + offset, structure, PIXEL_M) == pytest.approx(
        expected, abs=1e-6
    )


def test_without_structure_there_is_nothing_to_rate():
    structure = np.zeros((SIDE + 40, SIDE + 40))
    assert np.isnan(resolved_detail(np.ones((SIDE, SIDE)), structure, PIXEL_M))
