"""Plain data between the rooms: what is refused, and that it is frozen."""

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest

from stedopt_bluesky.acquisition import (
    CalciumFrames,
    Choice,
    ImageSet,
    Invalid,
    Line,
    Objective,
    Options,
    Region,
    invalid_reason,
)

IMAGE = np.zeros((4, 4), np.int16)
INVALID = Invalid("the image is constant")


def test_an_invalid_value_is_a_nan_that_says_why():
    assert isinstance(INVALID, float)
    assert math.isnan(INVALID)
    assert INVALID.reason == "the image is constant"
    assert repr(INVALID) == "Invalid('the image is constant')"
    assert f"{INVALID:.3g}" == "nan"
    assert type(float(INVALID)) is float
    assert np.isnan(np.array([INVALID, 1.0])).tolist() == [True, False]


@pytest.mark.parametrize(
    "passed_on",
    [
        copy.copy,
        copy.deepcopy,
        lambda values: pickle.loads(pickle.dumps(values)),  # noqa: S301  its own pickle
        lambda values: pickle.loads(pickle.dumps(values, protocol=0)),  # noqa: S301
    ],
)
def test_a_reason_survives_copies(passed_on):
    again = passed_on({"snr": INVALID})["snr"]
    assert type(again) is Invalid
    assert again.reason == INVALID.reason


def test_what_is_computed_from_an_invalid_value_has_no_reason():
    assert math.isnan(INVALID + 1)
    assert type(-INVALID) is float


def test_a_reason_is_needed():
    with pytest.raises(ValueError, match="needs a reason, got ''"):
        Invalid("")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (0.5, ""),
        (np.float64(3), ""),
        (math.inf, ""),
        (math.nan, "invalid"),
        (np.float32("nan"), "invalid"),
        (INVALID, "the image is constant"),
    ],
)
def test_the_reason_of_a_value(value, reason):
    assert invalid_reason(value) == reason


@pytest.mark.parametrize("centre", [(math.nan, 0.0), (0.0, math.inf), (-math.inf, 0.0)])
def test_a_region_is_somewhere(centre):
    with pytest.raises(ValueError, match=r"centre must be finite, got .* µm"):
        Region(*centre, 4.0)


@pytest.mark.parametrize("size", [0.0, -1.0, math.nan, math.inf])
def test_a_region_has_a_size(size):
    with pytest.raises(ValueError, match=r"side must be positive and finite, got .* µm"):
        Region(0.0, 0.0, size)


def test_regions_compare_by_value():
    assert Region(1.0, -2.0, 4.0) == Region(1.0, -2.0, 4.0)
    assert Region(1.0, -2.0, 4.0) != Region(1.0, 2.0, 4.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("end", range(4))
def test_a_line_has_finite_ends(bad, end):
    ends = [0.0, 1.0, 2.0, 3.0]
    ends[end] = bad
    with pytest.raises(ValueError, match=r"ends must be finite, got \(.*\) pixels"):
        Line(*ends)


def test_a_line_has_two_ends():
    with pytest.raises(ValueError, match=r"needs two ends, got \(3, 4\) pixels twice"):
        Line(3, 4, 3, 4)


@pytest.mark.parametrize(
    "shapes", [((4, 4), (2, 4, 4)), ((2, 4, 4), (2, 4, 5)), ((2, 3, 4), (2, 4, 3)), ((), ())]
)
def test_calcium_frames_fit_one_another(shapes):
    with pytest.raises(ValueError, match=r"shape \(T, Y, X\).*got baseline \(.*response \("):
        CalciumFrames(*(np.zeros(shape) for shape in shapes))


def test_the_numbers_of_frames_may_differ():
    assert len(CalciumFrames(np.zeros((25, 4, 6)), np.zeros((75, 4, 6))).response) == 75


def test_what_an_image_set_need_not_have():
    images = ImageSet(IMAGE, (IMAGE,), IMAGE, 20.0, 10.0)
    assert images.lines == ()
    assert images.calcium is None
    assert math.isnan(images.excitation_power_uW)
    assert math.isnan(images.depletion_power_mW)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (Region(0.0, 0.0, 4.0), "x_um"),
        (Line(0.0, 0.0, 1.0, 1.0), "y0"),
        (CalciumFrames(IMAGE[None], IMAGE[None]), "baseline"),
        (Objective("snr", "", "maximise", (0.0, 1.0)), "range"),
        (Choice(3, "expert"), "index"),
        (ImageSet(IMAGE, (IMAGE,), IMAGE, 20.0, 10.0), "sted"),
        (Options(np.zeros((2, 1)), np.zeros((2, 1)), 0, ("snr",), ("x",)), "iteration"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_is_changed_on_its_way(data, field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(data, field, None)


def test_what_holds_arrays_is_equal_to_itself_only():
    """Field by field, ``==`` would ask arrays for a truth value, which they do not have."""
    images = [ImageSet(IMAGE, (IMAGE,), IMAGE, 20.0, 10.0) for _ in range(2)]
    assert images[0] != images[1]
    assert images.index(images[1]) == 1
    clouds = [Options(np.zeros((2, 1)), np.zeros((2, 1)), 0, ("a",), ("x",)) for _ in range(2)]
    assert clouds[0] != clouds[1]
    assert len({*clouds, clouds[0]}) == 2
