"""The stage: moves from where it stands, is where it was sent, and keeps the focus."""

import pytest
from ophyd.utils import LimitError, UnknownStatusFailure

from stedopt_bluesky.devices.microscope import CONFOCAL, STED
from stedopt_bluesky.devices.stage import Stage, StageError

WAIT_S = 10.0
# Where the twin's stage stands at the start, µm.
START_UM = (1500.0, -800.0)


@pytest.fixture
def stage(instrument):
    return Stage(
        instrument=instrument,
        configurations=(CONFOCAL, STED),
        autofocus=True,
        reach_um=500.0,
        name="stage",
    )


def positions(instrument, configuration=STED):
    return [instrument.value(configuration, f"stage_at_{axis}_um") for axis in "xy"]


def test_it_counts_from_where_it_stands(stage, instrument):
    assert (stage.stage_x_um.get(), stage.stage_y_um.get()) == (0, 0)
    stage.stage_x_um.put(80.0)
    stage.stage_y_um.put(-40.0)
    for configuration in (CONFOCAL, STED):
        assert positions(instrument, configuration) == pytest.approx([1580.0, -840.0])
    stage.stage_x_um.put(0.0)
    assert positions(instrument) == pytest.approx([1500.0, -840.0])


def test_it_does_not_go_out_of_reach(stage, instrument):
    with pytest.raises(LimitError, match="stage_x_um = 501 µm: -500 to 500 µm is allowed"):
        stage.stage_x_um.put(501.0)
    assert positions(instrument) == pytest.approx(START_UM)


def test_it_is_left_alone_where_it_stands(stage, instrument):
    stage.stage_x_um.put(0.0)
    assert not instrument.value(STED, "autofocus")
    stage.trigger().wait(WAIT_S)


def test_the_autofocus_follows_a_move(stage, instrument):
    stage.stage_x_um.put(80.0)
    assert all(instrument.value(c, "autofocus") for c in (CONFOCAL, STED))
    stage.trigger().wait(WAIT_S)


def test_without_autofocus_it_is_not_touched(instrument):
    stage = Stage(
        instrument=instrument, configurations=(STED,), autofocus=False, reach_um=500, name="stage"
    )
    stage.stage_x_um.put(80.0)
    assert not instrument.value(STED, "autofocus")
    stage.trigger().wait(WAIT_S)


def test_a_lost_focus_is_told(stage, instrument):
    stage.stage_x_um.put(80.0)
    instrument.set_value(STED, "autofocus", False)
    with pytest.raises((StageError, UnknownStatusFailure), match="the focus was lost"):
        stage.trigger().wait(WAIT_S)


def test_a_stage_that_has_not_arrived_is_told(stage, instrument):
    stage.stage_x_um.put(80.0)
    instrument.set_value(STED, "stage_um", 1530.0, axis="x")
    with pytest.raises(StageError, match=r"was sent to x = 1580.0 µm and stands at 1530.0 µm"):
        stage.trigger().wait(WAIT_S)


def test_the_focus_is_an_offset(stage, instrument):
    stage.focus_um.put(-0.3)
    assert instrument.value(STED, "focus_um") == pytest.approx(-0.3)
