"""A scan ends with Imspector's signal, at the deadline, or at once when it is stopped."""

import threading
import time

import numpy as np
import pytest

from stedopt_bluesky.devices.microscope import CONFOCAL, STED
from stedopt_bluesky.devices.overview import OVERVIEW
from stedopt_bluesky.imspector import scan
from stedopt_bluesky.imspector.api import MeasurementSignal
from stedopt_bluesky.imspector.instrument import Instrument
from stedopt_bluesky.imspector.scan import BadImageError, ScanError, Scans
from stedopt_bluesky.twin import TwinApplication

WAIT_S = 20.0  # a bound against hanging, not a duration
END, UPDATE = MeasurementSignal.end_measurement, MeasurementSignal.upd_step


def set_up(application, laser_lines):
    """64 × 64 pixels at 10 µs in every configuration, lasers on."""
    instrument = Instrument(application, laser_lines, (CONFOCAL, STED, OVERVIEW))
    for name in (CONFOCAL, STED):
        instrument.set_field(name, 1.28, 20)
        instrument.set_power(name, "excitation", 10.0)
    instrument.set_power(STED, "depletion", 100.0)
    return instrument


@pytest.fixture
def instrument(application, laser_lines):
    return set_up(application, laser_lines)


@pytest.fixture
def slow(sample, laser_lines):
    """A scan of four seconds, in real time."""
    application = TwinApplication(sample, real_time=True)
    instrument = set_up(application, laser_lines)
    instrument.set_value(STED, "dwelltime_us", 1000.0)
    yield instrument
    instrument.application.close(instrument.measurement)


@pytest.fixture
def scans(instrument):
    scans = Scans(instrument)
    scans.connect()
    return scans


def in_thread(function, *args):
    """Run in a thread; a list gets what was returned or raised."""
    outcome = []

    def run():
        try:
            outcome.append(function(*args))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, outcome


def lasers_of(application):
    return {record.laser for record in application.emission_log}


def ended(application):
    """Event that is set at the end of a measurement."""
    event = threading.Event()
    application.connect_measurement_cb(event.set, END)
    return event


# --- the end signal ---------------------------------------------------------------------


def test_the_end_signal_completes_a_scan(scans, application):
    (image,) = scans.acquire(CONFOCAL, WAIT_S)
    assert image.shape == (64, 64)
    assert image.dtype == np.int16
    assert image.max() > 0
    assert lasers_of(application) == {"LAS5"}


def test_without_the_signal_the_deadline_ends_it(instrument, application, monkeypatch):
    """Nothing is told: the scan is over in no time, but nobody hears of it."""
    monkeypatch.setattr(application, "connect_measurement_cb", lambda cb, to: True)
    scans = Scans(instrument)
    scans.connect()
    with pytest.raises(
        ScanError, match=r"^sted scan: Imspector did not report its end within 0.05 s"
    ):
        scans.acquire(STED, 0.05)


def test_at_the_deadline_the_scan_is_paused(slow):
    application = slow.application._backend
    over = ended(application)
    scans = Scans(slow)
    scans.connect()
    begin = time.monotonic()
    with pytest.raises(ScanError, match=r"did not report its end within 0\.05 s"):
        scans.acquire(STED, 0.05)
    assert over.wait(WAIT_S)
    assert time.monotonic() - begin < 2.0
    assert set(application.emitting.values()) == {0.0}
    # Far from all of its lines were scanned.
    assert application.emission_log[0].duration_s < 2.0


def test_two_scans_after_one_another(scans, application):
    (first,) = scans.acquire(CONFOCAL, WAIT_S)
    (second,) = scans.acquire(STED, WAIT_S)
    assert first.shape == second.shape == (64, 64)
    assert not np.array_equal(first, second)
    assert [r.configuration for r in application.emission_log] == [CONFOCAL, STED, STED]


