"""Panels, scales and lines of what a person rates."""

import json
import math

import numpy as np
import pytest

from stedopt_bluesky.acquisition import Line
from stedopt_bluesky.web.page.rate_figures import (
    STED,
    images_figure,
    line_in_words,
    lines_of,
    profile_figure,
)

PIXEL_NM = 20.0


@pytest.fixture
def images():
    """Confocal images four times as bright as the STED image; 1.28 µm high, 1.92 µm wide."""
    faint = np.tile(np.arange(96) % 10, (64, 1))
    return {"confocal 1": 4 * faint, STED: faint, "confocal 2": 4 * faint}


def highs(figure):
    return [trace["marker"]["cmax"] for trace in figure["data"]]


def test_each_image_has_its_scale_or_all_have_one(images):
    assert highs(images_figure(images, PIXEL_NM)) == [36, 9, 36]
    assert highs(images_figure(images, PIXEL_NM, one_scale=True)) == [36, 36, 36]


def test_axes_are_micrometres_and_zoom_together(images):
    layout = images_figure(images, PIXEL_NM)["layout"]
    assert layout["xaxis"]["range"] == [0, pytest.approx(1.92)]
    assert layout["yaxis2"]["range"] == [pytest.approx(1.28), 0]
    assert (layout["xaxis2"]["matches"], layout["yaxis3"]["matches"]) == ("x", "y")
    assert [i["xref"] for i in layout["images"]] == ["x1", "x2", "x3"] or [
        i["xref"] for i in layout["images"]
    ] == ["x", "x2", "x3"]
    bars = [s for s in layout["shapes"] if s["name"] == "scale"]
    assert [bar["x1"] - bar["x0"] for bar in bars] == [pytest.approx(0.5)] * 3
    assert sum(a["text"] == "0.5 µm" for a in layout["annotations"]) == 3


def test_panels_stand_in_rows(images):
    further = {f"orange {title}": image for title, image in images.items()}
    scales = dict.fromkeys([*images, *further], 50.0)
    figure = images_figure({**images, **further}, PIXEL_NM, columns=3, scales=scales)
    assert highs(figure) == [50] * 6
    layout = figure["layout"]
    assert layout["xaxis"]["domain"] == layout["xaxis4"]["domain"]
    assert layout["yaxis4"]["domain"][1] < layout["yaxis"]["domain"][0]
    bars = [trace["marker"]["colorbar"]["y"] for trace in figure["data"]]
    assert bars[0] == bars[2] > bars[3]


def test_a_map_is_a_further_panel(images):
    figure = images_figure(images, PIXEL_NM, score_map=np.full((64, 96), np.nan))
    assert highs(figure)[3] == 1.0
    assert len(figure["layout"]["images"]) == 4
    json.dumps(figure, allow_nan=False)


def test_lines_come_back_as_they_were_drawn(images):
    lines = (Line(3.0, 4.0, 40.0, 50.5), Line(10.0, 0.0, 10.0, 20.0))
    figure = images_figure(images, PIXEL_NM, lines=lines)
    drawn = [[s["xref"], s["x0"], s["y0"], s["x1"], s["y1"]]
             for s in figure["layout"]["shapes"] if s.get("name") != "scale"]  # fmt: skip
    assert {entry[0] for entry in drawn} == {"x2"}
    back = lines_of(drawn, "x2", (64, 96), PIXEL_NM)
    for line, again in zip(lines, back, strict=True):
        ends = [(getattr(a, e) for e in ("y0", "x0", "y1", "x1")) for a in (line, again)]
        assert list(ends[0]) == pytest.approx(list(ends[1]))


@pytest.mark.parametrize(
    "drawn",
    [
        ["x", 0.1, 0.1, 0.5, 0.5],  # on another image
        ["x2", 0.1, 0.1, 0.1, 0.1],  # a point
        ["x2", None, 0.1, 0.5, 0.5],
        ["x2", math.nan, 0.1, 0.5, 0.5],
        ["x2", 5.0, 5.0, 9.0, 9.0],  # beside the image: a point when it is cut off
        ["x2", 0.1],
        "x2",
    ],
)
def test_what_is_no_line_is_left_out(drawn):
    assert lines_of([drawn], "x2", (64, 96), PIXEL_NM) == ()


def test_a_line_is_cut_off_at_the_outermost_pixels():
    (line,) = lines_of([["x2", -1.0, 0.5, 9.0, 0.5]], "x2", (64, 96), PIXEL_NM)
    assert (line.x0, line.x1) == (0.0, 95.0)


def test_a_profile_is_over_nanometres():
    image = np.tile(np.arange(64.0), (64, 1))
    figure = profile_figure(image, [Line(5.0, 10.0, 5.0, 20.0)], PIXEL_NM)
    (trace,) = figure["data"]
    assert trace["x"] == pytest.approx(np.arange(11) * PIXEL_NM)
    assert trace["y"] == pytest.approx(np.arange(10, 21))


def test_a_width_by_hand_is_that_of_the_filament():
    x = np.arange(64)
    image = np.tile(100 * np.exp(-4 * np.log(2) * ((x - 32) / 5.0) ** 2), (64, 1))
    words = line_in_words(image, Line(30.0, 20.0, 30.0, 44.0), PIXEL_NM)
    assert words == "FWHM 100 nm, autocorrelation 0.00, 0.48 µm long"
    assert line_in_words(np.ones((64, 64)), Line(0, 0, 0, 20), PIXEL_NM).startswith("FWHM none")
