import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.acquisition import Line
from stedopt_bluesky.objectives import line_profile
from stedopt_bluesky.objectives.line_profiles import leaves_image

ROWS, COLUMNS = np.mgrid[:30, :40].astype(float)


def test_a_row_of_pixels_is_read_as_it_stands():
    image = np.random.default_rng(0).poisson(9, (30, 40)).astype(np.int16)
    profile = line_profile(image, Line(10, 5, 10, 24), width=1)
    np.testing.assert_allclose(profile, image[10, 5:25])


def test_three_rows_are_averaged():
    image = np.random.default_rng(0).poisson(9, (30, 40))
    profile = line_profile(image, Line(10, 5, 10, 24))
    np.testing.assert_allclose(profile, image[9:12, 5:25].mean(axis=0))


@given(st.floats(9, 20), st.floats(9, 30), st.floats(-math.pi, math.pi), st.sampled_from([1, 3]))
def test_a_plane_is_read_exactly_in_any_direction(y, x, angle, width):
    """Of a plane linear interpolation is exact, and so is the mean across the line."""
    dy, dx = 6 * math.sin(angle), 6 * math.cos(angle)
    line = Line(y - dy, x - dx, y + dy, x + dx)
    profile = line_profile(3 * ROWS - 2 * COLUMNS + 5, line, width)
    assert profile.size in (13, 14)  # a length of 12 px, rounding errors included
    rows, columns = (
        np.linspace(*ends, profile.size) for ends in ((y - dy, y + dy), (x - dx, x + dx))
    )
    np.testing.assert_allclose(profile, 3 * rows - 2 * columns + 5, atol=1e-9)


@pytest.mark.parametrize(
    ("line", "leaves"),
    [
        (Line(0, 0, 29, 39), False),
        (Line(29, 39, 0, 0), False),
        (Line(-0.1, 0, 29, 39), True),
        (Line(0, 0, 29.1, 39), True),
        (Line(0, 0, 5, 1e300), True),
    ],
)
def test_a_line_that_leaves_the_image(line, leaves):
    assert leaves_image(line, (30, 40)) == leaves
    if leaves:
        with pytest.raises(ValueError, match=r"Line\(.*\) leaves the image of \(30, 40\) pixels"):
            line_profile(ROWS, line)
    else:
        assert np.isfinite(line_profile(ROWS, line)).all()
