"""Whoever looks on sees every document once, however late, slow or far away."""

import json
import os
import threading
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from event_model import pack_event_page

from stedopt_bluesky.records import (
    CatalogError,
    RunRecord,
    find_run,
    following,
    journal,
    live,
    locks,
    subscription,
)
from stedopt_bluesky.records.announcement import Announcement, announced, forget_dead
from stedopt_bluesky.records.distant_run import _Log
from stedopt_bluesky.records.followed_run import _Journal
from stedopt_bluesky.records.journal import Journal
from stedopt_bluesky.records.live import LiveError, serialize
from stedopt_bluesky.records.looking_on import _Coming, look_on
from stedopt_bluesky.records.stored_elsewhere import StoredElsewhere
from tests.records.lookers import (
    PATIENCE_S,
    Emitter,
    Looker,
    in_words,
    model_of,
    publishing_anything,
    run_documents,
)

DOCUMENTS = run_documents(6)
RUN = "a-run"


@pytest.fixture
def little_room(monkeypatch):
    """One document waits at either end; more are lost."""
    for module in (live, subscription):
        monkeypatch.setattr(module, "HIGH_WATER_MARK", 1)


def same_table(looker, folder, run=RUN):
    """Whether what a looker has seen makes the same table as the run's journal."""
    model = model_of((seen.name, seen.doc) for seen in looker.seen)
    whole = RunRecord.read(find_run(folder, run)).table("primary")
    assert model.missing == 0
    assert set(model.table()) == set(whole)
    for key, column in whole.items():
        np.testing.assert_array_equal(model.table()[key], column)
    return True


# --- a folder on this computer ----------------------------------------------------------


def test_who_is_there_first_sees_all_as_it_comes(folder):
    looker = Looker(folder)
    looker.wait_until(lambda looker: looker.said)
    assert looker.said[0] == f"no run is under way in {folder.path}: waiting for the next one"
    with Emitter(folder) as emit:
        emit(DOCUMENTS[:3])
        assert emit.publisher.wait_for_subscriber(PATIENCE_S)
        for document in DOCUMENTS[3:]:
            count = len(looker.seen)
            emit([document])
            looker.wait_until(lambda looker, count=count: len(looker.seen) > count)
        assert in_words(looker.ended()) == in_words(DOCUMENTS)
    assert {seen.source for seen in looker.seen} >= {"live"}
    assert {(seen.missed, seen.run) for seen in looker.seen} == {(0, RUN)}


def test_who_is_late_is_told_and_sees_all(folder):
    with Emitter(folder) as emit:
        emit(DOCUMENTS[:5])
        looker = Looker(folder)
        looker.wait_until(lambda looker: len(looker.seen) == 5)
        assert emit.publisher.wait_for_subscriber(PATIENCE_S)
        emit(DOCUMENTS[5:])
        assert in_words(looker.ended()) == in_words(DOCUMENTS)
    assert list(looker.said) == ["5 earlier documents: read from the journal"]
    assert [seen.source for seen in looker.seen][:5] == ["journal"] * 5


def test_who_is_slow_catches_up_and_has_the_whole_table(folder, little_room):
    """Sixty megabytes, more than all buffers hold, while nothing is taken."""
    documents = run_documents(1000, padding="x" * 60_000)
    with Emitter(folder) as emit:
        emit(documents[:3])
        looker = Looker(folder)
        looker.wait_until(lambda looker: len(looker.seen) == 3)
        assert emit.publisher.wait_for_subscriber(PATIENCE_S)
        rest = iter(documents[3:])
        while looker.seen[-1].source != "live":
            count = len(looker.seen)
            emit([next(rest)])
            looker.wait_until(lambda looker, count=count: len(looker.seen) > count)
        looker.may_take.clear()
        count = len(looker.seen)
        emit(rest)
        # One that it was about to take.
        assert len(looker.seen) <= count + 1
        looker.may_take.set()
        assert in_words(looker.ended()) == in_words(documents)
    assert sum(seen.source == "journal" for seen in looker.seen) > len(documents) / 2
    assert same_table(looker, folder)


