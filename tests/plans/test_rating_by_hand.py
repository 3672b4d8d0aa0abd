"""A person rates: the plan can be paused meanwhile, and no image is lost whatever ends the run."""

import contextlib
import json
import math
import threading
import time

import numpy as np
import pytest
from bluesky.simulators import check_limits
from bluesky.utils import RunEngineInterrupted

from stedopt_bluesky.acquisition import Line
from stedopt_bluesky.devices.expert_rater import ExpertRater, HandRating
from stedopt_bluesky.devices.question import NoQuestionError
from stedopt_bluesky.objectives import make_rater
from stedopt_bluesky.objectives.scored import score_as_given, scored_images
from stedopt_bluesky.plans.asking import NobodyAnsweredError, Patience
from stedopt_bluesky.plans.rating_by_hand import ExpertRating

WAIT_S = 20.0  # a bound against hanging
WITH_QUALITY = {
    "objectives": [{"name": "quality"}, {"name": "photobleaching"}, {"name": "fwhm_nm"}],
}


@pytest.fixture
def rated_bench(make_bench):
    return make_bench(**WITH_QUALITY)


@pytest.fixture
def rater():
    return ExpertRater(scored=("quality",), name="rating")


def by(rater, *, suggest=lambda image: 0.25, **patience):
    names = [entry["name"] for entry in WITH_QUALITY["objectives"]]
    return ExpertRating(
        rater,
        scored=lambda images: scored_images(names, images),
        by_scores=lambda images, scores: make_rater(names, score_as_given(images, scores)),
        suggest=suggest,
        suggested_by="a network" if suggest else "",
        patience=Patience(**{"timeout_s": WAIT_S, **patience}),
    )


def waits_for(rater, iteration):
    end = time.monotonic() + WAIT_S
    while rater.asked.get() != iteration:
        assert time.monotonic() < end
        time.sleep(0.01)


def answering(rater, *ratings):
    def answer():
        for iteration, rating in enumerate(ratings):
            waits_for(rater, iteration)
            rater.rate(iteration, rating)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread


def test_what_the_person_says_is_the_quality(rated_bench, rater):
    bench = rated_bench
    person = answering(
        rater, HandRating({"quality": 0.73}, "AD"), HandRating({"quality": 0.0}, "B")
    )
    bench.engine(bench.plan(rate=by(rater), images=2))
    person.join(WAIT_S)
    assert [e["data"]["objective_quality"] for e in bench.events("primary")] == [0.73, 0.0]
    first, second = (e["data"] for e in bench.events("rating"))
    assert (first["rating_quality_percent"], first["rating_rated_by"]) == (73, "AD")
    assert (second["rating_quality_percent"], second["rating_rated_by"]) == (0, "B")
    assert first["rating_suggested_quality_percent"] == 25
    assert first["rating_suggested_by"] == "a network"
    assert [first["rating_iteration"], second["rating_iteration"]] == [0, 1]
    assert first["rating_took_s"] > 0
    assert bench.lasers_are_off()


def test_lines_of_a_person_are_what_is_measured_along(rated_bench, rater):
    """The width by hand is that of the same line in the image that was kept."""
    bench = rated_bench
    seen = []

    def answer():
        waits_for(rater, 0)
        images = rater.question[0].images
        y, x = np.unravel_index(np.argmax(images.confocal1), images.confocal1.shape)
        lines = tuple(
            Line(float(np.clip(y + d, 0, 63)), max(0.0, x - 16.0), float(np.clip(y + d, 0, 63)),
                 min(63.0, x + 16.0)) for d in (-2, 0, 2)
        )  # fmt: skip
        seen.append((images, lines))
        rater.rate(0, HandRating({"quality": 0.5}, "AD", lines=lines))

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    bench.engine(bench.plan(rate=by(rater), images=1))
    thread.join(WAIT_S)
    ((images, lines),) = seen
    from stedopt_bluesky.objectives import fwhm_nm

    expected = float(fwhm_nm(images.sted[0], lines, images.pixel_size_nm))
    (event,) = bench.events("primary")
    np.testing.assert_equal(event["data"]["objective_fwhm_nm"], expected)
    drawn = json.loads(bench.events("rating")[0]["data"]["rating_lines_px"])
    assert drawn == [[line.y0, line.x0, line.y1, line.x1] for line in lines]


def test_skipped_images_have_no_quality_and_all_else(rated_bench, rater):
    person = answering(rater, HandRating({}, "AD"))
    rated_bench.engine(rated_bench.plan(rate=by(rater), images=1))
    person.join(WAIT_S)
    data = rated_bench.events("primary")[0]["data"]
    assert math.isnan(data["objective_quality"])
    assert "quality: skipped by AD" in data["invalid_because"]
    assert math.isfinite(data["objective_photobleaching"])


def test_nothing_is_learnt_from_discarded_images_and_they_are_kept(rated_bench, rater):
    bench = rated_bench
    person = answering(rater, HandRating({"quality": 0.9}, "AD", discarded_because="drift"))
    bench.engine(bench.plan(rate=by(rater), images=1))
    person.join(WAIT_S)
    (event,) = bench.events("primary")
    assert all(math.isnan(event["data"][f"objective_{o['name']}"])
               for o in WITH_QUALITY["objectives"])  # fmt: skip
    assert event["data"]["invalid_because"].startswith("quality: discarded by AD: drift; ")
    assert bench.events("rating")[0]["data"]["rating_discarded_because"] == "drift"
    assert len(bench.imaged) == 1


def test_the_network_rates_when_nobody_did_in_time(rated_bench, rater):
    rated_bench.engine(rated_bench.plan(rate=by(rater, timeout_s=0.2), images=1))
    assert rated_bench.events("primary")[0]["data"]["objective_quality"] == 0.25
    assert rated_bench.events("rating") == []


