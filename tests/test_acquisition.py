"""Plain data between the rooms: what is refused, and that it is frozen."""

import dataclasses
import math

import numpy as np
import pytest

from stedopt_bluesky.acquisition import Choice, ImageSet, Objective, Options, Region

IMAGE = np.zeros((4, 4), np.int16)


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


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (Region(0.0, 0.0, 4.0), "x_um"),
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