def test_what_was_lost_on_the_way_is_told_and_read_from_the_journal(folder):
    with publishing_anything() as (socket, address):
        announcement = Announcement(folder, address)
        with Emitter(folder, published=False) as emit:
            announcement(*DOCUMENTS[0])
            emit(DOCUMENTS[:2])
            looker = Looker(folder)
            assert socket.poll(PATIENCE_S * 1000)
            looker.wait_until(lambda looker: len(looker.seen) == 2)
            # Of four that are written, the last one comes; idle looks at the journal may have
            # brought some of the others already.
            emit(DOCUMENTS[2:6])
            name, doc = DOCUMENTS[5]
            socket.send(f"{'0' * 32}:5:{RUN}:5 {name} ".encode() + serialize(doc))
            looker.wait_until(lambda looker: len(looker.seen) == 6)
            emit(DOCUMENTS[6:])
            assert in_words(looker.ended()) == in_words(DOCUMENTS)
        announcement.close()


def test_without_a_publisher_the_journal_is_followed(folder):
    with Emitter(folder, published=False) as emit:
        emit(DOCUMENTS[:4])
        looker = Looker(folder)
        looker.wait_until(lambda looker: len(looker.seen) == 4)
        emit(DOCUMENTS[4:])
        assert in_words(looker.ended()) == in_words(DOCUMENTS)


def test_hostile_messages_are_told_and_do_not_end_it(folder):
    with publishing_anything() as (socket, address):
        announcement = Announcement(folder, address)
        with Emitter(folder, published=False) as emit:
            announcement(*DOCUMENTS[0])
            emit(DOCUMENTS[:2])
            looker = Looker(folder)
            assert socket.poll(PATIENCE_S * 1000)
            for message in (b"\x1b[2J", b"x" * 500, f"{'0' * 32}:0:{RUN}:2 event ".encode()):
                socket.send(message)
            looker.wait_until(lambda looker: len(looker.said) >= 4)
            emit(DOCUMENTS[2:])
            assert in_words(looker.ended()) == in_words(DOCUMENTS)
        announcement.close()
    refused = [line for line in looker.said if line.startswith("a message was refused: ")]
    assert len(refused) == 3
    assert not any("\n" in line or "\x1b" in line for line in refused)


def test_a_run_whose_program_died_ends(folder):
    documents = iter(DOCUMENTS)
    journal = Journal(folder, fsync=False)
    for _ in range(4):
        journal(*next(documents))
    looker = Looker(folder)
    looker.wait_until(lambda looker: len(looker.seen) == 4)
    journal.close()  # without a stop document, as the death of the process leaves it
    assert in_words(looker.ended()) == in_words(DOCUMENTS[:4])
    assert looker.said[-1] == "run a-run has no end: its program died"


def test_a_run_that_has_ended_is_shown_by_its_uid(folder):
    with Emitter(folder) as emit:
        emit(DOCUMENTS)
    looker = Looker(folder, uid="a-r")
    assert in_words(looker.ended()) == in_words(DOCUMENTS)
    with pytest.raises(CatalogError, match="no run in"):
        next(look_on(folder, uid="x"))


def test_one_run_after_another(folder):
    other = run_documents(2, uid="b-run", time_s=1_700_000_500.0)
    with Emitter(folder) as emit:
        emit(DOCUMENTS[:2])
        looker = Looker(folder, follow=True)
        looker.wait_until(lambda looker: len(looker.seen) == 2)
        emit([*DOCUMENTS[2:], *other])
        looker.wait_until(lambda looker: len(looker.seen) == len(DOCUMENTS) + len(other))
        looker.stop.set()
        assert in_words(looker.ended()) == in_words([*DOCUMENTS, *other])
    assert [seen.run for seen in looker.seen if seen.name == "start"] == [RUN, "b-run"]


def test_of_several_runs_the_newest(folder):
    other = run_documents(2, uid="b-run", time_s=1_700_000_500.0)
    with Emitter(folder) as emit, Emitter(folder) as emit_other:
        emit(DOCUMENTS[:3])
        emit_other(other[:2])
        looker = Looker(folder)
        looker.wait_until(lambda looker: len(looker.seen) == 2)
        emit(DOCUMENTS[3:])
        emit_other(other[2:])
        assert in_words(looker.ended()) == in_words(other)
    assert looker.said[0] == "2 runs are under way: this is b-run, the newest; also a-run"


def test_of_runs_that_begin_together_none_is_left_out(folder, monkeypatch):
    """And where nothing comes, nothing is listed."""
    uids = ["d-run", "b-run", "c-run"]
    with Emitter(folder) as emit:
        emit(DOCUMENTS)
    coming = _Coming(folder)
    for n, uid in enumerate(uids):
        with Emitter(folder) as emit:
            emit(run_documents(1, uid=uid, time_s=1_700_001_000.0 + n))
    assert [path.stem for path in (coming.next(), coming.next(), coming.next())] == uids
    (year,) = folder.journal.iterdir()
    os.utime(year, (1_700_000_000, 1_700_000_000))  # changed long ago
    assert coming.next() is None
    listed = []
    monkeypatch.setattr(journal, "_files", lambda year: listed.append(year) or [])
    assert coming.next() is None
    assert listed == []


