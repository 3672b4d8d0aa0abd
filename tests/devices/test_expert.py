"""A person's answer: to the question that waits, to no other, and only with what is on offer."""

import json
import threading
import time

import numpy as np
import pytest
from ophyd.status import Status

from stedopt_bluesky.acquisition import Choice, Options
from stedopt_bluesky.devices.expert import Expert, NoQuestionError


def cloud(iteration):
    values = np.array([[0.5, 1.0], [np.nan, np.nan], [0.25, np.nan]])
    grid = np.array([[10.0], [20.0], [30.0]])
    return Options(
        values, grid, iteration, ("snr", "photobleaching"), ("depletion_power_mW",), (2,)
    )


@pytest.fixture
def expert():
    return Expert(name="expert")


def test_an_answer_completes_the_question(expert):
    status = expert.set(cloud(4))
    assert (expert.asked.get(), expert.answer.get(), status.done) == (4, -1, False)
    expert.choose(4, 2, "AD")
    status.wait(5)
    assert expert.answer.get() == 2
    assert expert.withdraw() == Choice(2, "AD")
    assert (expert.asked.get(), expert.pending()) == (-1, None)


def test_a_question_is_plain_data(expert):
    assert expert.pending() is None
    expert.set(cloud(4))
    assert json.loads(json.dumps(expert.pending(), allow_nan=False)) == {
        "iteration": 4,
        "objectives": ["snr", "photobleaching"],
        "parameters": ["depletion_power_mW"],
        "values": [[0.5, 1.0], [None, None], [0.25, None]],
        "configurations": [[10.0], [20.0], [30.0]],
        "imaged": [2],
        "suggestion": None,
    }
    expert.choose(4, 0)
    assert expert.pending() is None
    expert.set(cloud(5), suggestion=Choice(2, "preference_network"))
    assert expert.pending()["suggestion"] == {"index": 2, "by": "preference_network"}


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ((3, 0), NoQuestionError, "iteration = 3: the choice of iteration 4 is waited for"),
        ((4, 3), ValueError, "index = 3: 0 to 2 are there"),
        ((4, -1), ValueError, "index = -1: 0 to 2 are there"),
        ((4, 1), ValueError, "index = 1: this option is not on offer"),
        ((4, 0, " "), ValueError, "chosen_by = ' ': a name"),
        ((4, 0.5), TypeError, "float"),
    ],
)
def test_what_is_no_answer_is_refused_and_the_question_waits_on(expert, answer, error, says):
    status = expert.set(cloud(4))
    with pytest.raises(error, match=says):
        expert.choose(*answer)
    assert not status.done
    expert.choose(4, 0)
    status.wait(5)


def test_nothing_is_answered_that_was_not_asked_or_was_answered(expert):
    with pytest.raises(NoQuestionError, match="iteration = 0: no choice is waited for"):
        expert.choose(0, 0)
    expert.set(cloud(0))
    expert.choose(0, 0)
    with pytest.raises(NoQuestionError):
        expert.choose(0, 2)
    assert expert.withdraw() == Choice(0, "expert")


def test_a_question_that_is_withdrawn_ends_without_an_answer(expert):
    status = expert.set(cloud(0))
    assert expert.withdraw() is None
    status.wait(5)
    with pytest.raises(NoQuestionError):
        expert.choose(0, 0)


def test_the_same_question_again_is_the_same_one(expert):
    asked = cloud(0)
    status = expert.set(asked)
    assert expert.set(asked) is status
    assert expert.set(cloud(1)) is not status


def test_an_answer_is_taken_back_until_it_is_acted_upon(expert):
    with pytest.raises(NoQuestionError, match="iteration = 4: no choice is waited for"):
        expert.take_back(4)
    status = expert.set(cloud(4))
    with pytest.raises(NoQuestionError, match="there is no choice to take back"):
        expert.take_back(4)
    expert.choose(4, 2)
    with pytest.raises(NoQuestionError, match="the choice of iteration 4 is waited for"):
        expert.take_back(3)
    expert.take_back(4)
    assert expert.answer.get() == -1
    assert expert.answered_for_s() is None
    assert expert.pending()["iteration"] == 4
    expert.choose(4, 0, "AD")
    assert 0 <= expert.answered_for_s() < 5
    assert expert.withdraw().taken_back == 1
    status.wait(5)
    with pytest.raises(NoQuestionError):
        expert.take_back(4)
    expert.set(cloud(5))
    expert.choose(5, 0)
    assert expert.withdraw().taken_back == 0


def test_a_plan_may_act_while_the_answer_is_being_told(expert, monkeypatch):
    """Whoever answers and whoever withdraws finish the Status once between them."""
    finish, failed = Status.set_finished, []

    def slowly(status):
        time.sleep(0.05)
        finish(status)

    def answer():
        try:
            expert.choose(0, 2)
        except Exception as error:
            failed.append(error)

    monkeypatch.setattr(Status, "set_finished", slowly)
    status = expert.set(cloud(0))
    answering = threading.Thread(target=answer)
    answering.start()
    while expert.answered_for_s() is None:
        time.sleep(0.001)
    assert expert.withdraw() == Choice(2, "expert")
    answering.join(5)
    assert failed == []
    status.wait(5)


def test_of_two_who_answer_at_once_one_does():
    """Whoever was first; the other one is told."""
    for _ in range(50):
        expert, told = Expert(name="expert"), []
        expert.set(cloud(0))
        together = threading.Barrier(2)

        def answer(index, expert=expert, told=told, together=together):
            together.wait(5)
            try:
                expert.choose(0, index, str(index))
            except NoQuestionError:
                told.append(index)

        threads = [threading.Thread(target=answer, args=(index,)) for index in (0, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        (late,) = told
        assert expert.withdraw().index == 2 - late


def test_what_is_expected_belongs_to_its_question(expert):
    first, second = cloud(0), cloud(1)
    moments = np.zeros((3, 2)), np.ones((3, 2))

    def expect(options):
        expert.expect(options, lambda: moments)
        expert.settle()

    expert.set(first)
    assert expert.expected is None
    expect(second)
    assert expert.expected is None
    expect(first)
    assert expert.expected is moments
    expert.set(second)
    assert expert.expected is None
    expect(second)
    expert.withdraw()
    assert expert.expected is None


def test_what_is_expected_is_reckoned_beside_and_may_come_too_late(expert):
    going_on = threading.Event()
    asked = cloud(0)
    expert.set(asked)
    expert.expect(asked, lambda: (going_on.wait(20), None))
    expert.choose(0, 2)
    assert expert.withdraw().index == 2
    going_on.set()
    expert.settle()
    assert expert.expected is None


def test_models_that_fail_leave_the_question_as_it_is(expert, caplog):
    def fails():
        raise np.linalg.LinAlgError("singular")

    asked = cloud(0)
    expert.set(asked)
    expert.expect(asked, fails)
    expert.settle()
    assert expert.expected is None
    assert "singular" in caplog.text
    expert.choose(0, 2)
    assert expert.withdraw().index == 2
