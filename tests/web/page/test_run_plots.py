"""Figures of a run: what is drawn is what was measured."""

import json

import numpy as np
import pytest

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.parameters import Parameter, ParameterSpace
from stedopt_bluesky.reports.run_figures import Posterior
from stedopt_bluesky.web.page.run_plots import (
    objectives_plot,
    parameters_plot,
    posterior_plot,
    regret_plot,
)

NAN = float("nan")
SNR = Objective("snr", "", "maximise", (0.0, 2.0))
RESOLUTION = Objective("resolution_nm", "nm", "minimise", (40.0, 200.0))
VALUES = np.array([[0.5, 80.0], [NAN, NAN], [1.0, 60.0]])
UTILITY = np.array([0.25, NAN, 0.75])


def of(figure, axis):
    return [trace for trace in figure["data"] if trace["yaxis"] == axis]


def sendable(figure):
    return json.loads(json.dumps(figure, allow_nan=False)) == figure


def test_objectives_in_rows_with_their_direction_and_the_utility_below():
    figure = objectives_plot([1, 2, 4], [SNR, RESOLUTION], VALUES, UTILITY)
    snr, invalid = of(figure, "y")
    assert (snr["x"], snr["y"]) == ([1, 2, 4], [0.5, None, 1.0])
    assert (invalid["x"], invalid["y"]) == ([2], [0.5])  # at the lower end
    assert of(figure, "y2")[0]["y"] == [80.0, None, 60.0]
    assert of(figure, "y3")[0]["y"] == [0.25, None, 0.75]
    axes = [figure["layout"][name] for name in ("yaxis", "yaxis2", "yaxis3")]
    titles = [axis["title"]["text"] for axis in axes]
    assert titles == ["snr ↑", "resolution<br>(nm) ↓", "utility ↑"]
    tops = [axis["domain"][1] for axis in axes]
    assert tops == sorted(tops, reverse=True)
    assert figure["layout"]["xaxis"]["anchor"] == "y3"
    assert sendable(figure)


def test_of_invalid_images_alone_all_are_marked():
    figure = objectives_plot([1, 2], [SNR], np.full((2, 1), NAN), np.full(2, NAN))
    values, invalid = of(figure, "y")
    assert values["y"] == [None, None]
    assert (invalid["x"], invalid["y"]) == ([1, 2], [0.0, 0.0])
    assert sendable(figure)


def test_before_the_first_image_there_are_rows_already():
    figure = objectives_plot([], [SNR], np.empty((0, 1)), np.empty(0))
    assert all(trace["x"] == trace["y"] == [] for trace in figure["data"])
    assert regret_plot([], np.empty(0))["data"][0]["y"] == []
    assert parameters_plot([], ["dwelltime_us"], np.empty((0, 1)))["data"][0]["y"] == []


def test_parameters_over_the_images():
    values = np.array([[10.0, 5.0], [20.0, 5.0]])
    figure = parameters_plot([1, 2], ["depletion_power_mW", "dwelltime_us"], values)
    assert of(figure, "y")[0]["y"] == [10.0, 20.0]
    assert of(figure, "y2")[0]["y"] == [5.0, 5.0]
    assert figure["layout"]["yaxis"]["title"]["text"] == "depletion power<br>(mW)"
    assert sendable(figure)


def test_regret_sums_up_what_was_missed():
    figure = regret_plot([1, 2, 3], UTILITY)
    assert figure["data"][0]["y"] == [0.5, 1.0, 1.0]  # invalid is as bad as the worst


def test_what_is_sent_has_as_many_digits_as_can_be_seen():
    values = np.array([1 / 3, 12345.678, -2e-9 / 3, 0.0, 1e300, np.inf])
    drawn = parameters_plot(range(6), ["dwelltime_us"], values[:, None])["data"][0]["y"]
    assert drawn == [
        0.333333,
        12345.7,
        pytest.approx(-6.66667e-10),
        0.0,
        pytest.approx(1e300),
        None,
    ]


def test_many_points_are_drawn_by_the_graphics_card():
    many = np.arange(1000.0)
    assert parameters_plot(range(1000), ["x"], many[:, None])["data"][0]["type"] == "scattergl"
    assert regret_plot(range(999), many[:999])["data"][0]["type"] == "scatter"


def test_slices_through_a_configuration():
    space = ParameterSpace(
        [
            Parameter("depletion_power_mW", "mW", (10.0, 20.0, 30.0)),
            Parameter("dwelltime_us", "µs", (5.0, 6.0)),
        ]
    )
    mean = np.arange(12.0).reshape(6, 2)
    posterior = Posterior(space, mean, np.tile([0.5, 0.0], (6, 1)))
    at = space.index([20.0, 6.0])
    figure = posterior_plot(posterior, [SNR, RESOLUTION], at)
    band, line = of(figure, "y")  # snr over the depletion power, at 6 µs
    assert (line["x"], line["y"]) == ([10.0, 20.0, 30.0], mean[[1, 3, 5], 0].tolist())
    assert line["customdata"] == [0.5, 0.5, 0.5]
    assert band["y"] == [*(mean[[1, 3, 5], 0] + 1), *(mean[[5, 3, 1], 0] - 1)]
    assert band["x"] == [10.0, 20.0, 30.0, 30.0, 20.0, 10.0]
    assert of(figure, "y4")[1]["y"] == mean[[2, 3], 1].tolist()  # resolution over the dwelltime
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [20.0, 20.0, 6.0, 6.0]
    assert figure["layout"]["yaxis4"]["matches"] == "y3"
    assert figure["layout"]["xaxis4"]["title"]["text"] == "dwelltime (µs)"
    assert sendable(figure)
