"""A person says which regions are imaged: those, in that order, and the plan can be paused."""

import json
import threading
import time

import pytest
from bluesky.simulators import check_limits
from bluesky.utils import RunEngineInterrupted

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.devices.expert_surveyor import ExpertSurveyor, Places
from stedopt_bluesky.plans.asking import NobodyAnsweredError, Patience
from stedopt_bluesky.plans.optimize import NotEnoughRegionsError
from stedopt_bluesky.plans.placing_by_hand import ExpertSurvey
from stedopt_bluesky.session.places import tiles_of

WAIT_S = 20.0  # a bound against hanging


@pytest.fixture
def surveyor():
    return ExpertSurveyor(name="regions")


def by(surveyor, bench, **patience):
    lay = tiles_of(bench.session.config)
    return ExpertSurvey(surveyor, lay, Patience(**{"timeout_s": WAIT_S, **patience}))


def waits_for(surveyor, number):
    end = time.monotonic() + WAIT_S
    while surveyor.asked.get() != number:
        assert time.monotonic() < end
        time.sleep(0.01)


def answering(surveyor, choose, number=1):
    def answer():
        waits_for(surveyor, number)
        surveyor.place(number, Places(tuple(choose(*surveyor.question)), "AD"))

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread


def centres(bench):
    return [(e["data"]["region_x_um"], e["data"]["region_y_um"]) for e in bench.events("primary")]


def test_what_the_person_says_is_imaged_in_that_order(bench, surveyor):
    own = Region(1.5, -2.5, 1.28)
    person = answering(surveyor, lambda field, proposed: (proposed[7], own, proposed[2]))
    bench.engine(bench.plan(lay=by(surveyor, bench), images=3))
    person.join(WAIT_S)
    places = json.loads(bench.events("regions")[0]["data"]["regions_places"])
    assert centres(bench) == [(p["x_um"], p["y_um"]) for p in places]
    assert centres(bench)[1] == (1.5, -2.5)
    data = bench.events("regions")[0]["data"]
    assert (data["regions_count"], data["regions_suggested_kept"]) == (3, 2)
    assert data["regions_chosen_by"] == "AD"


def test_fewer_regions_end_the_run_when_they_are_imaged(bench, surveyor):
    person = answering(surveyor, lambda field, proposed: proposed[:2])
    bench.engine(bench.plan(lay=by(surveyor, bench), images=5))
    person.join(WAIT_S)
    (stop,) = bench.of("stop")
    assert stop["exit_status"] == "success"
    assert len(bench.events("primary")) == 2


def test_what_was_proposed_is_imaged_when_nobody_answers_in_time(bench, surveyor, done):
    bench.engine(bench.plan(lay=by(surveyor, bench, timeout_s=0.2), images=3))
    assert centres(bench) == centres(done)
    assert bench.events("regions") == []


def test_too_few_proposals_are_told_as_ever_when_nobody_answers(bench, surveyor):
    with pytest.raises(NotEnoughRegionsError, match="images = 500: only"):
        bench.engine(bench.plan(lay=by(surveyor, bench, timeout_s=0.2), images=500))
    assert bench.events("primary") == []


def test_the_run_ends_when_nobody_answers_where_that_is_asked_for(bench, surveyor):
    late = by(surveyor, bench, timeout_s=0.2, stops_if_late=True)
    with pytest.raises(NobodyAnsweredError, match=r"nobody chose regions of field 1 within 0\.2 s"):
        bench.engine(bench.plan(lay=late, images=2))
    assert bench.lasers_are_off()


