"""Which images of a run are shown, how bright, and how large they are."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from stedopt_bluesky.reports.image_panels import brightest, draw_image, first_and_last


@pytest.mark.parametrize(
    ("images", "shown"),
    [
        (1, [0]),
        (2, [0, 1]),
        (3, [0, 2]),
        (5, [0, 1, 3, 4]),
        (6, [0, 1, 2, 3, 4, 5]),
        (60, [0, 1, 2, 57, 58, 59]),
    ],
)
def test_first_and_last_images_none_twice(images, shown):
    assert first_and_last(images, 3) == shown


def test_more_of_them_where_more_are_asked_for():
    assert first_and_last(12, 5) == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]


def test_one_hot_pixel_darkens_nothing():
    image = np.full((100, 100), 20)
    image[3, 4] = 10_000
    assert brightest(image) == 20
    assert brightest(image, 2 * image) == 40
    assert brightest(np.zeros((4, 4))) == 1


@pytest.mark.parametrize(("size_um", "bar"), [(1.28, "0.2 µm"), (10.0, "2 µm"), (0.2, "0.1 µm")])
def test_the_scale_bar_is_at_most_a_third(size_um, bar):
    ax = Figure().subplots()
    draw_image(ax, np.ones((8, 8)), size_um, high=7.0)
    assert [text.get_text() for text in ax.texts] == [bar]
    (drawn,) = ax.images
    assert drawn.get_clim() == (0, 7.0)
    (line,) = ax.lines
    assert np.ptp(line.get_xdata()) == pytest.approx(float(bar.split()[0]))
