"""Percent to power and back, and nothing beyond what was measured."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.imspector.calibration import PowerCalibration

# Concave, as acousto-optic modulators are, and not from zero.
MEASURED = PowerCalibration((0.0, 10.0, 50.0, 100.0), (0.5, 20.0, 60.0, 80.0), "mW")


def increasing(low, high):
    """Two to six numbers at least a thousandth of the range apart."""
    return st.lists(st.integers(0, 1000), min_size=2, max_size=6, unique=True).map(
        lambda steps: tuple(low + (high - low) * step / 1000 for step in sorted(steps))
    )


calibrations = st.tuples(increasing(0, 100), increasing(0, 400)).map(
    lambda axes: PowerCalibration(
        *(axis[: min(map(len, axes))] for axis in axes),
        "mW",
    )
)


@pytest.mark.parametrize(
    ("percent", "power"), [(0.0, 0.5), (10.0, 20.0), (5.0, 10.25), (30.0, 40.0), (100.0, 80.0)]
)
def test_straight_lines_join_the_measured_points(percent, power):
    assert MEASURED.to_power(percent) == pytest.approx(power)
    assert MEASURED.to_percent(power) == pytest.approx(percent)


@given(calibrations, st.floats(0, 1))
def test_each_way_undoes_the_other(calibration, share):
    low, high = calibration.power[0], calibration.power[-1]
    power = min(low + share * (high - low), high)
    percent = calibration.to_percent(power)
    assert type(percent) is float
    assert calibration.percent[0] <= percent <= calibration.percent[-1]
    assert calibration.to_power(percent) == pytest.approx(power, rel=1e-9, abs=1e-9)


@given(calibrations, st.floats(0, 1), st.floats(0, 1))
def test_more_power_needs_more_percent(calibration, a, b):
    low, high = calibration.power[0], calibration.power[-1]
    weak, strong = (min(low + share * (high - low), high) for share in sorted((a, b)))
    assert calibration.to_percent(weak) <= calibration.to_percent(strong) + 1e-9


@pytest.mark.parametrize("power", [0.49, 80.01, -1.0, math.inf, -math.inf, math.nan])
def test_nothing_is_extrapolated(power):
    with pytest.raises(ValueError, match=r" mW is outside the calibration, 0.5 to 80 mW$"):
        MEASURED.to_percent(power)


@pytest.mark.parametrize("percent", [-0.1, 100.1, math.inf, math.nan])
def test_no_setting_outside(percent):
    with pytest.raises(ValueError, match=r" % is outside the calibration, 0 to 100 %$"):
        MEASURED.to_power(percent)


@pytest.mark.parametrize(
    ("percent", "power", "says"),
    [
        ((0.0,), (0.0,), r"at least two points, as many percents \(1\) as powers \(1\)"),
        ((0.0, 100.0), (0.0,), r"percents \(2\) as powers \(1\)"),
        ((0.0, 50.0, 50.0), (0.0, 1.0, 2.0), "percent must increase strictly"),
        ((0.0, 100.0), (5.0, 5.0), r"power must increase strictly, got \[5.0, 5.0\]"),
        ((0.0, 100.0), (0.0, math.nan), "power must increase strictly"),
        ((0.0, math.inf), (0.0, 1.0), "percent must increase strictly"),
    ],
)
def test_points_that_make_no_calibration(percent, power, says):
    with pytest.raises(ValueError, match=says):
        PowerCalibration(percent, power, "mW")