def test_it_asks_again_in_the_next_field_for_what_is_left(bench, surveyor):
    seen = []

    def one(field, proposed):
        seen.append((field.number, field.wanted, field.stage_um))
        x_um, y_um = field.stage_um
        return [Region(1.0, 2.0, 1.28, stage_x_um=x_um, stage_y_um=y_um)]

    people = [answering(surveyor, one), answering(surveyor, one, number=2)]
    plan = bench.plan(lay=by(surveyor, bench), images=4, fields=[(0.0, 0.0), (30.0, 0.0)])
    bench.engine(plan)
    for person in people:
        person.join(WAIT_S)
    assert seen == [(1, 4, (0.0, 0.0)), (2, 3, (30.0, 0.0))]
    assert len(bench.events("primary")) == 2
    assert [e["data"]["stage_x_um"] for e in bench.events("primary")] == [0.0, 30.0]


def test_a_field_with_nothing_is_passed_by(bench, surveyor):
    people = [
        answering(surveyor, lambda field, proposed: ()),
        answering(surveyor, lambda field, proposed: [Region(0, 0, 1.28, stage_x_um=30.0)], 2),
    ]
    plan = bench.plan(lay=by(surveyor, bench), images=4, fields=[(0.0, 0.0), (30.0, 0.0)])
    bench.engine(plan)
    for person in people:
        person.join(WAIT_S)
    assert [e["data"]["stage_x_um"] for e in bench.events("primary")] == [30.0]


def test_each_region_is_imaged_as_often_as_a_time_lapse_says(make_bench, surveyor):
    bench = make_bench(**{"time_lapse.images_per_region": 2})

    def two(field, proposed):
        assert field.wanted == 2  # four images of two regions
        assert len(set(proposed)) == len(proposed)
        return proposed[3:5]

    person = answering(surveyor, two)
    bench.engine(bench.plan(lay=by(surveyor, bench), images=4))
    person.join(WAIT_S)
    first, second = dict.fromkeys(centres(bench))
    assert centres(bench) == [first, first, second, second]


def test_what_cannot_be_imaged_is_refused_while_the_person_is_there(bench, surveyor):
    refused = []

    def answer():
        waits_for(surveyor, 1)
        try:
            surveyor.place(1, Places((Region(0.0, 0.0, 2.0),), "AD"))
        except ValueError as error:
            refused.append(str(error))
        surveyor.place(1, Places(tuple(surveyor.question[1][:1]), "AD"))

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    bench.engine(bench.plan(lay=by(surveyor, bench), images=1))
    thread.join(WAIT_S)
    assert "regions must be of that size" in refused[0]
    assert len(bench.events("primary")) == 1


def test_another_threshold_proposes_other_regions(bench, surveyor):
    seen = []

    def look(field, proposed):
        for threshold in (0.3, 1.0, 3.0):
            mask, regions = field.propose(threshold)
            seen.append((mask.mean(), len(regions)))
        assert tuple(field.propose(1.0)[1]) == tuple(proposed)
        return proposed[:1]

    person = answering(surveyor, look)
    bench.engine(bench.plan(lay=by(surveyor, bench), images=1))
    person.join(WAIT_S)
    shares, counts = zip(*seen, strict=True)
    assert shares[0] > shares[1] > shares[2]
    assert counts[0] >= counts[1] > counts[2]


@pytest.mark.parametrize("defer", [True, False])
def test_the_plan_can_be_paused_while_it_waits(bench, surveyor, defer):
    pausing = threading.Thread(
        target=lambda: (waits_for(surveyor, 1), bench.engine.request_pause(defer=defer)),
        daemon=True,
    )
    pausing.start()
    with pytest.raises(RunEngineInterrupted):
        bench.engine(bench.plan(lay=by(surveyor, bench), images=1))
    pausing.join(WAIT_S)
    surveyor.place(1, Places(tuple(surveyor.question[1][:1]), "AD"))
    bench.engine.resume()
    assert len(bench.events("regions")) == len(bench.events("primary")) == 1
    assert len(bench.events("overview")) == 1


def test_nobody_is_asked_by_a_plan_that_is_only_looked_at(bench, surveyor):
    check_limits(bench.plan(lay=by(surveyor, bench), images=1))
    assert surveyor.asked.get() == -1
