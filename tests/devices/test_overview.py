"""The overview: one confocal image of the whole field, and dark afterwards."""

import json
import threading

import h5py
import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from ophyd.device import RedundantStaging

from stedopt_bluesky.devices.microscope import CONFOCAL, STED
from stedopt_bluesky.devices.overview import OVERVIEW
from stedopt_bluesky.imspector.api import MeasurementSignal
from stedopt_bluesky.imspector.instrument import Instrument
from stedopt_bluesky.session import make_station
from stedopt_bluesky.twin import TwinApplication
from stedopt_bluesky.twin.exposure import LINE_FLYBACK_S

WAIT_S = 20.0  # a bound against hanging


def test_one_image_of_the_field_with_little_light(station, instrument, run_engine, documents):
    overview = station.overview
    instrument.set_value(OVERVIEW, "line_steps", 4)

    @bpp.stage_decorator([overview])
    @bpp.run_decorator()
    def plan():
        yield from bps.trigger_and_read([overview], name="overview")

    run_engine(plan())
    (record,) = instrument.application._backend.emission_log
    assert (record.configuration, record.laser) == (OVERVIEW, "LAS5")
    assert record.power_W == pytest.approx(2e-6)
    # 20 µm in pixels of 200 nm, 5 µs each.
    assert overview.image.shape == (100, 100)
    assert record.duration_s == pytest.approx(100 * (100 * 5e-6 + LINE_FLYBACK_S))
    assert overview.image.max() > 0
    assert [name for name, _ in documents] == [
        "start",
        "descriptor",
        "stream_resource",
        "stream_datum",
        "event",
        "stop",
    ]
    (resource,) = [doc for name, doc in documents if name == "stream_resource"]
    assert resource["data_key"] == "overview_image"
    told = documents[1][1]["configuration"]["overview"]["data"]["overview_imspector_parameters"]
    # Its lasers are off by now.
    scan = instrument.parameters(OVERVIEW)["ExpControl"]["scan"]
    assert json.loads(told)["ExpControl"]["scan"] == scan


def test_the_file_has_the_image(station, tmp_path):
    overview = station.overview
    overview.stage()
    overview.trigger().wait(WAIT_S)
    overview.unstage()
    (path,) = tmp_path.rglob("*.h5")
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["overview_image"][0], overview.image)


def test_dark_afterwards_and_the_image_is_kept_until_the_next_stage(station, instrument, all_dark):
    overview = station.overview
    overview.stage()
    assert instrument.power(OVERVIEW, "excitation") == pytest.approx(2.0)
    overview.trigger().wait(WAIT_S)
    overview.unstage()
    # The lasers of the STED image are the microscope's business.
    assert instrument.power(OVERVIEW, "excitation") == 0.0
    assert overview.image is not None
    overview.stage()
    assert overview.image is None
    overview.unstage()
    instrument.lasers_off()
    assert all_dark(instrument)


def test_the_microscope_may_be_staged_at_the_same_time(station):
    station.overview.stage()
    station.microscope.stage()
    station.overview.trigger().wait(WAIT_S)
    station.microscope.trigger().wait(WAIT_S)
    station.overview.trigger().wait(WAIT_S)
    station.microscope.unstage()
    station.overview.unstage()
    assert station.overview.image.shape == (100, 100)
    assert station.microscope.images.confocal1.shape == (64, 64)


def test_unstaging_in_a_scan_stops_it(config, sample, laser_lines, tmp_path):
    application = TwinApplication(sample, real_time=True)
    instrument = Instrument(application, laser_lines, (CONFOCAL, STED, OVERVIEW))
    slow = make_station(config.updated({"overview.dwelltime_us": 1000.0}), instrument, tmp_path)
    begun = threading.Event()
    application.connect_measurement_cb(begun.set, MeasurementSignal.beg_step)
    slow.overview.stage()
    status = slow.overview.trigger()
    assert begun.wait(WAIT_S)
    slow.overview.unstage()
    # The plan has its own reason to end; the abandoned scan is none.
    assert status.success
    assert slow.overview.image is None
    assert set(application.emitting.values()) == {0.0}
    # Ten seconds long it would have been.
    assert application.scan_time_s < 5.0
    assert list(tmp_path.rglob("*.h5")) == []
    instrument.close()


def test_triggering_needs_a_stage(station, instrument):
    for _ in range(2):
        with pytest.raises(RuntimeError, match="overview is not staged"):
            station.overview.trigger()
        station.overview.stage()
        station.overview.unstage()
    assert instrument.application._backend.emission_log == []


def test_staging_twice_is_refused(station):
    station.overview.stage()
    with pytest.raises(RedundantStaging):
        station.overview.stage()
    station.overview.unstage()


def test_a_stage_that_fails_leaves_it_dark_and_ready(config, instrument, tmp_path):
    folder = tmp_path / "arrays"
    folder.write_text("a file where a folder should be")
    overview = make_station(config, instrument, folder).overview
    with pytest.raises(OSError, match="arrays"):
        overview.stage()
    assert instrument.power(OVERVIEW, "excitation") == 0.0
    folder.unlink()
    overview.stage()
    overview.trigger().wait(WAIT_S)
    overview.unstage()
