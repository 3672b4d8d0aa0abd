"""Photophysics against closed forms, Poisson statistics and invariants."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import center_of_mass
from scipy.optimize import curve_fit

from stedopt_bluesky.twin.exposure import Exposure, Optics
from stedopt_bluesky.twin.fluorophores import FLUOROPHORES
from stedopt_bluesky.twin.photophysics import (
    background_rate_per_s,
    bleaching_dose,
    bleaching_rate_per_s,
    centre_brightness,
    detected_rate_per_s,
    effective_fwhm_m,
    excitation_probability,
    expose,
    molecular_rate_per_s,
)
from stedopt_bluesky.twin.samples import Sample, make_sample

DYE = FLUOROPHORES["STAR635P"]
OPTICS = Optics()
POWERS_W = {"excitation": st.floats(0.65e-6, 26.8e-6), "depletion": st.floats(0, 0.36)}


def exposure(**changes: object) -> Exposure:
    settings_of_a_good_image = {
        "x_m": 0.0,
        "y_m": 0.0,
        "pixel_size_m": 20e-9,
        "shape": (64, 64),
        "dwelltime_s": 20e-6,
        "line_steps": 1,
        "excitation_W": 8e-6,
        "depletion_W": 0.15,
    }
    return Exposure(**{**settings_of_a_good_image, **changes})  # type: ignore[arg-type]


def uniform(per_pixel: float, pixels: int = 200) -> Sample:
    return Sample("uniform", "none", np.full((pixels, pixels), per_pixel, np.float32), 20e-9)


def seed(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


@pytest.mark.parametrize("depletion_mW", [0, 20, 50, 100, 150, 300, 360])
@pytest.mark.parametrize("pixel_nm", [20.0, 17.0])
@pytest.mark.parametrize("offset_nm", [0.0, 7.3])
def test_a_point_is_as_wide_as_the_closed_form(
    depletion_mW: int, pixel_nm: float, offset_nm: float
) -> None:
    density = np.zeros((101, 101), np.float32)
    density[50, 50] = 3e4
    plan = exposure(
        depletion_W=depletion_mW / 1e3,
        shape=(61, 61),
        x_m=offset_nm * 1e-9,
        pixel_size_m=pixel_nm * 1e-9,
    )
    no_dead_time = dataclasses.replace(OPTICS, saturation_rate_per_s=1e15)
    image = expose(Sample("point", "point", density, 20e-9), plan, DYE, no_dead_time, seed())
    r = (np.arange(61) - 30) * pixel_nm

    def gaussian(r: np.ndarray, a: float, x: float, fwhm: float, b: float) -> np.ndarray:
        return a * np.exp(-4 * math.log(2) * ((r - x) / fwhm) ** 2) + b

    start = (float(image.max()), -offset_nm, 100.0, 1.0)
    (_, centre, fwhm, _), _ = curve_fit(gaussian, r, image[30].astype(float), start)
    expected = 220 / math.sqrt(1 + depletion_mW / 19.5)  # Harke et al. 2008
    assert abs(fwhm) == pytest.approx(expected, rel=0.02)
    assert centre == pytest.approx(-offset_nm, abs=2)


def test_counts_of_a_uniform_sample_are_the_closed_form_with_poisson_noise() -> None:
    plan = exposure(dwelltime_s=5e-6, line_steps=4, depletion_W=0.0, excitation_W=2e-6)
    optics = dataclasses.replace(OPTICS, saturation_rate_per_s=1e15)
    dye = dataclasses.replace(DYE, bleaching_excitation_per_s=0.0)
    image = expose(uniform(2.0), plan, dye, optics, seed()).astype(float)
    # molecules under a Gaussian of FWHM 220 nm: 2 per (20 nm)² × its area
    molecules = 2.0 * math.pi / (4 * math.log(2)) * (220 / 20) ** 2
    excited = 1 - math.exp(-2 / 69)
    signal = molecules * 40e6 * excited * 0.90 * 0.01
    background = 500 + 1500 + 8e8 * 2e-6
    expected = (signal + background) * 20e-6
    n = image.size
    # 5 standard errors; the beam cut at 4 sigma and the pixel sum cost less than 1e-3.
    assert image.mean() == pytest.approx(
        expected, abs=5 * math.sqrt(expected / n) + 1e-3 * expected
    )
    assert image.var() == pytest.approx(expected, rel=5 * math.sqrt(2 / n))


def test_without_light_there_are_dark_counts_only() -> None:
    sample = uniform(10.0)
    image = expose(sample, exposure(excitation_W=0.0, depletion_W=0.0), DYE, OPTICS, seed())
    expected = (500 + 1500) * 20e-6
    assert image.mean() == pytest.approx(expected, abs=5 * math.sqrt(expected / image.size))
    assert (sample.survival == 1).all()


def test_depletion_alone_neither_excites_nor_bleaches() -> None:
    sample = uniform(10.0)
    image = expose(sample, exposure(excitation_W=0.0), DYE, OPTICS, seed())
    expected = (2000 + 1.5e5 * 0.15) * 20e-6
    assert image.mean() == pytest.approx(expected, abs=5 * math.sqrt(expected / image.size))
    assert (sample.survival == 1).all()


def test_survival_is_the_exponential_of_the_dose_inside_and_one_outside() -> None:
    sample = uniform(1.0, 201)
    plan = exposure(shape=(81, 81), x_m=0.4e-6)
    expose(sample, plan, DYE, OPTICS, seed())
    # rate × time on a pixel × pixels per focal area
    dose = bleaching_rate_per_s(8e-6, 0.15, DYE) * 20e-6 * math.pi / (4 * math.log(2)) * 121
    assert sample.survival[100, 120] == pytest.approx(math.exp(-dose), rel=1e-4)
    assert sample.survival[100, 120 + 35] == pytest.approx(math.exp(-dose), rel=0.05)
    edge = sample.survival[100, 120 + 40 : 120 + 42].mean()  # 40.5 pixels to the right
    assert edge == pytest.approx(math.exp(-dose / 2), rel=0.01)
    assert (sample.survival[:, :50] == 1).all()
    assert (sample.survival[:30] == 1).all()


@given(
    excitation=POWERS_W["excitation"],
    depletion=POWERS_W["depletion"],
    dwelltime=st.floats(5e-6, 100e-6),
    times=st.integers(1, 4),
)
@settings(max_examples=25, deadline=None)
def test_exposures_compound(
    excitation: float, depletion: float, dwelltime: float, times: int
) -> None:
    plan = exposure(
        excitation_W=excitation, depletion_W=depletion, dwelltime_s=dwelltime, shape=(20, 20)
    )
    again, long = uniform(1.0, 60), uniform(1.0, 60)
    for _ in range(times):
        expose(again, plan, DYE, OPTICS, seed())
    expose(long, dataclasses.replace(plan, line_steps=times), DYE, OPTICS, seed())
    np.testing.assert_allclose(again.survival, long.survival, rtol=1e-4, atol=1e-6)
    assert again.survival.min() >= 0
    assert again.survival.max() <= 1


def test_a_region_imaged_twice_is_dimmer_by_its_photobleaching() -> None:
    sample, plan = uniform(3.0), exposure()
    first, second = (expose(sample, plan, DYE, OPTICS, seed(n)).mean() for n in (1, 2))
    background = background_rate_per_s(8e-6, 0.15, OPTICS) * 20e-6
    survival = math.exp(-bleaching_dose(plan, DYE, OPTICS))
    # the middle of a 64-pixel field is even; its border of a beam's width is brighter
    assert (second - background) / (first - background) == pytest.approx(survival, abs=0.05)


def test_the_signal_fades_while_it_is_taken() -> None:
    plan = exposure(excitation_W=20e-6, dwelltime_s=50e-6, shape=(40, 40))
    stable = dataclasses.replace(DYE, bleaching_excitation_per_s=0, bleaching_depletion_per_s=0)
    optics = dataclasses.replace(OPTICS, saturation_rate_per_s=1e15)
    fading = expose(uniform(3.0), plan, DYE, optics, seed())[15:25, 15:25].mean()
    steady = expose(uniform(3.0), plan, stable, optics, seed())[15:25, 15:25].mean()
    dose = bleaching_dose(plan, DYE, OPTICS)
    assert dose > 1
    background = background_rate_per_s(20e-6, 0.15, OPTICS) * 50e-6
    ratio = (fading - background) / (steady - background)
    assert ratio == pytest.approx((1 - math.exp(-dose)) / dose, rel=0.03)


@given(
    low=st.floats(0, 1, exclude_max=True),
    high=st.floats(0, 1),
    excitation=POWERS_W["excitation"],
    depletion=POWERS_W["depletion"],
)
@settings(max_examples=200, deadline=None)
def test_more_power_is_more_of_everything_but_width(
    low: float, high: float, excitation: float, depletion: float
) -> None:
    low, high = sorted((low, high))
    excitations, depletions = (26.8e-6 * low, 26.8e-6 * high), (0.36 * low, 0.36 * high)
    weak, strong = (excitation_probability(p, DYE) for p in excitations)
    assert 0 <= weak <= strong < 1
    weak, strong = (bleaching_rate_per_s(p, depletion, DYE) for p in excitations)
    assert 0 <= weak <= strong
    weak, strong = (bleaching_rate_per_s(excitation, p, DYE) for p in depletions)
    assert 0 < weak <= strong
    wide, narrow = (effective_fwhm_m(p, DYE, OPTICS) for p in depletions)
    assert wide >= narrow > 0
    bright, dim = (centre_brightness(p, DYE, OPTICS) for p in depletions)
    assert 1 >= bright >= dim > 0


@given(st.floats(0, 1e12))
def test_dead_time_holds_the_count_rate_below_its_limit(rate: float) -> None:
    detected = float(detected_rate_per_s(rate, OPTICS))
    assert 0 <= detected <= min(rate, 40e6)


def test_half_of_the_light_is_lost_at_the_saturation_rate() -> None:
    assert float(detected_rate_per_s(40e6, OPTICS)) == pytest.approx(20e6)


def test_molecular_rate_is_within_reach_of_real_dyes() -> None:
    # Some 10 to 100 thousand counts per second and molecule, as fluorescence correlation sees.
    assert 1e4 < molecular_rate_per_s(10e-6, 0.0, DYE, OPTICS) < 1e5


def test_counts_saturate_at_int16_and_never_wrap() -> None:
    plan = exposure(dwelltime_s=1.0, line_steps=1000, excitation_W=1.0, depletion_W=0.0)
    image = expose(uniform(1e6), plan, DYE, OPTICS, seed())
    assert image.dtype == np.int16
    assert (image == 32767).all()


@pytest.mark.parametrize(("x_um", "y_um"), [(50, 0), (0, -50), (-50, 50)])
def test_beside_the_sample_there_is_background_only(x_um: float, y_um: float) -> None:
    sample = uniform(10.0)
    plan = exposure(x_m=x_um * 1e-6, y_m=y_um * 1e-6)
    image = expose(sample, plan, DYE, OPTICS, seed())
    expected = background_rate_per_s(8e-6, 0.15, OPTICS) * 20e-6
    assert image.mean() == pytest.approx(expected, abs=5 * math.sqrt(expected / image.size))
    assert (sample.survival == 1).all()


def test_y_is_rows_and_x_is_columns() -> None:
    density = np.zeros((100, 100), np.float32)
    density[70, 40] = 5e3  # 20.5 pixels down, 9.5 pixels to the left of the centre
    sample = Sample("point", "point", density, 20e-9)

    def spot(plan: Exposure) -> tuple[float, float]:
        image = expose(sample, plan, DYE, OPTICS, seed())
        assert image.shape == (60, 40)
        return center_of_mass(image > image.max() / 2)

    assert spot(exposure(shape=(60, 40))) == pytest.approx((50, 10), abs=0.3)
    shifted = exposure(shape=(60, 40), x_m=-100e-9, y_m=200e-9)
    assert spot(shifted) == pytest.approx((40, 15), abs=0.3)


def test_same_seed_same_bits() -> None:
    images = [
        expose(make_sample("actin", 3, 5e-6), exposure(), DYE, OPTICS, seed(9)) for _ in range(2)
    ]
    np.testing.assert_array_equal(*images)
    other = expose(make_sample("actin", 3, 5e-6), exposure(), DYE, OPTICS, seed(10))
    assert not np.array_equal(images[0], other)


def test_the_grid_of_the_paper_holds_a_trade_off() -> None:
    """Too little light shows nothing, too much bleaches, and in between both are bearable."""

    def taken(excitation_uW: float, depletion_mW: float, dwell_us: float) -> tuple[int, float]:
        sample = make_sample("actin", 1, 6e-6)
        plan = exposure(
            excitation_W=excitation_uW * 1e-6,
            depletion_W=depletion_mW * 1e-3,
            dwelltime_s=dwell_us * 1e-6,
            shape=(224, 224),
        )
        peak = int(expose(sample, plan, DYE, OPTICS, seed()).max())
        return peak, 1 - float(sample.survival[150, 150])

    peak, bleached = taken(0.65, 360, 5)
    assert peak < 8
    assert bleached < 0.02
    peak, bleached = taken(8, 150, 20)
    assert 20 < peak < 200
    assert 0.1 < bleached < 0.4
    assert taken(26.8, 360, 100)[1] > 0.95
