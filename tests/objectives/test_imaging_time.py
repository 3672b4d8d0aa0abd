import math

import numpy as np
import pytest

from stedopt_bluesky.objectives import imaging_time_s, imaging_times_s
from stedopt_bluesky.parameters import Parameter, ParameterSpace

POWER = Parameter("depletion_power_mW", "mW", (0.0, 50.0, 100.0))
DWELL = Parameter("dwelltime_us", "µs", (5.0, 20.0))
STEPS = Parameter("line_steps", "", (1.0, 3.0))


def test_known_time():
    # 10 µs · 3 lines · 200 · 100 pixels
    assert imaging_time_s(10, 3, (200, 100)) == pytest.approx(0.6)
    assert imaging_time_s(10, 3, (200, 100), 5) == pytest.approx(3.0)


def test_no_pixels_no_time():
    assert imaging_time_s(10, 1, (0, 5)) == 0.0


@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf])
def test_factors_must_be_positive_and_finite(wrong):
    with pytest.raises(ValueError, match="dwelltime_us must be positive"):
        imaging_time_s(wrong, 1, (2, 2))
    with pytest.raises(ValueError, match="line_steps must be positive"):
        imaging_time_s(1, wrong, (2, 2))
    with pytest.raises(ValueError, match="frames must be positive"):
        imaging_time_s(1, 1, (2, 2), wrong)


@pytest.mark.parametrize(
    "parameters", [(POWER, DWELL), (DWELL, POWER, STEPS), (STEPS, POWER), (POWER,)]
)
def test_every_configuration_has_the_time_of_its_image(parameters):
    space = ParameterSpace(parameters)
    fixed = {"dwelltime_us": 7.0, "line_steps": 2.0}
    times = imaging_times_s(space, (30, 40), **fixed)
    assert times.shape == (space.size,)
    for row in range(space.size):
        settings = {**fixed, **space.configuration(row)}
        expected = imaging_time_s(settings["dwelltime_us"], settings["line_steps"], (30, 40))
        assert times[row] == expected  # bit for bit: the known axis equals the rated value


@pytest.mark.parametrize("left_out", ["pixel_size_nm", "region_size_um", None])
def test_sizes_and_frames_of_the_grid_are_those_of_each_image(left_out):
    parameters = {
        "pixel_size_nm": Parameter("pixel_size_nm", "nm", (20.0, 27.0, 33.3)),
        "region_size_um": Parameter("region_size_um", "µm", (1.0, 2.56)),
        "frames": Parameter("frames", "frames", (1.0, 3.0)),
    }
    space = ParameterSpace([p for name, p in parameters.items() if name != left_out])
    fixed = {"pixel_size_nm": 25.0, "region_size_um": 2.0}
    times = imaging_times_s(space, (9, 9), dwelltime_us=7.0, line_steps=2, **fixed)
    for row in range(space.size):
        settings = {**fixed, **space.configuration(row)}
        pixels = round(settings["region_size_um"] * 1000 / settings["pixel_size_nm"])
        expected = imaging_time_s(7.0, 2, (pixels, pixels), settings["frames"])
        assert times[row] == expected


def test_the_other_size_must_be_known():
    space = ParameterSpace([Parameter("pixel_size_nm", "nm", (20.0, 30.0))])
    with pytest.raises(ValueError, match="no region_size_um"):
        imaging_times_s(space, (9, 9), dwelltime_us=7.0)


def test_the_grid_is_left_alone():
    space = ParameterSpace([DWELL])
    times = imaging_times_s(space, (10, 10))
    times[:] = 0
    assert np.array_equal(space.grid[:, 0], [5.0, 20.0])


def test_an_unknown_dwelltime_is_an_error():
    with pytest.raises(ValueError, match="no dwelltime_us"):
        imaging_times_s(ParameterSpace([POWER]), (10, 10))


def test_a_grid_with_a_dwelltime_of_zero_is_an_error():
    zero = Parameter("dwelltime_us", "µs", (0.0, 1.0))
    with pytest.raises(ValueError, match="dwelltime_us must be positive and finite, got 0"):
        imaging_times_s(ParameterSpace([zero]), (10, 10))
