"""The twin's application: runs, signals, lasers, status, reproducibility."""

import threading
import time

import numpy as np
import pytest

from stedopt_bluesky.twin import (
    MeasurementResult,
    MeasurementSignal,
    TwinApplication,
    ValueTree,
    make_sample,
)
from stedopt_bluesky.twin.photophysics import expose_labels

WAIT_S = 20.0  # a bound against hanging, not a duration
EXCITATION, DEPLETION = 5, 6  # LAS5 640 nm, LAS6 775 nm
LASERS = "ExpControl/measurement/channels/0/lasers"
RANGE = "ExpControl/scan/range"
BEGIN, END = MeasurementSignal.beg_measurement, MeasurementSignal.end_measurement


@pytest.fixture(scope="module")
def pristine():
    return make_sample("actin", 0, 6e-6)


@pytest.fixture
def sample(pristine):
    pristine.survival[:] = 1
    return pristine


def set_up(measurement, pixels=40, excitation=20.0, depletion=30.0):
    """Scan a square of 50-nm pixels with both lasers."""
    for axis in "xy":
        measurement.set_parameters(f"{RANGE}/{axis}", {"psz": 5e-8, "len": pixels * 5e-8})
    for laser, percent in ((EXCITATION, excitation), (DEPLETION, depletion)):
        measurement.set_parameters(
            f"{LASERS}/{laser}", {"active": percent > 0, "power": {"calibrated": percent}}
        )
    return measurement


def make(sample, **arguments):
    app = TwinApplication(sample, **arguments)
    return app, set_up(app.create_measurement())


def all_off(app):
    return set(app.emitting.values()) == {0.0}


def progress(app):
    return app.value_at("Measurement/timing/progress", ValueTree.Status).get()


class Heard:
    """Connects to every signal and keeps their order."""

    def __init__(self, app):
        self.signals = []
        self.ended = threading.Event()
        for signal in MeasurementSignal:
            assert app.connect_measurement_cb(lambda s=signal: self.signals.append(s.name), signal)
        app.connect_measurement_cb(self.ended.set, END)


# --- identity and measurements ----------------------------------------------------------


def test_identity(sample):
    app = TwinApplication(sample)
    assert app.host() == ""
    assert app.version().startswith("16.3.")
    drivers = app.device_drivers()
    assert drivers["ExpControl"] == "AIFpgaV3 Driver"
    drivers.clear()
    assert app.device_drivers()


def test_measurements_open_activate_close(sample):
    app = TwinApplication(sample)
    with pytest.raises(RuntimeError, match="no measurement is active"):
        app.active_measurement()
    first, second = app.create_measurement(), app.create_measurement()
    assert app.measurement_names() == [first.name(), second.name()]
    assert app.active_measurement() is second
    app.activate(first)
    assert app.active_measurement() is first
    assert app.measurement(second.name()) is second
    with pytest.raises(RuntimeError, match="no measurement 'x' is open"):
        app.measurement("x")
    app.close(first)
    assert app.measurement_names() == [second.name()]
    with pytest.raises(RuntimeError, match="no measurement is active"):
        app.active_measurement()
    for refused in (app.start, app.run, app.close, app.activate):
        with pytest.raises(RuntimeError, match="no open measurement"):
            refused(first)
    with pytest.raises(RuntimeError, match="closed"):
        first.parameters("")


def test_a_new_measurement_has_lasers_off_and_finds_the_stage_where_it_was_left(sample):
    app, first = make(sample)
    first.set_parameters(f"{RANGE}/coarse_x/g_off", 3e-6)
    second = app.create_measurement()
    assert second.parameters(f"{RANGE}/coarse_x/g_off") == 3e-6
    assert not any(laser["active"] for laser in second.parameters(LASERS))
    second.set_parameters(f"{RANGE}/coarse_x/g_off", 5e-6)
    app.close(second)
    assert app.create_measurement().parameters(f"{RANGE}/coarse_x/g_off") == 5e-6


def test_clone_measurement(sample):
    app, source = make(sample)
    source.clone(source.configuration(0)).set_parameters(f"{LASERS}/5/power/calibrated", 3.0)
    copy = app.clone_measurement(source)
    assert app.active_measurement() is copy
    assert copy.name() != source.name()
    powers = [
        copy.configuration(i).parameters(f"{LASERS}/5/power/calibrated")
        for i in range(copy.number_of_configurations())
    ]
    assert powers == [20.0, 3.0]
    assert copy.number_of_stacks() == 0


# --- value trees ------------------------------------------------------------------------


