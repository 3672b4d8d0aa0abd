"""A session publishes what its RunEngine emits, and a run never fails for it."""

import logging

import pytest
from bluesky import RunEngine
from bluesky.plans import count
from ophyd.sim import det

from stedopt_bluesky.config import preset
from stedopt_bluesky.records import CatalogFolder, RunRecord, find_run
from stedopt_bluesky.records.announcement import announced
from stedopt_bluesky.records.journal import Journal
from stedopt_bluesky.records.live import Publisher
from stedopt_bluesky.records.subscription import Subscription
from stedopt_bluesky.session import connect_application, open_session
from stedopt_bluesky.session.publishing import published

PATIENCE_MS = 30_000


@pytest.fixture
def folder(tmp_path):
    return CatalogFolder.create_or_open(tmp_path / "cat")


def engine():
    return RunEngine({}, context_managers=[])


def test_whoever_subscribes_receives_what_the_journal_has(folder):
    run_engine = engine()
    journal = Journal(folder, fsync=False)
    run_engine.subscribe(journal)
    received = []
    during = []

    def look(name, doc):
        during.extend(announced(folder))

    with published(preset(), folder, run_engine) as address, Subscription(address) as subscription:
        while not subscription.is_connected:
            subscription.receive(50)
        run_engine.subscribe(look)
        (uid,) = run_engine(count([det], 3))
        while not received or received[-1].name != "stop":
            one = subscription.receive(PATIENCE_MS)
            assert one is not None
            received.append(one)
        assert [(a.address, a.run) for a in announced(folder)] == [(address, "")]
    record = RunRecord.read(find_run(folder, uid))
    assert [(r.name, r.doc, r.index) for r in received] == [
        (name, doc, n) for n, (name, doc) in enumerate(record.documents)
    ]
    assert (address, uid) in {(a.address, a.run) for a in during}
    # It is told no more, and a further run is not published.
    assert announced(folder) == []
    assert list(folder.locks.glob("live-*")) == []
    run_engine(count([det]))
    journal.close()


def test_nothing_is_published_that_is_not_wanted(folder):
    with published(preset().updated({"live.publish": False}), folder, engine()) as address:
        assert address is None
        assert announced(folder) == []


def test_a_port_that_is_taken_is_one_warning(folder, caplog):
    run_engine = engine()
    documents = []
    run_engine.subscribe(lambda name, doc: documents.append(name))
    with Publisher() as other:
        config = preset().updated({"live.address": other.address})
        with published(config, folder, run_engine) as address:
            assert address is None
            run_engine(count([det]))
    assert documents[-1] == "stop"
    (told,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert told.startswith(f"live.address = '{other.address}': Address already in use")
    assert "the run goes on" in told


def test_a_folder_that_cannot_be_written_is_one_warning(folder, caplog):
    folder.locks.write_text("no folder")
    with published(preset(), folder, engine()) as address:
        assert address is not None
    (told,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert told.startswith(f"the address {address} cannot be told in")


def test_a_callback_that_fails_ends_and_the_run_goes_on(folder, caplog, monkeypatch):
    def fail(self, name, doc):
        raise OSError("the socket is gone")

    monkeypatch.setattr(Publisher, "__call__", fail)
    run_engine = engine()
    documents = []
    with published(preset(), folder, run_engine):
        run_engine.subscribe(lambda name, doc: documents.append(name))
        run_engine(count([det], 3))
    assert documents[-1] == "stop"
    assert caplog.text.count("documents are published no more: the socket is gone") == 1


def test_a_session_publishes_its_runs(tmp_path):
    small = {
        "images": 2,
        "microscope.field_um": 30.0,
        "overview.size_um": 30.0,
        "imaging.region_size_um": 1.28,
    }
    config = preset("classical").updated(small)
    names = []
    with open_session(
        config, connect_application(config), tmp_path / "cat", run_engine=engine()
    ) as session:
        (one,) = announced(session.folder)
        with Subscription(one.address) as subscription:
            while not subscription.is_connected:
                subscription.receive(50)
            session.run_engine(session.optimize())
            while "stop" not in names:
                received = subscription.receive(PATIENCE_MS)
                assert received is not None
                names.append(received.name)
    assert names[0] == "start"
    assert names.count("event") == 1 + 2 + 2  # the overview, decisions, images
    assert announced(session.folder) == []
