"""A person is asked: the plan can be paused and aborted meanwhile, and knows what is late."""

import math
import threading
import time

import pytest
from bluesky.simulators import check_limits
from bluesky.utils import RunEngineInterrupted

from stedopt_bluesky.acquisition import Choice
from stedopt_bluesky.devices.expert import Expert
from stedopt_bluesky.plans.asking import ExpertChoice, NobodyAnsweredError

WAIT_S = 20.0  # a bound against hanging


def first(options):
    return Choice(0, "first")


@pytest.fixture
def expert():
    return Expert(name="expert")


def wait_for_question(expert, iteration):
    end = time.monotonic() + WAIT_S
    while expert.asked.get() != iteration:
        assert time.monotonic() < end
        time.sleep(0.02)


def wait_for_expectation(expert):
    """Mean and deviation of each option come after the question."""
    end = time.monotonic() + WAIT_S
    while expert.expected is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    mean, std = expert.expected
    assert mean.shape == std.shape == expert.question[0].values.shape
    assert (std >= 0).all()


def in_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def choices(bench):
    return [
        (e["data"]["decision_index"], e["data"]["decision_chosen_by"])
        for e in bench.events("decision")
    ]


def test_each_image_is_taken_with_what_the_expert_chose(bench, expert):
    def answer():
        for iteration, index in enumerate((7, 3)):
            wait_for_question(expert, iteration)
            expert.choose(iteration, index, "AD")

    answering = in_thread(answer)
    bench.engine(bench.plan(choose=ExpertChoice(expert, first, WAIT_S), images=2))
    answering.join(WAIT_S)
    assert choices(bench) == [(7, "AD"), (3, "AD")]
    assert [e["data"]["image_configuration_index"] for e in bench.events("primary")] == [7, 3]
    assert bench.lasers_are_off()


def test_the_rule_chooses_when_nobody_did_in_time(bench, expert):
    bench.engine(bench.plan(choose=ExpertChoice(expert, first, 0.2), images=1))
    assert choices(bench) == [(0, "first")]
    assert expert.pending() is None


def test_the_run_ends_when_nobody_chose_where_that_is_asked_for(bench, expert):
    late = ExpertChoice(expert, first, 0.2, stops_if_late=True)
    with pytest.raises(NobodyAnsweredError, match=r"iteration 0 within 0\.2 s"):
        bench.engine(bench.plan(choose=late, images=1))
    (stop,) = bench.of("stop")
    assert (stop["exit_status"], stop["reason"]) == (
        "fail",
        "nobody chose for iteration 0 within 0.2 s",
    )
    assert bench.events("primary") == []
    assert bench.lasers_are_off()


@pytest.mark.parametrize("defer", [True, False])
def test_the_plan_can_be_paused_while_it_waits_and_answered_meanwhile(bench, expert, defer):
    pausing = in_thread(
        lambda: (wait_for_question(expert, 0), bench.engine.request_pause(defer=defer))
    )
    with pytest.raises(RunEngineInterrupted):
        bench.engine(bench.plan(choose=ExpertChoice(expert, first, WAIT_S), images=1))
    pausing.join(WAIT_S)
    assert bench.engine.state == "paused"
    assert not any(bench.application.emitting.values())
    expert.choose(0, 5)
    bench.engine.resume()
    assert choices(bench) == [(5, "expert")]
    assert len(bench.events("primary")) == 1


def test_an_abort_while_it_waits_withdraws_the_question(bench, expert):
    pausing = in_thread(
        lambda: (wait_for_question(expert, 0), bench.engine.request_pause(defer=False))
    )
    with pytest.raises(RunEngineInterrupted):
        bench.engine(bench.plan(choose=ExpertChoice(expert, first, WAIT_S), images=1))
    pausing.join(WAIT_S)
    bench.engine.abort("enough")
    (stop,) = bench.of("stop")
    assert (stop["exit_status"], stop["reason"]) == ("abort", "enough")
    assert expert.pending() is None
    assert bench.lasers_are_off()


