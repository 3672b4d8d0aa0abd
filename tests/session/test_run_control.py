"""A run of the twin is paused, resumed, stopped and aborted from other threads than its own."""

import asyncio
import contextlib
import threading
import time

import pytest
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp

from stedopt_bluesky.cli.interrupts import make_engine
from stedopt_bluesky.config import preset
from stedopt_bluesky.session import connect_application, open_session
from stedopt_bluesky.session.run_control import ABORTED_BY, RefusedError, RunControl
from tests.waiting import wait_for

# An image takes 20 ms: there is time to press while so many are taken.
MANY = 60
SMALL = {
    "seed": 3,
    "images": MANY,
    "microscope.field_um": 30.0,
    "overview.size_um": 30.0,
    "imaging.region_size_um": 1.28,
}


class Run:
    """A session's run, and a person who presses in a thread of their own."""

    def __init__(self, session):
        self.session, self.said, self.documents, self.problems = session, [], [], []
        self.control = RunControl(
            session.run_engine, lambda: session.station.microscope.suspended, self.said.append
        )

    @property
    def images(self):
        (uid,) = [
            d["uid"] for n, d in self.documents if n == "descriptor" if d["name"] == "primary"
        ]
        return sum(n == "event" and d["descriptor"] == uid for n, d in self.documents)

    @property
    def stop(self):
        return self.documents[-1][1]

    def begun(self):
        wait_for(lambda: len([n for n, _ in self.documents if n == "event"]) > 3, 20)

    def paused(self):
        wait_for(lambda: self.control.state == "paused", 20)

    def pressed(self, press, plan=None):
        """Run while somebody presses; why the run was aborted."""

        def in_thread():
            try:
                press()
            except Exception as error:
                self.problems.append(error)
                self.control.abort_whenever("the test has failed")

        person = threading.Thread(target=in_thread, daemon=True)
        person.start()
        try:
            return self.control.run(
                plan or self.session.optimize(), lambda *document: self.documents.append(document)
            )
        finally:
            person.join(20)
            assert not person.is_alive()
            assert self.problems == []

    def lasers_are_off(self, *configurations):
        instrument = self.session.instrument
        return all(
            instrument.power(configuration, line) == 0
            for configuration in configurations or ("confocal", "sted", "overview")
            for line in instrument.lasers
        )


@pytest.fixture
def run(tmp_path):
    config = preset("classical").updated(SMALL)
    with open_session(
        config, connect_application(config), tmp_path / "cat", run_engine=make_engine()
    ) as session:
        yield Run(session)


def test_a_run_that_nobody_touches(run):
    assert run.control.state == "not begun"
    assert run.pressed(lambda: None, run.session.optimize(images=2)) == ""
    assert run.control.state == "ended"
    assert run.images == 2
    for ask in (
        lambda: run.control.pause("Ada"), lambda: run.control.resume("Ada"), run.control.stop,
        lambda: run.control.abort("why"),
    ):  # fmt: skip
        with pytest.raises(RefusedError, match="the run has ended"):
            ask()


def test_nothing_is_asked_of_a_run_that_has_not_begun(run):
    for ask in (lambda: run.control.pause("Ada"), run.control.stop, lambda: run.control.abort("x")):
        with pytest.raises(RefusedError, match="not begun"):
            ask()
    with pytest.raises(RefusedError, match="not paused"):
        run.control.resume("Ada")
    assert run.pressed(lambda: None, run.session.optimize(images=1)) == ""


def test_a_pause_lasts_until_somebody_resumes(run):
    seen = []

    def press():
        run.begun()
        run.control.pause("Ada")
        run.paused()
        assert run.control.paused_by == "Ada"
        assert run.lasers_are_off("sted")
        seen.append(run.images)
        time.sleep(0.3)
        seen.append(run.images)
        with pytest.raises(RefusedError, match="Ada has paused the run already"):
            run.control.pause("Bo")
        run.control.resume("Bo")
        wait_for(lambda: run.images > seen[0], 20)
        run.control.pause("Bo")  # again
        run.paused()
        run.control.resume("Ada")

    assert run.pressed(press) == ""
    assert seen[0] == seen[1] < MANY
    assert run.images == MANY
    assert run.stop["exit_status"] == "success"
    assert run.said[0] == "paused on the page by Ada; Ctrl-C ends the run"
    assert run.said[1] == "resumed on the page by Bo"


@pytest.mark.parametrize("pausing", [False, True])
def test_a_stop_is_a_success(run, pausing):
    def press():
        run.begun()
        if pausing:
            run.control.pause("Ada")
            run.paused()
        run.control.stop()

    assert run.pressed(press) == ""
    assert (run.stop["exit_status"], run.stop["reason"]) == ("success", "")
    assert 0 < run.images < MANY
    assert run.lasers_are_off()


