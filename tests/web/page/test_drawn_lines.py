"""Lines that a person draws: as the figure has them, and what they show."""

import math

import numpy as np
import pytest

from stedopt_bluesky.acquisition import Line
from stedopt_bluesky.web.page.drawn_lines import line_in_words, lines_of, profile_figure
from stedopt_bluesky.web.page.images_figure import STED, images_figure

PIXEL_NM = 20.0


@pytest.fixture
def images():
    return dict.fromkeys(("confocal 1", STED, "confocal 2"), np.ones((64, 96)))


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
