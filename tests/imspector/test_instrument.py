"""The last gate before the backend: nothing forbidden passes, whoever asks; off means all off."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import FailedStatus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ophyd.utils import LimitError

from stedopt_bluesky.devices.microscope import CONFOCAL, STED
from stedopt_bluesky.devices.overview import OVERVIEW
from stedopt_bluesky.imspector import paths
from stedopt_bluesky.imspector.calibration import PowerCalibration
from stedopt_bluesky.imspector.guard import PowerLimitError, ScanBlockedError
from stedopt_bluesky.imspector.instrument import (
    Instrument,
    NoMeasurementError,
    PowerReadbackError,
    TooFewChannelsError,
)
from stedopt_bluesky.imspector.laser_line import LaserLine
from stedopt_bluesky.imspector.scan import Scans

LIMITS = {"excitation": 30.0, "depletion": 380.0}
FULL_POWER = {"excitation": 50.0, "depletion": 400.0}
NUMBERS = {"excitation": 5, "depletion": 6}
CONFIGURATIONS = (CONFOCAL, STED, OVERVIEW)

numbers = (
    st.floats()
    | st.integers()
    | st.integers(0, 500)
    | st.floats(0, 500)
    | st.fractions(-10, 500)
    | st.floats(width=32).map(np.float32)
    | st.floats(0, 500).map(np.float64)
    | st.integers(-(2**15), 2**15 - 1).map(np.int16)
    | st.sampled_from([380.0, 30.0, math.nextafter(380.0, math.inf), math.nextafter(30.0, 31)])
    | st.sampled_from([10**400, -0.0, 5e-324, -5e-324])
)
no_numbers = (
    st.booleans()
    | st.none()
    | st.text()
    | st.sampled_from(["5", np.True_, 5j, [5.0], (5.0,), np.array(5.0), np.array([5.0])])
    | st.decimals(0, 500)
)
lasers = st.sampled_from(["excitation", "depletion"])
# Written out: the table of paths must not be trusted with its own test.
POWER = "ExpControl/measurement/channels/0/lasers/{}/power/calibrated"
ACTIVE = "ExpControl/measurement/channels/0/lasers/{}/active"
PIXEL_STEPS = "ExpControl/measurement/pixel_steps/step_duration"
LINE_STEPS = "ExpControl/measurement/line_steps/step_duration"


def backend(instrument):
    """Imspector's own measurement, past the gate: as the operator at Imspector has it."""
    return instrument.measurement._backend


# The twin is shared by the examples of a test, on purpose: one must not spoil the next.
shared_twin = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300
)


class Written:
    """Records everything that is written to an instrument's configurations."""

    def __init__(self, instrument, monkeypatch):
        self.calls = []
        for name in CONFIGURATIONS:
            configuration = backend(instrument).configuration(name)
            monkeypatch.setattr(configuration, "set_parameters", self._recorder(configuration))

    def _recorder(self, configuration):
        write = type(configuration).set_parameters

        def set_parameters(at, value):
            self.calls.append((at, value))
            write(configuration, at, value)

        return set_parameters


@pytest.fixture
def written(instrument, monkeypatch):
    return Written(instrument, monkeypatch)


def allowed(laser, power):
    """Whether a value may be sent, said without the code under test."""
    if isinstance(power, bool | np.bool_) or not hasattr(power, "__float__"):
        return False
    return not isinstance(power, str | Decimal | np.ndarray) and 0 <= power <= LIMITS[laser]


def check_backend(written, laser_tree, instrument):
    """Nothing but Python's own floats and bools was written, and no power above a limit."""
    for path, value in written.calls:
        assert type(value) is (bool if path.endswith("active") else float), (path, value)
    for _, laser, percent, _ in laser_tree(instrument):
        name = {"LAS5": "excitation", "LAS6": "depletion"}.get(laser)
        highest = 100 * LIMITS[name] / FULL_POWER[name] if name else 0.0
        assert 0 <= percent <= highest, laser


@shared_twin
@given(lasers, st.sampled_from(CONFIGURATIONS), numbers | no_numbers)
def test_no_forbidden_power_passes_the_instrument(
    instrument, written, laser_tree, laser, configuration, power
):
    before = instrument.power(configuration, laser)
    written.calls.clear()
    if allowed(laser, power):
        instrument.set_power(configuration, laser, power)
        assert instrument.power(configuration, laser) == pytest.approx(float(power), rel=1e-9)
    else:
        with pytest.raises(PowerLimitError, match=f"^{laser} power = .*: 0 to .* is allowed$"):
            instrument.set_power(configuration, laser, power)
        assert written.calls == []
        assert instrument.power(configuration, laser) == before
    check_backend(written, laser_tree, instrument)


