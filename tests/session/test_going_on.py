"""Run after run in one session: with a fresh strategy, or going on with a stored run."""

import contextlib

import pytest
from bluesky import RunEngine

from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.plans.count_overview import count_overview
from stedopt_bluesky.records import RunRecord, find_run
from stedopt_bluesky.records.resume import RESUMES
from stedopt_bluesky.session import (
    connect_application,
    continuation_of,
    go_on,
    light_of,
    open_session,
)
from stedopt_bluesky.session.stored import stage_origin_of

SMALL = {
    "images": 2,
    "seed": 3,
    "microscope.field_um": 30.0,
    "overview.size_um": 30.0,
    "imaging.region_size_um": 1.28,
}
AWAY = (1400.0, 1500.0)  # µm; where another day's sample was


def small(**changes):
    return preset("classical").updated({**SMALL, **changes})


@pytest.fixture
def make_session(tmp_path):
    with contextlib.ExitStack() as sessions:

        def make(config=None, **settings):
            config = config or small()
            engine = RunEngine({}, context_managers=[])
            opened = open_session(
                config,
                connect_application(config),
                tmp_path / "cat",
                run_engine=engine,
                **settings,
            )
            return sessions.enter_context(opened)

        yield make


def run(session, plan):
    (uid,) = session.run_engine(plan)
    return RunRecord.read(find_run(session.folder, uid))


def regions(record):
    return [(e["data"]["region_x_um"], e["data"]["region_y_um"]) for e in record.events("primary")]


def iterations(record):
    return [e["data"]["decision_iteration"] for e in record.events("decision")]


def test_a_renewed_session_has_learnt_nothing_and_goes_on_with_nothing(make_session):
    session = make_session()
    first = run(session, session.optimize())
    second = run(session, session.renewed().optimize())
    assert iterations(first) == iterations(second) == [0, 1]
    assert RESUMES not in second.start
    # The first run's strategy goes on where it was.
    third = run(session, session.optimize(images=1))
    assert (iterations(third), third.start[RESUMES]) == ([2], first.uid)


def test_what_was_changed_stands_in_the_start_document(make_session):
    session = make_session()
    changed = session.config.updated({"bandit.strategy": "random", "seed": 4})
    record = run(session, session.renewed(changed).optimize(images=1))
    assert record.start["seed"] == 4
    assert record.start["stedopt"]["config"]["bandit"]["strategy"] == "random"


def test_another_wiring_is_refused(make_session):
    session = make_session()
    other = session.config.updated({"imaging.region_size_um": 2.56})
    with pytest.raises(ConfigError, match="imaging: it differs from that of the open session"):
        session.renewed(other)


def test_a_run_is_gone_on_with_in_the_session_that_made_it(make_session):
    session = make_session()
    first = run(session, session.optimize(images=2))
    spent = len(session.station.microscope.budget.exposures)
    second = run(session, go_on(session, continuation_of(session.folder, first.uid, 1)))
    assert (iterations(second), second.start[RESUMES]) == ([2], first.uid)
    assert not set(regions(first)) & set(regions(second))
    # What this session has seen is not counted twice.
    assert len(session.station.microscope.budget.exposures) == spent + 1


def test_a_run_of_another_session_is_gone_on_with_where_it_was(make_session):
    first_session = make_session(stage_origin_um=None)
    first = run(first_session, first_session.optimize(images=2))
    session = make_session(stage_origin_um=AWAY)
    earlier = continuation_of(session.folder, first.uid, 1)
    second = run(session, go_on(session, earlier))
    assert stage_origin_of(second) == stage_origin_of(first) != AWAY
    assert iterations(second) == [2]
    assert len(light_of(earlier.chain)) == 2
    assert len(session.station.microscope.budget.exposures) == 3
    # Afterwards the session counts as before, and does not count that light again.
    assert session.station.stage.origin_um == AWAY
    third = run(session, go_on(session, continuation_of(session.folder, second.uid, 1)))
    assert iterations(third) == [3]
    assert len(session.station.microscope.budget.exposures) == 4


def test_a_run_with_another_wiring_is_not_gone_on_with(make_session):
    other = make_session(small(**{"imaging.region_size_um": 2.56}))
    first = run(other, other.optimize(images=1))
    session = make_session()
    with pytest.raises(ConfigError, match="imaging: it differs"):
        run(session, go_on(session, continuation_of(session.folder, first.uid, 1)))


def test_overviews_are_nothing_to_go_on_with(make_session):
    session = make_session()
    seen = run(session, count_overview(session.station, md=session.metadata))
    with pytest.raises(ConfigError, match="plan 'count_overview'; only an optimisation"):
        continuation_of(session.folder, seen.uid, 1)
