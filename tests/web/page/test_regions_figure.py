"""Where regions are drawn, and what a click or a rectangle means."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from stedopt_bluesky.acquisition import Region, Spine
from stedopt_bluesky.devices.expert_surveyor import FieldToSurvey
from stedopt_bluesky.web.page.regions_figure import (
    added,
    filled,
    is_drag,
    pixels_of,
    position_of,
    region_under,
    regions_svg,
)
from stedopt_bluesky.web.page.regions_view import in_words

SIZE_UM = 2.0


@pytest.fixture
def field():
    """20 µm wide, 10 µm high; the stage is away from where it stood."""
    shape = (100, 200)
    nothing = np.zeros(shape, bool), ()
    return FieldToSurvey(
        1,
        np.zeros(shape, np.int16),
        100.0,
        (30.0, -5.0),
        SIZE_UM,
        3,
        lambda threshold: nothing,
        lambda regions: None,
    )


def elements(svg, kind):
    return [e for e in ET.fromstring(f"<svg>{svg}</svg>") if e.tag == kind]  # noqa: S314  our own


def test_the_middle_of_the_field_is_the_middle_of_its_picture(field):
    assert pixels_of(field, 0.0, 0.0) == (100, 50)
    assert position_of(field, 100, 50) == (0, 0)
    assert position_of(field, *pixels_of(field, 3.25, -1.5)) == pytest.approx((3.25, -1.5))


def test_regions_are_drawn_where_they_are_with_their_numbers(field):
    svg = regions_svg(field, [Region(5, -2, SIZE_UM), Region(0, 0, SIZE_UM)], selected=0)
    first, second = elements(svg, "rect")  # the marked one is over the others
    assert (first.get("x"), first.get("y"), first.get("width")) == ("90.00", "40.00", "20.00")
    assert (second.get("x"), second.get("y")) == ("140.00", "20.00")
    assert first.get("stroke") != second.get("stroke")
    assert [e.text for e in elements(svg, "text")] == ["2", "1"]


def test_a_spine_is_drawn_with_its_axis(field):
    (axis,) = elements(regions_svg(field, [Spine(0, 0, SIZE_UM, 0.0, -1.0)]), "line")
    assert (axis.get("x1"), axis.get("y1"), axis.get("x2"), axis.get("y2")) == (
        "100.00", "50.00", "100.00", "40.00"
    )  # fmt: skip


def test_a_click_is_on_the_region_whose_centre_is_nearest(field):
    regions = [Region(0.0, 0.0, SIZE_UM), Region(1.5, 0.0, SIZE_UM)]
    assert region_under(field, regions, *pixels_of(field, 0.9, 0.0)) == 1
    assert region_under(field, regions, *pixels_of(field, 0.2, 0.9)) == 0
    assert region_under(field, regions, *pixels_of(field, 0.2, 1.1)) is None


def test_a_region_beside_the_border_is_moved_into_the_field(field):
    *_, new = added(field, [], *pixels_of(field, 9.9, -4.9))
    assert (new.x_um, new.y_um) == (9.0, -4.0)
    assert (new.stage_x_um, new.stage_y_um) == (30.0, -5.0)
    assert len(added(field, [new], 100, 50)) == 2


def test_a_rectangle_is_filled_but_for_what_is_there(field):
    corners = (*pixels_of(field, 3.0, 1.0), *pixels_of(field, -3.2, -1.1))
    laid = filled(field, [], corners)
    assert [r.x_um for r in laid] == pytest.approx([-2.1, -0.1, 1.9])
    assert [r.y_um for r in laid] == pytest.approx([-0.05] * 3)
    assert filled(field, laid, corners) == laid  # once is enough
    assert len(filled(field, laid[1:2], corners)) == 3


def test_what_lies_outside_of_the_field_is_cut_off(field):
    laid = filled(field, [], (-500.0, -500.0, 1000.0, 1000.0))
    assert len(laid) == 50
    assert max(abs(r.x_um) for r in laid) <= 9.0


def test_a_press_that_hardly_moves_is_a_click():
    assert not is_drag(10, 10, 12, 9)
    assert is_drag(10, 10, 10, 14)


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (2, "2 regions; 3 are still to be imaged"),
        (3, "3 regions, as many as are still to be imaged"),
        (7, "7 regions, of which the first 3 are imaged"),
    ],
)
def test_what_a_number_of_regions_means(field, count, says):
    assert in_words(count, field) == says
