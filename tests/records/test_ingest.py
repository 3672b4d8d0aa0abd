"""From the journals into Tiled: followed, interrupted, again and again, with the same end."""

import gc

import pytest
import stamina
from event_model import compose_run

from stedopt_bluesky.records import Catalog, CatalogFolder, find_run, list_runs, locks
from stedopt_bluesky.records.ingest import Ingester, TiledDownError, relocation
from stedopt_bluesky.records.journal import Journal, lock_path
from stedopt_bluesky.records.recovery import BROKEN_REASON


@pytest.fixture
def opened(folder):
    """An empty catalogue, open; what is in it is what the test's ingesters bring."""
    with Catalog(folder, fill=False) as catalog:
        yield catalog


def ingester(catalog):
    return Ingester(catalog.folder, catalog.client, relocation(catalog.folder))


def finished(found):
    return {run.metadata["start"]["uid"] for run in found.values() if run.metadata.get("stop")}


def empty_run(journal, uid, time=1.7e9, *, stop=True):
    run = compose_run(uid=uid, time=time)
    journal("start", run.start_doc)
    if stop:
        journal("stop", run.compose_stop(time=time + 1))
    return run


def damaged_beside(path):
    """A journal `bad` without one record, beside another one."""
    bad = path.with_name("bad.jsonl")
    bad.write_bytes(b"garbage\ngarbage\n")
    return bad


def test_runs_come_in_in_the_order_in_which_they_began(opened):
    journal = Journal(opened.folder, fsync=False)
    for uid, time in (("c", 3.0), ("a", 2.0), ("b", 1.0)):
        empty_run(journal, uid, time * 1e9)
    fed = ingester(opened)
    assert fed.step() == 6
    assert fed.progress.runs == ["b", "a", "c"]
    assert list(opened.client) == ["b", "a", "c"]
    assert fed.step() == 0
    # Another one finds all of it there, and does nothing.
    again = ingester(opened)
    assert again.step() == 0
    assert again.progress.runs == []


def test_of_the_images_that_are_in_no_document_is_kept(opened, small):
    """A run may have ten thousand."""

    def kept():
        gc.collect()
        return sum(type(o) is dict and "stream_resource" in o and "indices" in o for o in found())

    found = gc.get_objects
    uid, documents = small["record_run"](opened.folder, 30)
    path = find_run(opened.folder, uid)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))  # has not ended
    images = sum(name == "stream_datum" for name, _ in documents)
    lock = locks.hold(lock_path(opened.folder, path))
    before, fed = kept(), ingester(opened)
    assert fed.step() == len(documents) - 1
    assert fed.following
    assert kept() - before < images / 2  # those of the last batch
    locks.let_go(lock)


def test_a_run_under_way_is_followed_to_its_end(opened, small):
    uid, documents = small["record_run"](opened.folder, 12)
    path = find_run(opened.folder, uid)
    whole = path.read_bytes().splitlines(keepends=True)
    path.unlink()
    fed = ingester(opened)
    journal = Journal(opened.folder, fsync=False)
    for number, (name, doc) in enumerate(documents, start=1):
        journal(name, doc)
        if number % 5 == 0:
            fed.step()
            if number > 50:  # of a dozen images ten, together, and their decisions
                rows = len(opened.table(uid, "decision"))
                assert 10 <= rows <= 12
                assert not opened.run(uid).metadata.get("stop")
    fed.step()
    journal.close()
    assert path.read_bytes().splitlines(keepends=True) == whole
    assert fed.progress.runs == [uid]
    assert len(opened.table(uid, "primary")) == 12
    for n, image in enumerate(opened.images(uid, "microscope_sted1")):
        assert image.tobytes() == small["expected_image"]("microscope_sted1", n).tobytes()


