"""What is drawn of a cloud, and what a click means."""

import dataclasses
import json

import numpy as np
import pytest

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.web.page.cloud_figure import (
    View,
    at_same_place,
    cloud_figure,
    in_words,
    next_towards,
    selection,
)

SNR = Objective("snr", "", "maximise", (0.0, 2.0))
RESOLUTION = Objective("resolution_nm", "nm", "minimise", (40.0, 200.0))
TIME = Objective("imaging_time_s", "s", "minimise", (0.0, 9.0))
ALL = (SNR, TIME, RESOLUTION)
VALUES = [
    [1.0, 3.0, 80.0],
    [0.5, 1.0, 60.0],
    [0.5, 2.0, 60.0],  # worse than the one before, and at its place
    [np.nan, np.nan, np.nan],
    [0.4, np.nan, 70.0],
]


@pytest.fixture
def options():
    grid = np.array([[10.0, 5.0], [20.0, 5.0], [30.0, 5.0], [40.0, 5.0], [50.0, 5.0]])
    names = ("snr", "imaging_time_s", "resolution_nm")
    return Options(np.array(VALUES), grid, 7, names, ("depletion_power_mW", "dwelltime_us"), (0, 3))


def rows(figure):
    return {trace["name"]: trace["customdata"] for trace in figure["data"]}


def test_the_first_two_are_axes_and_the_time_is_the_colour():
    assert View.of(["snr", "imaging_time_s", "resolution_nm"]) == View(
        "snr", "resolution_nm", "imaging_time_s"
    )
    assert View.of(["snr", "quality", "fwhm_nm"]) == View("snr", "quality", "fwhm_nm")
    assert View.of(["snr"]) == View("snr", "snr", "snr")
    assert View.of(["imaging_time_s"]) == View(*["imaging_time_s"] * 3)
    assert str(View("snr", "resolution_nm", "quality")) == "x snr, y resolution_nm, colour quality"


def test_all_on_offer_and_those_that_stand_out(options):
    figure = cloud_figure(options, ALL, View.of(options.objectives), suggested=1, selected=2)
    assert rows(figure) == {
        "options": [0, 1, 2, 4],
        "none is better": [0, 1],
        "imaged before": [0],
        "suggested": [1],
        "selected": [2],
    }
    points = figure["data"][0]
    assert points["x"] == [1.0, 0.5, 0.5, 0.4]
    assert points["y"] == [80.0, 60.0, 60.0, 70.0]
    assert points["marker"]["color"] == [3.0, 1.0, 2.0, 0.0]
    assert figure["layout"]["xaxis"]["title"]["text"] == "snr ↑"
    assert figure["layout"]["yaxis"]["title"]["text"] == "resolution (nm) ↓"
    json.dumps(figure, allow_nan=False)


def test_without_a_suggestion_nothing_is_marked(options):
    figure = cloud_figure(options, ALL, View("resolution_nm", "imaging_time_s", "snr"))
    assert rows(figure)["suggested"] == rows(figure)["selected"] == []
    assert rows(figure)["options"] == [0, 1, 2]  # the last one's time is not known


def test_zoom_stays_until_the_question_or_an_axis_is_another(options):
    def revision(view, iteration=7):
        asked = dataclasses.replace(options, iteration=iteration)
        return cloud_figure(asked, ALL, view)["layout"]["uirevision"]

    view, other = View.of(options.objectives), View("snr", "snr", "snr")
    assert revision(view) == revision(view)
    assert len({revision(view), revision(other), revision(view, 8)}) == 3


def test_a_selection_changes_the_last_trace_alone(options):
    view = View.of(options.objectives)
    assert selection(options, view, 4) == (
        {"x": [[0.4]], "y": [[70.0]], "customdata": [[4]]},
        [4],
    )
    assert selection(options, view, None)[0] == {"x": [[]], "y": [[]], "customdata": [[]]}
    traces = cloud_figure(options, ALL, view)["data"]
    assert traces[4]["name"] == "selected"
    assert len(traces) == 5


def test_a_click_means_all_that_lie_there(options):
    view = View.of(options.objectives)
    assert list(at_same_place(options, view, 2)) == [1, 2]
    assert list(at_same_place(options, view, 0)) == [0]
    assert list(at_same_place(options, View("snr", "imaging_time_s", "snr"), 2)) == [2]


def test_an_option_in_words(options):
    assert in_words(options, ALL, 0) == (
        "depletion power 10 mW, dwelltime 5 µs: snr 1 ↑, imaging time 3 s ↓, resolution 80 nm ↓"
    )


def test_an_option_and_what_is_expected_of_it(options):
    mean, std = np.full((5, 3), 1.5), np.tile([0.25, 0.0, 12.34], (5, 1))
    assert in_words(options, ALL, 0, (mean, std)) == (
        "depletion power 10 mW, dwelltime 5 µs: snr 1 ↑ (expected 1.5 ± 0.25), imaging time 3 s ↓, "
        "resolution 80 nm ↓ (expected 1.5 ± 12)"
    )


@pytest.mark.parametrize(
    ("right", "up", "expected"), [(1, 0, 2), (-1, 0, 1), (0, 1, 3), (0, -1, None)]
)
def test_the_nearest_to_one_side(right, up, expected):
    """Each axis scaled to its extent: 10 nm and a signal-to-noise ratio of 0.2 are as near."""
    places = np.array([[1.0, 100.0], [0.7, 110.0], [1.3, 110.0], [1.1, 120.0], [2.0, 200.0]])
    places = np.vstack([places, [np.nan, 105.0], [0.0, 100.0], [1.0, 100.0]])
    options = Options(places, places[:, :1], 0, ("snr", "resolution_nm"), ("dwelltime_us",))
    view = View("snr", "resolution_nm", "snr")
    assert next_towards(options, view, 0, right, up) == expected