def test_without_a_network_it_stays_without_a_rating(rated_bench, rater):
    rated_bench.engine(rated_bench.plan(rate=by(rater, suggest=None, timeout_s=0.2), images=1))
    data = rated_bench.events("primary")[0]["data"]
    assert math.isnan(data["objective_quality"])
    assert "nobody has rated the image" in data["invalid_because"]


def test_the_run_ends_when_nobody_rated_where_that_is_asked_for(rated_bench, rater):
    late = by(rater, timeout_s=0.2, stops_if_late=True)
    with pytest.raises(NobodyAnsweredError, match=r"nobody rated image 1 within 0\.2 s"):
        rated_bench.engine(rated_bench.plan(rate=late, images=2))
    (stop,) = rated_bench.of("stop")
    assert stop["reason"] == "nobody rated image 1 within 0.2 s"
    (event,) = rated_bench.events("primary")  # the sample was bleached for it
    assert "not rated: nobody rated image 1" in event["data"]["invalid_because"]
    assert rated_bench.lasers_are_off()


@pytest.mark.parametrize("defer", [True, False])
def test_the_plan_can_be_paused_while_it_waits_and_nothing_is_imaged_twice(rated_bench, rater,
                                                                           defer):  # fmt: skip
    bench = rated_bench
    pausing = threading.Thread(
        target=lambda: (waits_for(rater, 0), bench.engine.request_pause(defer=defer)), daemon=True
    )
    pausing.start()
    with pytest.raises(RunEngineInterrupted):
        bench.engine(bench.plan(rate=by(rater), images=1))
    pausing.join(WAIT_S)
    assert bench.engine.state == "paused"
    assert not any(bench.application.emitting.values())
    exposures = bench.exposures("sted")
    rater.rate(0, HandRating({"quality": 0.5}, "AD"))
    bench.engine.resume()
    assert bench.events("primary")[0]["data"]["objective_quality"] == 0.5
    assert bench.exposures("sted") == exposures
    assert len(bench.events("rating")) == len(bench.events("primary")) == 1


@pytest.mark.parametrize(("ends", "status"), [("abort", "abort"), ("stop", "success")])
def test_images_are_kept_when_the_run_is_ended_while_it_waits(rated_bench, rater, ends, status):
    bench = rated_bench
    pausing = threading.Thread(
        target=lambda: (waits_for(rater, 0), bench.engine.request_pause(defer=True)), daemon=True
    )
    pausing.start()
    with pytest.raises(RunEngineInterrupted):
        bench.engine(bench.plan(rate=by(rater), images=2))
    pausing.join(WAIT_S)
    getattr(bench.engine, ends)()
    (stop,) = bench.of("stop")
    assert stop["exit_status"] == status
    (event,) = bench.events("primary")
    assert "quality: not rated: the run was ended" in event["data"]["invalid_because"]
    assert len(bench.imaged) == 1
    assert rater.question is None
    assert bench.lasers_are_off()


def test_nobody_is_asked_by_a_plan_that_is_only_looked_at(rated_bench, rater):
    check_limits(rated_bench.plan(rate=by(rater), images=1))
    assert rater.asked.get() == -1


def fails(image):
    raise RuntimeError("out of memory")


def test_a_network_that_fails_loses_no_image_when_nobody_rated(rated_bench, rater):
    rated_bench.engine(rated_bench.plan(rate=by(rater, suggest=fails, timeout_s=0.2), images=2))
    events = rated_bench.events("primary")
    assert len(events) == 2
    assert all("out of memory" in event["data"]["invalid_because"] for event in events)
    assert rated_bench.of("stop")[0]["exit_status"] == "success"


def test_what_is_acted_upon_is_not_taken_back(rated_bench, rater):
    """Also while the network's word is waited for, which belongs to the record."""
    refused = []

    def slow(image):
        time.sleep(1.0)
        return 0.9

    def answer():
        waits_for(rater, 0)
        rater.rate(0, HandRating({"quality": 0.1}, "AD"))
        time.sleep(0.5)
        try:
            rater.take_back(0)
        except NoQuestionError as error:
            refused.append(str(error))

    person = threading.Thread(target=answer, daemon=True)
    person.start()
    rated_bench.engine(rated_bench.plan(rate=by(rater, suggest=slow, undo_s=0.2), images=1))
    person.join(WAIT_S)
    assert refused == ["iteration = 0: there is no rating to take back"]
    assert rated_bench.events("primary")[0]["data"]["objective_quality"] == 0.1
    assert rated_bench.events("rating")[0]["data"]["rating_quality_percent"] == 10


@pytest.mark.parametrize("message", ["create", "read", "save"])
def test_images_are_kept_when_the_run_is_aborted_while_a_rating_is_recorded(rated_bench, rater,
                                                                            message):  # fmt: skip
    bench, ended = rated_bench, []

    def aborting(msg):
        of_a_rating = msg.obj is rater or msg.kwargs.get("name") == "rating" or seen
        if msg.command in ("create", "read", "save") and of_a_rating:
            seen.append(msg.command)
            if msg.command == message and not ended:
                ended.append(threading.Thread(target=bench.engine.abort, args=("enough",)))
                ended[0].start()
                time.sleep(0.1)

    seen = []
    bench.engine.msg_hook = aborting
    person = answering(rater, HandRating({"quality": 0.5}, "AD"))
    with contextlib.suppress(Exception):
        bench.engine(bench.plan(rate=by(rater), images=3))
    person.join(WAIT_S)
    ended[0].join(WAIT_S)
    (stop,) = bench.of("stop")
    assert (stop["exit_status"], stop["reason"]) == ("abort", "enough")
    assert len(bench.events("primary")) == 1
    assert rater.question is None