@shared_twin
@given(lasers, st.sampled_from(["set", "put", "signal set", "signal put"]), numbers | no_numbers)
def test_no_forbidden_power_passes_a_device(
    station, instrument, written, laser_tree, laser, way, power
):
    device = getattr(station, laser)
    ask = {
        "set": device.set,
        "put": lambda value: device.power.put(value, force=True),
        "signal set": device.power.set,
        "signal put": device.power.put,
    }[way]
    before = device.power.get()
    written.calls.clear()
    if allowed(laser, power):
        ask(power)
        assert device.power.get() == float(power)
    else:
        with pytest.raises(LimitError):
            ask(power)
        assert written.calls == []
        assert device.power.get() == before
    check_backend(written, laser_tree, instrument)


@pytest.mark.parametrize("laser", LIMITS)
@pytest.mark.parametrize("power", [1e3, math.nan, math.inf, -1.0, True, "5", None], ids=repr)
def test_no_forbidden_power_passes_a_plan(station, written, run_engine, laser, power):
    written.calls.clear()
    with pytest.raises((LimitError, FailedStatus)):
        run_engine(bps.mv(getattr(station, laser), power))
    # The RunEngine stops what a plan has moved: zeros are all that is written.
    assert {value for _, value in written.calls} <= {0.0}


def test_what_is_emitted_is_what_was_set_up_to_the_limit(instrument):
    instrument.set_field(STED, 0.32, 20)
    instrument.set_power(STED, "excitation", 30.0)
    instrument.set_power(STED, "depletion", 380.0)
    scans = Scans(instrument)
    scans.connect()
    scans.acquire(STED, 10.0)
    emitted = {r.laser: r.power_W for r in instrument.application._backend.emission_log}
    assert emitted == pytest.approx({"LAS5": 30e-6, "LAS6": 380e-3})


def test_a_power_below_the_calibration_is_refused_before_anything_is_written(application):
    line = LaserLine("depletion", 6, PowerCalibration((0, 100), (2, 400), "mW"), 380.0)
    instrument = Instrument(application, [line], (STED,))
    instrument.set_power(STED, "depletion", 100.0)
    with pytest.raises(ValueError, match="1 mW is outside the calibration, 2 to 400 mW"):
        instrument.set_power(STED, "depletion", 1.0)
    assert instrument.power(STED, "depletion") == pytest.approx(100.0)
    instrument.set_power(STED, "depletion", 0.0)
    assert instrument.power(STED, "depletion") == 0.0


def test_power_is_read_back_from_imspector_not_remembered(instrument):
    instrument.set_power(STED, "depletion", 200.0)
    path = POWER.format(NUMBERS["depletion"])
    assert instrument.configuration(STED).parameters(path) == pytest.approx(50.0)
    instrument.configuration(STED).set_parameters(path, 25.0)
    assert instrument.power(STED, "depletion") == pytest.approx(100.0)
    instrument.configuration(STED).set_parameters(ACTIVE.format(6), False)
    assert instrument.power(STED, "depletion") == 0.0


def test_a_power_is_set_in_its_configuration_only(instrument, laser_tree):
    instrument.set_power(STED, "excitation", 10.0)
    on = {(name, laser) for name, laser, percent, active in laser_tree(instrument) if active}
    assert on == {(STED, "LAS5")}
    instrument.set_power(STED, "excitation", 0.0)
    assert not any(percent or active for _, _, percent, active in laser_tree(instrument))


@pytest.mark.parametrize("limit", [0.0, -1.0, 400.1, math.inf, math.nan])
def test_a_limit_is_within_what_was_calibrated(limit):
    with pytest.raises(ValueError, match=r"depletion power limit = .*at most the highest calibrat"):
        LaserLine("depletion", 6, PowerCalibration((0, 100), (0, 400), "mW"), limit)


@pytest.mark.parametrize(("name", "number"), [("excitation", 6), ("depletion", 5)])
def test_two_lasers_are_two(application, laser_lines, name, number):
    other = LaserLine(name, number, laser_lines[1].calibration, 380.0)
    with pytest.raises(ValueError, match="each laser has its own name and number"):
        Instrument(application, [laser_lines[0], other], (STED,))
    assert application.measurement_names() == []


