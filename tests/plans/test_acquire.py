import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.plans.acquire import acquire

REGION = Region(2.5, -3.0, 1.28)
CONFIGURATION = {"excitation_power_uW": 5.0, "depletion_power_mW": 80.0, "dwelltime_us": 8.0}


def image_once(bench, rate, configuration=CONFIGURATION, region=REGION):
    """Image one region in a run of its own; return what `acquire` returned."""
    returned = []

    @bpp.stage_decorator([bench.session.station.microscope])
    @bpp.run_decorator()
    def plan():
        values = yield from acquire(bench.session.station, region, configuration, rate)
        returned.append(values)

    bench.engine(plan())
    return returned[0]


def test_one_event_holds_the_parameters_the_region_and_the_objectives(bench):
    rated = {"snr": 0.5, "resolution_nm": 80.0, "photobleaching": 0.25, "imaging_time_s": 0.1}

    returned = image_once(bench, lambda images: rated)

    (event,) = bench.events("primary")
    data = event["data"]
    assert returned == rated
    assert {k.removeprefix("objective_"): v for k, v in data.items() if "objective" in k} == rated
    assert {name: data[name] for name in CONFIGURATION} == CONFIGURATION
    assert (data["region_x_um"], data["region_y_um"]) == (2.5, -3.0)
    assert data["line_steps"] == bench.session.config.imaging.line_steps  # was not asked for


def test_the_images_that_are_rated_are_those_that_the_microscope_took(bench):
    seen = []
    image_once(bench, lambda images: seen.append(images) or {})

    assert seen == [bench.session.station.microscope.images]
    assert seen[0].sted[0].shape == (64, 64)  # 1.28 µm of 20 nm
    assert (seen[0].dwelltime_us, seen[0].pixel_size_nm) == (8.0, 20.0)


def test_the_powers_reach_the_laser_and_leave_it(bench):
    image_once(bench, lambda images: {})

    sted = [r for r in bench.application.emission_log if r.configuration == "sted"]
    assert {round(r.power_W, 9) for r in sted} == {5e-6, 80e-3}
    assert bench.lasers_are_off()


def test_an_objective_that_was_not_rated_is_nan(bench):
    returned = image_once(bench, lambda images: {"snr": 1.0})

    assert returned["snr"] == 1.0
    assert np.isnan(returned["resolution_nm"])
    assert np.isnan(bench.events("primary")[0]["data"]["objective_resolution_nm"])


def test_a_value_outside_the_limits_exposes_nothing(bench):
    with pytest.raises(ValueError, match=r"excitation_power_uW = 31 µW: 0 to 30 µW is allowed"):
        image_once(bench, lambda images: {}, {"excitation_power_uW": 31.0})

    assert bench.application.emission_log == []
    assert bench.lasers_are_off()


def test_a_plan_that_is_only_looked_at_returns_none(bench):
    messages, returned = [], []

    def plan():
        returned.append((yield from acquire(bench.session.station, REGION, CONFIGURATION, dict)))
        yield from bps.null()

    messages = [message.command for message in plan()]

    assert returned == [None]
    # The stage, whether it has arrived, and the microscope.
    assert messages.count("trigger") == 2
    assert bench.application.emission_log == []