def test_the_image_is_a_copy(scans, instrument):
    (image,) = scans.acquire(CONFOCAL, WAIT_S)
    kept = image.copy()
    image[:] = -1
    np.testing.assert_array_equal(instrument.configuration(CONFOCAL).stack(0).data()[0, 0], kept)
    scans.acquire(CONFOCAL, WAIT_S)
    assert (image == -1).all()
    assert image.flags.c_contiguous
    assert image.base is None


class Overheard:
    """Passes callbacks of the end signal on to the twin and can call them itself."""

    def __init__(self, application, monkeypatch):
        connect = application.connect_measurement_cb
        self.callbacks = []

        def connect_measurement_cb(cb, to):
            self.callbacks.append(cb)
            return connect(cb, to)

        monkeypatch.setattr(application, "connect_measurement_cb", connect_measurement_cb)

    def __call__(self):
        for callback in self.callbacks:
            callback()


def test_the_end_of_another_scan_is_not_taken_for_this_ones(
    sample, application, instrument, laser_lines, monkeypatch
):
    """An end that is told twice, or late, comes when the next scan has begun already."""
    survival = sample.survival.copy()
    scans = Scans(instrument)
    scans.connect()
    undisturbed = [scans.acquire(name, WAIT_S)[0] for name in (CONFOCAL, STED)]

    sample.survival[:] = survival
    again = TwinApplication(sample, seed=0)
    overheard = Overheard(again, monkeypatch)
    disturbed_instrument = set_up(again, laser_lines)
    disturbed = Scans(disturbed_instrument)
    disturbed.connect()
    again.connect_measurement_cb(overheard.callbacks[0], UPDATE)
    images = [disturbed.acquire(name, WAIT_S)[0] for name in (CONFOCAL, STED)]
    for image, expected in zip(images, undisturbed, strict=True):
        np.testing.assert_array_equal(image, expected)


def test_an_end_that_is_told_twice_does_no_harm(instrument, application, monkeypatch):
    overheard = Overheard(application, monkeypatch)
    scans = Scans(instrument)
    scans.connect()
    application.connect_measurement_cb(overheard, END)
    for _ in range(3):
        assert scans.acquire(CONFOCAL, WAIT_S)[0].max() > 0


def test_an_imspector_that_does_not_say_whether_it_scans_is_trusted(
    scans, application, monkeypatch
):
    def refuse(*_):
        raise RuntimeError("no such node")

    monkeypatch.setattr(application, "value_at", refuse)
    assert scans.acquire(CONFOCAL, WAIT_S)[0].max() > 0


def test_a_status_that_lags_behind_the_signal_is_asked_again(scans, instrument, monkeypatch):
    monkeypatch.setattr(scan, "_RECHECK_S", 0.001)
    answers = iter([True, True])
    truth = instrument.scanning
    monkeypatch.setattr(instrument, "scanning", lambda: next(answers, False) or truth())
    assert scans.acquire(CONFOCAL, WAIT_S)[0].max() > 0
    assert list(answers) == []


def test_disconnected_by_the_same_object_that_was_connected(instrument, application, monkeypatch):
    """Two ``self._on_end`` are equal but not the same; SpecPy may look at either."""
    calls = []
    monkeypatch.setattr(
        application, "connect_measurement_cb", lambda cb, to: calls.append((cb, to))
    )
    monkeypatch.setattr(
        application, "disconnect_measurement_cb", lambda cb, _from: calls.append((cb, _from))
    )
    scans = Scans(instrument)
    scans.connect()
    scans.disconnect()
    (connected, to), (disconnected, from_) = calls
    assert connected is disconnected
    assert to == from_ == END


def test_after_disconnecting_nothing_is_told(scans, application):
    scans.disconnect()
    with pytest.raises(ScanError, match="did not report its end"):
        scans.acquire(CONFOCAL, 0.05)
    scans.connect()
    assert scans.acquire(CONFOCAL, WAIT_S)[0].max() > 0


# --- stop -------------------------------------------------------------------------------


