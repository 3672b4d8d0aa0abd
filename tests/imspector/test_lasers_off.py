"""All of everything that is open goes dark, whoever has opened it, and it is read back."""

import pytest

from stedopt_bluesky.imspector.lasers_off import (
    any_laser_on,
    is_scanning,
    scans,
    switch_everything_off,
    switch_off,
)
from stedopt_bluesky.twin import TwinApplication
from stedopt_bluesky.twin.measurement import TwinConfiguration
from tests.benchmarks.kills import all_zero

CHANNEL = "ExpControl/measurement/channels/0/lasers"
GENERAL = "ExpControl/measurement/lasers"


def lit(measurement):
    """Two configurations with lasers on, in a channel and in general."""
    first = measurement.active_configuration()
    for configuration in (first, measurement.clone(first)):
        for at in (f"{CHANNEL}/5", f"{CHANNEL}/6", f"{GENERAL}/2"):
            configuration.set_parameters(at, {"active": True, "power": {"calibrated": 12.0}})
    return measurement


def test_everything_of_everybody_goes_off(application):
    mine = lit(application.create_measurement())
    lit(application.create_measurement())
    application.activate(mine)
    assert any_laser_on(application)

    assert switch_everything_off(application) == []

    assert all_zero(application)
    assert not any_laser_on(application)


def test_with_nothing_open_there_is_nothing_to_do(application):
    assert switch_everything_off(application) == []
    assert not any_laser_on(application)


def test_a_scan_is_stopped(sample):
    application = TwinApplication(sample, real_time=True)
    measurement = lit(application.create_measurement())
    application.start(measurement)
    assert is_scanning(application)
    assert any_laser_on(application)
    while switch_everything_off(application):
        pass  # until the scan has noticed
    assert not is_scanning(application)
    assert not any(application.emitting.values())


def test_one_that_refuses_does_not_keep_the_others_from_going_off(application, monkeypatch):
    first = lit(application.create_measurement())
    second = lit(application.create_measurement())
    stubborn = first.configuration(0)
    write = TwinConfiguration.set_parameters

    def refuse(self, at, value):
        if self is stubborn:
            raise RuntimeError("Hardware is not ready")
        write(self, at, value)

    monkeypatch.setattr(TwinConfiguration, "set_parameters", refuse)
    (failure,) = switch_everything_off(application)

    assert failure == f"{first.name()}, configuration 0: Hardware is not ready"
    on = [c for m in (first, second) for c in (m.configuration(0), m.configuration(1))]
    assert [bool(c.parameters(f"{CHANNEL}/5/active")) for c in on] == [True, False, False, False]
    assert any_laser_on(application)


def test_a_laser_that_says_it_is_off_and_is_not(application, monkeypatch):
    measurement = lit(application.create_measurement())
    monkeypatch.setattr(TwinConfiguration, "set_parameters", lambda *_: None)
    with pytest.raises(RuntimeError, match="measurement/lasers/2 still reports 12 %"):
        switch_off(measurement.configuration(0))
    assert len(switch_everything_off(application)) == 2


def test_a_microscope_that_does_not_answer(monkeypatch, application):
    def dead(*_):
        raise RuntimeError("connect: Connection refused")

    monkeypatch.setattr(TwinApplication, "measurement_names", dead)
    monkeypatch.setattr(TwinApplication, "active_measurement", dead)
    assert switch_everything_off(application) == [
        "list of measurements: connect: Connection refused"
    ]
    with pytest.raises(RuntimeError, match="Connection refused"):
        any_laser_on(application)


@pytest.mark.parametrize("progress", [RuntimeError, None, {}, {"active": None}, {"active": "no"}])
def test_whether_it_scans_may_be_unknown(application, monkeypatch, progress):
    class Node:
        def get(self):
            if progress is RuntimeError:
                raise RuntimeError("no such status")
            return progress

    monkeypatch.setattr(TwinApplication, "value_at", lambda *_: Node())
    assert scans(application) is None
    assert not is_scanning(application)
    assert switch_everything_off(application) == ["Imspector does not say whether a scan goes on"]
    with pytest.raises(RuntimeError, match="does not say whether"):
        any_laser_on(application)