@pytest.mark.parametrize("pausing", [False, True])
def test_an_abort_gives_its_reason(run, pausing):
    def press():
        run.begun()
        if pausing:
            run.control.pause("Ada")
            run.paused()
        run.control.abort(f"{ABORTED_BY} Ada")

    assert run.pressed(press) == "aborted on the page by Ada"
    assert (run.stop["exit_status"], run.stop["reason"]) == ("abort", "aborted on the page by Ada")
    assert 0 < run.images < MANY
    assert run.lasers_are_off()


def test_of_two_that_end_it_at_once_one_wins(run):
    outcomes = []

    def end(how):
        try:
            how()
            outcomes.append("done")
        except RefusedError as error:
            outcomes.append(str(error))

    def press():
        run.begun()
        ways = [run.control.stop, lambda: run.control.abort("x"), run.control.stop]
        persons = [threading.Thread(target=end, args=(way,)) for way in ways]
        for person in persons:
            person.start()
        for person in persons:
            person.join(20)

    why = run.pressed(press)
    assert sorted(outcome == "done" for outcome in outcomes) == [False, False, True]
    assert all(o == "done" or "being ended already" in o or "has ended" in o for o in outcomes)
    assert run.stop["exit_status"] == ("abort" if why else "success")


def test_of_two_that_resume_at_once_one_wins(run):
    def press():
        run.begun()
        run.control.pause("Ada")
        run.paused()
        run.control.resume("Ada")
        with pytest.raises(RefusedError, match=r"resumed the run already|not paused"):
            run.control.resume("Bo")
        run.control.stop()

    assert run.pressed(press) == ""
    assert run.stop["exit_status"] == "success"


def test_an_interrupt_at_the_terminal_ends_a_paused_run(run):
    def press():
        run.begun()
        run.control.pause("Ada")
        run.paused()
        run.control.reason = "interrupted"  # as a handler of signals does
        with pytest.raises(RefusedError, match="being ended already: interrupted"):
            run.control.resume("Ada")

    assert run.pressed(press) == "interrupted"
    assert run.stop["reason"] == "interrupted"


def test_an_interrupt_during_the_last_image_lets_the_run_end_well(run):
    """Nothing comes after it at which it could pause."""

    def press():
        wait_for(lambda: any(name == "descriptor" for name, _ in run.documents), 20)
        run.control.reason = "interrupted"

    assert run.pressed(press, run.session.optimize(images=1)) == ""
    assert run.stop["exit_status"] == "success"


def test_whoever_terminates_a_run_that_has_not_begun_ends_it_when_it_does(run):
    run.control.abort_whenever("terminated")
    run.control.abort_whenever("again")
    assert run.pressed(lambda: None) == "terminated"
    assert all(name != "event" for name, _ in run.documents)


def test_an_interlock_suspends_as_it_did(run):
    """Nobody at a page resumes that: the run is closed, for the interlock's reason."""

    def opens():
        microscope = run.session.station.microscope
        microscope.suspended = "suspended: the interlock is open"
        yield from bps.checkpoint()
        yield from bps.pause()

    plan = bpp.run_wrapper(opens())
    assert run.pressed(lambda: None, plan) == "suspended: the interlock is open"


def test_a_plan_that_fails_is_no_interruption(run):
    def fails():
        yield from bps.null()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run.pressed(lambda: None, fails())
    assert run.control.state == "ended"


@pytest.mark.parametrize("how", ["stop", "abort"])
def test_an_end_in_the_very_moment_of_a_pause_ends_it(run, how):
    """It was asked of an engine that ran, and reached one that had paused."""

    def press():
        run.begun()
        run.control.pause("Ada")
        run.paused()
        engine = run.session.run_engine
        coroutine = engine._stop_coro() if how == "stop" else engine._abort_coro("late")
        asyncio.run_coroutine_threadsafe(coroutine, engine.loop).result(20)

    run.pressed(press)
    wait_for(lambda: run.documents[-1][0] == "stop", 20)
    assert run.stop["exit_status"] == ("success" if how == "stop" else "abort")
    assert run.lasers_are_off()


def test_whoever_presses_at_random_never_hangs_it(run):
    """Three persons press whatever there is as fast as they can, until one has ended it."""

    def one(number):
        ways = [
            lambda: run.control.pause(str(number)), lambda: run.control.resume(str(number)),
            lambda: run.control.pause(str(number)), lambda: run.control.resume(str(number)),
        ]  # fmt: skip
        for n in range(40):
            try:
                ways[(n + number) % 4]()
            except RefusedError:
                time.sleep(0.003)
        with contextlib.suppress(RefusedError):
            run.control.abort("x")

    def press():
        run.begun()
        persons = [threading.Thread(target=one, args=(n,)) for n in range(3)]
        for person in persons:
            person.start()
        for person in persons:
            person.join(60)

    why = run.pressed(press)
    # Another than the one that won may have let it run to its end before.
    assert run.stop["exit_status"] == ("abort" if why else "success")
    assert run.lasers_are_off()
