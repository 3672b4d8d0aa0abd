"""Generated biology has the periods and sizes of the real one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from stedopt_bluesky.twin.structures import actin, curved_path, deposit, pores, synapses, tubulin

PIXEL_M = 20e-9


def radial_spectrum(image: np.ndarray, pixel_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean power by spatial frequency (1/m)."""
    power = np.abs(np.fft.fft2(image - image.mean())) ** 2
    f = np.fft.fftfreq(len(image), pixel_m)
    radius = np.round(np.hypot(*np.meshgrid(f, f)) * len(image) * pixel_m).astype(int)
    sums = np.bincount(radius.ravel(), power.ravel())
    return np.arange(len(sums)) / (len(image) * pixel_m), sums / np.bincount(radius.ravel())


@pytest.mark.parametrize("seed", range(5))
def test_actin_repeats_every_180_to_190_nm(seed: int) -> None:
    pixels = 1000  # 20 µm: rings of all directions, one ring in the power spectrum
    frequency, power = radial_spectrum(actin(np.random.default_rng(seed), pixels, PIXEL_M), PIXEL_M)
    band = (frequency > 1 / 250e-9) & (frequency < 1 / 130e-9)
    peak = frequency[band][np.argmax(power[band])]
    assert 178e-9 < 1 / peak < 192e-9
    beside = np.median(power[band])
    assert power[band].max() > 2 * beside


def test_tubulin_has_no_such_period() -> None:
    frequency, power = radial_spectrum(tubulin(np.random.default_rng(0), 1000, PIXEL_M), PIXEL_M)
    band = (frequency > 1 / 210e-9) & (frequency < 1 / 165e-9)
    assert power[band].max() < 1.5 * np.median(power[band])


@pytest.mark.parametrize("seed", range(3))
def test_puncta_are_small_and_far_between(seed: int) -> None:
    density = synapses(np.random.default_rng(seed), 1000, PIXEL_M)
    seen = gaussian_filter(density, 0.22e-6 / 2.355 / PIXEL_M)  # as a confocal microscope sees it
    assert 0.002 < (seen > seen.max() / 5).mean() < 0.15


def test_pores_are_rings_of_107_nm() -> None:
    """The mean image around a pore's centre, over angles, is brightest 53.5 nm from it."""
    pixel_m = 5e-9
    density = pores(np.random.default_rng(2), 1200, pixel_m)
    # Autocorrelation of rings of diameter d: corners of one pore are at most d apart.
    spectrum = np.abs(np.fft.fft2(density - density.mean())) ** 2
    correlation = np.fft.ifft2(spectrum).real
    f = np.fft.fftfreq(len(density), 1 / (len(density) * pixel_m))
    distance = np.hypot(*np.meshgrid(f, f))
    within, beyond = (
        (distance > a) & (distance < b) for a, b in ((70e-9, 112e-9), (135e-9, 180e-9))
    )
    assert correlation[within].mean() > 3 * abs(correlation[beyond].mean())


@pytest.mark.parametrize("generate", [actin, tubulin, synapses, pores])
@pytest.mark.parametrize("pixels", [1, 7, 300])
def test_maps_of_any_size_hold_whole_fluorophores(generate, pixels: int) -> None:  # type: ignore[no-untyped-def]
    density = generate(np.random.default_rng(1), pixels, PIXEL_M)
    assert density.shape == (pixels, pixels)
    assert density.dtype == np.float32
    assert density.min() >= 0
    np.testing.assert_array_equal(density, np.round(density))


def test_paths_cross_the_field_in_steps_of_equal_length() -> None:
    path = curved_path(np.random.default_rng(3), 20e-6, 0.1e-6, 0.1e6)
    steps = np.hypot(np.diff(path.x_m), np.diff(path.y_m))
    np.testing.assert_allclose(steps, 0.1e-6, rtol=1e-6)
    assert steps.sum() > 1.4 * 20e-6
    near = path.within(20e-6, 0.0)
    assert 0 < near.x_m.size < path.x_m.size
    assert np.abs(near.x_m).max() < 10e-6


def test_curvature_is_as_asked() -> None:
    path = curved_path(np.random.default_rng(5), 2e-3, 0.1e-6, 0.15e6)
    curvature = np.diff(path.heading) / 0.1e-6
    assert curvature.std() == pytest.approx(0.15e6, rel=0.1)


def test_deposit_counts_points_and_drops_what_is_outside() -> None:
    density = np.zeros((4, 4), np.float32)
    x = np.array([-39e-9, -39e-9, 39e-9, 41e-9, np.float64(0.0)])
    y = np.array([-39e-9, -39e-9, 39e-9, 0.0, -41e-9])
    deposit(density, (x, y), PIXEL_M)
    assert density[0, 0] == 2
    assert density[3, 3] == 1
    assert density.sum() == 3