def test_measurement_values_are_those_of_what_is_active(sample):
    app, first = make(sample)
    value = app.value_at(f"{LASERS}/5/power/calibrated", ValueTree.Measurement)
    assert value.get() == 20.0
    value.set(12)
    assert first.parameters(f"{LASERS}/5/power/calibrated") == 12.0
    first.clone(first.configuration(0))
    value.set(7.0)
    app.create_measurement()
    assert value.get() == 0.0
    powers = [c.parameters(value.path()) for c in map(first.configuration, range(2))]
    assert powers == [12.0, 7.0]
    app.close(app.active_measurement())
    with pytest.raises(RuntimeError, match="no measurement is active"):
        value.get()


def test_hardware_and_status_are_read_only(sample):
    app, _ = make(sample)
    hardware = app.value_at("", ValueTree.Hardware).get()
    lasers = hardware["ExpControl"]["devices"]["lasers"]["lasers"]
    assert [laser["wavelength"] for laser in lasers] == pytest.approx(
        [405e-9, 485e-9, 518e-9, 561e-9, 595e-9, 640e-9, 775e-9]
    )
    assert progress(app) == {"active": False, "fraction": 0.0}
    with pytest.raises(RuntimeError, match="read only"):
        app.value_at("Measurement/timing/progress/active", ValueTree.Status).set(True)
    with pytest.raises(RuntimeError, match="read only"):
        app.value_at("Pinhole/prop_driver", ValueTree.Hardware).set("mine")
    with pytest.raises(RuntimeError, match="no value tree"):
        app.value_at("", 7)


# --- runs -------------------------------------------------------------------------------


def test_run_fills_the_stack_and_photobleaches(sample):
    app, measurement = make(sample)
    durations = [1e-4] * 8
    measurement.set_parameters("ExpControl/measurement/pixel_steps/step_duration", durations)
    assert app.run(measurement) == MeasurementResult.Success
    first = measurement.stack(0).data().sum()
    assert first > 0
    assert sample.survival.min() < 0.99
    for _ in range(4):
        app.run(measurement)
    assert measurement.stack_names() == ["Ch1 {0}"]
    assert measurement.stack(0).data().sum() < 0.9 * first


def test_signals_come_in_order_and_data_are_final_at_the_end(sample):
    app, measurement = make(sample)
    at_end = []

    def read():
        at_end.append((measurement.stack(0).data(), progress(app)["active"], all_off(app)))

    heard = Heard(app)
    app.connect_measurement_cb(read, END)
    app.run(measurement)
    assert heard.signals == [
        "beg_measurement", "beg_step", *["upd_step"] * 4, "end_step", "end_measurement",
    ]  # fmt: skip
    ((data, active, off),) = at_end
    assert (active, off) == (False, True)
    np.testing.assert_array_equal(data, measurement.stack(0).data())


def test_progress_rises_from_0_to_1_while_active(sample):
    app, measurement = make(sample)
    seen = []
    app.connect_measurement_cb(lambda: seen.append(progress(app)), MeasurementSignal.beg_step)
    app.connect_measurement_cb(lambda: seen.append(progress(app)), MeasurementSignal.upd_step)
    app.run(measurement)
    assert all(p["active"] for p in seen)
    assert [p["fraction"] for p in seen] == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_start_returns_at_once_and_the_end_is_signalled(sample):
    app, measurement = make(sample, real_time=True)
    measurement.set_parameters("ExpControl/measurement/pixel_steps/step_duration", [1.0] * 8)
    heard = Heard(app)
    app.start(measurement)  # half an hour of scan time
    assert progress(app)["active"]
    for refused in (
        lambda: app.start(measurement),
        lambda: app.run(measurement),
        app.create_measurement,
        lambda: app.clone_measurement(measurement),
        lambda: measurement.clone(measurement.configuration(0)),
    ):
        with pytest.raises(RuntimeError, match="is running"):
            refused()
    assert app.measurement_names() == [measurement.name()]
    app.pause(measurement)
    assert heard.ended.wait(WAIT_S)
    assert heard.signals.count("end_measurement") == 1
    assert all_off(app)


def test_start_needs_the_active_measurement(sample):
    app, measurement = make(sample)
    app.create_measurement()
    with pytest.raises(RuntimeError, match="not the active measurement"):
        app.start(measurement)


def test_callbacks_get_no_argument(sample):
    # As SpecPy declares it (Omas::Shared_Slot<void ()>): tests/imspector/test_api.py.
    app, measurement = make(sample)
    got = []
    app.connect_measurement_cb(lambda *args: got.append(args), END)
    app.run(measurement)
    assert got == [()]


