"""The watchdog's work, in this process: what it does, when, and what it says."""

import itertools
import queue
import threading

import pytest

from stedopt_bluesky.imspector.watchdog import Armed, Heard, Rules, watch
from stedopt_bluesky.twin import TwinApplication
from stedopt_bluesky.twin.measurement import TwinConfiguration
from tests.benchmarks.kills import all_zero

CHANNEL = "ExpControl/measurement/channels/0/lasers"
QUICK = Rules(silence_s=0.05, retry_s=0.01, settle_s=0.01, give_up_s=20.0)


@pytest.fixture
def lit(application):
    measurement = application.create_measurement()
    measurement.set_parameters(f"{CHANNEL}/6", {"active": True, "power": {"calibrated": 30.0}})
    return application


def said_of(application, *messages, rules=QUICK, connect=None, armed=""):
    """Let a watchdog hear messages; whether all was well, and what it has said."""
    heard = queue.SimpleQueue()
    for message in (Armed(armed), *messages):
        heard.put(message)
    said = []
    ok = watch(heard, connect or (lambda: application), said.append, rules)
    return ok, said


def test_a_program_that_ends_well_is_left_alone(lit):
    assert said_of(lit, Heard.beat, Heard.beat, Heard.released) == (True, [])
    assert not all_zero(lit)  # that is the program's own to do


def test_a_program_that_dies_leaves_it_dark(lit):
    ok, (said,) = said_of(lit, Heard.beat, Heard.died)
    assert ok
    assert said.startswith("it has ended without a word: every scan was stopped and all lasers")
    assert all_zero(lit)


class Silence:
    """Messages that are late: nothing for a while, then others."""

    def __init__(self, *messages):
        self._messages = list(messages)

    def get(self, block=True, timeout=None):
        message = self._messages.pop(0)
        if message is None:
            raise queue.Empty
        return message


def test_a_program_that_hangs_with_a_laser_on(lit):
    said = []
    assert watch(
        Silence(Armed(), None, Heard.beat, Heard.released), lambda: lit, said.append, QUICK
    )
    assert len(said) == 1
    assert said[0].startswith("nothing was heard of it for 0.05 s: every scan was stopped")
    assert all_zero(lit)


def test_a_program_that_hangs_in_the_dark_is_left_alone(application):
    application.create_measurement()
    said = []
    messages = Silence(Armed(), None, None, Heard.released)
    assert watch(messages, lambda: application, said.append, QUICK)
    assert said == []


def test_it_tries_until_the_laser_is_off(lit, monkeypatch):
    refusals = itertools.count()
    write = TwinConfiguration.set_parameters

    def refuse(self, at, value):
        if next(refusals) < 9:
            raise RuntimeError("Hardware is not ready")
        write(self, at, value)

    monkeypatch.setattr(TwinConfiguration, "set_parameters", refuse)
    ok, (said,) = said_of(lit, Heard.died)
    assert ok
    assert "all lasers are at zero" in said
    assert all_zero(lit)


def test_it_connects_anew_when_its_connection_is_lost(lit, monkeypatch):
    lost = iter([True, True])
    names = TwinApplication.measurement_names

    def lose(self):
        if next(lost, False):
            raise RuntimeError("connect: Connection refused")
        return names(self)

    monkeypatch.setattr(TwinApplication, "measurement_names", lose)
    ok, _ = said_of(lit, Heard.died)
    assert ok
    assert all_zero(lit)


def test_what_was_still_on_its_way_is_switched_off_too(lit):
    """The program's last order comes after all lasers were seen at zero."""

    looked = itertools.count()

    class Slow:
        def __getattr__(self, name):
            if name == "measurement_names" and next(looked) == 1:  # the second look
                lit.active_measurement().set_parameters(
                    f"{CHANNEL}/5", {"active": True, "power": {"calibrated": 10.0}}
                )
            return getattr(lit, name)

    ok, _ = said_of(Slow(), Heard.died)
    assert ok
    assert all_zero(lit)


