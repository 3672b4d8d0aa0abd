"""An open interlock: no scan begins, the one in progress is over, all lasers are off."""

import threading

import numpy as np
import pytest

from stedopt_bluesky.devices.microscope import CONFOCAL, STED
from stedopt_bluesky.imspector.api import MeasurementSignal
from stedopt_bluesky.imspector.instrument import Instrument
from stedopt_bluesky.imspector.interlock import NO_INTERLOCK, Interlock, InterlockOpenError
from stedopt_bluesky.imspector.scan import Scans
from stedopt_bluesky.twin import TwinApplication

PATH = "Interlock/closed"


@pytest.fixture
def real_time():
    return False


@pytest.fixture
def application(sample, real_time):
    return TwinApplication(sample, real_time=real_time)


@pytest.fixture
def instrument(application, laser_lines):
    instrument = Instrument(application, laser_lines, (CONFOCAL, STED), interlock=Interlock(PATH))
    instrument.set_field(STED, 2.0, 50.0)
    instrument.set_power(STED, "excitation", 10.0)
    instrument.set_power(CONFOCAL, "excitation", 5.0)
    yield instrument
    instrument.close()


@pytest.fixture
def scans(instrument):
    scans = Scans(instrument)
    scans.connect()
    yield scans
    scans.disconnect()


def test_a_closed_interlock_lets_scans_pass(scans):
    assert scans.acquire(STED, 10.0)[0].shape == (40, 40)


def test_no_scan_begins_while_it_is_open(application, instrument, scans, all_dark):
    application.set_interlock(False)
    with pytest.raises(InterlockOpenError, match=r"the interlock is open \(Interlock/closed\)"):
        scans.acquire(STED, 10.0)
    assert application.emission_log == []
    assert all_dark(instrument)
    with pytest.raises(InterlockOpenError):
        instrument.application.start(instrument.measurement)
    with pytest.raises(InterlockOpenError):
        instrument.application.run(instrument.measurement)
    assert application.emission_log == []


def test_it_goes_on_when_it_is_closed_and_powers_are_set_anew(application, instrument, scans):
    application.set_interlock(False)
    with pytest.raises(InterlockOpenError):
        scans.acquire(STED, 10.0)
    application.set_interlock(True)
    instrument.set_power(STED, "excitation", 10.0)
    assert scans.acquire(STED, 10.0)[0].max() > 0


@pytest.mark.parametrize("real_time", [True])
def test_opening_it_ends_the_scan_in_progress(application, instrument, scans, all_dark):
    instrument.set_value(STED, "dwelltime_us", 2500.0)  # 40² pixels: 4 s
    begun = threading.Event()

    def open_it():
        application.set_interlock(False)
        begun.set()

    application.connect_measurement_cb(open_it, MeasurementSignal.upd_step)  # after 1 s
    with pytest.raises(InterlockOpenError):
        scans.acquire(STED, 30.0)
    assert begun.is_set()
    (record,) = application.emission_log
    assert record.duration_s <= 3.0  # the next block may have begun, not the one after it
    assert all_dark(instrument)


def test_opening_it_at_the_very_end_spoils_the_image_too(application, scans):
    application.connect_measurement_cb(
        lambda: application.set_interlock(False), MeasurementSignal.end_step
    )
    with pytest.raises(InterlockOpenError):
        scans.acquire(STED, 10.0)


@pytest.mark.parametrize(
    ("state", "closed", "why"),
    [
        (True, True, ""),
        (1, True, ""),
        (1.0, True, ""),
        (False, False, ""),
        (0, False, ""),
        (False, True, "the interlock is open (door)"),
        (True, False, "the interlock is open (door)"),
        ("closed", True, "cannot be read (door): 'closed' is neither"),
        (None, True, "cannot be read (door): None is neither"),
        (2, True, "cannot be read (door): 2 is neither"),
        ([True], True, "cannot be read (door): [True] is neither"),
    ],
)
def test_what_the_status_means(state, closed, why):
    class Node:
        def value_at(self, path, root):
            return self

        def get(self):
            return state

    said = Interlock("door", closed).why_open(Node())
    assert said == why if not why else why in said


def test_one_that_cannot_be_read_counts_as_open(application):
    assert "cannot be read (Interlock/door)" in Interlock("Interlock/door").why_open(application)
    assert Interlock(PATH).why_open(application) == ""


def test_without_an_interlock_nothing_is_asked():
    assert NO_INTERLOCK.why_open(None) == ""


def test_images_are_the_same_with_and_without_one(sample, laser_lines, instrument, scans):
    (watched,) = scans.acquire(STED, 10.0)
    sample.survival[:] = 1
    plain = Instrument(TwinApplication(sample), laser_lines, (CONFOCAL, STED))
    plain.set_field(STED, 2.0, 50.0)
    plain.set_power(STED, "excitation", 10.0)
    other = Scans(plain)
    other.connect()
    np.testing.assert_array_equal(other.acquire(STED, 10.0)[0], watched)
    plain.close()
