"""Settings of the table: written in Imspector's units, read back, as Imspector has them before."""

import math

import pytest
from ophyd import Component as Cpt
from ophyd.utils import LimitError

from stedopt_bluesky.devices.microscope import CONFOCAL, STED
from stedopt_bluesky.devices.table_setting import TableDevice, TableSetting


class Some(TableDevice):
    pinhole_um = Cpt(TableSetting, row="pinhole_um", unit="µm", low=1.0, high=500.0)
    frames = Cpt(TableSetting, row="frames", low=1, high=100)
    stage_um = Cpt(TableSetting, row="stage_um", axis="x", unit="µm")


class Steps(TableDevice):
    third_us = Cpt(TableSetting, row="dwelltime_us", index=2, unit="µs")
    ninth_us = Cpt(TableSetting, row="dwelltime_us", index=8, unit="µs")


@pytest.fixture
def some(instrument):
    return Some(instrument=instrument, configurations=(CONFOCAL, STED), prefix="my_", name="some")


def test_it_begins_as_imspector_has_it(some):
    assert some.pinhole_um.get() == 50.0
    # Also where that is outside of what may be set.
    assert some.stage_um.get() == pytest.approx(1500.0)
    assert set(some.read()) == {"my_pinhole_um", "my_frames", "my_stage_um"}


def test_it_is_written_to_its_configurations(some, instrument):
    some.pinhole_um.set(80.0)
    some.frames.set(7)
    for configuration in (CONFOCAL, STED):
        tree = instrument.configuration(configuration)
        assert tree.parameters("Pinhole/pinhole_size") == pytest.approx(80e-6)
        assert tree.parameters("ExpControl/scan/range/t/res") == 7
    assert type(some.frames.get()) is int


@pytest.mark.parametrize("value", [0.5, 501.0, math.nan, "80", True])
def test_nothing_is_written_outside_the_limits(some, instrument, value):
    with pytest.raises(LimitError, match="my_pinhole_um"):
        some.pinhole_um.put(value)
    assert instrument.value(STED, "pinhole_um") == 50.0


def test_an_imspector_without_the_setting_is_left_alone(instrument, monkeypatch):
    def no_pinhole(configuration, setting, **where):
        raise RuntimeError("there is no 'Pinhole'")

    monkeypatch.setattr(instrument, "value", no_pinhole)
    some = Some(instrument=instrument, configurations=(STED,), name="some")
    assert math.isnan(some.pinhole_um.get())


def test_it_is_an_element_of_a_list(instrument):
    steps = Steps(instrument=instrument, configurations=(STED,), name="steps")
    assert steps.third_us.get() == 10.0
    steps.third_us.put(30.0)
    assert [instrument.value(STED, "dwelltime_us", index=i) for i in range(4)] == [10, 10, 30, 10]


def test_an_element_that_the_list_has_not_is_left_alone_until_it_is_set(instrument):
    steps = Steps(instrument=instrument, configurations=(STED,), name="steps")
    assert math.isnan(steps.ninth_us.get())
    with pytest.raises(IndexError, match="dwelltime_us: index = 8: the list in Imspector has 8"):
        steps.ninth_us.put(30.0)
    assert math.isnan(steps.ninth_us.get())