# --- off --------------------------------------------------------------------------------


def switch_everything_on(instrument):
    """Every laser of every configuration, also what the instrument knows nothing of."""
    measurement = backend(instrument)
    measurement.clone(measurement.configuration(STED)).set_name("added by hand")
    measurement.clone(measurement.configuration(STED))
    for i in range(measurement.number_of_configurations()):
        channels = measurement.configuration(i).parameters(paths.CHANNELS)
        for channel in channels:
            for laser in channel["lasers"]:
                laser["power"]["calibrated"], laser["active"] = 40.0, True
        measurement.configuration(i).set_parameters(paths.CHANNELS, channels)
        lasers = measurement.configuration(i).parameters(paths.LASERS)
        for laser in lasers:
            laser["power"]["calibrated"], laser["active"] = 40.0, True
        measurement.configuration(i).set_parameters(paths.LASERS, lasers)


def test_off_means_every_laser_of_every_configuration(instrument, all_dark):
    switch_everything_on(instrument)
    assert not all_dark(instrument)
    instrument.lasers_off()
    assert all_dark(instrument)


def test_every_channel_is_switched_off(sample, laser_lines, all_dark):
    from stedopt_bluesky.twin import TwinApplication

    instrument = Instrument(
        TwinApplication(sample, channels=("Ch1", "Ch2")), laser_lines, CONFIGURATIONS
    )
    switch_everything_on(instrument)
    instrument.lasers_off()
    assert all_dark(instrument)


@pytest.mark.parametrize("error", [RuntimeError("busy"), OSError("pipe closed"), KeyError("power")])
@pytest.mark.parametrize("failing", CONFIGURATIONS)
def test_a_failing_configuration_does_not_keep_others_on(
    instrument, laser_tree, monkeypatch, failing, error
):
    switch_everything_on(instrument)

    def refuse(*_):
        raise error

    monkeypatch.setattr(backend(instrument).configuration(failing), "set_parameters", refuse)
    with pytest.raises(RuntimeError, match=f"lasers may be on, Imspector refused: {failing}: "):
        instrument.lasers_off()
    on = {name for name, _, percent, active in laser_tree(instrument) if percent or active}
    assert on == {failing}
    monkeypatch.undo()


def test_a_list_of_configurations_that_fails_does_not_keep_lasers_on(
    instrument, all_dark, monkeypatch
):
    for name in CONFIGURATIONS:
        instrument.set_power(name, "excitation", 10.0)

    def refuse(*_):
        raise RuntimeError("busy")

    with monkeypatch.context() as patch:
        patch.setattr(instrument.measurement, "number_of_configurations", refuse)
        with pytest.raises(RuntimeError, match=r"lasers may be on.*list of configurations: busy"):
            instrument.lasers_off()
    assert all_dark(instrument)


def test_a_new_instrument_is_dark(instrument, all_dark):
    assert all_dark(instrument)
    assert instrument.measurement.configuration_names() == list(CONFIGURATIONS)


def test_closing_switches_off_and_closes(instrument, application):
    instrument.set_power(STED, "depletion", 100.0)
    sted = instrument.configuration(STED)
    instrument.close()
    assert application.measurement_names() == []
    assert sted.parameters(POWER.format(6)) == 0.0


def test_closing_closes_also_when_the_lasers_are_not_to_be_switched_off(
    instrument, application, monkeypatch
):
    def refuse(*_):
        raise RuntimeError("busy")

    instrument.set_power(STED, "depletion", 100.0)
    monkeypatch.setattr(backend(instrument).configuration(STED), "set_parameters", refuse)
    with pytest.raises(RuntimeError, match="lasers may be on"):
        instrument.close()
    assert application.measurement_names() == []


# --- field and speed --------------------------------------------------------------------


