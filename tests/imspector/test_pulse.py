"""A laser that may only give a pulse: whoever asks, it is on nowhere else and not for longer."""

import pytest

from stedopt_bluesky.imspector.calibration import PowerCalibration
from stedopt_bluesky.imspector.guard import (
    PowerLimitError,
    ScanBlockedError,
    SettingRefusedError,
)
from stedopt_bluesky.imspector.instrument import Instrument
from stedopt_bluesky.imspector.laser_line import LaserLine
from stedopt_bluesky.imspector.pulse import PulseRule
from stedopt_bluesky.imspector.scan import BadImageError, Scans

CHANNELS = "ExpControl/measurement/channels"
LASERS = "ExpControl/measurement/lasers"
RANGE = "ExpControl/scan/range"
FIRST, PULSE = "confocal", "uncaging"
LONGEST_S = 0.05
ENERGY_LIMIT_UJ = 1.5
WAIT_S = 20.0


@pytest.fixture
def instrument(application, laser_lines):
    uncaging = LaserLine(
        "uncaging",
        0,
        PowerCalibration((0.0, 100.0), (0.0, 50.0), "µW"),
        42.0,
        PULSE,
        LONGEST_S,
        ENERGY_LIMIT_UJ,
    )
    return Instrument(application, [*laser_lines, uncaging], (FIRST, PULSE))


@pytest.fixture
def scans(instrument):
    scans = Scans(instrument)
    scans.connect()
    yield scans
    scans.disconnect()


def prepare(instrument, power_uW=20.0, pulse_us=30_000.0):
    instrument.set_field(PULSE, 0.1, 100.0)
    instrument.set_value(PULSE, "dwelltime_us", pulse_us)
    instrument.set_power(PULSE, "uncaging", power_uW)


def emitted(application):
    return [r for r in application.emission_log if r.laser == "LAS0"]


def test_a_pulse_of_one_pixel_is_given(instrument, scans, application):
    prepare(instrument)
    assert scans.acquire(PULSE, WAIT_S)[0].shape == (1, 1)

    (record,) = emitted(application)
    assert record.configuration == PULSE
    assert record.power_W == pytest.approx(20e-6)
    assert record.duration_s == pytest.approx(0.03, abs=1e-3)


def test_its_power_is_set_in_no_other_configuration(instrument):
    with pytest.raises(PowerLimitError, match="'confocal': above 0 only in 'uncaging'"):
        instrument.set_power(FIRST, "uncaging", 1.0)
    instrument.set_power(FIRST, "uncaging", 0.0)


@pytest.mark.parametrize("way", ["leaf", "list", "measurement", "value", "general"])
def test_whatever_way_it_is_written(instrument, way):
    target = instrument.configuration(FIRST)
    instrument.measurement.activate(target)
    channels = target.parameters(CHANNELS)
    channels[0]["lasers"][0] |= {"active": True}
    channels[0]["lasers"][0]["power"]["calibrated"] = 10.0
    leaf = f"{CHANNELS}/0/lasers/0/power/calibrated"
    writes = {
        "leaf": lambda: target.set_parameters(leaf, 10.0),
        "list": lambda: target.set_parameters(CHANNELS, channels),
        "measurement": lambda: instrument.measurement.set_parameters(leaf, 10.0),
        "value": lambda: instrument.application.value_at(leaf).set(10.0),
        "general": lambda: target.set_parameters(f"{LASERS}/0/power/calibrated", 10.0),
    }

    with pytest.raises(PowerLimitError, match="only in 'uncaging'"):
        writes[way]()


def in_depth(instrument):
    axes = ["ExpControl X", "ExpControl Y", "ExpControl Z", "None"]
    instrument.configuration(PULSE).set_parameters("Measurement/axes/scan_axes", axes)


def strong_and_long(instrument):
    instrument.set_value(PULSE, "dwelltime_us", 40_000.0)
    instrument.set_power(PULSE, "uncaging", 40.0)


