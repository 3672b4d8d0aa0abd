"""The images of a region as one picture."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from stedopt_bluesky.web.page.image_picture import data_uri, image_picture

NAMES = ("confocal1", "sted1", "confocal2")


def images(*names):
    rng = np.random.default_rng(0)
    return {name: rng.poisson(5.0, (32, 32)).astype(np.int16) for name in names}


@pytest.mark.parametrize("names", [NAMES, (*NAMES, *(f"orange_{name}" for name in NAMES))])
def test_a_row_of_pictures_for_each_channel(names):
    picture = Image.open(io.BytesIO(image_picture(images(*names), 1.28)))
    width, height = picture.size
    assert width == 960
    assert height == 288 * len(names) // 3


def test_dark_images_are_drawn_too():
    dark = dict.fromkeys(NAMES, np.zeros((8, 8), np.int16))
    assert image_picture(dark, 0.1).startswith(b"\x89PNG")


def test_an_address_that_holds_it():
    kind, _, content = data_uri(b"\x89PNG").partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content) == b"\x89PNG"