def test_connecting_and_disconnecting(sample):
    app, measurement = make(sample)
    calls = []

    def callback():
        calls.append(1)

    assert app.connect_measurement_cb(callback, END, 1000)
    assert not app.connect_measurement_cb(callback, END)
    app.run(measurement)
    assert calls == [1]
    assert app.disconnect_measurement_cb(callback, END)
    assert not app.disconnect_measurement_cb(callback, END)
    app.run(measurement)
    assert calls == [1]


def test_connect_end_is_the_older_way(sample):
    app, measurement = make(sample)
    calls = []
    whole, step = (lambda: calls.append("whole")), (lambda: calls.append("step"))
    app.connect_end(whole, 0)
    app.connect_end(step, 1)
    app.run(measurement)
    app.disconnect_end(whole, 0)
    app.disconnect_end(step, 1)
    app.run(measurement)
    assert calls == ["step", "whole"]
    with pytest.raises(RuntimeError, match="flag must be 0"):
        app.connect_end(whole, 2)


def test_an_exception_in_a_callback_stops_nothing(sample, caplog):
    app, measurement = make(sample)
    heard = []

    def broken():
        raise ValueError("a user's mistake")

    for signal in MeasurementSignal:
        app.connect_measurement_cb(broken, signal)
    app.connect_measurement_cb(lambda: heard.append("end"), END)
    assert app.run(measurement) == MeasurementResult.Success
    assert heard == ["end"]
    assert "a user's mistake" in caplog.text


def test_the_end_signal_may_start_the_next_run(sample):
    app, measurement = make(sample)
    ends, finished = [], threading.Event()

    def again():
        ends.append(1)
        if len(ends) < 3:
            app.start(measurement)
        else:
            finished.set()

    app.connect_measurement_cb(again, END)
    app.start(measurement)
    assert finished.wait(WAIT_S)
    assert len(app.emission_log) == 3 * 2


# --- lasers -----------------------------------------------------------------------------


def test_lasers_emit_during_a_scan_and_at_no_other_time(sample):
    app, measurement = make(sample)
    during, before = [], []
    app.connect_measurement_cb(lambda: before.append(all_off(app)), BEGIN)
    app.connect_measurement_cb(lambda: during.append(app.emitting), MeasurementSignal.upd_step)
    assert all_off(app)
    app.run(measurement)
    assert before == [True]
    assert all_off(app)
    # 20 % of 50 µW and 30 % of 400 mW.
    expected = dict.fromkeys((f"LAS{i}" for i in range(7)), 0.0)
    expected |= {"LAS5": pytest.approx(10e-6), "LAS6": pytest.approx(0.12)}
    assert during == [expected] * 4


def test_the_log_tells_what_was_emitted(sample):
    app, measurement = make(sample)
    begin = time.monotonic()
    app.run(measurement)
    excitation, depletion = app.emission_log
    assert (excitation.measurement, excitation.configuration) == (
        measurement.name(),
        measurement.active_configuration().name(),
    )
    assert (excitation.laser, depletion.laser) == ("LAS5", "LAS6")
    assert (excitation.power_W, depletion.power_W) == pytest.approx((10e-6, 0.12))
    # 40 lines of 40 pixels of 10 µs, and 0.2 ms to go back after each.
    assert excitation.duration_s == pytest.approx(40 * (40 * 10e-6 + 0.2e-3))
    assert app.scan_time_s == pytest.approx(excitation.duration_s)
    assert begin <= excitation.start_s <= excitation.end_s <= time.monotonic()


def test_an_inactive_laser_emits_nothing_whatever_its_power(sample):
    app, measurement = make(sample)
    measurement.set_parameters(f"{LASERS}/{DEPLETION}/active", False)
    app.run(measurement)
    assert [record.laser for record in app.emission_log] == ["LAS5"]


def test_the_wrong_wavelength_does_little(sample):
    app, measurement = make(sample)
    bright = app.run(measurement) or measurement.stack(0).data().astype(float).sum()
    sample.survival[:] = 1
    lasers = measurement.parameters(LASERS)
    for laser in lasers:
        laser["active"] = laser["id"] in ("LAS1", "LAS4")  # 485 and 595 nm
        laser["power"]["calibrated"] = 30.0
    measurement.set_parameters(LASERS, lasers)
    app.run(measurement)
    assert measurement.stack(0).data().astype(float).sum() < 0.1 * bright
    assert sample.survival.min() > 0.999