@pytest.mark.parametrize("steps", [1, 3])
def test_what_a_dead_ingester_left_is_put_in_anew(opened, small, steps):
    uid, documents = small["record_run"](opened.folder, 4)
    path = find_run(opened.folder, uid)
    whole = path.read_bytes()
    path.unlink()
    journal = Journal(opened.folder, fsync=False)
    first = ingester(opened)
    for name, doc in documents[: len(documents) // 2]:
        journal(name, doc)
    for _ in range(steps):
        first.step()
    assert not opened.run(uid).metadata.get("stop")
    del first  # it forgot everything that it held back
    for name, doc in documents[len(documents) // 2 :]:
        journal(name, doc)
    assert path.read_bytes() == whole
    second = ingester(opened)
    second.step()
    assert second.progress.runs == [uid]
    assert len(opened.table(uid, "primary")) == 4
    assert opened.images(uid, "microscope_sted1").shape == (4, 6, 5)


def test_a_run_whose_program_died_is_closed_and_comes_in(opened):
    journal = Journal(opened.folder, fsync=False)
    empty_run(journal, "broken", stop=False)
    fed = ingester(opened)
    fed.step()
    assert finished(opened.client) == set()
    journal.close()  # as the death of its program does
    fed.step()
    assert fed.progress.runs == ["broken"]
    (summary,) = list_runs(opened.folder)
    assert (summary.exit_status, summary.reason) == ("fail", BROKEN_REASON)
    assert finished(opened.client) == {"broken"}


def test_a_journal_that_cannot_be_taken_in_is_told_once_and_hinders_nobody(opened):
    journal = Journal(opened.folder, fsync=False)
    empty_run(journal, "good")
    path = damaged_beside(find_run(opened.folder, "good"))
    fed = ingester(opened)
    fed.step()
    assert fed.progress.runs == ["good"]
    assert "is damaged in line 1" in fed.progress.refused["bad"]
    assert fed.step() == 0
    # Mended, it comes in.
    path.unlink()
    empty_run(journal, "bad")
    fed.step()
    assert fed.progress.runs == ["good", "bad"]
    assert fed.progress.refused == {}


@pytest.mark.parametrize(
    ("grows", "retry_s", "comes_in"), [(True, 1e6, True), (False, 1e6, False), (False, 0.0, True)]
)
def test_what_could_not_be_taken_in_is_tried_again(opened, small, grows, retry_s, comes_in):
    """At once where its journal grew while it was read, else after a while."""
    uid, _ = small["record_run"](opened.folder, 1)
    path = find_run(opened.folder, uid)
    relocate, failures = relocation(opened.folder), []

    def fails_once(resource):
        if not failures:
            failures.append(resource)
            with path.open("ab") as file:
                file.write(b"\n" if grows else b"")
            raise OSError("the disk is full")
        return relocate(resource)

    fed = Ingester(opened.folder, opened.client, fails_once)
    fed._retry_s = retry_s
    fed.step()
    assert fed.progress.refused == {uid: "the disk is full"}
    fed.step()
    assert fed.progress.runs == ([uid] if comes_in else [])
    assert (fed.progress.refused == {}) is comes_in


def test_a_journal_that_is_taken_away_is_forgotten(opened):
    journal = Journal(opened.folder, fsync=False)
    empty_run(journal, "one")
    path = damaged_beside(find_run(opened.folder, "one"))
    fed = ingester(opened)
    fed.step()
    assert fed.refused_sizes() == {path: 16}
    assert fed.seen == {path, find_run(opened.folder, "one")}
    path.unlink()
    assert fed.step() == 0
    assert fed.refused_sizes() == {}


def test_runs_under_way_can_be_left_until_they_end(opened):
    journal = Journal(opened.folder, fsync=False)
    run = empty_run(journal, "one", stop=False)
    fed = Ingester(opened.folder, opened.client, relocation(opened.folder), follow=False)
    assert (fed.step(), list(opened.client), fed.is_in("one")) == (0, [], False)
    journal("stop", run.compose_stop())
    assert (fed.step(), list(opened.client), fed.is_in("one")) == (2, ["one"], True)


def test_a_server_that_is_gone_is_told_from_one_that_refuses(opened, monkeypatch):
    import httpx

    journal = Journal(opened.folder, fsync=False)
    empty_run(journal, "one")
    fed = ingester(opened)

    def gone(*_, **__):
        raise httpx.ConnectError("nobody there")

    with stamina.set_testing(True, attempts=1), monkeypatch.context() as patch:
        patch.setattr(opened.client.context.http_client, "send", gone)
        with pytest.raises(TiledDownError, match="nobody there"):
            fed.step()
    fed = ingester(opened)
    fed.step()
    assert fed.progress.runs == ["one"]


def test_addresses_are_those_that_the_server_knows(tmp_path):
    folder = CatalogFolder.create_or_open(tmp_path / "cat")
    file = folder.arrays / "2026" / "11" / "a b.h5"
    file.parent.mkdir(parents=True)
    file.touch()
    resource = {
        "uri": f"file://localhost{file.as_posix()}",
        "uid": "x",
        "data_key": "image",
        "mimetype": "application/x-hdf5",
        "parameters": {"dataset": "image"},
    }
    assert relocation(folder)(resource) == resource
    moved = relocation(folder, "/data/sted")(resource)
    assert moved == {**resource, "uri": "file://localhost/data/sted/arrays/2026/11/a b.h5"}
