"""A number on the instrument: refused before anything is written, described with its limits."""

import math

import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky.simulators import check_limits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ophyd import Component as Cpt
from ophyd import Device
from ophyd.utils import LimitError

from stedopt_bluesky.devices.setting import Setting

REFUSED = 13.0


class Holder(Device):
    """Remembers what its settings write."""

    speed = Cpt(Setting, write="take", unit="µs", low=1.0, high=1000.0)
    steps = Cpt(Setting, write="take", unit="lines", low=1, high=64, integer=True)
    note = Cpt(Setting)
    count = Cpt(Setting, integer=True)

    def __init__(self, *args, **kwargs):
        self.written = []
        self.stops = []
        super().__init__(*args, **kwargs)

    def take(self, value):
        if value == REFUSED:
            raise RuntimeError("the instrument refuses")
        self.written.append(value)

    def stop(self, *, success=False):
        self.stops.append(success)


@pytest.fixture
def holder():
    return Holder(name="holder")


@pytest.mark.parametrize("value", [1.0, 1000.0, 5, np.float32(7.5), np.int64(20)])
def test_what_is_allowed_is_written_and_remembered(holder, value):
    status = holder.speed.set(value)
    assert status.done
    assert status.success
    assert holder.written == [float(value)]
    assert type(holder.written[0]) is float
    assert holder.speed.get() == float(value)
    assert type(holder.speed.get()) is float


WRONG = [0.999, 1000.1, -5, math.nan, math.inf, -math.inf, 10**400, True, "5", None, [5], 5j]


@pytest.mark.parametrize("way", ["set", "put", "force", "check_value"])
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_what_is_not_is_refused_before_anything_is_written(holder, way, value):
    ask = {
        "set": holder.speed.set,
        "put": holder.speed.put,
        "force": lambda v: holder.speed.put(v, force=True),
        "check_value": holder.speed.check_value,
    }[way]
    with pytest.raises(LimitError, match=r"^holder_speed = .* µs: 1 to 1000 µs is allowed$"):
        ask(value)
    assert holder.written == []
    assert math.isnan(holder.speed.get())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given((st.floats() | st.integers()).filter(lambda value: value != REFUSED))
def test_whatever_is_written_is_within_the_limits(holder, value):
    try:
        holder.speed.put(value)
    except LimitError:
        assert not 1 <= value <= 1000
    else:
        assert 1 <= value <= 1000
    assert all(1 <= written <= 1000 for written in holder.written)


@pytest.mark.parametrize("value", [2, 2.0, np.int8(2)])
def test_whole_numbers(holder, value):
    holder.steps.put(value)
    assert holder.steps.get() == 2
    assert type(holder.steps.get()) is int


@pytest.mark.parametrize("value", [1.5, 0, 65, math.nan, True])
def test_no_whole_numbers(holder, value):
    with pytest.raises(LimitError, match="lines: a whole number from 1 to 64 lines is allowed"):
        holder.steps.put(value)
    assert holder.written == []


def test_what_the_instrument_refuses_is_not_remembered(holder):
    holder.speed.put(5.0)
    with pytest.raises(RuntimeError, match="the instrument refuses"):
        holder.speed.put(REFUSED)
    assert holder.speed.get() == 5.0


@pytest.mark.usefixtures("run_engine")
def test_check_limits_sees_it_without_writing(holder):
    check_limits(bps.mv(holder.speed, 5.0))
    with pytest.raises(LimitError, match="holder_speed = 2000 µs: 1 to 1000 µs is allowed"):
        check_limits(bps.mv(holder.speed, 2000.0))
    assert holder.written == []


def test_limits_are_properties_that_a_device_may_narrow(holder):
    assert holder.speed.limits == (1.0, 1000.0)
    holder.speed.high = 10.0
    with pytest.raises(LimitError, match="1 to 10 µs"):
        holder.speed.put(11.0)


def test_the_description_has_unit_and_limits(holder):
    holder.speed.put(5.0)
    description = holder.describe()
    speed, steps, note = (description[f"holder_{k}"] for k in ("speed", "steps", "note"))
    assert (speed["dtype"], speed["shape"], speed["units"]) == ("number", [], "µs")
    assert speed["limits"] == {"control": {"low": 1.0, "high": 1000.0}}
    assert (steps["dtype"], steps["units"]) == ("integer", "lines")
    # Infinity is no number of JSON's.
    assert "limits" not in note


def test_a_number_that_is_only_recorded(holder):
    holder.note.put(3.5)
    holder.count.put(4)
    assert (holder.note.get(), holder.count.get()) == (3.5, 4)
    assert holder.written == []
    with pytest.raises(LimitError, match="holder_note = -1: 0 to inf is allowed"):
        holder.note.put(-1)


def test_stopping_a_setting_stops_its_device(holder, run_engine):
    run_engine(bps.mv(holder.speed, 5.0))
    assert holder.stops == [True]
    holder.note.stop()
    assert holder.stops == [True]
