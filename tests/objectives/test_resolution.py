import math
from itertools import pairwise

import numpy as np
import pytest

from stedopt_bluesky.objectives import decorrelation_curves, resolution_nm
from stedopt_bluesky.objectives.resolution import CAP_NM, outermost_peak

PIXEL_NM = 20.0


def slow_decorrelation(image, radius, sigma=None):
    """Compute d(r) from its definition: the image against its own phases, within a disc."""
    height, width = image.shape
    image = image / np.abs(image).max()
    image = image - image.mean()
    ramp = 0.5 * (1 - np.cos(np.pi * (np.arange(20) + 0.5) / 20))
    fade = [np.r_[ramp, np.ones(side - 40), ramp[::-1]] for side in (height, width)]
    spectrum = np.fft.fft2(image * fade[0][:, None] * fade[1][None, :])
    k = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]) / 0.5
    if sigma is not None:  # the image minus its Gaussian blur
        spectrum *= 1 - np.exp(-0.5 * (sigma * 2 * np.pi * k / 2) ** 2)
    spectrum[k >= 1] = 0
    phases = np.zeros_like(spectrum)
    phases[spectrum != 0] = spectrum[spectrum != 0] / np.abs(spectrum[spectrum != 0])
    phases[k >= radius] = 0
    overlap = np.sum(spectrum * phases.conj()).real
    return overlap / math.sqrt(np.sum(np.abs(spectrum) ** 2) * np.sum(np.abs(phases) ** 2))


@pytest.mark.parametrize("column", [0, 9, 79, 159])
def test_the_unfiltered_curve_is_the_definition(points_image, column):
    image = points_image(5, 30, size=160).astype(float)
    radius = (column + 1) / 160
    assert decorrelation_curves(image)[0, column] == pytest.approx(
        slow_decorrelation(image, radius), rel=1e-9
    )


@pytest.mark.parametrize("row", [1, 20, 30, 40])
@pytest.mark.parametrize("column", [39, 99])
def test_the_filtered_curves_are_the_definition(points_image, row, column):
    image = points_image(5, 30, size=160).astype(float)
    sigma = 40 * (0.15 / 40) ** ((row - 1) / 39)  # a quarter of the side down to 0.15 px
    assert decorrelation_curves(image)[row, column] == pytest.approx(
        slow_decorrelation(image, (column + 1) / 160, sigma), rel=1e-3
    )


@pytest.mark.parametrize(
    ("curves", "radius"),
    [
        ([[0.1, 0.5, 0.3, 0.2]], 0.5),
        ([[0.1, 0.2, 0.3, 0.4]], 0.0),  # rises to the end: noise
        ([[0.1, 0.5, 0.3, 0.49]], 0.5),  # rises again, but less high
        ([[0.1, 0.5, 0.3, 0.51]], 0.5),  # rises again, higher, to the end
        ([[0.1, 0.5, 0.4999, 0.4998]], 0.0),  # a drop that means nothing
        ([[0.01, 0.04, 0.02, 0.01]], 0.0),  # a peak that means nothing
        ([[0.1, 0.5, 0.3, 0.2], [0.1, 0.2, 0.3, 0.2]], 0.75),  # the outermost of all curves
        ([[0.1, 0.5, 0.3, 0.2], [0.1, 0.2, 0.3, 0.4]], 0.5),
    ],
)
def test_outermost_peak(curves, radius):
    assert outermost_peak(np.array(curves)) == radius


def test_curves_are_correlations(points_image):
    curves = decorrelation_curves(points_image(5, 30, size=100))
    assert curves.shape == (41, 100)
    assert (curves >= 0).all()
    assert (curves <= 1 + 1e-12).all()


@pytest.mark.parametrize("fwhm", [3, 4, 6, 9, 12])
@pytest.mark.parametrize("photons", [None, 100])
def test_known_width(points_image, fwhm, photons):
    # nanopyx 2.1.5 on such images: 4.03, 5.97 and 9.95 px for a width of 4, 6 and 9 px.
    image = points_image(fwhm, photons)
    assert resolution_nm(image, PIXEL_NM) == pytest.approx(fwhm * PIXEL_NM, rel=0.12)


@pytest.mark.parametrize("fwhm", [4, 6, 9])
@pytest.mark.parametrize("photons", [30, 10])
def test_known_width_with_few_photons(points_image, fwhm, photons):
    values = [resolution_nm(points_image(fwhm, photons, seed=s), PIXEL_NM) for s in range(8)]
    assert np.median(values) == pytest.approx(fwhm * PIXEL_NM, rel=0.25)
    assert np.std(values) < 20  # the registry's upper noise bound, nm


@pytest.mark.parametrize("photons", [None, 300])
def test_wider_is_worse(points_image, photons):
    values = [resolution_nm(points_image(w, photons), PIXEL_NM) for w in (3, 4, 5, 6, 8, 10, 12)]
    assert all(b > a for a, b in pairwise(values))


def test_nanometres_scale_with_the_pixel(points_image):
    image = points_image(5, 100)
    assert resolution_nm(image, 30.0) == pytest.approx(1.5 * resolution_nm(image, 20.0))


def test_offset_and_scale_do_not_matter(points_image):
    image = points_image(5, 100)
    assert resolution_nm(4 * image + 500, PIXEL_NM) == pytest.approx(
        resolution_nm(image, PIXEL_NM), rel=1e-6
    )


@pytest.mark.parametrize("shape", [(150, 224), (224, 131), (97, 97)])
def test_an_image_that_is_not_square(points_image, shape):
    image = points_image(5, 300)[: shape[0], : shape[1]]
    assert resolution_nm(image, PIXEL_NM) == pytest.approx(100, rel=0.12)


def test_never_above_the_cap_nor_below_two_pixels(points_image):
    assert resolution_nm(points_image(30), PIXEL_NM) == CAP_NM
    assert resolution_nm(points_image(0.1), PIXEL_NM) >= 2 * PIXEL_NM


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mean", [0.1, 10, 1000])
def test_noise_is_not_resolution(seed, mean):
    noise = np.random.default_rng(seed).poisson(mean, (224, 224))
    assert resolution_nm(noise, PIXEL_NM) == CAP_NM


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 0)),
        np.ones((1, 1)),
        np.eye(31),
        np.zeros((64, 64)),
        np.full((64, 64), 0.1),
        np.where(np.eye(64) > 0, np.nan, 1.0),
    ],
)
def test_no_curve_no_answer(image):
    assert decorrelation_curves(image) is None
    assert math.isnan(resolution_nm(image, PIXEL_NM))


@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf])
def test_the_pixel_size_must_be_positive_and_finite(wrong):
    with pytest.raises(ValueError, match="pixel_size_nm must be positive"):
        resolution_nm(np.eye(64), wrong)
