"""Where a configuration images."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.session.places import Places, places_of, tiles_of


def places(**changes):
    return places_of(preset("classical").updated({"images": 1, **changes}))


def test_where_the_stage_stands():
    assert places() == Places(None, ((0.0, 0.0),))


def test_fields_are_a_step_apart():
    found = places(**{"stage.columns": 2, "stage.rows": 2, "stage.step_um": 50.0})
    assert found == Places(None, ((0, 0), (50, 0), (50, 50), (0, 50)))
    # Left out, the step is the overview's side.
    assert places(**{"stage.columns": 2}).fields_um == ((0, 0), (80, 0))


def test_regions_by_hand_are_imaged_as_often_as_it_says():
    found = places(
        **{
            "regions": [{"x_um": 1.0, "y_um": 2.0, "stage_x_um": 80.0}],
            "time_lapse.images_per_region": 3,
        }
    )
    assert found == Places((Region(1.0, 2.0, 4.48, stage_x_um=80.0),) * 3)


RECTANGLE = {"x_um": 0.0, "y_um": 0.0, "width_um": 10.0, "height_um": 5.0}


def test_rectangles_are_filled():
    found = places(rectangles=[RECTANGLE]).regions
    assert [(r.x_um, r.y_um) for r in found] == [(-2.24, 0.0), (2.24, 0.0)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rectangles": [{**RECTANGLE, "width_um": 1e12}]}, "rectangles.0.width_um = 1e"),
        ({"rectangles": [{**RECTANGLE, "height_um": 4.0}]}, "hold no region of 4.48 µm"),
        ({"rectangles": [{**RECTANGLE, "x_um": 39.0}]}, "region 1, x_um = 41.24: -40 to 40 µm"),
        ({"regions": [{"x_um": 41.0, "y_um": 0.0}]}, "region 0, x_um = 41: -40 to 40 µm"),
        ({"regions": [{"x_um": 1.0, "y_um": 0.0}], "images": 2}, "images = 2: .* at most 1"),
        ({"regions": [{"x_um": 1.0, "y_um": 0.0}], "stage.rows": 2}, "stage: columns and rows"),
        ({"stage.columns": 3, "stage.step_um": 9000.0}, "stage.reach_um = 5000: at least 18000 µm"),
    ],
)
def test_what_cannot_be_imaged_is_told_in_one_line(changes, says):
    with pytest.raises(ConfigError, match=says) as refused:
        places(**changes)
    assert "\n" not in str(refused.value)


SPINE = {"x_um": 1.0, "y_um": 2.0, "axis_x": 0.0, "axis_y": -3.0}


def spines_at(*stage_um, **changes):
    spines = [{**SPINE, "stage_x_um": x, "stage_y_um": y} for x, y in stage_um]
    config = preset("uncaging").updated(
        {"uncaging.spines": spines, "stage.columns": 3, "stage.step_um": 20 / 3, **changes}
    )
    return places_of(config)


def test_only_fields_that_have_spines_by_hand_are_gone_to():
    assert spines_at((6.6667, 0.0), (0.0, 0.0)).fields_um == ((0.0, 0.0), (20 / 3, 0.0))
    assert spines_at((13.3333, 0.0)).fields_um == ((40 / 3, 0.0),)
    # Found on the overview, they may be anywhere.
    assert len(spines_at().fields_um) == 3


def test_a_spine_at_no_field_is_refused():
    says = r"uncaging\.spines\.1\.stage_x_um = 7, stage_y_um = 0: .* is \(6\.66667, 0\) µm$"
    with pytest.raises(ConfigError, match=says):
        spines_at((0.0, 0.0), (7.0, 0.0))


def test_tiles_are_laid_as_the_overview_says():
    config = preset("classical").updated({"overview.margin_um": 2.0, "overview.minimum_signal": 5})
    layout = tiles_of(config)
    assert (layout.size_um, layout.margin_um, layout.minimum_signal) == (4.48, 2.0, 5.0)


@settings(deadline=None)
@given(size_um=st.floats(5, 30), pixel_nm=st.floats(50, 400), region_um=st.floats(0.5, 4.5))
def test_the_largest_margin_that_is_allowed_has_room_for_a_region(size_um, pixel_nm, region_um):
    changes = {
        "overview.size_um": size_um,
        "overview.pixel_size_nm": pixel_nm,
        "imaging.region_size_um": region_um,
        "overview.minimum_foreground": 0.0,
    }
    with pytest.raises(ConfigError) as refused:
        preset("classical").updated({**changes, "overview.margin_um": 1000.0})
    most_um = float(re.search(r"margin_um = 1000: at most (\S+) µm", str(refused.value))[1])
    config = preset("classical").updated({**changes, "overview.margin_um": most_um})
    assert most_um <= (size_um - region_um) / 2 + 1e-6
    # An image of whole pixels, the last one cut off, but for rounding.
    pixels = math.floor(size_um * 1000 / pixel_nm + 1e-9)
    overview = np.random.default_rng(0).poisson(30.0, (pixels, pixels)).astype(np.int16)
    assert len(tiles_of(config)(overview, pixel_nm, (0.0, 0.0))) >= 1


def test_too_few_places_are_left():
    left = Places((Region(0.0, 0.0, 4.48),))
    left.check(1, "abc")
    with pytest.raises(ConfigError, match="images = 2: only 1 regions of run abc are left"):
        left.check(2, "abc")
    Places((), ((0.0, 0.0),)).check(9, "abc")