def test_nobody_is_asked_by_a_plan_that_is_only_looked_at(bench, expert):
    check_limits(bench.plan(choose=ExpertChoice(expert, first, WAIT_S), images=1))
    assert expert.asked.get() == -1


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("nan")])
def test_a_time_that_is_none_is_refused(expert, timeout_s):
    with pytest.raises(ValueError, match=r"timeout_s = .*: above 0 s"):
        ExpertChoice(expert, first, timeout_s)


@pytest.mark.parametrize("undo_s", [-1.0, float("nan"), float("inf")])
def test_an_undo_that_never_ends_is_refused(expert, undo_s):
    with pytest.raises(ValueError, match=r"undo_s = .*: at least 0 s, finite"):
        ExpertChoice(expert, first, undo_s=undo_s)


@pytest.mark.parametrize("stops", [False, True])
def test_how_long_is_waited_can_be_watched(bench, expert, stops):
    seen = []

    def answer():
        wait_for_question(expert, 0)
        while not seen or seen[-1] > 59.8:
            seen.append(expert.left_s)
            time.sleep(0.02)
        expert.choose(0, 1)

    answering = in_thread(answer)
    asked = ExpertChoice(expert, first, 60.0, stops_if_late=stops)
    bench.engine(bench.plan(choose=asked, images=1))
    answering.join(WAIT_S)
    told = [left_s for left_s in seen if left_s < math.inf]  # of the moment before: nothing yet
    assert told == sorted(told, reverse=True)
    assert 59 < told[-1] <= 59.8
    assert expert.then == ("the run ends" if stops else "the rule chooses")


def test_how_a_choice_came_about_is_an_event(bench, expert):
    """What was suggested, taken back, shown, and how long it took, of the second image."""
    begun = time.monotonic()

    def answer():
        wait_for_question(expert, 0)
        expert.choose(0, 7, "AD")
        wait_for_question(expert, 1)
        assert expert.pending()["suggestion"] == {"index": 0, "by": "first"}
        wait_for_expectation(expert)
        expert.choose(1, 2, "AD", shown="snr, photobleaching")
        expert.take_back(1)
        time.sleep(0.1)
        expert.choose(1, 3, "BC", shown="snr, imaging_time_s")

    answering = in_thread(answer)
    asked = ExpertChoice(expert, first, math.inf, suggest=first, undo_s=0.3)
    bench.engine(bench.plan(choose=asked, images=2))
    answering.join(WAIT_S)
    took_s = time.monotonic() - begun
    assert choices(bench) == [(7, "AD"), (3, "BC")]
    data = bench.events("decision")[1]["data"]
    assert data["decision_suggested_index"] == 0
    assert data["decision_suggested_by"] == "first"
    assert data["decision_taken_back"] == 1
    assert data["decision_shown"] == "snr, imaging_time_s"
    assert 0.1 <= data["decision_took_s"] < took_s - 0.6  # without the time for taking it back


def test_a_person_chooses_also_where_a_rule_cannot(bench, expert):
    def refuses(options):
        raise ValueError("none of the options can be chosen")

    def answer():
        wait_for_question(expert, 0)
        expert.choose(0, 4, "AD")

    answering = in_thread(answer)
    bench.engine(bench.plan(choose=ExpertChoice(expert, first, WAIT_S, suggest=refuses), images=1))
    answering.join(WAIT_S)
    assert choices(bench) == [(4, "AD")]
    assert bench.events("decision")[0]["data"]["decision_suggested_index"] == -1


def test_a_choice_that_was_taken_back_is_no_choice(bench, expert):
    def answer():
        wait_for_question(expert, 0)
        expert.choose(0, 7)
        expert.take_back(0)

    answering = in_thread(answer)
    bench.engine(bench.plan(choose=ExpertChoice(expert, first, 0.3, undo_s=0.2), images=1))
    answering.join(WAIT_S)
    assert choices(bench) == [(0, "first")]