def test_stop_from_another_thread_ends_a_scan_at_once(slow):
    application = slow.application._backend
    begun, over = threading.Event(), ended(application)
    application.connect_measurement_cb(begun.set, MeasurementSignal.beg_step)
    scans = Scans(slow)
    scans.connect()
    thread, outcome = in_thread(scans.acquire, STED, WAIT_S)
    assert begun.wait(WAIT_S)
    begin = time.monotonic()
    scans.stop()
    thread.join(WAIT_S)
    assert time.monotonic() - begin < 2.0
    assert isinstance(outcome[0], ScanError)
    assert str(outcome[0]) == "sted scan: stopped"
    # The end was waited for: from here on nothing emits.
    assert over.is_set()
    assert set(application.emitting.values()) == {0.0}
    log = application.emission_log
    with pytest.raises(ScanError, match="stopped before it began"):
        scans.acquire(STED, WAIT_S)
    assert application.emission_log == log
    assert max(r.end_s for r in log) <= time.monotonic()


def test_a_stop_just_before_the_start_lets_nothing_start(
    scans, instrument, application, monkeypatch
):
    activate = instrument.measurement.activate

    def stop_instead(that):
        activate(that)
        scans.stop()

    monkeypatch.setattr(instrument.measurement, "activate", stop_instead)
    with pytest.raises(ScanError, match="confocal scan: stopped before it began"):
        scans.acquire(CONFOCAL, WAIT_S)
    assert application.emission_log == []


def test_a_stop_just_after_the_start_pauses(slow, monkeypatch):
    """While Imspector is being asked to start, a stop waits, and then pauses."""
    application = slow.application._backend
    scans = Scans(slow)
    scans.connect()
    start, stoppers = application.start, []

    def stopped_while_starting(that):
        stoppers.append(in_thread(scans.stop))
        start(that)

    monkeypatch.setattr(application, "start", stopped_while_starting)
    begin = time.monotonic()
    with pytest.raises(ScanError, match="sted scan: stopped"):
        scans.acquire(STED, WAIT_S)
    assert time.monotonic() - begin < 2.0
    assert set(application.emitting.values()) == {0.0}
    stoppers[0][0].join(WAIT_S)


def test_a_stop_does_not_wait_long_for_an_imspector_that_does_not_answer(slow, monkeypatch):
    monkeypatch.setattr(scan, "_STOP_GRACE_S", 0.05)
    monkeypatch.setattr(slow.application, "pause", lambda that: None)
    scans = Scans(slow)
    scans.connect()
    begun = threading.Event()
    slow.application.connect_measurement_cb(begun.set, MeasurementSignal.beg_step)
    thread, outcome = in_thread(scans.acquire, STED, WAIT_S)
    assert begun.wait(WAIT_S)
    begin = time.monotonic()
    scans.stop()
    thread.join(WAIT_S)
    assert time.monotonic() - begin < 2.0
    assert isinstance(outcome[0], ScanError)


def test_connecting_allows_scans_again(scans):
    scans.stop()
    with pytest.raises(ScanError, match="stopped before it began"):
        scans.acquire(CONFOCAL, WAIT_S)
    scans.connect()
    assert scans.acquire(CONFOCAL, WAIT_S)[0].max() > 0


def test_stopping_what_does_not_run_does_nothing(scans, application):
    scans.stop()
    scans.stop()
    assert application.emission_log == []


# --- activation and start ---------------------------------------------------------------


def failing_times(function, times):
    calls = []

    def fail_first(*args):
        calls.append(args)
        if len(calls) <= times:
            raise RuntimeError("Internal error: busy")
        return function(*args)

    return fail_first, calls


@pytest.mark.parametrize("times", [1, 2])
def test_an_activation_that_fails_is_tried_again(scans, instrument, monkeypatch, times):
    monkeypatch.setattr(scan, "_ACTIVATION_RETRY_S", 0.0)
    activate, calls = failing_times(instrument.measurement.activate, times)
    monkeypatch.setattr(instrument.measurement, "activate", activate)
    assert scans.acquire(STED, WAIT_S)[0].max() > 0
    assert len(calls) == times + 1