def test_settings_land_where_imspector_has_them_in_its_units(instrument):
    instrument.set_field(STED, 4.48, 20)
    instrument.set_value(STED, "offset_um", 1.5, axis="x")
    instrument.set_value(STED, "offset_um", -2.5, axis="y")
    instrument.set_value(STED, "dwelltime_us", 12.5)
    instrument.set_value(STED, "line_steps", 3)
    # Written out: the table of paths must not be trusted with its own test.
    expected = {
        "ExpControl/scan/range/x/len": 4.48e-6,
        "ExpControl/scan/range/y/len": 4.48e-6,
        "ExpControl/scan/range/x/psz": 20e-9,
        "ExpControl/scan/range/y/psz": 20e-9,
        "ExpControl/scan/range/x/res": 224,
        "ExpControl/scan/range/y/res": 224,
        "ExpControl/scan/range/x/off": 1.5e-6,
        "ExpControl/scan/range/y/off": -2.5e-6,
        "ExpControl/measurement/pixel_steps/step_duration/0": 12.5e-6,
        "ExpControl/measurement/line_steps/step_duration/0": 3,
    }
    sted = instrument.configuration(STED)
    assert {path: sted.parameters(path) for path in expected} == pytest.approx(expected)
    # The other steps, and the other configurations, are as they were.
    assert sted.parameters(PIXEL_STEPS)[1:] == [1e-5] * 7
    assert instrument.configuration(CONFOCAL).parameters(LINE_STEPS) == [1] * 8
    assert instrument.configuration(CONFOCAL).parameters("ExpControl/scan/range/x/off") == 0.0


def test_an_element_of_a_list_is_set_and_the_list_written_back_whole(instrument, written):
    instrument.set_value(STED, "dwelltime_us", 12.5, index=2)
    expected = [1e-5, 1e-5, pytest.approx(12.5e-6), *[1e-5] * 5]
    assert written.calls == [(PIXEL_STEPS, expected)]
    assert [instrument.value(STED, "dwelltime_us", index=i) for i in (0, 2)] == [10.0, 12.5]
    assert instrument.value(STED, "dwelltime_us") == 10.0


@pytest.mark.parametrize("index", [8, -1, True, "0", 1.0, None])
def test_an_index_beyond_the_list_is_refused(instrument, written, index):
    says = f"dwelltime_us: index = {index!r}: the list in Imspector has 8 elements, 0 to 7 is"
    with pytest.raises(IndexError, match=says):
        instrument.set_value(STED, "dwelltime_us", 12.5, index=index)
    with pytest.raises(IndexError, match=says):
        instrument.value(STED, "dwelltime_us", index=index)
    assert written.calls == []


def test_what_is_no_list_has_no_index(instrument, written):
    with pytest.raises(IndexError, match="pinhole_um: index = 0: it is no list"):
        instrument.set_value(STED, "pinhole_um", 40.0, index=0)
    assert written.calls == []


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.floats(0.5, 2.0), st.floats(15, 200))
def test_the_shape_is_that_of_the_image_that_comes(instrument, size_um, pixel_size_nm):
    instrument.set_field(CONFOCAL, size_um, pixel_size_nm)
    instrument.set_power(CONFOCAL, "excitation", 5.0)
    scans = Scans(instrument)
    scans.connect()
    (image,) = scans.acquire(CONFOCAL, 10.0)
    scans.disconnect()
    assert image.shape == instrument.image_shape(CONFOCAL)
    assert image.shape[0] == pytest.approx(size_um * 1000 / pixel_size_nm, abs=0.51)


def test_scanning_is_what_imspector_says(instrument, monkeypatch):
    assert instrument.scanning() is False

    class Busy:
        def get(self):
            return {"active": True, "fraction": 0.5}

    monkeypatch.setattr(instrument.application, "value_at", lambda *_: Busy())
    assert instrument.scanning() is True

    def refuse(*_):
        raise RuntimeError("no such node")

    monkeypatch.setattr(instrument.application, "value_at", refuse)
    assert instrument.scanning() is False


def test_the_record_of_the_parameters_is_whole(instrument):
    for tree in map(instrument.parameters, CONFIGURATIONS):
        assert tree["ExpControl"]["scan"]["range"]["scanmode"] == "xy"
        assert len(tree["ExpControl"]["measurement"]["channels"][0]["lasers"]) == 7


def test_fractions_are_numbers_too(instrument):
    instrument.set_power(STED, "excitation", Fraction(5, 2))
    assert instrument.power(STED, "excitation") == pytest.approx(2.5)


# --- read back --------------------------------------------------------------------------


def stubborn(monkeypatch, configuration, path, told):
    """Have a configuration of the twin report another value than was written."""
    read = type(configuration).parameters

    def parameters(at):
        tree = read(configuration, at)
        if at == path:
            return told
        if path.startswith(at):
            node = tree
            *steps, last = path.removeprefix(at).strip("/").split("/")
            for step in steps:
                node = node[int(step) if isinstance(node, list) else step]
            node[last] = told
        return tree

    monkeypatch.setattr(configuration, "parameters", parameters)