# --- stopping ---------------------------------------------------------------------------


@pytest.mark.parametrize("stop", ["pause", "pause_any", "close"])
def test_stopping_in_the_middle(sample, stop):
    app, measurement = make(sample)
    heard = Heard(app)
    calls = []

    def stop_after_two_blocks():
        calls.append(1)
        if len(calls) == 2:
            {
                "pause": lambda: app.pause(measurement),
                "pause_any": app.pause,
                "close": lambda: app.close(measurement),
            }[stop]()

    app.connect_measurement_cb(stop_after_two_blocks, MeasurementSignal.upd_step)
    configuration = measurement.active_configuration()
    assert app.run(measurement) == MeasurementResult.Cancelled
    assert heard.signals.count("end_measurement") == 1
    assert heard.signals[-2:] == ["end_step", "end_measurement"]
    assert all_off(app)
    data = configuration.stack(0).data()[0, 0]
    assert data[:20].any()
    assert not data[20:].any()
    # Of a field of 2 µm, the half that was not scanned has not lost its fluorophores.
    rows = sample.survival.shape[0]
    assert sample.survival[: rows // 2].min() < 0.99
    assert sample.survival[rows // 2 + 25 :].min() == 1
    assert app.emission_log[0].duration_s == pytest.approx(20 * (40 * 10e-6 + 0.2e-3))


@pytest.mark.parametrize("stop", [TwinApplication.pause, TwinApplication.close])
def test_stopping_in_real_time_does_not_wait_for_the_scan(sample, stop):
    app, measurement = make(sample, real_time=True)
    # A line takes 40 s; the scan would take half an hour.
    measurement.set_parameters("ExpControl/measurement/pixel_steps/step_duration", [1.0] * 8)
    heard, begun = Heard(app), threading.Event()
    app.connect_measurement_cb(begun.set, MeasurementSignal.beg_step)
    app.start(measurement)
    assert begun.wait(WAIT_S)
    stop(app, measurement)
    assert heard.ended.wait(WAIT_S)
    assert heard.signals.count("end_measurement") == 1
    assert all_off(app)
    assert sample.survival.min() == 1


def test_real_time_takes_the_scan_time(sample):
    app, measurement = make(sample, real_time=True)
    set_up(measurement, pixels=16)
    begin = time.monotonic()
    assert app.run(measurement) == MeasurementResult.Success
    assert time.monotonic() - begin >= app.scan_time_s > 0.005


def test_stopping_what_does_not_run_does_nothing(sample):
    app, measurement = make(sample)
    app.pause(measurement)
    app.pause()
    assert app.run(measurement) == MeasurementResult.Success


def test_failing_physics_ends_the_run_with_lasers_off(sample, caplog):
    def broken(*_):
        raise ArithmeticError("no photons today")

    app, measurement = make(sample, expose=broken)
    heard = Heard(app)
    with pytest.raises(RuntimeError, match="no photons today"):
        app.run(measurement)
    assert heard.signals[-2:] == ["end_step", "end_measurement"]
    assert heard.signals.count("end_measurement") == 1
    assert all_off(app)
    assert "failed" in caplog.text
    assert not progress(app)["active"]


# --- noise, frames, channels, place -----------------------------------------------------


def images(sample, seed, runs=2):
    sample.survival[:] = 1
    app, measurement = make(sample, seed=seed)
    taken = []
    for _ in range(runs):
        app.run(measurement)
        taken.append(measurement.stack(0).data())
    return taken


def test_a_session_is_reproducible(sample):
    first, again, other = (images(sample, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], other[0])


def test_every_acquisition_has_its_own_noise(sample):
    states = []

    def spy(exposure, labels, optics, rng):
        states.append(rng.bit_generator.state["state"]["state"])
        return expose_labels(exposure, labels, optics, rng)

    app, measurement = make(sample, seed=3, expose=spy)
    app.run(measurement)
    app.run(measurement)
    expected = [
        np.random.default_rng([3, n]).bit_generator.state["state"]["state"] for n in range(2)
    ]
    assert states == expected


def test_frames_are_steps(sample):
    app, measurement = make(sample)
    measurement.set_parameters(f"{RANGE}/t/res", 3)
    axes = ["ExpControl X", "ExpControl Y", "None", "ExpControl T"]
    measurement.set_parameters("Measurement/axes/scan_axes", axes)
    heard = Heard(app)
    app.run(measurement)
    stack = measurement.stack(0)
    assert stack.data().shape == (3, 1, 40, 40)
    assert stack.shape() == [40, 40, 1, 3]
    assert stack.labels() == axes
    assert all(frame.any() for frame in stack.data())
    assert heard.signals.count("beg_step") == heard.signals.count("end_step") == 3
    assert heard.signals.count("end_measurement") == 1


def test_one_stack_per_channel_each_with_its_lasers(sample):
    app = TwinApplication(sample, channels=("Conf", "STED"))
    measurement = set_up(app.create_measurement(), depletion=0.0)
    channels = measurement.parameters("ExpControl/measurement/channels")
    for laser, percent in ((EXCITATION, 20.0), (DEPLETION, 50.0)):
        channels[1]["lasers"][laser]["active"] = True
        channels[1]["lasers"][laser]["power"]["calibrated"] = percent
    measurement.set_parameters("ExpControl/measurement/channels", channels)
    app.run(measurement)
    assert measurement.stack_names() == ["Conf {0}", "STED {0}"]
    assert [r.laser for r in app.emission_log] == ["LAS5", "LAS5", "LAS6"]
    confocal, sted = (measurement.stack(i).data().sum() for i in range(2))
    assert confocal > sted > 0


@pytest.mark.parametrize(
    "moves",
    [
        {f"{RANGE}/x/off": 1e-6, f"{RANGE}/y/off": -0.5e-6},
        {f"{RANGE}/x/g_off": 1e-6, f"{RANGE}/y/g_off": -0.5e-6},
        {f"{RANGE}/x/off": 0.4e-6, f"{RANGE}/coarse_x/g_off": 0.6e-6, f"{RANGE}/y/off": -0.5e-6},
    ],
)
def test_where_the_field_is(sample, moves):
    seen = []

    def spy(exposure, labels, optics, rng):
        seen.append((exposure.x_m, exposure.y_m))
        return expose_labels(exposure, labels, optics, rng)

    app, measurement = make(sample, expose=spy)
    for path, metres in moves.items():
        # Global positions move on from where the twin starts.
        start = measurement.parameters(path) if path.endswith("g_off") else 0.0
        measurement.set_parameters(path, start + metres)
    app.run(measurement)
    assert seen == [pytest.approx((1e-6, -0.5e-6), abs=1e-12)]


def test_outside_the_sample_there_is_background_only(sample):
    app, measurement = make(sample)
    app.run(measurement)
    inside = measurement.stack(0).data().mean()
    measurement.set_parameters(f"{RANGE}/x/off", 50e-6)
    app.run(measurement)
    outside = measurement.stack(0).data()
    assert 0 < outside.mean() < 0.5 * inside
    # Poisson around one level: variance over mean is 1 within 6 standard errors.
    assert outside.var() / outside.mean() == pytest.approx(1, abs=6 * np.sqrt(2 / outside.size))


def test_parameters_are_those_of_the_start(sample):
    app, measurement = make(sample)
    path = f"{LASERS}/{EXCITATION}/power/calibrated"
    app.connect_measurement_cb(lambda: measurement.set_parameters(path, 99.0), BEGIN)
    app.run(measurement)
    assert app.emission_log[0].power_W == pytest.approx(10e-6)
    assert measurement.stack(0).parameters(f"doc/{path}") == 20.0
    assert measurement.parameters(path) == 99.0


def test_parameters_may_be_used_from_other_threads_while_scanning(sample):
    app, measurement = make(sample)
    failures = []

    def use():
        try:
            for n in range(50):
                measurement.set_parameters(f"{LASERS}/0/power/calibrated", float(n))
                measurement.parameters("")
                progress(app)
                assert app.emitting
        except Exception as error:  # reported by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        assert app.run(measurement) == MeasurementResult.Success
    for thread in threads:
        thread.join(WAIT_S)
    assert failures == []


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (f"{RANGE}/x", {"psz": 4e-8}, "square"),
        (f"{RANGE}/scanmode", "xz", "not simulated"),
        ("Measurement/axes/scan_axes", ["ExpControl X", "ExpControl Z", "None", "None"], "xy"),
        ("ExpControl/measurement/line_steps/step_active", [False] * 8, "line_steps"),
        (f"{RANGE}/x", {"len": 1.0}, "not simulated"),
    ],
)
def test_what_is_not_simulated_is_refused_at_the_start(sample, path, value, match):
    app, measurement = make(sample)
    measurement.set_parameters(path, value)
    with pytest.raises(RuntimeError, match=match):
        app.start(measurement)
    assert not progress(app)["active"]
    assert app.emission_log == []
    assert measurement.number_of_stacks() == 0
