"""What a plan refuses before the run opens: nothing has been said, no light has been on."""

import pytest

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.parameters import Parameter, ParameterSpace
from stedopt_bluesky.plans.optimize import NotEnoughRegionsError
from stedopt_bluesky.plans.regions import RegionLayout


def refused(bench, error, match, **changes):
    with pytest.raises(error, match=match):
        bench.engine(bench.plan(**changes))
    assert bench.documents == []
    assert bench.application.emission_log == []


@pytest.mark.parametrize("images", [0, -1, 2.5, "3", None])
def test_a_wrong_number_of_images(bench, images):
    refused(bench, ValueError, r"images = .*at least 1", images=images)


def test_a_grid_beyond_a_limit(bench):
    space = ParameterSpace([Parameter("depletion_power_mW", "mW", (100.0, 380.0, 381.0))])
    refused(bench, ValueError, r"depletion_power_mW = 381 mW: 0 to 380 mW", space=space)


def test_a_parameter_that_no_device_has(bench):
    space = ParameterSpace([Parameter("pinhole_au", "AU", (0.5, 1.0))])
    refused(bench, ValueError, r"parameter 'pinhole_au': this station has excitation", space=space)


def test_a_region_out_of_reach(bench):
    regions = [Region(0, 0, 1.28), Region(0, 15.1, 1.28)]
    refused(bench, ValueError, r"region_y_um = 15.1", images=2, regions=regions)


def test_a_region_of_another_size_than_the_scan(bench):
    refused(bench, ValueError, r"a region of 2 µm: .* 1.28 µm", regions=[Region(0, 0, 2.0)] * 3)
    refused(bench, ValueError, r"a region of 4 µm", lay=RegionLayout(4.0))


def test_fewer_regions_than_images_given(bench):
    regions = [Region(0, 0, 1.28)]
    refused(bench, NotEnoughRegionsError, r"images = 3: only 1 regions are given", regions=regions)


@pytest.mark.parametrize(
    ("parameter", "says"),
    [
        (("pixel_size_nm", "nm", (10.0, 20.0)), r"images of up to 128 × 128 pixels, .* 64 × 64"),
        (("region_size_um", "µm", (1.28, 2.56)), r"images of up to 128 × 128 pixels, .* 64 × 64"),
    ],
)
def test_images_for_which_there_is_no_room(bench, parameter, says):
    space = ParameterSpace([Parameter(*parameter)])
    refused(bench, ValueError, "no room but for images of one size", space=space)
    bench.session.station.scanner.most_pixels = 64
    refused(bench, ValueError, says, space=space)


def test_regions_smaller_than_the_largest_of_the_grid(bench):
    bench.session.station.scanner.most_pixels = 64
    space = ParameterSpace([Parameter("region_size_um", "µm", (0.64, 1.28))])
    refused(
        bench,
        ValueError,
        r"a region of 1 µm: at least 1.28 µm, the largest region_size_um",
        space=space,
        regions=[Region(0, 0, 1.0)] * 3,
    )
