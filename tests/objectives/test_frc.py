import itertools
import math

import diplib
import numpy as np
import pytest

from stedopt_bluesky.objectives import fourier_ring_correlation, frc_curve


def slow_curve(image):
    """FRC of a square image by loops over whole spectra, from the definition."""
    side = image.shape[0] // 2 * 2
    image = image[:side, :side].astype(float)
    image = image - image.mean()
    parts = [image[y::2, x::2] for y, x in itertools.product((0, 1), repeat=2)]
    n = side // 2
    hann = np.sin(np.pi * np.arange(n) / n) ** 2
    spectra = [np.fft.fft2(p * hann[:, None] * hann[None, :]) for p in parts]
    k = np.fft.fftfreq(n) * n
    radius = np.sqrt(k[:, None] ** 2 + k[None, :] ** 2) * (n // 2) / (n / 2)
    correlation, threshold, frequency = [], [], []
    for ring in range(n // 2):
        mask = (radius >= ring) & (radius < ring + 1)
        pairs = []
        for a, b in itertools.combinations([spectrum[mask] for spectrum in spectra], 2):
            norm = math.sqrt(np.sum(np.abs(a) ** 2) * np.sum(np.abs(b) ** 2))
            pairs.append(np.sum(a * np.conj(b)).real / norm)
        correlation.append(np.mean(pairs))
        threshold.append(3 / math.sqrt(mask.sum() / 2))
        frequency.append(radius[mask].mean() / (n // 2))
    smooth = [
        [np.mean(c[max(0, i - 3) : i + 4]) for i in range(len(c))] for c in (correlation, threshold)
    ]
    return np.array(smooth[0]), np.array(smooth[1]), np.array(frequency)


def slow_crossing(correlation, threshold, frequency):
    """First fall below the threshold, by walking along the curve."""
    been_above = False
    for i in range(len(correlation)):
        above = correlation[i] > threshold[i]
        if been_above and not above:
            x = frequency[i - 1 : i + 1]
            y = (correlation - threshold)[i - 1 : i + 1]
            return x[0] - y[0] * (x[1] - x[0]) / (y[1] - y[0])
        been_above = been_above or above
    return 1.0 if been_above else 0.0


def diplibs_correlation(a, b):
    """Fourier ring correlation of two images by DIPlib, as the package frc 0.1.1 computes it.

    DIPlib's rings are floor rings, each one Fourier pixel wide. That package itself asks for
    numpy 1.
    """
    spectra = [diplib.FourierTransform(diplib.Image(image)) for image in (a, b)]
    cross = diplib.RadialSum(spectra[0] * diplib.Conjugate(spectra[1]), None)
    power = [np.array(diplib.RadialSum(diplib.SquareModulus(s), None)) for s in spectra]
    return np.real(cross)[: len(a) // 2] / np.sqrt(power[0] * power[1])[: len(a) // 2]


def band_limited(cutoff, shape=(224, 224)):
    """Random field with all frequencies up to ``cutoff`` of the *split* images' Nyquist."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.fft2(rng.normal(size=shape))
    ky, kx = (np.fft.fftfreq(side) for side in shape)
    # Split images have twice the pixel, so half the Nyquist frequency: 0.25 cycles per pixel.
    spectrum[np.hypot(ky[:, None], kx) > 0.25 * cutoff] = 0
    field = np.fft.ifft2(spectrum).real
    return field / field.std()


@pytest.mark.parametrize("size", [32, 63, 64, 130])
@pytest.mark.parametrize("fwhm", [2, 6])
def test_equals_the_definition(points_image, size, fwhm):
    image = points_image(fwhm, 50, size=size)
    correlation, threshold, frequency = slow_curve(image)
    curve = frc_curve(image)
    np.testing.assert_allclose(curve.correlation, correlation, atol=1e-10)
    np.testing.assert_allclose(curve.threshold, threshold)
    np.testing.assert_allclose(curve.frequency, frequency, atol=1e-15)
    assert fourier_ring_correlation(image) == pytest.approx(
        slow_crossing(correlation, threshold, frequency)
    )


@pytest.mark.parametrize("size", [64, 128, 224])
def test_equals_diplib(points_image, size):
    image = points_image(4, 50, size=size).astype(float)
    hann = np.sin(np.pi * np.arange(size // 2) / (size // 2)) ** 2
    parts = [
        (image - image.mean())[y::2, x::2] * np.outer(hann, hann) for y in (0, 1) for x in (0, 1)
    ]
    pairs = [diplibs_correlation(a, b) for a, b in itertools.combinations(parts, 2)]
    mean = np.mean(pairs, axis=0)
    smooth = [np.mean(mean[max(0, i - 3) : i + 4]) for i in range(len(mean))]
    np.testing.assert_allclose(frc_curve(image).correlation, smooth, atol=1e-5)  # float32 inside


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mean", [0.1, 10, 1000])
def test_noise_has_no_structure(seed, mean):
    assert fourier_ring_correlation(np.random.default_rng(seed).poisson(mean, (224, 224))) < 0.05


@pytest.mark.parametrize("cutoff", [0.2, 0.35, 0.5, 0.7])
def test_a_low_pass_is_found_at_its_cutoff(cutoff):
    noise = np.random.default_rng(1).normal(size=(224, 224))
    # Smoothing over 7 of 56 rings moves the crossing by up to half of that.
    assert fourier_ring_correlation(band_limited(cutoff) + 0.1 * noise) == pytest.approx(
        cutoff, abs=3.5 / 56
    )


def test_structure_up_to_nyquist_and_no_noise():
    assert fourier_ring_correlation(band_limited(1.0)) == 1.0


def test_more_noise_less_correlation(points_image):
    values = [fourier_ring_correlation(points_image(4, photons)) for photons in (1000, 30, 3, 0.3)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1] + 0.3


def test_offset_and_scale_do_not_matter(points_image):
    image = points_image(4, 20)
    assert fourier_ring_correlation(3 * image + 1000) == pytest.approx(
        fourier_ring_correlation(image), abs=1e-9
    )


@pytest.mark.parametrize("shape", [(300, 150), (140, 256), (151, 301)])
def test_an_image_that_is_not_square(shape):
    noise = np.random.default_rng(2).normal(size=shape)
    value = fourier_ring_correlation(band_limited(0.4, shape) + 0.1 * noise)
    assert value == pytest.approx(0.4, abs=3.5 / (min(shape) // 4))


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
    assert frc_curve(image) is None
    assert math.isnan(fourier_ring_correlation(image))


def test_rounding_errors_are_not_structure():
    # One coarse wave, each pixel twice along both axes: the split images are equal, down to the
    # rounding errors at all higher frequencies.
    wave = np.cos(2 * np.pi * np.arange(64) * 10 / 64)[:, None] * np.ones(64)
    assert fourier_ring_correlation(np.kron(wave, np.ones((2, 2)))) < 0.6


def test_a_chess_board_does_not_correlate_rounding_errors():
    # Each split image is constant: what is left of it is float64's rounding.
    assert fourier_ring_correlation(np.indices((64, 64)).sum(axis=0) % 2) == 0.0
