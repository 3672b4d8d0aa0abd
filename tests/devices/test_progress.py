"""Steps of a scan, as progress bars see them."""

import pytest
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp

from stedopt_bluesky.devices.microscope import CONFOCAL, STED
from stedopt_bluesky.devices.overview import OVERVIEW
from stedopt_bluesky.devices.progress import AcquisitionStatus
from stedopt_bluesky.imspector.instrument import Instrument
from stedopt_bluesky.session import make_station
from stedopt_bluesky.twin import TwinApplication

WAIT_S = 20.0  # a bound against hanging


def test_a_step_is_told_to_all_who_watch(station):
    status = AcquisitionStatus(station.microscope, 100.0)
    told, again = [], []
    status.watch(lambda **kwargs: told.append(kwargs))
    status.watch(lambda **kwargs: again.append(kwargs))
    status.step()
    status.step()
    first, second = told
    assert again == told
    assert (first["name"], first["unit"], first["target"]) == ("microscope", "s", 100.0)
    assert 0 <= first["current"] <= second["current"] < 100
    assert second["fraction"] == pytest.approx(1 - second["current"] / 100)
    assert second["time_remaining"] == pytest.approx(100 - second["current"])


@pytest.mark.parametrize("expected_s", [0.0, 1e-9])
def test_it_is_nearly_there_until_it_is(station, expected_s):
    status = AcquisitionStatus(station.microscope, expected_s)
    told = []
    status.watch(lambda **kwargs: told.append(kwargs))
    status.step()
    assert told[0]["current"] <= 0.99 * expected_s
    assert 0 <= told[0]["fraction"] <= 0.011


def test_scans_tell_of_their_steps(config, sample, laser_lines, tmp_path, monkeypatch):
    """Four blocks of lines in each of three scans; steps that come at once may be told as one."""
    application = TwinApplication(sample, real_time=True)
    instrument = Instrument(application, laser_lines, (CONFOCAL, STED, OVERVIEW))
    station = make_station(config, instrument, tmp_path)
    steps = []

    def step(self):
        steps.append(self)

    monkeypatch.setattr(AcquisitionStatus, "step", step)
    microscope = station.microscope
    microscope.stage()
    status = microscope.trigger()
    status.wait(WAIT_S)
    microscope.unstage()
    assert 1 <= len(steps) <= 12
    assert set(steps) == {status}


@pytest.mark.parametrize("device", ["microscope", "overview"])
def test_who_waits_can_watch(station, run_engine, device):
    waited_for = []
    run_engine.waiting_hook = lambda statuses: waited_for.extend(statuses or ())
    detector = getattr(station, device)

    @bpp.stage_decorator([detector])
    @bpp.run_decorator()
    def plan():
        yield from bps.trigger(detector, wait=True)

    run_engine(plan())
    assert [s for s in waited_for if hasattr(s, "watch")]


def test_a_watcher_that_fails_costs_no_image(station, caplog):
    status = AcquisitionStatus(station.microscope, 1.0)
    told = []

    def broken(**_):
        raise ArithmeticError("no picture today")

    status.watch(broken)
    status.watch(lambda **kwargs: told.append(kwargs))
    status.step()
    status.step()
    assert len(told) == 2
    assert caplog.text.count("is told no more") == 1