def test_a_problem_that_is_over_is_told_no_more(folder):
    """A record was half written when the journal was looked at."""
    writer = Journal(folder, fsync=False)
    for document in DOCUMENTS[:4]:
        writer(*document)
    writer.close()
    path = find_run(folder, RUN)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'["event"', b'["ev', 1))
    log = _Journal(path)
    assert [seen.name for seen in log.rest()] == ["start", "descriptor"]
    assert "is damaged" in log.problem
    path.write_bytes(whole)
    assert [seen.name for seen in log.rest()] == ["event", "event"]
    assert log.problem == ""


# --- an address -------------------------------------------------------------------------


def test_an_address_alone_shows_from_there_on_and_says_what_is_missing():
    with Emitter() as emit:
        emit(DOCUMENTS[:4])
        looker = Looker(address=emit.publisher.address)
        assert emit.publisher.wait_for_subscriber(PATIENCE_S)
        emit(DOCUMENTS[4:])
        assert in_words(looker.ended()) == in_words(DOCUMENTS[4:])
    assert (
        looker.said[1] == "4 earlier documents of run a-run were missed; --catalog-uri brings them"
    )
    assert [seen.missed for seen in looker.seen] == [4, *([0] * (len(looker.seen) - 1))]


def test_an_address_and_a_folder_with_the_run(folder):
    with Emitter(folder, announced=False) as emit:
        emit(DOCUMENTS[:4])
        looker = Looker(folder, address=emit.publisher.address)
        assert emit.publisher.wait_for_subscriber(PATIENCE_S)
        emit(DOCUMENTS[4:])
        assert in_words(looker.ended()) == in_words(DOCUMENTS)


def test_who_is_slow_and_far_away_knows_how_many_it_missed(little_room):
    documents = run_documents(1000, padding="x" * 60_000)
    with Emitter() as emit:
        looker = Looker(address=emit.publisher.address)
        assert emit.publisher.wait_for_subscriber(PATIENCE_S)
        emit(documents[:1])
        looker.wait_until(lambda looker: len(looker.seen) == 1)
        looker.may_take.clear()
        emit(documents[1:-1])
        assert len(looker.seen) <= 2
        looker.may_take.set()
        # All that waited is taken, so that there is room for the last one.
        count = -1
        while count < len(looker.seen):
            count = len(looker.seen)
            time.sleep(0.5)
        # On a slow computer there may be none yet; who looks on is then told by the next run.
        finish = time.monotonic() + PATIENCE_S
        emit(documents[-1:])
        while looker.is_alive() and time.monotonic() < finish:
            emit(run_documents(1, uid="b-run"))
            time.sleep(0.1)
        looker.ended()
    place = 0
    for seen in looker.seen:
        place += seen.missed
        assert in_words([(seen.name, seen.doc)]) == in_words([documents[place]])
        place += 1
    assert sum(seen.missed for seen in looker.seen) > len(documents) / 2
    assert any("documents of run a-run were missed" in line for line in looker.said)
    end_missed = "the end of run a-run was missed: another one has begun" in looker.said
    assert (place == len(documents)) is not end_missed


def test_a_run_whose_end_was_missed_ends_when_the_next_one_begins():
    other = run_documents(2, uid="b-run", time_s=1_700_000_500.0)
    with Emitter() as emit:
        looker = Looker(address=emit.publisher.address, follow=True)
        assert emit.publisher.wait_for_subscriber(PATIENCE_S)
        emit([*DOCUMENTS[:4], *other])
        looker.wait_until(lambda looker: len(looker.seen) == 4 + len(other))
        looker.stop.set()
        assert in_words(looker.ended()) == in_words([*DOCUMENTS[:4], *other])
    assert "the end of run a-run was missed: another one has begun" in looker.said


def test_every_datum_and_every_page_comes_once():
    resource = {
        "uid": "r", "run_start": RUN, "spec": "x", "root": "/", "resource_path": "x",
        "resource_kwargs": {},
    }  # fmt: skip
    data = [("datum", {"datum_id": f"r/{n}", "resource": "r", "datum_kwargs": {}}) for n in (0, 1)]
    page = ("event_page", pack_event_page(*(doc for name, doc in DOCUMENTS if name == "event")))
    documents = [*DOCUMENTS[:2], ("resource", resource), *data, *data, page, page, DOCUMENTS[-1]]
    with Emitter() as emit:
        looker = Looker(address=emit.publisher.address)
        assert emit.publisher.wait_for_subscriber(PATIENCE_S)
        emit(documents)
        names = [name for name, _ in looker.ended()]
    assert names == ["start", "descriptor", "resource", "datum", "datum", "event_page", "stop"]


