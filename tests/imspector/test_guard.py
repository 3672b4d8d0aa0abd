"""The gate before Imspector: whoever asks, by whatever way, no laser emits more than its limit."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stedopt_bluesky.devices.microscope import STED
from stedopt_bluesky.imspector.api import Application, Configuration, Measurement, Value
from stedopt_bluesky.imspector.guard import (
    Gate,
    PowerLimitError,
    ScanBlockedError,
    SettingRefusedError,
)
from stedopt_bluesky.imspector.paths import Layout

CHANNELS = "ExpControl/measurement/channels"
LASERS = "ExpControl/measurement/lasers"
# In W, by the fixtures' limits; every other laser stays dark.
LIMITS_W = {"LAS5": 30e-6, "LAS6": 380e-3}
LIMITS_PERCENT = {5: 60.0, 6: 95.0}

REFUSALS = (PowerLimitError, SettingRefusedError, ScanBlockedError, RuntimeError)


@pytest.fixture
def guarded(instrument):
    return instrument.application


@pytest.fixture
def operator(application):
    """The measurement as the operator at Imspector has it, past the gate."""
    return application.active_measurement()


def test_the_surface_is_specpys(instrument):
    assert isinstance(instrument.application, Application)
    assert isinstance(instrument.measurement, Measurement)
    assert isinstance(instrument.configuration(STED), Configuration)
    assert isinstance(instrument.application.value_at("ExpControl"), Value)


# --- whoever asks, by whatever way ------------------------------------------------------

laser_numbers = st.integers(0, 6)
powers = (
    st.floats(allow_nan=True, allow_infinity=True)
    | st.floats(0, 100)
    | st.integers(-5, 200)
    | st.sampled_from([60.0, 95.0, 100.0, math.nextafter(60.0, 61), math.nextafter(95.0, 96)])
    | st.floats(0, 100).map(np.float64)
    | st.floats(0, 100, width=32).map(np.float32)
    | st.sampled_from(["50", "1e9", None, True, [50.0], {"calibrated": 100.0}, 10**400])
)
ways = st.sampled_from(
    ["leaf", "power", "laser", "lasers", "channel", "channels", "general", "root", "measurement",
     "value", "tuple", "array key", "double slash", "trailing slash"]
)  # fmt: skip


def ask(guarded, way, laser, power):  # noqa: PLR0912  a list of ways
    """Ask for a power of a laser that is on, in one of many ways."""
    measurement = guarded.active_measurement()
    configuration = measurement.configuration(STED)
    at = f"{CHANNELS}/0/lasers/{laser}"
    node = {"calibrated": power}
    if way == "leaf":
        configuration.set_parameters(f"{at}/power/calibrated", power)
    elif way == "double slash":
        configuration.set_parameters(f"{at}//power/calibrated".replace("/0/", "//0/"), power)
    elif way == "trailing slash":
        configuration.set_parameters(f"{at}/power/calibrated/", power)
    elif way == "power":
        configuration.set_parameters(f"{at}/power", node)
    elif way == "array key":
        configuration.set_parameters(at, {"power/calibrated": power, "active": True})
    elif way == "laser":
        configuration.set_parameters(at, {"active": True, "power": node})
    elif way in ("lasers", "tuple"):
        lasers = configuration.parameters(f"{CHANNELS}/0/lasers")
        lasers[laser]["power"]["calibrated"] = power
        whole = tuple(lasers) if way == "tuple" else lasers
        configuration.set_parameters(f"{CHANNELS}/0/lasers", whole)
    elif way in ("channel", "channels"):
        channels = configuration.parameters(CHANNELS)
        channels[0]["lasers"][laser]["power"]["calibrated"] = power
        if way == "channels":
            configuration.set_parameters(CHANNELS, channels)
        else:
            configuration.set_parameters(f"{CHANNELS}/0", channels[0])
    elif way == "general":
        configuration.set_parameters(f"{LASERS}/{laser}", {"active": True, "power": node})
    elif way == "root":
        tree = configuration.parameters("")
        tree["ExpControl"]["measurement"]["channels"][0]["lasers"][laser]["power"] |= node
        configuration.set_parameters("", tree)
    else:
        measurement.activate(configuration)
        if way == "measurement":
            measurement.set_parameters(f"{at}/power/calibrated", power)
        else:
            guarded.value_at(f"{at}/power/calibrated").set(power)


def check_emitted(application):
    for record in application.emission_log:
        assert record.power_W <= LIMITS_W.get(record.laser, 0.0) * (1 + 1e-12), record


# 10,000 requests, and a scan after every one of them that was not refused.
@settings(
    max_examples=10_000 // 14,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.tuples(ways, laser_numbers, powers), min_size=14, max_size=14))
def test_nothing_above_a_limit_is_emitted(guarded, application, requests):
    measurement = guarded.active_measurement()
    sted = measurement.configuration(STED)
    sted.set_parameters("ExpControl/scan/range/x", {"len": 4e-8, "psz": 2e-8})
    sted.set_parameters("ExpControl/scan/range/y", {"len": 4e-8, "psz": 2e-8})
    for laser in range(7):
        sted.set_parameters(f"{CHANNELS}/0/lasers/{laser}/active", True)
    before = len(application.emission_log)
    for way, laser, power in requests:
        try:
            ask(guarded, way, laser, power)
        except REFUSALS:
            continue
    measurement.activate(sted)
    guarded.run(measurement)
    check_emitted(application)
    assert len(application.emission_log) - before <= 7


@pytest.mark.parametrize("laser", range(7))
@pytest.mark.parametrize("way", ["leaf", "laser", "lasers", "channels", "root", "value"])
def test_the_limit_itself_is_emitted_and_not_a_bit_more(guarded, application, way, laser):
    limit = LIMITS_PERCENT.get(laser, 0.0)
    ask(guarded, way, laser, limit)
    at = f"{CHANNELS}/0/lasers/{laser}/power/calibrated"
    sted = guarded.active_measurement().configuration(STED)
    assert sted.parameters(at) == limit
    with pytest.raises(PowerLimitError, match=rf"power of laser {laser} = .* %: 0 to {limit:g} %"):
        ask(guarded, way, laser, math.nextafter(limit, 101))
    assert sted.parameters(at) == limit


class Liar(dict):
    """Shows the check a small power, and a large one to whoever reads it next."""

    def __init__(self):
        super().__init__(calibrated=1.0)
        self.asked = 0

    def items(self):
        self.asked += 1
        return [("calibrated", 1.0 if self.asked == 1 else 100.0)]


def test_what_is_checked_is_what_is_written(guarded):
    sted = guarded.active_measurement().configuration(STED)
    sted.set_parameters(f"{CHANNELS}/0/lasers/6/power", Liar())
    assert sted.parameters(f"{CHANNELS}/0/lasers/6/power/calibrated") == 1.0


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{CHANNELS}/0/lasers/6/power/raw", 5.0),
        (f"{CHANNELS}/0/lasers/6/power/units_used", "mW"),
        (f"{CHANNELS}/0/lasers/6/power/calibration_used", "another"),
        ("ExpControl/measurement/ignore_laser_power_setpoints", True),
        ("ExpControl/measurement/pixel_steps/step_active", [True] * 8),
        ("Interlock/is_active", False),
        ("Interlock", {"is_active": False}),
        ("", {"Interlock": {"is_active": False}}),
    ],
)
def test_other_settings_are_not_written(guarded, operator, path, value):
    before = operator.parameters("")
    with pytest.raises(SettingRefusedError, match="not a setting that stedopt writes"):
        guarded.active_measurement().set_parameters(path, value)
    assert operator.parameters("") == before


@pytest.mark.parametrize("root", [0, 1])
def test_hardware_and_status_are_read_only(guarded, root):
    path = "ExpControl" if root == 0 else "Measurement"
    value = guarded.value_at(path, root)
    with pytest.raises(SettingRefusedError, match="only parameters of measurements are written"):
        value.set(value.get())


def test_a_whole_tree_is_set_back(guarded, operator):
    configuration = guarded.active_measurement().configuration(STED)
    tree = configuration.parameters("")
    tree["ExpControl"]["scan"]["range"]["x"]["off"] = 1e-6
    configuration.set_parameters("", tree)
    assert operator.configuration(STED).parameters("ExpControl/scan/range/x/off") == 1e-6


@pytest.mark.parametrize("value", [{1: 2.0}, object(), {"power": {1.0, 2.0}}, b"1", 5j])
def test_what_is_no_parameter_is_refused(guarded, value):
    with pytest.raises(SettingRefusedError, match=r"is no (value|name) of a parameter"):
        guarded.active_measurement().set_parameters(f"{CHANNELS}/0/lasers/6", value)


def test_a_nest_without_end_is_refused(guarded):
    nest: dict = {}
    nest["power"] = nest
    with pytest.raises(SettingRefusedError, match="nested more than 32 deep"):
        guarded.active_measurement().set_parameters(f"{CHANNELS}/0/lasers/6", nest)


# --- what another program has set -------------------------------------------------------


def test_no_scan_with_a_power_that_another_program_has_set(guarded, operator, application):
    operator.activate(operator.configuration(STED))
    for at in (f"{CHANNELS}/0/lasers", LASERS):
        operator.set_parameters(f"{at}/6", {"active": True, "power": {"calibrated": 96.0}})
        for begin in (guarded.start, guarded.run):
            with pytest.raises(
                ScanBlockedError, match=rf"{at}/6 is on with 96 %, 0 to 95 % is allowed"
            ):
                begin(guarded.active_measurement())
        operator.set_parameters(f"{at}/6", {"active": False, "power": {"calibrated": 0.0}})
    assert application.emission_log == []
    guarded.run(guarded.active_measurement())


def test_no_scan_with_a_laser_that_is_not_ours(guarded, operator):
    operator.set_parameters(f"{CHANNELS}/0/lasers/0", {"active": True, "power": {"calibrated": 1}})
    with pytest.raises(ScanBlockedError, match="lasers/0 is on with 1 %, 0 to 0 % is allowed"):
        guarded.start(guarded.active_measurement())


def test_no_scan_while_imspector_ignores_powers(guarded, operator):
    operator.set_parameters("ExpControl/measurement/ignore_laser_power_setpoints", True)
    with pytest.raises(ScanBlockedError, match="Imspector ignores the powers that are set"):
        guarded.start(guarded.active_measurement())


def test_no_scan_with_powers_in_another_unit(guarded, operator):
    operator.set_parameters(
        f"{CHANNELS}/0/lasers/5",
        {"active": True, "power": {"calibrated": 1.0, "units_used": "mW"}},
    )
    with pytest.raises(ScanBlockedError, match=r"lasers/5 is in 'mW', not in %"):
        guarded.start(guarded.active_measurement())


@pytest.mark.parametrize("limit", [-1.0, 100.1, math.nan, math.inf])
def test_limits_are_percentages(limit):
    with pytest.raises(ValueError, match="0 to 100 % is allowed"):
        Gate(Layout("16.3"), {5: limit})
