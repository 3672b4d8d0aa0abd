import threading

import pytest
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import FailedStatus, RunEngineInterrupted
from ophyd import Device
from ophyd.status import Status

from stedopt_bluesky.plans.run import CANNOT_PAUSE, obeying, recorded_run


class Broken(Device):
    """Its trigger fails, with or without saying why."""

    why: Exception | None = None

    def trigger(self):
        status = Status(self)
        status.set_exception(self.why or RuntimeError())
        return status


@pytest.fixture
def engine():
    return RunEngine({}, context_managers=[])


def run(engine, plan, md=None):
    """Run a plan; return the uid that it returned, its stop document and what it raised."""
    stops, returned, raised = [], [], None

    def keep():
        returned.append((yield from recorded_run(plan, md or {})))

    token = engine.subscribe(lambda _, doc: stops.append(doc), "stop")
    try:
        engine(keep())
    except Exception as error:
        raised = error
    engine.unsubscribe(token)
    return returned, stops, raised


def test_a_run_that_goes_well_returns_its_uid(engine):
    returned, (stop,), raised = run(engine, bps.null(), {"sample": "actin"})

    assert returned == [stop["run_start"]]
    assert (stop["exit_status"], stop.get("reason", "")) == ("success", "")
    assert raised is None


def test_a_failure_of_the_plan_is_the_reason(engine):
    def plan():
        yield from bps.null()
        raise ValueError("the stage has fallen off")

    _, (stop,), raised = run(engine, plan())

    assert (stop["exit_status"], stop["reason"]) == ("fail", "the stage has fallen off")
    assert isinstance(raised, ValueError)


def test_a_failure_without_words_is_told_by_its_kind(engine):
    def plan():
        yield from bps.null()
        raise ZeroDivisionError

    _, (stop,), _ = run(engine, plan())

    assert (stop["exit_status"], stop["reason"]) == ("fail", "ZeroDivisionError")


def test_a_device_that_fails_is_told_by_what_made_it_fail(engine):
    device = Broken(name="laser")
    device.why = OSError("the shutter is stuck")

    _, (stop,), raised = run(engine, bps.trigger(device, wait=True))

    assert (stop["exit_status"], stop["reason"]) == ("fail", "the shutter is stuck")
    assert isinstance(raised, OSError)
    assert not isinstance(raised, FailedStatus)


def paused(engine, plan):
    stops = []
    token = engine.subscribe(lambda _, doc: stops.append(doc), "stop")
    with pytest.raises(RunEngineInterrupted):
        engine(recorded_run(plan, {}))
    return stops, token


def test_the_reason_given_to_abort_is_kept(engine):
    def plan():
        yield from bps.checkpoint()
        yield from bps.pause()

    stops, _ = paused(engine, plan())
    engine.abort(reason="the coffee is ready")

    (stop,) = stops
    assert (stop["exit_status"], stop["reason"]) == ("abort", "the coffee is ready")


def test_stop_is_a_success(engine):
    def plan():
        yield from bps.checkpoint()
        yield from bps.pause()

    stops, _ = paused(engine, plan())
    engine.stop()

    assert [stop["exit_status"] for stop in stops] == ["success"]


def test_a_pause_where_nothing_may_be_repeated_says_so(engine):
    def plan():
        yield from bps.clear_checkpoint()
        yield from bps.pause()

    stops, _ = paused(engine, plan())

    (stop,) = stops
    assert (stop["exit_status"], stop["reason"]) == ("abort", CANNOT_PAUSE)
    assert engine.state == "idle"


class Interruptible(Device):
    """Its trigger lasts until it is unstaged, and fails then, as a scan that is stopped does."""

    def trigger(self):
        self.triggered.set()
        self.status = Status(self)
        return self.status

    def unstage(self):
        if not self.status.done:
            self.status.set_exception(RuntimeError("stopped"))
        self.unstaged = True
        return super().unstage()


def test_an_abort_is_not_reported_as_the_failure_that_it_brings_about(engine):
    """And the cleaning up goes on to its end."""
    device, other = Interruptible(name="camera"), Interruptible(name="other")
    device.triggered = threading.Event()
    other.status = Status(other)

    @bpp.stage_decorator([other, device])
    def plan():
        return (yield from recorded_run(bps.trigger(device, wait=True), {}))

    def abort():
        device.triggered.wait(10)
        engine.abort(reason="fire alarm")

    stops = []
    engine.subscribe(lambda _, doc: stops.append(doc), "stop")
    thread = threading.Thread(target=abort)
    thread.start()
    with pytest.raises(RunEngineInterrupted):
        engine(obeying(plan()))
    thread.join()

    assert [(s["exit_status"], s["reason"]) for s in stops] == [("abort", "fire alarm")]
    assert device.unstaged
    assert other.unstaged


def test_a_failure_that_nobody_asked_for_is_still_one(engine):
    device = Broken(name="laser")
    device.why = OSError("the shutter is stuck")
    with pytest.raises(OSError, match="stuck"):
        engine(obeying(recorded_run(bps.trigger(device, wait=True), {})))


def test_what_a_plan_returns_and_is_answered_passes_through():
    def plan():
        answer = yield "question"
        try:
            yield "wrong"
        except ValueError:
            yield "caught"
        return answer

    obedient = obeying(plan())
    assert [next(obedient), obedient.send(42), obedient.throw(ValueError())] == [
        "question", "wrong", "caught",
    ]  # fmt: skip
    with pytest.raises(StopIteration) as end:
        obedient.send(None)
    assert end.value.value == 42