def renamed_by_another(instrument):
    instrument.configuration(PULSE)._backend.set_name("other")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda i: i.set_field(PULSE, 0.2, 100.0), r"for 2 × 2 pixels: one pixel"),
        (lambda i: i.set_value(PULSE, "dwelltime_us", 51_000.0), r"for 0.051 s: at most 0.05 s"),
        (lambda i: i.set_value(PULSE, "line_steps", 2), r"for 0.06 s"),
        (lambda i: i.set_frames(PULSE, 2), r"along .* ExpControl T, None: one pixel in the plane"),
        (in_depth, r"along ExpControl X, ExpControl Y, ExpControl Z, None: one pixel in the plane"),
        (strong_and_long, r"with 1.6 µJ: at most 1.5 µJ is allowed"),
        (lambda i: i.set_power(PULSE, "excitation", 1.0), r"together with laser 5"),
        (renamed_by_another, r"in 'other', it may only be in"),
    ],
    ids=["field", "dwelltime", "line steps", "frames", "depth", "energy", "other laser", "name"],
)
def test_no_other_scan_begins_while_it_is_on(instrument, scans, application, change, why):
    prepare(instrument)
    change(instrument)
    instrument.measurement.activate(instrument.configuration(PULSE))

    with pytest.raises(ScanBlockedError, match=why):
        instrument.application.run(instrument.measurement)
    assert emitted(application) == []


def test_a_longer_scan_of_its_configuration_begins_while_it_is_off(instrument, scans, application):
    prepare(instrument, power_uW=0.0, pulse_us=100_000.0)
    scans.acquire(PULSE, WAIT_S)
    assert emitted(application) == []


@pytest.mark.parametrize(("old", "new"), [(PULSE, "other"), (FIRST, PULSE), (FIRST, "x")])
def test_the_sessions_configurations_keep_their_names(instrument, old, new):
    with pytest.raises(SettingRefusedError, match="configurations keep their names"):
        instrument.configuration(old).set_name(new)
    assert instrument.configuration(old).name() == old
    clone = instrument.measurement.clone(instrument.configuration(FIRST))
    with pytest.raises(SettingRefusedError):
        clone.set_name(PULSE)
    clone.set_name("mine")


def test_another_program_does_not_get_past_the_scan(instrument, application):
    theirs = application.active_measurement().configuration(0)
    theirs.set_parameters(f"{CHANNELS}/0/lasers/0/power/calibrated", 10.0)
    theirs.set_parameters(f"{CHANNELS}/0/lasers/0/active", True)
    instrument.measurement.activate(instrument.configuration(FIRST))

    with pytest.raises(ScanBlockedError, match="in 'confocal', it may only be in 'uncaging'"):
        instrument.application.run(instrument.measurement)


@pytest.mark.parametrize(("name", "longest_s"), [("", 0.1), ("uncaging", 0.0), ("u", float("nan"))])
def test_a_rule_without_a_name_or_a_time_is_refused(name, longest_s):
    with pytest.raises(ValueError, match="laser 0"):
        PulseRule(0, name, longest_s)


# --- frames ------------------------------------------------------------------------------


def test_all_frames_of_a_scan_are_returned(instrument, scans):
    instrument.set_field(FIRST, 0.8, 100.0)
    instrument.set_frames(FIRST, 5)
    instrument.set_power(FIRST, "excitation", 10.0)

    frames = scans.acquire_frames(FIRST, WAIT_S)
    assert frames.shape == (5, 8, 8)
    assert frames.dtype == "int16"
    with pytest.raises(BadImageError, match="expected frames = 1, got 5"):
        scans.acquire(FIRST, WAIT_S)


def test_one_frame_again(instrument, scans):
    instrument.set_field(FIRST, 0.8, 100.0)
    instrument.set_frames(FIRST, 5)
    instrument.set_frames(FIRST, 1)

    (image,) = scans.acquire(FIRST, WAIT_S)
    assert image.shape == (8, 8)
