"""The scanner: every setting lands in the configurations it holds for, in metres and seconds."""

import pytest
from bluesky import plan_stubs as bps
from bluesky.simulators import check_limits
from ophyd.utils import LimitError

from stedopt_bluesky.devices.microscope import CONFOCAL, STED
from stedopt_bluesky.devices.overview import OVERVIEW
from stedopt_bluesky.devices.scanner import Scanner

CONFIGURATIONS = (CONFOCAL, STED, OVERVIEW)
RANGE = "ExpControl/scan/range"
DWELLTIME = "ExpControl/measurement/pixel_steps/step_duration/0"
LINE_STEPS = "ExpControl/measurement/line_steps/step_duration/0"


@pytest.fixture
def scanner(instrument):
    return Scanner(
        instrument=instrument,
        sted=STED,
        configurations=(CONFOCAL, STED),
        reach_um=10.0,
        name="scanner",
    )


def parameter(instrument, configuration, path):
    return instrument.configuration(configuration).parameters(path)


def test_dwelltime_and_line_steps_are_the_sted_images(scanner, instrument):
    scanner.dwelltime_us.set(33.0)
    scanner.line_steps.set(4)
    assert parameter(instrument, STED, DWELLTIME) == pytest.approx(33e-6)
    assert parameter(instrument, STED, LINE_STEPS) == 4
    for other in (CONFOCAL, OVERVIEW):
        assert parameter(instrument, other, DWELLTIME) == 1e-5
        assert parameter(instrument, other, LINE_STEPS) == 1


def test_frames_are_the_sted_images(scanner, instrument):
    assert scanner.frames.get() == 1  # as Imspector has it
    scanner.frames.set(3)
    assert [instrument.frames(c) for c in (CONFOCAL, STED, OVERVIEW)] == [1, 3, 1]
    assert parameter(instrument, STED, f"{RANGE}/t/res") == 3
    scanner.frames.set(1)
    assert instrument.frames(STED) == 1


def test_the_position_is_that_of_all_images_of_a_region(scanner, instrument):
    scanner.x_um.set(-3.5)
    scanner.y_um.set(10.0)
    for configuration in (CONFOCAL, STED):
        assert parameter(instrument, configuration, f"{RANGE}/x/off") == pytest.approx(-3.5e-6)
        assert parameter(instrument, configuration, f"{RANGE}/y/off") == pytest.approx(10e-6)
    assert parameter(instrument, OVERVIEW, f"{RANGE}/x/off") == 0.0


@pytest.mark.parametrize("first", ["size_um", "pixel_size_nm"])
def test_the_field_is_written_once_both_are_known(scanner, instrument, first):
    values = {"size_um": 2.4, "pixel_size_nm": 30.0}
    getattr(scanner, first).set(values.pop(first))
    assert instrument.image_shape(STED) == (500, 500)  # as Imspector had it
    ((second, value),) = values.items()
    getattr(scanner, second).set(value)
    for configuration in (CONFOCAL, STED):
        assert instrument.image_shape(configuration) == (80, 80)
        assert parameter(instrument, configuration, f"{RANGE}/x/psz") == pytest.approx(30e-9)
    assert instrument.image_shape(OVERVIEW) == (500, 500)
    scanner.size_um.set(1.2)
    assert instrument.image_shape(STED) == (40, 40)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("dwelltime_us", 0.9, "dwelltime_us = 0.9 µs: 1 to 1000 µs"),
        ("dwelltime_us", 1001, "dwelltime_us = 1001 µs: 1 to 1000 µs"),
        ("line_steps", 1.5, "line_steps = 1.5 lines: a whole number from 1 to 64 lines"),
        ("line_steps", 65, "line_steps = 65 lines"),
        ("frames", 0, "frames = 0 frames: a whole number from 1 to 100 frames"),
        ("x_um", 10.1, "region_x_um = 10.1 µm: -10 to 10 µm"),
        ("y_um", -10.1, "region_y_um = -10.1 µm: -10 to 10 µm"),
        ("size_um", 0.4, "region_size_um = 0.4 µm: 0.5 to 200 µm"),
        ("pixel_size_nm", 4, "pixel_size_nm = 4 nm: 5 to 2000 nm"),
    ],
)
def test_out_of_reach_is_refused_before_anything_is_written(scanner, instrument, name, value, says):
    before = [instrument.parameters(name) for name in CONFIGURATIONS]
    with pytest.raises(LimitError, match=says):
        getattr(scanner, name).set(value)
    with pytest.raises(LimitError, match=says):
        check_limits(bps.mv(getattr(scanner, name), value))
    assert [instrument.parameters(name) for name in CONFIGURATIONS] == before


def test_documents_name_the_parameters_as_the_configuration_does(station):
    assert set(station.scanner.read()) == {
        "dwelltime_us",
        "line_steps",
        "frames",
        "region_x_um",
        "region_y_um",
    }
    assert set(station.scanner.read_configuration()) == {
        "region_size_um",
        "pixel_size_nm",
        "scanner_scan_mode",
    }
    assert station.scanner.scan_mode.get() == "xy"
    described = station.scanner.describe()
    assert described["region_x_um"]["units"] == "µm"
    assert described["region_x_um"]["limits"] == {"control": {"low": -10.0, "high": 10.0}}
    assert described["line_steps"]["dtype"] == "integer"
