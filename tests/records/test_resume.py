"""What a run that goes on needs of earlier ones, on the small camera of this room."""

import json

import pytest

from stedopt_bluesky.records import CatalogError, RunRecord, find_run, locks
from stedopt_bluesky.records.journal import lock_path
from stedopt_bluesky.records.recovery import BROKEN_REASON
from stedopt_bluesky.records.resume import RESUMES, close_for_resume, read_chain


@pytest.fixture
def chain_of(folder, small):
    """Record runs of these numbers of images, each going on with the one before; their uids."""

    def record(*images):
        uids = []
        for count in images:
            earlier = {RESUMES: uids[-1]} if uids else {}
            uid, _ = small["record_run"](folder, count, **earlier)
            uids.append(uid)
        return uids

    return record


def cut(path, keep):
    """Leave the first documents of a journal only, as after a kill."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:keep]))


def with_overview(path):
    """Put an overview before everything else that a run recorded."""
    start, *rest = path.read_text().splitlines(keepends=True)
    uid = json.loads(start)[1]["uid"]
    descriptor = {"uid": f"{uid}-o", "run_start": uid, "name": "overview", "data_keys": {}}
    event = {"uid": f"{uid}-e", "descriptor": f"{uid}-o", "seq_num": 1, "data": {}}
    descriptor["time"] = event["time"] = 0.0
    event["timestamps"] = {}
    added = [["descriptor", descriptor], ["event", event]]
    path.write_text(start + "".join(json.dumps(each) + "\n" for each in added) + "".join(rest))


def test_a_single_run_is_a_chain_of_one(folder, chain_of):
    (uid,) = chain_of(3)
    chain = read_chain(folder, uid[:10])

    assert [record.uid for record in chain.records] == [uid]
    assert chain.last.uid == uid
    assert chain.history == chain.last.observations
    assert chain.history_before_last == []


def test_a_chain_is_read_from_its_newest_run_the_oldest_first(folder, chain_of):
    uids = chain_of(3, 1, 2)
    chain = read_chain(folder, uids[-1])

    assert [record.uid for record in chain.records] == uids
    joined = [o for uid in uids for o in RunRecord.read(find_run(folder, uid)).observations]
    assert str(chain.history) == str(joined)  # as text: NaN equals NaN
    assert str(chain.history_before_last) == str(joined[:4])
    assert len(read_chain(folder, uids[1]).records) == 2


@pytest.mark.parametrize(
    ("planned", "taken", "left"), [(4, 4, 0), (4, 1, 3), (10, 2, 8), (2, 5, 0)]
)
def test_the_images_left_are_those_of_the_newest_run(folder, small, planned, taken, left):
    uid, _ = small["record_run"](folder, taken, images_planned=planned)
    assert read_chain(folder, uid).images_left == left


def test_a_region_counts_as_used_once_its_image_was_decided_upon(folder, chain_of):
    uids = chain_of(3, 2)
    path = find_run(folder, uids[-1])
    lines = path.read_text().splitlines()
    # Killed in the second image: its decision is there, its Event is not.
    events = [i for i, line in enumerate(lines) if line.startswith('["event"')]
    cut(path, events[-1])
    chain = read_chain(folder, uids[-1])

    assert len(chain.last.observations) == 1
    assert chain.regions_used == 3 + 2


def test_regions_are_counted_from_the_newest_overview(folder, chain_of):
    uids = chain_of(3, 2, 1)
    assert read_chain(folder, uids[-1]).last_overview is None
    assert read_chain(folder, uids[-1]).regions_used == 6

    with_overview(find_run(folder, uids[0]))
    chain = read_chain(folder, uids[-1])
    assert chain.regions_used == 6

    with_overview(find_run(folder, uids[1]))
    chain = read_chain(folder, uids[-1])
    assert chain.regions_used == 3


def test_a_run_that_only_began_has_nothing_to_tell(folder, chain_of):
    (uid,) = chain_of(2)
    cut(find_run(folder, uid), 1)
    chain = read_chain(folder, uid)

    assert (chain.history, chain.regions_used, chain.images_left) == ([], 0, 2)
    assert chain.last_overview is None


def test_an_earlier_run_that_is_gone_is_named(folder, chain_of):
    first, second = chain_of(1, 1)
    find_run(folder, first).unlink()
    with pytest.raises(CatalogError, match=f"run {second} goes on with run {first}, which cannot"):
        read_chain(folder, second)


def test_an_unknown_run(folder, chain_of):
    chain_of(1)
    with pytest.raises(CatalogError, match=r"^no run in .* begins with 'zzz'"):
        read_chain(folder, "zzz")


def test_runs_that_go_on_with_one_another_in_a_circle(folder, chain_of):
    first, second = chain_of(1, 1)
    path = find_run(folder, first)
    start, rest = path.read_text().split("\n", 1)
    name, doc = json.loads(start)
    path.write_text(json.dumps([name, {**doc, RESUMES: second}]) + "\n" + rest)
    with pytest.raises(CatalogError, match="goes on with itself"):
        read_chain(folder, second)


def test_a_broken_run_is_closed_and_a_closed_one_left_alone(folder, chain_of):
    broken, whole = chain_of(2, 1)
    cut(find_run(folder, broken), 5)
    before = find_run(folder, whole).read_bytes()

    close_for_resume(folder, broken)
    close_for_resume(folder, whole[:12])

    stop = RunRecord.read(find_run(folder, broken)).stop
    assert (stop["exit_status"], stop["reason"]) == ("fail", BROKEN_REASON)
    assert find_run(folder, whole).read_bytes() == before


def test_a_run_that_is_being_written_is_not_closed(folder, chain_of):
    (uid,) = chain_of(1)
    path = find_run(folder, uid)
    cut(path, 3)
    before = path.read_bytes()
    lock = locks.hold(lock_path(folder, path))
    try:
        with pytest.raises(CatalogError, match="is still being written: wait for its end"):
            close_for_resume(folder, uid)
    finally:
        locks.let_go(lock)
    assert path.read_bytes() == before
