"""Checks that all strategies share."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.bandit import KernelTS, RandomPolicy, Strategy
from stedopt_bluesky.bandit.strategy import (
    checked_index,
    checked_objectives,
    checked_seed,
    checked_values,
)
from stedopt_bluesky.parameters import Parameter, ParameterSpace

QUALITY = Objective("quality", "", "maximise", (0, 1))
BLEACHING = Objective("photobleaching", "", "minimise", (0, 1))
TIME = Objective("time_s", "s", "minimise", (0, 5), modelled=False)
ALL = (QUALITY, TIME, BLEACHING)


def test_the_strategies_keep_the_protocol():
    space = ParameterSpace([Parameter("a", "", (0.0, 1.0))])
    assert isinstance(KernelTS(space, ["quality"], 0), Strategy)
    assert isinstance(RandomPolicy(space, ["quality"], 0), Strategy)
    assert not isinstance(space, Strategy)


def test_bare_names_become_objectives():
    bare, kept = checked_objectives(["snr", QUALITY])
    assert (bare.name, bare.noise_bounds, bare.modelled) == ("snr", (0.001, 0.3), True)
    assert kept is QUALITY


@pytest.mark.parametrize("objectives", [[], "quality", [QUALITY, "quality"], [""]])
def test_bad_objectives_are_refused(objectives):
    with pytest.raises(ValueError, match="objectives"):
        checked_objectives(objectives)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5, 9.0, 0.1], (0.5, None, 0.1)),
        (np.array([0.5, np.nan, 0.1]), (0.5, None, 0.1)),
        ((math.nan, 2.0, None), (None, None, None)),
        ({"photobleaching": 0.1, "quality": 1}, (1.0, None, 0.1)),
        ({"photobleaching": None, "time_s": 3.0, "quality": math.nan}, (None, None, None)),
        ([0.5, math.inf, 0.1], (0.5, None, 0.1)),  # a known objective's value is ignored
    ],
)
def test_values_are_put_in_order(values, expected):
    assert checked_values(values, ALL) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5, 1.0], r"expected 3 values, of \['quality', 'time_s', 'photobleaching'\], got 2"),
        ([0.5, 1.0, 0.2, 0.2], "expected 3 values"),
        ({"quality": 0.5}, "expected values of"),
        ({"quality": 0.5, "photobleaching": 0.1, "snr": 3.0}, "expected values of .*'snr'"),
        ([math.inf, 1.0, 0.2], "quality must not be infinite"),
        ({"quality": 0.5, "photobleaching": -math.inf}, "photobleaching must not be infinite"),
        (["good", 1.0, 0.2], "quality must be a number, NaN or None, got 'good'"),
    ],
)
def test_bad_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        checked_values(values, ALL)


def test_index_and_seed():
    assert checked_index(np.int64(4), 5) == 4
    for index in (-1, 5):
        with pytest.raises(IndexError, match=f"configuration {index} is outside 0 … 4"):
            checked_index(index, 5)
    with pytest.raises(TypeError):
        checked_index(1.0, 5)
    assert checked_seed(np.uint8(3)) == 3
    with pytest.raises(ValueError, match="seed must not be negative, got -1"):
        checked_seed(-1)
