"""The picture of a cloud: which objectives, and that what is marked is there."""

import io

import numpy as np
import pytest
from PIL import Image

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.reports.cloud_picture import cloud_png, shown_objectives


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("snr",), ("snr", "snr", "snr")),
        (("snr", "imaging_time_s"), ("snr", "snr", "imaging_time_s")),
        (("a", "b", "imaging_time_s"), ("a", "b", "imaging_time_s")),
        (("imaging_time_s", "a", "b", "c"), ("a", "b", "imaging_time_s")),
        (("a", "b", "c"), ("a", "b", "c")),
    ],
)
def test_two_objectives_and_the_time_are_shown(names, shown):
    assert shown_objectives(names) == shown


def drawn(suggested=None, imaged=(), numbered=(), objectives=2):
    values = np.random.default_rng(0).random((50, objectives))
    values[7] = np.nan
    names = tuple("abc"[:objectives])
    options = Options(values, values[:, :1], 0, names, ("dwelltime_us",), imaged=imaged)
    made = [Objective(name, "", "minimise", (0.0, 1.0)) for name in names]
    return cloud_png(options, made, numbered, suggested)


def test_marks_are_seen_and_the_picture_is_small():
    plain = drawn()
    seen = {drawn(suggested=3), drawn(imaged=(1, 2)), drawn(numbered=[1, 2, 7]), plain}
    assert len(seen) == 4
    with Image.open(io.BytesIO(plain)) as picture:
        assert picture.size == (600, 380)
    assert len(plain) < 60_000


@pytest.mark.parametrize("objectives", [1, 3])
def test_of_one_and_of_three_objectives(objectives):
    assert drawn(suggested=3, numbered=[3], objectives=objectives).startswith(b"\x89PNG")
