"""What a browser is given to show is the image, pixel by pixel."""

import base64
import io

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from stedopt_bluesky.web.page.pictures import blended, picture


def pixels(uri):
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))


def test_each_pixel_has_the_colour_of_its_count():
    drawn = pixels(picture(np.array([[0, 5], [10, 20]]), 10.0))
    hot = (colormaps["hot"]([0, 127, 255, 255]) * 255).astype(int).reshape(2, 2, 4)
    assert np.abs(drawn.astype(int) - hot).max() <= 1


def test_what_is_not_known_is_transparent():
    drawn = pixels(picture(np.array([[np.nan, 1.0]]), 1.0, "viridis"))
    assert drawn[0, 0, 3] == 0
    assert drawn[0, 1, 3] == 255


def test_a_scale_need_not_begin_at_nothing():
    drawn = pixels(picture(np.array([[-4.0, -2.0]]), -2.0, "gray", low=-4.0))
    assert drawn[0, :, 0].tolist() == [0, 255]


def test_a_mask_is_laid_over_in_part():
    image, mask = np.full((2, 2), 10), np.array([[True, False], [False, False]])
    drawn = pixels(blended(image, 10.0, mask, (0, 100, 200), share=0.5))
    assert drawn[1, 1].tolist() == [255, 255, 255, 255]
    assert drawn[0, 0].tolist() == pytest.approx([127, 177, 227, 255], abs=1)
