import dataclasses

import numpy as np
import pytest
from event_model import DocumentNames, schema_validators

from stedopt_bluesky.records import replay
from stedopt_bluesky.records.journal import find_run
from stedopt_bluesky.records.replay import RunComparison, compare_runs, emit, rerun_decisions
from stedopt_bluesky.records.run_record import RunRecord


@pytest.fixture(scope="module")
def record(stored):
    folder, uid, _ = stored
    return RunRecord.read(find_run(folder, uid))


def changed(record, stream, change):
    """The record with the data of one stream's events changed by ``change(data)``."""
    events = {id(doc) for name, doc in record.all_events if name == stream}
    documents = tuple(
        (name, {**doc, "data": change(dict(doc["data"]))} if id(doc) in events else doc)
        for name, doc in record.documents
    )
    return dataclasses.replace(record, documents=documents)


def test_documents_come_in_order_and_fit_their_schemas(record, stored):
    emitted = []
    emit(record, lambda name, doc: emitted.append((name, doc)))
    assert [(n, d["uid"]) for n, d in emitted] == [(n, d["uid"]) for n, d in stored[2]]
    for name, doc in emitted:
        schema_validators[DocumentNames[name]].validate(doc)


def test_a_callback_cannot_change_the_record(record):
    emit(record, lambda name, doc: doc.clear())
    assert record.start["uid"] == record.uid


class Clock:
    """A stop event on which waiting takes no time, but moves the clock."""

    def __init__(self):
        self.now, self.waits = 100.0, []

    def monotonic(self):
        return self.now

    def wait(self, timeout):
        self.waits.append(timeout)
        self.now += timeout

    def is_set(self):
        return False


@pytest.mark.parametrize("speed", [1, 4.0])
def test_the_pace_is_the_runs_own_times_speed(record, monkeypatch, speed):
    clock = Clock()
    monkeypatch.setattr(replay.time, "monotonic", clock.monotonic)
    at = []
    emit(record, lambda name, doc: at.append((doc.get("time"), clock.now)), speed=speed, stop=clock)
    begun = record.start["time"]
    for recorded, now in at:
        if recorded is not None:
            assert now - 100.0 == pytest.approx((recorded - begun) / speed, abs=1e-6)
    assert sum(clock.waits) == pytest.approx((record.stop["time"] - begun) / speed, abs=1e-6)


def test_emission_ends_when_asked(record):
    import threading

    stop, emitted = threading.Event(), []

    def callback(name, doc):
        emitted.append(name)
        if name == "event":
            stop.set()

    emit(record, callback, stop=stop)
    assert emitted.count("event") == 1
    assert emitted[-1] == "event"


@pytest.mark.parametrize("speed", [0, -1.0, float("nan")])
def test_speed_must_be_positive(record, speed):
    with pytest.raises(ValueError, match="speed"):
        emit(record, print, speed=speed)


def rerun(record, small, **options):
    def make_strategy(start):
        return small["Strategy"](start["seed"])

    return rerun_decisions(record, make_strategy, small["choose"], **options)


def test_an_unchanged_program_decides_the_same(record, small):
    comparisons = rerun(record, small, compare_clouds=True)
    assert [c.iteration for c in comparisons] == [0, 1, 2, 3]
    assert all(c.same and c.same_cloud for c in comparisons)
    assert {c.recorded_by for c in comparisons} == {"best_quality"}
    assert [c.same_cloud for c in rerun(record, small)] == [None] * 4


def test_a_tampered_decision_is_found_and_stays_alone(record, small):
    def tamper(data):
        if data["decision_iteration"] == 2:
            data["decision_index"] = (data["decision_index"] + 1) % 9
        return data

    comparisons = rerun(changed(record, "decision", tamper), small, compare_clouds=True)
    assert [c.same for c in comparisons] == [True, True, False, True]


def test_a_tampered_observation_shows_in_the_clouds_that_follow(record, small):
    def tamper(data):
        if data["image_iteration"] == 1:
            data["objective_quality"] = np.nextafter(data["objective_quality"], 1) + 1e-9
        return data

    comparisons = rerun(changed(record, "primary", tamper), small, compare_clouds=True)
    assert [c.same_cloud for c in comparisons] == [True, True, False, False]
    # A constant added to every option changes no choice: only the clouds tell.
    assert [c.index for c in comparisons] == [c.recorded_index for c in comparisons]


def test_another_seed_decides_otherwise(record, small):
    comparisons = rerun_decisions(record, lambda start: small["Strategy"](8), small["choose"])
    assert not all(c.same for c in comparisons)


def test_the_samples_of_both_choices_are_those_of_the_clouds(record, small):
    clouds = record.clouds
    for number, c in enumerate(rerun(record, small, compare_clouds=True)):
        assert c.recorded_sample == c.sample == c.crossed_sample
        assert c.sample == tuple(clouds[number][c.recorded_index])
    others = rerun_decisions(
        record, lambda start: small["Strategy"](8), small["choose"], compare_clouds=True
    )
    for number, c in enumerate(others):
        assert c.recorded_sample == tuple(clouds[number][c.recorded_index])
        assert c.crossed_sample == tuple(clouds[number][c.index])
    assert any(c.sample != c.crossed_sample for c in others)
    assert all(c.sample == () for c in rerun(record, small))


def test_a_run_compared_with_itself_and_with_a_changed_one(record):
    images = len(record.observations)
    assert compare_runs(record, record) == RunComparison(images, images, images, 4, 4)
    assert compare_runs(record, record).same

    def other_choice(data):
        return {**data, "decision_index": 8 - data["decision_index"] + 1}

    def other_value(data):
        return {**data, "objective_photobleaching": data["objective_photobleaching"] + 1e-12}

    chosen = compare_runs(record, changed(record, "decision", other_choice))
    assert (chosen.same_decisions, chosen.same_images, chosen.same) == (0, images, False)
    rated = compare_runs(record, changed(record, "primary", other_value))
    assert (rated.same_decisions, rated.same_objectives, rated.same) == (4, 0, False)