def test_it_gives_up_loudly(lit, monkeypatch):
    monkeypatch.setattr(TwinConfiguration, "set_parameters", lambda *_: None)
    ok, (said,) = said_of(lit, Heard.died, rules=Rules(retry_s=0.01, give_up_s=0.1))
    assert not ok
    assert said.startswith(
        "it has ended without a word: LASERS MAY BE ON, switch them off by hand: Measurement 1"
    )
    assert "still reports 30 %" in said


def test_a_microscope_that_hangs_is_not_waited_for(lit, monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(TwinApplication, "measurement_names", lambda _: never.wait(30))
    ok, (said,) = said_of(lit, Heard.died, rules=Rules(give_up_s=0.1))
    never.set()
    assert not ok
    assert said.endswith("switch them off by hand: it does not answer")


def test_one_that_cannot_connect_does_not_begin():
    def refuse():
        raise RuntimeError("no Imspector answers")

    with pytest.raises(RuntimeError, match="no Imspector answers"):
        said_of(None, Heard.released, connect=refuse)


@pytest.mark.parametrize("end", [Heard.died, Heard.released])
def test_what_is_on_before_the_program_has_a_measurement_is_somebody_elses(lit, end):
    said = []
    assert watch(Silence(None, Heard.beat, None, end), lambda: lit, said.append, QUICK)
    assert said == []
    assert not all_zero(lit)


def test_the_programs_own_measurement_is_closed(lit):
    others = lit.create_measurement()
    own = lit.create_measurement()
    ok, (said,) = said_of(lit, Heard.died, armed=own.name())
    assert ok
    assert said.endswith(f"s); {own.name()} was closed")
    assert own.closed
    assert not others.closed
    assert len(lit.measurement_names()) == 2


def test_one_that_the_program_has_closed_is_not_looked_for(lit):
    ok, (said,) = said_of(lit, Heard.died, armed="Measurement 9")
    assert ok
    assert said.endswith(" s)")


def test_one_that_cannot_be_closed_is_told(lit, monkeypatch):
    def refuse(*_):
        raise RuntimeError("Hardware is not ready")

    monkeypatch.setattr(TwinApplication, "close", refuse)
    ok, (said,) = said_of(lit, Heard.died, armed="Measurement 1")
    assert ok  # the lasers are off
    assert said.endswith("s); Measurement 1 stays open: Hardware is not ready")


def test_a_microscope_that_hangs_when_it_is_to_close_is_not_waited_for(lit, monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(TwinApplication, "close", lambda *_: never.wait(30))
    ok, (said,) = said_of(
        lit, Heard.died, armed="Measurement 1", rules=Rules(settle_s=0.01, close_s=0.05)
    )
    never.set()
    assert ok
    assert said.endswith("Measurement 1 stays open: it does not answer")


def test_not_to_know_whether_it_scans_is_no_success(lit, monkeypatch):
    def refuse(*_):
        raise RuntimeError("no such status")

    monkeypatch.setattr(TwinApplication, "value_at", refuse)
    ok, (said,) = said_of(
        lit, Heard.died, armed="Measurement 1", rules=Rules(retry_s=0.01, give_up_s=0.1)
    )
    assert not ok
    assert said.endswith("by hand: Imspector does not say whether a scan goes on")
    assert all_zero(lit)
    assert lit.measurement_names() == ["Measurement 1"]  # for a person to look at


def test_a_status_that_comes_back_is_success(lit, monkeypatch):
    asked = itertools.count()
    value_at = TwinApplication.value_at

    def late(self, *at):
        if next(asked) < 3:
            raise RuntimeError("busy")
        return value_at(self, *at)

    monkeypatch.setattr(TwinApplication, "value_at", late)
    ok, (said,) = said_of(lit, Heard.died)
    assert ok
    assert "every scan was stopped" in said
