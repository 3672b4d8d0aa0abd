"""A laser: limits before anything is sent, off at every stop, on again for the next image."""

import pytest
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.simulators import check_limits
from bluesky.utils import RunEngineInterrupted
from ophyd.utils import LimitError

from stedopt_bluesky.devices.laser import Laser
from stedopt_bluesky.devices.microscope import STED


def test_setting_reaches_imspector(station, instrument):
    assert station.depletion.set(200.0).success
    assert instrument.power(STED, "depletion") == pytest.approx(200.0)
    assert station.depletion.power.get() == 200.0


@pytest.mark.parametrize("limit", [0.0, 380.0])
def test_the_limits_themselves_are_allowed(station, instrument, limit):
    station.depletion.set(limit)
    assert instrument.power(STED, "depletion") == pytest.approx(limit)


@pytest.mark.parametrize("name", ["excitation", "depletion"])
def test_above_the_limit_is_refused_before_anything_is_sent(station, instrument, name):
    laser = getattr(station, name)
    laser.set(7.0)
    with pytest.raises(LimitError, match=f"^{name}_power_.W = 381 .W: 0 to .* is allowed$"):
        laser.set(381)
    assert instrument.power(STED, name) == pytest.approx(7.0)
    assert laser.power.get() == 7.0


def test_check_limits_finds_it_in_a_plan(station, instrument):
    station.depletion.set(7.0)
    check_limits(bps.mv(station.depletion, 380.0, station.excitation, 30.0))
    for device in (station.depletion, station.depletion.power):
        with pytest.raises(LimitError, match=r"depletion_power_mW = 380\.1 mW: 0 to 380 mW"):
            check_limits(bps.mv(device, 380.1))
    assert instrument.power(STED, "depletion") == pytest.approx(7.0)


def test_documents_name_the_power_with_its_unit(station):
    station.depletion.set(100.0)
    assert {k: v["value"] for k, v in station.depletion.read().items()} == {
        "depletion_power_mW": 100.0
    }
    described = station.depletion.describe()["depletion_power_mW"]
    assert described["units"] == "mW"
    assert described["limits"] == {"control": {"low": 0.0, "high": 380.0}}
    assert station.depletion.hints == {"fields": ["depletion_power_mW"]}
    assert station.excitation.describe()["excitation_power_uW"]["units"] == "µW"
    assert station.depletion.limits == (0.0, 380.0)


def test_stop_switches_off_and_keeps_the_set_power(station, instrument):
    station.depletion.set(100.0)
    station.depletion.stop()
    assert instrument.power(STED, "depletion") == 0.0
    assert station.depletion.power.get() == 100.0
    station.depletion.apply()
    assert instrument.power(STED, "depletion") == pytest.approx(100.0)


@pytest.mark.parametrize("settable", ["device", "setting"])
def test_after_a_plan_that_moved_it_the_laser_is_off(station, instrument, run_engine, settable):
    laser = station.depletion if settable == "device" else station.settings["depletion_power_mW"]
    seen = []

    def plan():
        yield from bps.mv(laser, 100.0)
        seen.append(instrument.power(STED, "depletion"))

    run_engine(plan())
    assert seen == [pytest.approx(100.0)]
    assert instrument.power(STED, "depletion") == 0.0


def test_off_at_a_pause_and_on_again_for_the_next_image(station, instrument, run_engine):
    """The setting is what a plan moves; the RunEngine must stop the laser all the same."""
    application = instrument.application._backend

    @bpp.stage_decorator([station.microscope])
    @bpp.run_decorator()
    def plan():
        yield from bps.mv(station.settings["depletion_power_mW"], 100.0)
        yield from bps.checkpoint()
        yield from bps.pause()
        yield from bps.trigger(station.microscope, wait=True)

    with pytest.raises(RunEngineInterrupted):
        run_engine(plan())
    assert instrument.power(STED, "depletion") == 0.0
    assert application.emission_log == []
    run_engine.resume()
    emitted = [r.power_W for r in application.emission_log if r.laser == "LAS6"]
    assert emitted == [pytest.approx(0.1)]


def test_the_device_may_be_called_something_else_than_the_laser(instrument):
    laser = Laser(
        instrument=instrument,
        line="depletion",
        configuration=STED,
        data_key="depletion_power_mW",
        name="las775",
    )
    assert (laser.name, laser.line) == ("las775", "depletion")
    laser.set(50.0)
    assert instrument.power(STED, "depletion") == pytest.approx(50.0)
