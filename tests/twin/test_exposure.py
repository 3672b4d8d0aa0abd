"""What may be asked of the twin's scanner, and how long it takes."""

from __future__ import annotations

import math

import pytest

from stedopt_bluesky.twin.exposure import Exposure, Optics, scan_time_s

GOOD = {
    "x_m": 0.0,
    "y_m": 0.0,
    "pixel_size_m": 20e-9,
    "shape": (10, 20),
    "dwelltime_s": 1e-5,
    "line_steps": 3,
    "excitation_W": 5e-6,
    "depletion_W": 0.1,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x_m", math.nan),
        ("y_m", math.inf),
        ("pixel_size_m", 0.0),
        ("pixel_size_m", -1e-9),
        ("dwelltime_s", 0.0),
        ("dwelltime_s", math.nan),
        ("line_steps", 0),
        ("excitation_W", -1e-9),
        ("depletion_W", math.nan),
        ("depletion_W", 1e300),
        ("shape", (0, 5)),
        ("shape", (5, 9000)),
        ("shape", (5,)),
    ],
)
def test_impossible_exposure_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{name} must"):
        Exposure(**{**GOOD, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("confocal_fwhm_m", 0.0),
        ("saturation_rate_per_s", 0.0),
        ("pedestal", 1.5),
        ("dark_rate_per_s", -1.0),
        ("detection_efficiency", math.nan),
    ],
)
def test_impossible_optics_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name} must"):
        Optics(**{name: value})


def test_scan_time_counts_pixels_passes_and_flybacks() -> None:
    # 10 lines × 3 passes × (20 pixels × 10 µs + 0.2 ms) = 30 × 0.4 ms
    assert scan_time_s(Exposure(**GOOD)) == pytest.approx(12e-3)


def test_time_on_pixel_adds_up_the_passes() -> None:
    assert Exposure(**GOOD).time_on_pixel_s == pytest.approx(30e-6)