def test_a_laser_that_reports_another_power_blocks_scans(instrument, monkeypatch):
    sted = backend(instrument).configuration(STED)
    with monkeypatch.context() as patch:
        stubborn(patch, sted, POWER.format(6), 60.0)
        with pytest.raises(
            PowerReadbackError, match=r"depletion was set to 25 % and reports 60 %: switched off"
        ):
            instrument.set_power(STED, "depletion", 100.0)
    assert sted.parameters(ACTIVE.format(6)) is False
    assert sted.parameters(POWER.format(6)) == 0.0
    with pytest.raises(ScanBlockedError, match="depletion was set to 25 % and reports 60 %"):
        instrument.application.start(instrument.measurement)
    instrument.lasers_off()
    instrument.application.run(instrument.measurement)


@pytest.mark.parametrize("number", range(7))
def test_zero_that_did_not_take_blocks_scans(instrument, monkeypatch, number):
    with monkeypatch.context() as patch:
        stubborn(patch, backend(instrument).configuration(STED), POWER.format(number), 5.0)
        with pytest.raises(RuntimeError, match=rf"lasers may be on.*/{number} still reports 5 %"):
            instrument.lasers_off()
        with pytest.raises(ScanBlockedError, match="lasers may be on"):
            instrument.application.start(instrument.measurement)
    assert instrument.application._backend.emission_log == []
    instrument.lasers_off()
    instrument.application.run(instrument.measurement)


def test_a_rounded_power_is_the_power(instrument, monkeypatch):
    stubborn(monkeypatch, backend(instrument).configuration(STED), POWER.format(6), 25.1)
    instrument.set_power(STED, "depletion", 100.0)
    assert instrument.power(STED, "depletion") == pytest.approx(100.4)


def test_lasers_go_off_one_by_one_where_their_list_is_refused(instrument, all_dark, monkeypatch):
    switch_everything_on(instrument)
    for i in range(backend(instrument).number_of_configurations()):
        configuration = backend(instrument).configuration(i)
        write = configuration.set_parameters

        def only_leaves(at, value, write=write):
            if isinstance(value, list):
                raise RuntimeError("Invalid argument for parameter 'channels'")
            write(at, value)

        monkeypatch.setattr(configuration, "set_parameters", only_leaves)
    instrument.lasers_off()
    assert all_dark(instrument)


class Told:
    """A guard that notes what it is told, and what was open then."""

    def __init__(self, application):
        self._application = application
        self.words = []

    def arm(self, measurement):
        self.words.append(("arm", measurement, self._application.measurement_names()))

    def release(self):
        self.words.append(("release", self._application.measurement_names()))


def test_the_guard_is_armed_while_the_measurement_is_there(application, laser_lines):
    guard = Told(application)
    instrument = Instrument(application, laser_lines, CONFIGURATIONS, guard=guard)
    name = instrument.measurement.name()
    assert guard.words == [("arm", name, [name])]
    instrument.close()
    assert guard.words[1:] == [("release", [])]


def test_an_instrument_that_cannot_be_made_leaves_nothing_behind(application, laser_lines):
    guard = Told(application)
    with pytest.raises(TooFewChannelsError):
        Instrument(application, laser_lines, CONFIGURATIONS, channels=9, guard=guard)
    assert [word[0] for word in guard.words] == ["arm", "release"]
    assert application.measurement_names() == []


def test_without_a_measurement_the_guard_is_not_armed(application, laser_lines, monkeypatch):
    def refuse(*_):
        raise RuntimeError("Measurement 1 is running")

    monkeypatch.setattr(type(application), "create_measurement", refuse)
    guard = Told(application)
    with pytest.raises(NoMeasurementError, match=r"^Measurement 1 is running$"):
        Instrument(application, laser_lines, CONFIGURATIONS, guard=guard)
    assert guard.words == []


def test_what_cannot_be_closed_stays_armed(application, laser_lines, monkeypatch):
    def refuse(*_):
        raise RuntimeError("Hardware is not ready")

    monkeypatch.setattr(type(application), "close", refuse)
    guard = Told(application)
    with pytest.raises(TooFewChannelsError) as error:
        Instrument(application, laser_lines, CONFIGURATIONS, channels=9, guard=guard)
    assert error.value.__notes__ == ["Hardware is not ready"]
    assert [word[0] for word in guard.words] == ["arm"]
