"""A catalogue that follows: the server killed, started again, or never there."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from event_model import compose_run

from stedopt_bluesky.records import (
    Catalog,
    CatalogError,
    CatalogFolder,
    find_run,
    following,
    list_runs,
    locks,
)
from stedopt_bluesky.records.background import BackgroundIngestion
from stedopt_bluesky.records.following import FedElsewhereError, Target, follow
from stedopt_bluesky.records.ingest import Ingester, relocation
from stedopt_bluesky.records.journal import Journal
from tests.records.tiled_process import KEY, TiledProcess
from tests.waiting import free_ports, wait_for


@pytest.fixture(autouse=True)
def impatient():
    """Tiled's own retries, of half a minute, are the ingester's: one way is enough."""
    import stamina

    with stamina.set_testing(True, attempts=1):
        yield


@pytest.fixture
def server(folder, tmp_path):
    server = TiledProcess(folder, tmp_path)
    yield server
    server.kill()


def stored(folder, server):
    """Runs on the server with their numbers of images."""
    from tiled.client import from_uri

    client = from_uri(server.uri, api_key=KEY)
    try:
        return {
            uid: run.metadata["stop"]["num_events"].get("primary", 0)
            for uid, run in client.items()
            if run.metadata.get("stop")
        }
    finally:
        client.context.close()


def has(server, uid):
    """Whether the server has a run, in part at least."""
    from tiled.client import from_uri

    client = from_uri(server.uri, api_key=KEY)
    try:
        return uid in client
    finally:
        client.context.close()


def gone(pid):
    """Whether a process that is nobody's child has ended; as a zombie, where nobody reaps it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def once(target, tell):
    """Bring in what is there now."""
    finish = threading.Event()
    finish.set()
    return follow(target, finish, tell)


@pytest.mark.slow
def test_a_server_that_is_killed_and_started_again_has_everything(folder, small, server):
    told = []
    finish = threading.Event()
    target = Target(folder, server.uri, KEY)
    results = []
    thread = threading.Thread(
        target=lambda: results.append(follow(target, finish, told.append, grace_s=60.0))
    )
    thread.start()
    try:
        # Down from the begin; up in the middle; killed with a run half in; up again.
        first, _ = small["record_run"](folder, 3)
        wait_for(lambda: [t.what for t in told] == ["down"])
        server.start()
        wait_for(lambda: any(t.what == "in" for t in told))
        uid, documents = small["record_run"](folder, 6, seed=8)
        path = find_run(folder, uid)
        path.unlink()
        journal = Journal(folder, fsync=False)
        half = len(documents) // 2
        for name, doc in documents[:half]:
            journal(name, doc)
        wait_for(lambda: has(server, uid))  # some of it is in
        server.kill()
        for name, doc in documents[half:]:
            journal(name, doc)
        wait_for(lambda: [t.what for t in told].count("down") == 2)
        server.start()
    finally:
        finish.set()
        thread.join(90)
    assert results == [True]
    assert stored(folder, server) == {first: 3, uid: 6}
    assert [t.uid for t in told if t.what == "in"].count(uid) == 1
    # And again: nothing to do.
    told.clear()
    assert once(target, told.append)
    assert told == []


@pytest.mark.slow
def test_a_wrong_key_is_refused_and_stands_nowhere(folder, server):
    server.start()
    target = Target(folder, server.uri, "notthekeyofthisserver000")
    with pytest.raises(CatalogError, match="refuses the key") as refused:
        once(target, lambda told: None)
    assert "notthekey" not in str(refused.value)
    assert "notthekey" not in repr(target)


def test_a_server_that_never_comes_is_given_up_in_the_end(folder):
    told = []
    finish = threading.Event()
    finish.set()
    target = Target(folder, f"http://127.0.0.1:{free_ports(1)[0]}", KEY)
    assert follow(target, finish, told.append, grace_s=0.0) is False
    assert [t.what for t in told] == ["down"]
    assert "does not answer" in told[0].why


