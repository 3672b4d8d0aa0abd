import math

import numpy as np
import pytest

from stedopt_bluesky.objectives import imaging_time_s, light_dose_mJ, light_doses_mJ
from stedopt_bluesky.parameters import Parameter, ParameterSpace

EXCITATION = Parameter("excitation_power_uW", "µW", (0.7, 13.3, 26.8))
DEPLETION = Parameter("depletion_power_mW", "mW", (0.0, 59.1, 360.0))
DWELL = Parameter("dwelltime_us", "µs", (5.0, 20.3))
STEPS = Parameter("line_steps", "", (1.0, 3.0))
FIXED = {
    "excitation_power_uW": 10.1,
    "depletion_power_mW": 150.3,
    "dwelltime_us": 7.7,
    "line_steps": 2.0,
}


def test_known_dose():
    # (20 µW + 100 mW) · 10 µs · 3 lines · 200 · 100 pixels · 2 images = 100.02 mW · 1.2 s
    assert light_dose_mJ(20, 100, 10, 3, (200, 100), 2) == pytest.approx(120.024)
    assert light_dose_mJ(20, 100, 10, 3, (200, 100), 2, 4) == pytest.approx(4 * 120.024)


def test_it_is_power_times_imaging_time():
    dose = light_dose_mJ(0, 1, 12, 2, (30, 40))
    assert dose == pytest.approx(imaging_time_s(12, 2, (30, 40)))  # 1 mW · s = 1 mJ


def test_no_light_or_no_pixels_no_dose():
    assert light_dose_mJ(0, 0, 10, 1, (5, 5)) == 0.0
    assert light_dose_mJ(10, 10, 10, 1, (0, 5)) == 0.0


@pytest.mark.parametrize("wrong", [-1, math.nan, math.inf])
def test_powers_are_finite_and_not_negative(wrong):
    with pytest.raises(ValueError, match="excitation_power_uW must be finite and at least 0"):
        light_dose_mJ(wrong, 1, 1, 1, (2, 2))
    with pytest.raises(ValueError, match="depletion_power_mW must be finite and at least 0"):
        light_dose_mJ(1, wrong, 1, 1, (2, 2))


def test_the_other_factors_are_positive():
    with pytest.raises(ValueError, match="dwelltime_us must be positive"):
        light_dose_mJ(1, 1, 0, 1, (2, 2))
    with pytest.raises(ValueError, match="sted_images must be at least 1, got 0"):
        light_dose_mJ(1, 1, 1, 1, (2, 2), 0)


@pytest.mark.parametrize(
    "parameters",
    [(EXCITATION, DEPLETION, DWELL), (STEPS, DEPLETION), (DWELL,), (EXCITATION, STEPS)],
)
@pytest.mark.parametrize("sted_images", [1, 2])
def test_every_configuration_has_the_dose_of_its_images(parameters, sted_images):
    space = ParameterSpace(parameters)
    doses = light_doses_mJ(space, (30, 40), sted_images=sted_images, **FIXED)
    assert doses.shape == (space.size,)
    for row in range(space.size):
        settings = {**FIXED, **space.configuration(row)}
        expected = light_dose_mJ(**settings, shape=(30, 40), sted_images=sted_images)
        assert doses[row] == expected  # bit for bit: the known column equals the rated value


def test_the_grid_is_left_alone():
    space = ParameterSpace([DEPLETION])
    light_doses_mJ(space, (10, 10), **FIXED)[:] = 0
    assert np.array_equal(space.grid[:, 0], DEPLETION.values)


@pytest.mark.parametrize("missing", ["excitation_power_uW", "depletion_power_mW", "dwelltime_us"])
def test_what_is_not_known_is_an_error(missing):
    known = {name: value for name, value in FIXED.items() if name != missing}
    with pytest.raises(ValueError, match=f"no {missing}"):
        light_doses_mJ(ParameterSpace([STEPS]), (10, 10), **known)
