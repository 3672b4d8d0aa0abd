"""The twin's parameter trees: defaults, ranges, what follows from what."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.twin.instrument import LASERS
from stedopt_bluesky.twin.parameters import (
    couple,
    hardware_parameters,
    measurement_parameters,
    steps_total,
)
from stedopt_bluesky.twin.value_tree import ParameterTree

X = "ExpControl/scan/range/x"
CHANNEL = "ExpControl/measurement/channels/0"


@pytest.fixture
def tree():
    return make()


def make():
    return ParameterTree(measurement_parameters(LASERS, ["Ch1"]), couple)


def test_the_defaults_agree_with_their_own_rules():
    tree = make()
    before = tree.get("")
    tree.set("", before)
    assert tree.get("") == before


def test_lasers_are_named_alike_everywhere(tree):
    ids = [laser.id for laser in LASERS]
    hardware = hardware_parameters(LASERS)["ExpControl"]["devices"]["lasers"]["lasers"]
    for lasers in (
        tree.get(f"{CHANNEL}/lasers"),
        tree.get("ExpControl/measurement/lasers"),
        hardware,
    ):
        assert [laser["id"] for laser in lasers] == ids
    used = [laser["power"]["calibration_used"] for laser in tree.get(f"{CHANNEL}/lasers")]
    assert used == [laser["power_ctrl"]["calib_name"] for laser in hardware]
    assert used[5:] == ["Exc_640", "STED_775"]


@given(st.floats(1e-9, 1e-6), st.floats(1e-6, 1e-4), st.booleans())
def test_pixel_size_and_length_give_the_pixels(psz, length, psz_first):
    tree = make()
    changes = [("psz", psz), ("len", length)]
    for key, value in changes if psz_first else changes[::-1]:
        tree.set(f"{X}/{key}", value)
    x = tree.get(X)
    assert (x["psz"], x["len"]) == (psz, length)
    assert x["res"] == x["res_used"] >= 1
    # The nearest whole number of pixels; a rounding error of the quotient aside.
    assert abs(length / psz - x["res"]) <= 0.5 + 1e-6


@given(st.integers(1, 5000))
def test_pixels_give_the_length(res):
    tree = make()
    tree.set(f"{X}/res", res)
    x = tree.get(X)
    assert x["psz"] == 2e-8
    assert x["len"] == pytest.approx(res * 2e-8)


@pytest.mark.parametrize(("length", "res"), [(1e-6, 50), (1.009e-6, 50), (1.011e-6, 51)])
def test_rounding(tree, length, res):
    tree.set(f"{X}/len", length)
    assert tree.get(f"{X}/res") == res


def test_one_axis_leaves_the_other(tree):
    tree.set(f"{X}/psz", 5e-8)
    assert tree.get("ExpControl/scan/range/y/psz") == 2e-8


def test_derived_parameters_cannot_be_set(tree):
    tree.set("ExpControl/measurement/line_steps", {"total": 77, "step_duration": [3] * 8})
    assert tree.get("ExpControl/measurement/line_steps/total") == 3
    tree.set(f"{X}/res_used", 7)
    assert tree.get(f"{X}/res_used") == tree.get(f"{X}/res")


def test_steps_total():
    steps = {
        "repetitions": 2,
        "step_active": [True, False, True],
        "step_duration": [3, 100, 4],
    }
    assert steps_total(steps) == 14


def test_the_stage_is_where_coarse_says(tree):
    tree.set("ExpControl/scan/range/coarse_y/g_off", 2e-3)
    assert tree.get("OlympusIX/stage/pos_y") == 2e-3


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{X}/psz", 0.0),
        (f"{X}/psz", -2e-8),
        (f"{X}/len", 0.0),
        (f"{X}/len", 0.9e-8),
        (f"{X}/res", 0),
        (f"{CHANNEL}/lasers/5/power/calibrated", -0.1),
        (f"{CHANNEL}/lasers/5/power/calibrated", 100.1),
        ("ExpControl/measurement/lasers/0/power/calibrated", 200.0),
        (f"{CHANNEL}/gating/width", 0.0),
        (f"{CHANNEL}/gating/delay", -1e-9),
        (f"{CHANNEL}/rescue/LTh_num_times", 5),
        (f"{CHANNEL}/rescue/LTh_num_times", -1),
        ("ExpControl/measurement/pixel_steps/step_duration", [0.0] + [1e-5] * 7),
        ("ExpControl/measurement/line_steps/step_duration/3", 0),
        ("ExpControl/measurement/line_steps/repetitions", 0),
        ("Pinhole/pinhole_size", 0.0),
    ],
)
def test_out_of_range_is_refused_and_changes_nothing(tree, path, value):
    before = tree.get("")
    name = path.split("/")[-1]
    with pytest.raises(RuntimeError, match=name):
        tree.set(path, value)
    assert tree.get("") == before


@given(st.floats(0, 100))
def test_every_percentage_is_accepted(percent):
    tree = make()
    tree.set(f"{CHANNEL}/lasers/6/power/calibrated", percent)
    assert math.isclose(tree.get(f"{CHANNEL}/lasers/6/power/calibrated"), percent)