def test_a_server_that_is_not_there_is_told_at_once():
    """Tiled's own way of trying again takes 45 s, and is settled when it is imported."""
    program = (
        "from stedopt_bluesky.records.following import connected, TiledDownError\n"
        "try: connected('http://127.0.0.1:1', 'key')\n"
        "except TiledDownError: from tiled.client.utils import TILED_RETRY_ATTEMPTS as n\n"
        "print(n)"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TILED_")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "2"


def test_beside_a_session_its_runs_come_in(folder, small):
    with BackgroundIngestion(Target(folder)) as ingestion:
        uid, _ = small["record_run"](folder, 5)
        assert ingestion.finish(60) == ""
        assert ingestion.runs == {uid}
        assert ingestion.refused == {}
    with Catalog(folder) as catalog:
        assert len(catalog.table(uid, "primary")) == 5


def test_a_catalogue_that_is_open_elsewhere_is_told(folder, small):
    with BackgroundIngestion(Target(folder)) as ingestion:
        with Catalog(folder):
            uid, _ = small["record_run"](folder, 1)
            wait_for(lambda: "open elsewhere" in ingestion.down)
            assert ingestion.runs == frozenset()
        assert ingestion.finish(60) == ""
        assert ingestion.runs == {uid}


def test_two_feed_one_folder_as_one(folder, small):
    """The second one tells of no trouble, and takes over where the first one ends."""
    with BackgroundIngestion(Target(folder)) as first:
        uid, _ = small["record_run"](folder, 1)
        wait_for(lambda: first.runs == {uid})
        told = []
        with BackgroundIngestion(Target(folder), told.append) as second:
            assert first.finish(60) == ""
            later, _ = small["record_run"](folder, 1, seed=8)
            assert second.finish(60) == ""
    assert [(t.what, t.uid) for t in told] == [("in", later)]


@pytest.mark.parametrize("fed", [True, False])
def test_at_the_end_what_another_process_feeds_is_left_to_it(folder, fed):
    told, finish = [], threading.Event()
    finish.set()
    with Catalog(folder), contextlib.ExitStack() as closing:
        if fed:
            closing.callback(locks.let_go, locks.hold(folder.locks / "feed.lock"))
        assert follow(Target(folder), finish, told.append, grace_s=0.0) is fed
    assert [t.what for t in told] == ([] if fed else ["down"])


@pytest.mark.slow
def test_a_server_is_fed_from_a_folder_by_one_alone(folder, server):
    server.start()
    target = Target(folder, server.uri, KEY)
    same = Target(folder, f"{server.uri}/", KEY)
    with target.open(), pytest.raises(FedElsewhereError), same.open():
        pass
    with target.open() as client:
        assert len(client) == 0


def test_without_news_the_databases_are_left_to_others(folder, small):
    with BackgroundIngestion(Target(folder)) as ingestion:
        first, _ = small["record_run"](folder, 1)
        wait_for(lambda: ingestion.runs == {first})
        with Catalog(folder, wait_s=60) as catalog:
            assert set(catalog.client) == {first}
        second, _ = small["record_run"](folder, 1, seed=8)
        wait_for(lambda: ingestion.runs == {first, second})
        assert ingestion.finish(60) == ""


def test_what_is_refused_is_tried_less_and_less_while_nothing_comes(folder, small, monkeypatch):
    """Each try opens the databases, which takes seconds; news are not made to wait."""
    monkeypatch.setattr(following, "IDLE_S", 0.0)
    monkeypatch.setattr(following, "POLL_S", 0.02)
    monkeypatch.setattr(following, "LAST_RETRY_S", 0.1)
    monkeypatch.setattr(following, "_MOST_AGAIN_S", 0.4)
    waited = []
    really_wait = following._wait_for_news

    def wait(folder, ingester, finish, again_s):
        if len(waited) == 4:  # while the databases are closed: news
            later.append(small["record_run"](folder, 1, seed=8)[0])
        waited.append((again_s, why := really_wait(folder, ingester, finish, again_s)))
        return why

    monkeypatch.setattr(following, "_wait_for_news", wait)
    good, _ = small["record_run"](folder, 1)
    later = []
    bad = find_run(folder, good).with_name("bad.jsonl")
    bad.write_bytes(b"garbage\ngarbage\n")
    told, finish = [], threading.Event()
    thread = threading.Thread(target=follow, args=(Target(folder), finish, told.append))
    thread.start()
    try:
        wait_for(lambda: len(waited) >= 6)
    finally:
        finish.set()
        thread.join(60)
    assert not thread.is_alive()
    again = [(0.1, "again"), (0.2, "again"), (0.4, "again"), (0.4, "again")]
    assert waited[:5] == [*again, (0.4, "news")]
    assert waited[5][0] == 0.1
    assert [t.uid for t in told] == [good, "bad", *later]


def test_a_refused_journal_that_has_grown_is_tried_at_once(folder):
    journal = Journal(folder, fsync=False)
    run = compose_run(uid="one")
    journal("start", run.start_doc)
    journal("stop", run.compose_stop())
    path = find_run(folder, "one")
    whole = path.read_bytes()
    path.write_bytes(b"garbage\n" * 2)
    finish = threading.Event()
    with Target(folder).open() as client:
        ingester = Ingester(folder, client, relocation(folder))
        ingester.step()
    thread_of_news = threading.Timer(0.2, path.write_bytes, [whole])
    thread_of_news.start()
    assert following._wait_for_news(folder, ingester, finish, 60.0) == "news"
    thread_of_news.join()
    path.unlink()
    finish.set()
    assert following._wait_for_news(folder, ingester, finish, 60.0) == ""


def test_what_ends_the_process_is_told(folder):
    told = []
    ingestion = BackgroundIngestion(Target(CatalogFolder(folder.path / "none")), told.append)
    assert "there is no catalogue at" in ingestion.finish(60)
    assert [t.what for t in told] == ["refused"]
    told.clear()
    ingestion = BackgroundIngestion(Target(folder), told.append)
    os.kill(ingestion.pid, signal.SIGTERM)
    wait_for(lambda: told)
    assert ingestion.down == told[0].why == "the process that feeds the catalogue has ended"
    assert ingestion.finish(60) == ingestion.down


DYING = """
import os, sys
from event_model import compose_run
from stedopt_bluesky.records import CatalogFolder
from stedopt_bluesky.records.background import BackgroundIngestion
from stedopt_bluesky.records.following import Target
from stedopt_bluesky.records.journal import Journal
folder = CatalogFolder.open(sys.argv[1])
ingestion = BackgroundIngestion(Target(folder))
journal = Journal(folder)
journal("start", compose_run(uid="dies").start_doc)
print(ingestion.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_the_death_of_the_program_loses_nothing(folder):
    """Its ingester closes the run, brings it in, and ends by itself."""
    dying = subprocess.run(
        [sys.executable, "-c", DYING, str(folder.path)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert dying.returncode == -9, dying.stderr
    wait_for(lambda: [run.exit_status for run in list_runs(folder)] == ["fail"])
    wait_for(lambda: gone(int(dying.stdout)))
    with Catalog(folder) as catalog:
        assert [run.uid for run in catalog.runs()] == ["dies"]