def test_a_document_costs_the_same_however_many_came_before():
    log = _Log()
    for name, doc in run_documents(20_000)[:-1]:
        assert log.is_new(name, doc)
    begun = time.process_time()
    for _ in range(2000):
        assert not log.is_lacking
    assert time.process_time() - begun < 0.5  # 0.003 s; with a look at every number 2 s


def test_what_a_server_has_of_one_run_is_none_of_the_next_ones(monkeypatch):
    """Of two runs, one right after the other; the server answers late."""
    may_answer = threading.Event()

    class Client(dict):
        context = SimpleNamespace(close=lambda: None)

    def connected(uri, key):
        may_answer.wait(PATIENCE_S)
        return Client(
            {uid: SimpleNamespace(documents=partial(run_documents, 2, uid)) for uid in "ab"}
        )

    monkeypatch.setattr(following, "connected", connected)
    elsewhere = StoredElsewhere("http://localhost:1", "k" * 20, pytest.fail)
    elsewhere.ask("a")
    elsewhere.ask("b")  # not yet: the first question is not answered
    may_answer.set()
    elsewhere._thread.join(PATIENCE_S)
    elsewhere.ask("b")  # at once, though another run was asked for a moment ago
    elsewhere._thread.join(PATIENCE_S)
    assert in_words(elsewhere.take("b")) == in_words(run_documents(2, "b"))
    assert elsewhere.take("a") == []


def test_a_publisher_that_goes_is_told():
    with Emitter() as emit:
        looker = Looker(address=emit.publisher.address)
        assert emit.publisher.wait_for_subscriber(PATIENCE_S)
        emit(DOCUMENTS[:3])
        looker.wait_until(lambda looker: len(looker.seen) == 3)
    looker.wait_until(lambda looker: "connection lost: waiting" in looker.said)
    looker.stop.set()
    looker.ended()


def test_what_is_no_address_of_this_computer_is_refused_at_once():
    with pytest.raises(LiveError, match=r"127\.0\.0\.1:PORT"):
        look_on(address="microscope:5577")
    with pytest.raises(CatalogError, match="folder of a catalogue, or an address"):
        look_on()


# --- where it is published --------------------------------------------------------------


def test_an_announcement_tells_the_run_and_is_taken_back(folder):
    announcement = Announcement(folder, "127.0.0.1:5577")
    assert [(a.address, a.run) for a in announced(folder)] == [("127.0.0.1:5577", "")]
    announcement(*DOCUMENTS[0])
    assert [a.run for a in announced(folder)] == [RUN]
    announcement(*DOCUMENTS[-1])
    assert [a.run for a in announced(folder)] == [""]
    announcement.close()
    announcement.close()
    assert announced(folder) == []
    assert list(folder.locks.glob("live-*")) == []


def test_what_a_dead_process_or_somebody_else_has_left_counts_for_nothing(folder):
    folder.locks.mkdir(parents=True)
    told = {"address": "127.0.0.1:5577", "run": RUN, "computer": "elsewhere", "pid": 1}
    dead = folder.locks / "live-00000000.json"
    from socket import gethostname

    dead.write_text(json.dumps({**told, "computer": gethostname()}))
    for n, text in enumerate(("", "{", "[]", "{}", json.dumps({**told, "address": "x:1"}))):
        (folder.locks / f"live-1111111{n}.json").write_text(text)
        locks.hold(folder.locks / f"live-1111111{n}.lock")
    elsewhere = folder.locks / "live-22222222.json"
    elsewhere.write_text(json.dumps(told))
    lock = locks.hold(elsewhere.with_suffix(".lock"))
    assert announced(folder) == []
    forget_dead(folder)
    assert not dead.exists()
    assert elsewhere.exists()
    locks.let_go(lock)


def test_an_announcement_that_cannot_be_written_does_not_fail_a_run(folder, caplog):
    announcement = Announcement(folder, "127.0.0.1:5577")
    made = announcement._path.with_suffix(".new")
    made.mkdir()
    announcement(*DOCUMENTS[0])
    assert "was not written" in caplog.text
    made.rmdir()
    announcement.close()
