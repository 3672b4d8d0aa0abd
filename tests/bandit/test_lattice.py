"""Sites on the grid and beside it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.bandit.lattice import Lattice, border_points
from stedopt_bluesky.parameters import Parameter, ParameterSpace

SPACE = ParameterSpace(
    [
        Parameter("power", "mW", (1.0, 10.0, 100.0)),
        Parameter("lines", "", (4.0,)),
        Parameter("dwelltime", "µs", (-1.0, 0.0, 2.0, 3.0)),
    ]
)


def coordinates(lattice, site):
    return [axis[i] for axis, i in zip(lattice.axes, site, strict=True)]


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_rows_of_the_grid_are_its_configurations(spaces, data):
    space = data.draw(spaces)
    lattice = Lattice.around(space)
    row = data.draw(st.integers(0, space.size - 1))
    site = lattice.site_of_row(row)
    assert coordinates(lattice, site) == list(space.grid[row])
    assert lattice.site_of_point(space.grid[row]) == site
    assert [len(axis) for axis in lattice.axes] == list(lattice.shape) == list(space.shape)


def test_coordinates_beside_the_grid_follow_its_own():
    lattice = Lattice.around(SPACE, [(5.0, 4.0, 2.5), (5.0, 7.0, 0.0), (200.0, 4.0, 2.5)])
    np.testing.assert_array_equal(lattice.axes[0], [1, 10, 100, 5, 200])
    np.testing.assert_array_equal(lattice.axes[1], [4, 7])
    np.testing.assert_array_equal(lattice.axes[2], [-1, 0, 2, 3, 2.5])
    assert lattice.shape == (3, 1, 4)
    assert lattice.site_of_point((5, 7, 0)) == (3, 1, 1)
    assert lattice.site_of_row(SPACE.size - 1) == (2, 0, 3)


def test_a_rounded_coordinate_is_the_grids():
    point = (10.0 + 5e-8, 4.0 + 3e-9, 2.0 - 3e-9)
    lattice = Lattice.around(SPACE, [point])
    assert [len(axis) for axis in lattice.axes] == [3, 1, 4]
    assert lattice.site_of_point(point) == (1, 0, 2)
    assert len(Lattice.around(SPACE, [(10.0 + 2e-7, 4.0, 2.0)]).axes[0]) == 4


def test_a_point_that_it_does_not_hold_is_refused():
    lattice = Lattice.around(SPACE, [(5.0, 4.0, 2.0)])
    with pytest.raises(ValueError, match=r"not made to hold the point \(6\.0, 4\.0, 2\.0\)$"):
        lattice.site_of_point((6.0, 4.0, 2.0))


def test_each_bound_has_its_mirror_image_one_range_outside():
    lattice = Lattice.around(SPACE, border_points(SPACE))

    def images(power, dwelltime):
        site = lattice.site_of_point((power, 4.0, dwelltime))
        return [tuple(coordinates(lattice, image)) for image in lattice.mirrored(site)]

    assert images(10.0, 0.0) == []
    assert images(1.0, 0.0) == [(-98.0, 4.0, 0.0)]
    assert images(10.0, 3.0) == [(10.0, 4.0, 7.0)]
    assert images(100.0, -1.0) == [(199.0, 4.0, -1.0), (100.0, 4.0, -5.0)]


def test_both_of_two_values_are_bounds():
    space = ParameterSpace([Parameter("a", "", (0.0, 1.0))])
    lattice = Lattice.around(space, border_points(space))
    images = [lattice.mirrored(lattice.site_of_row(row)) for row in (0, 1)]
    assert [[lattice.axes[0][s[0]] for s in sites] for sites in images] == [[-1.0], [2.0]]


def test_nothing_is_mirrored_beyond_what_the_lattice_holds():
    lattice = Lattice.around(SPACE)
    assert all(not lattice.mirrored(lattice.site_of_row(row)) for row in range(SPACE.size))
    beyond = Lattice.around(SPACE, border_points(SPACE))
    image = beyond.mirrored(beyond.site_of_point((1.0, 4.0, 0.0)))[0]
    assert beyond.mirrored(image) == []
