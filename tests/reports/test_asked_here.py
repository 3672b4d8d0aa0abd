"""A RunEngine's own thread asks while a plan runs; whatever goes wrong there, the plan goes on."""

import contextlib
import threading
import time

import numpy as np
import pytest
from bluesky import RunEngine

from stedopt_bluesky.acquisition import Choice, Objective, Options
from stedopt_bluesky.devices.expert import Expert
from stedopt_bluesky.plans.asking import ExpertChoice
from stedopt_bluesky.reports.asked_here import AskedHere, asked_here
from tests.waiting import wait_for

OBJECTIVES = (Objective("a", "", "minimise", (0.0, 1.0)), Objective("b", "", "minimise", (0, 1)))


def cloud(iteration=0):
    values = np.random.default_rng(0).random((20, 2))
    return Options(values, values[:, :1], iteration, ("a", "b"), ("dwelltime_us",))


class Written:
    """A face whose answers are written beforehand; an exception is raised."""

    name = "test"
    interrupting = "nothing"

    def __init__(self, *lines):
        self.lines, self.said, self.shown = list(lines), [], []

    def show(self, shown):
        self.shown.append(shown)

    def say(self, text):
        self.said.append(text)

    def line(self, prompt, waits):
        if not self.lines:
            wait_for(lambda: not waits())
            return None
        line = self.lines.pop(0)
        if isinstance(line, type):
            raise line
        return line


@pytest.fixture
def expert():
    return Expert(name="expert")


def plan_of(expert, images, chosen, **how):
    choice = ExpertChoice(expert, lambda _: Choice(0, "rule"), suggest=lambda _: Choice(1, "rule"))
    choice = ExpertChoice(expert, choice.otherwise, suggest=choice.suggest, **how)

    def plan():
        for iteration in range(images):
            chosen.append((yield from choice.ask(cloud(iteration))))

    return plan()


def test_a_plans_questions_are_answered_where_it_was_started(expert):
    face, chosen, hidden = Written("#5", "", "1"), [], []

    @contextlib.contextmanager
    def hide():
        hidden.append(threading.current_thread() is threading.main_thread())
        yield

    here = AskedHere(expert, OBJECTIVES, name="AD", face=face, hide=hide)
    RunEngine({}, during_task=here)(plan_of(expert, 3, chosen))
    assert [choice.index for choice in chosen] == [5, 1, face.shown[2].rows[0]]
    assert {choice.chosen_by for choice in chosen} == {"AD"}
    assert chosen[0].shown == f"test, {len(face.shown[0].rows)} options"
    assert hidden == [True] * 3


def test_for_a_runengine_that_is_there_already(expert):
    engine, chosen, face = RunEngine({}), [], Written("#5")
    before = engine._during_task
    with asked_here(engine, expert, OBJECTIVES, face=face):
        engine(plan_of(expert, 1, chosen))
    assert chosen == [Choice(5, "expert")]
    assert engine._during_task is before


def test_without_a_runengine(expert):
    done = threading.Event()
    expert.set(cloud(), suggestion=Choice(1, "rule")).add_callback(lambda _: done.set())
    AskedHere(expert, OBJECTIVES, face=Written("#5")).block(done)
    assert expert.withdraw().index == 5


def test_an_answer_is_taken_back_in_time(expert):
    face, chosen = Written("#5", "no", "u", "#6"), []
    here = AskedHere(expert, OBJECTIVES, face=face, undo_s=0.3)
    RunEngine({}, during_task=here)(plan_of(expert, 1, chosen, undo_s=0.3))
    assert [(choice.index, choice.taken_back) for choice in chosen] == [(6, 1)]


def test_who_has_no_input_gets_what_is_suggested_and_is_told_once(expert):
    face, chosen = Written(EOFError), []
    RunEngine({}, during_task=AskedHere(expert, OBJECTIVES, face=face))(
        plan_of(expert, 3, chosen, undo_s=0.1)
    )
    assert chosen == [Choice(1, "rule")] * 3
    assert face.said == ["no more answers come: what is suggested is taken from now on"]


def test_what_cannot_be_asked_waits_for_another_answer(expert, caplog):
    chosen = []
    here = AskedHere(expert, OBJECTIVES, face=Written(ZeroDivisionError))

    def answer():
        wait_for(lambda: "cannot be asked here" in caplog.text)
        expert.choose(0, 9)

    elsewhere = threading.Thread(target=answer)
    elsewhere.start()
    RunEngine({}, during_task=here)(plan_of(expert, 1, chosen))
    elsewhere.join()
    assert [choice.index for choice in chosen] == [9]


def test_while_it_is_silent_it_asks_nothing(expert):
    face, chosen = Written("#5"), []
    here = AskedHere(expert, OBJECTIVES, face=face)
    here.silent = True
    begun = time.monotonic()
    RunEngine({}, during_task=here)(plan_of(expert, 1, chosen, timeout_s=0.5))
    assert time.monotonic() - begun >= 0.4
    assert chosen == [Choice(0, "rule")]
    assert face.shown == []