def test_an_activation_that_fails_thrice_is_an_error(scans, instrument, application, monkeypatch):
    monkeypatch.setattr(scan, "_ACTIVATION_RETRY_S", 0.0)
    activate, calls = failing_times(instrument.measurement.activate, 99)
    monkeypatch.setattr(instrument.measurement, "activate", activate)
    with pytest.raises(ScanError, match=r"sted scan: cannot be activated: .*busy"):
        scans.acquire(STED, WAIT_S)
    assert len(calls) == 3
    assert application.emission_log == []


def test_a_scan_that_cannot_be_started_is_an_error(scans, instrument):
    instrument.configuration(STED).set_parameters("ExpControl/scan/range/scanmode", "xz")
    with pytest.raises(ScanError, match="sted scan: cannot be started: scan mode 'xz'"):
        scans.acquire(STED, WAIT_S)
    # And it does not stand in the way of the next one.
    assert scans.acquire(CONFOCAL, WAIT_S)[0].max() > 0


def test_data_of_another_shape_are_an_error(scans, instrument, monkeypatch):
    class Stack:
        def data(self):
            return np.zeros((0, 1, 64, 64), np.int16)

    monkeypatch.setattr(instrument.configuration(STED), "stack", lambda index: Stack())
    with pytest.raises(ScanError, match=r"expected a stack \(T, Z, Y, X\), got \(0, 1, 64, 64\)"):
        scans.acquire(STED, WAIT_S)


def test_an_image_is_not_kept_when_a_condition_has_failed_meanwhile(scans, instrument, application):
    why = []
    instrument.application.gate.require(lambda: "".join(why))
    assert scans.acquire(STED, WAIT_S)[0].shape == (64, 64)
    application.connect_measurement_cb(lambda: why.append("the watchdog has acted"), END)
    # Before the scan's own callback: it is connected first.
    scans.disconnect()
    scans.connect()
    with pytest.raises(ScanError, match="sted scan: not to be trusted: the watchdog has acted"):
        scans.acquire(STED, WAIT_S)
    scanned = len(application.emission_log)
    with pytest.raises(ScanError, match="no scan may begin: the watchdog has acted"):
        scans.acquire(STED, WAIT_S)
    assert len(application.emission_log) == scanned


# --- nothing goes on without anybody, and nothing dark is taken for an image ---------------------


def test_whatever_fails_while_it_waits_the_scan_is_stopped(sample, laser_lines):
    def broken():
        raise ArithmeticError("no picture today")

    # In real time: the first step comes before the end.
    application = TwinApplication(sample, real_time=True)
    instrument = Instrument(application, laser_lines, (CONFOCAL, STED))
    scans = Scans(instrument, broken)
    scans.connect()
    instrument.set_field(STED, 0.8, 20.0)
    instrument.set_value(STED, "dwelltime_us", 1000.0)
    instrument.set_power(STED, "excitation", 10.0)
    with pytest.raises(ArithmeticError, match="no picture today"):
        scans.acquire(STED, WAIT_S)
    assert not instrument.scanning()
    assert not any(application.emitting.values())


@pytest.mark.parametrize("percent", [0.0, 7.0])
def test_an_image_with_other_powers_than_were_set_is_given_up(scans, instrument, percent):
    instrument.set_power(STED, "excitation", 10.0)
    assert len(scans.acquire(STED, WAIT_S)) == 1
    # In Imspector's own window.
    lasers = "ExpControl/measurement/channels/0/lasers/5"
    backend = instrument.configuration(STED)._backend
    backend.set_parameters(f"{lasers}/power/calibrated", percent)
    with pytest.raises(BadImageError, match=r"excitation was set to 20 % and has .* % after it"):
        scans.acquire(STED, WAIT_S)
    instrument.set_power(STED, "excitation", 10.0)
    assert len(scans.acquire(STED, WAIT_S)) == 1
