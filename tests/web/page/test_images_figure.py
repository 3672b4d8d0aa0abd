"""Panels and scales of images side by side."""

import json

import numpy as np
import pytest

from stedopt_bluesky.web.page.images_figure import STED, images_figure

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
