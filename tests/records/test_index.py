import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from event_model import compose_run

from stedopt_bluesky.records import runs as runs_module
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.index import RunIndex
from stedopt_bluesky.records.journal import Journal, find_run, journal_paths
from stedopt_bluesky.records.query import Condition, RunQuery
from stedopt_bluesky.records.runs import list_runs, summarize


def empty_run(folder, uid, time=0.0, *, ended=True, **md):
    run = compose_run(uid=uid, time=time, metadata=md)
    journal = Journal(folder, fsync=False)
    journal("start", run.start_doc)
    if ended:
        journal("stop", run.compose_stop(time=time + 1))
    journal.close()
    return find_run(folder, uid)


@pytest.fixture
def reads(monkeypatch):
    """Names of the journals that are read through."""
    from stedopt_bluesky.records import index

    seen = []

    def counted(folder, path, **options):
        seen.append(path.stem)
        return summarize(folder, path, **options)

    monkeypatch.setattr(index, "summarize", counted)
    return seen


def test_what_is_listed_is_what_the_journals_say(stored):
    folder, _, _ = stored
    assert list_runs(folder) == [
        summarize(folder, path, whole=True) for path in journal_paths(folder)
    ]


def test_only_what_is_new_or_has_changed_is_read(folder, reads):
    for uid in ("a", "b"):
        empty_run(folder, uid)
    progress = []
    list_runs(folder, progress=lambda *counts: progress.append(counts))
    assert sorted(reads) == ["a", "b"]
    assert progress == [(1, 2), (2, 2)]

    reads.clear()
    list_runs(folder)
    assert reads == []

    empty_run(folder, "c")
    os.utime(find_run(folder, "a"), ns=(1, 1))
    assert len(list_runs(folder)) == 3
    assert sorted(reads) == ["a", "c"]

    find_run(folder, "b").unlink()
    assert sorted(run.uid for run in list_runs(folder)) == ["a", "c"]
    many = RunQuery(where=(Condition("images", ">=", 0.0),))
    assert sorted(run.uid for run in list_runs(folder, many)) == ["a", "c"]


def test_what_a_run_without_an_end_is_called_is_asked_anew(folder):
    """Its journal is the same when its writer has died."""
    run = compose_run(uid="open")
    journal = Journal(folder, fsync=False)
    journal("start", run.start_doc)
    assert [run.exit_status for run in list_runs(folder)] == ["running"]
    journal.close()
    assert [run.exit_status for run in list_runs(folder)] == ["interrupted"]
    assert len(list_runs(folder, RunQuery(exit_status="interrupted"))) == 1


def test_a_copied_journal_hides_not_the_first(folder):
    first = empty_run(folder, "one")
    shutil.copy(first, first.with_name("copy.jsonl"))
    assert [run.uid for run in list_runs(folder)] == ["one", "one"]


@pytest.mark.parametrize("removable", [True, False])
@pytest.mark.parametrize("content", [b"", b"no database" * 500])
def test_a_damaged_index_is_made_anew(folder, monkeypatch, content, removable):
    empty_run(folder, "a")
    list_runs(folder)
    folder.index.write_bytes(content)
    if not removable:  # as in a folder of somebody else

        def refuse(*_, **__):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "unlink", refuse)
    assert [run.uid for run in list_runs(folder)] == ["a"]


def test_on_a_full_disk_runs_are_listed_all_the_same(folder):
    empty_run(folder, "a")
    list_runs(folder)
    for number in range(50):
        empty_run(folder, f"run{number}")
    with RunIndex(folder) as index:
        # So many pages and no more, as on a disk without room.
        index._db.execute("PRAGMA max_page_count = 1")
        index.update()
        assert index.count(RunQuery()) == 51
        assert len(index.find(RunQuery())) == 51


@pytest.mark.parametrize("question", [RunQuery(), RunQuery(where=(Condition("images", ">", 5),))])
def test_one_that_is_damaged_in_a_page_is_made_anew(folder, question):
    """It opens, and its damage is met only where it is read."""
    for number in range(40):
        empty_run(folder, f"run{number}")
    expected = list_runs(folder, question)
    whole = folder.index.read_bytes()
    pages = len(whole) // 4096
    assert pages >= 10
    for page in range(1, pages):
        at = 4096 * page
        folder.index.write_bytes(whole[:at] + b"\xff" * 4096 + whole[at + 4096 :])
        assert list_runs(folder, question) == expected, page


def test_one_of_another_version_is_made_anew(folder, reads):
    empty_run(folder, "a")
    list_runs(folder)
    with sqlite3.connect(folder.index) as db:
        db.execute("DROP TABLE numbers")
        db.execute("PRAGMA user_version = 0")
    db.close()
    assert [run.uid for run in list_runs(folder)] == ["a"]
    assert reads == ["a", "a"]


@pytest.mark.parametrize("there", [True, False])
def test_where_it_cannot_be_written_only_what_is_new_is_read(folder, monkeypatch, reads, there):
    """SQLite says so of a folder of somebody else; root may write all of them."""
    empty_run(folder, "a")
    if there:
        list_runs(folder)
    connect = sqlite3.connect

    def read_only(path, **options):
        if str(path) == ":memory:":
            return connect(path, **options)
        return connect(f"{path.as_uri()}?mode=ro", uri=True, **options)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    empty_run(folder, "b")
    reads.clear()
    assert sorted(run.uid for run in list_runs(folder)) == ["a", "b"]
    assert set(reads) == ({"b"} if there else {"a", "b"})
    assert folder.index.exists() is there


def test_programs_that_list_at_once(folder):
    """Each finds all; none is told that the list is busy."""
    for number in range(30):
        empty_run(folder, f"run{number}")
    code = (
        "import sys; from stedopt_bluesky.records import CatalogFolder, list_runs;"
        "print(len(list_runs(CatalogFolder.open(sys.argv[1]))))"
    )
    programs = [
        subprocess.Popen([sys.executable, "-c", code, folder.path], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [program.communicate(timeout=100)[0].strip() for program in programs] == [b"30"] * 3


def test_a_journal_that_cannot_be_understood_hides_no_other(folder):
    empty_run(folder, "good")
    bad = folder.journal / "1970" / "bad.jsonl"
    bad.write_text('["start", {"uid": "bad", "time": 0, "parameters": 3}]\n["stop", {}]\n')
    by_uid = {run.uid: run for run in list_runs(folder)}
    assert by_uid["good"].exit_status == "success"
    assert by_uid["bad"].exit_status == "damaged"


@pytest.mark.parametrize(
    "stop",
    [
        {"exit_status": "success", "num_events": {"primary": "many"}},
        {"exit_status": "success", "num_events": {"primary": -1}},
        {"exit_status": "success", "num_events": {"primary": 10**400}},
        {"exit_status": "success", "num_events": 3},
        {"exit_status": "success", "reason": {}},
        {"exit_status": ["success"]},
        {"exit_status": "done"},
        {},
    ],
)
def test_a_strange_end_hides_no_other_run(folder, stop):
    empty_run(folder, "good")
    bad = folder.journal / "1970" / "bad.jsonl"
    start = {"uid": "bad", "time": 0}
    bad.write_text("".join(f"{json.dumps(d)}\n" for d in (["start", start], ["stop", stop])))
    by_uid = {run.uid: run for run in list_runs(folder)}
    assert by_uid["good"].exit_status == "success"
    assert (by_uid["bad"].exit_status, by_uid["bad"].time) == ("damaged", bad.stat().st_mtime)
    assert summarize(folder, bad).exit_status == "damaged"


@pytest.mark.parametrize("name", ["bad", os.fsdecode(b"b\xffd")])
@pytest.mark.parametrize("value", ["\ud800", 10**400])
def test_what_no_database_holds_hides_no_other_run(folder, name, value):
    empty_run(folder, "good")
    bad = folder.journal / "1970" / f"{name}.jsonl"
    start = {"uid": "bad", "time": 0, "sample": value, "seed": value, "parameters": [value]}
    start |= {"networks": {"quality": {"name": value}}}
    descriptor = {"uid": "d", "name": "primary", "run_start": "bad"}
    event = {"descriptor": "d", "data": {"objective_snr": value, "microscope_exposure_s": value}}
    documents = (["start", start], ["descriptor", descriptor], ["event", event])
    bad.write_text("".join(f"{json.dumps(d)}\n" for d in documents))
    for _ in range(2):
        found = list_runs(folder)
        assert len(found) == 2
        assert {"good"} < {run.uid for run in found}


def test_a_closed_index_says_so(folder):
    index = RunIndex(folder)
    with pytest.raises(CatalogError, match="is not open"):
        index.find(RunQuery())
    assert runs_module.list_runs(folder) == []


def test_it_is_made_when_it_is_first_asked_for(tmp_path):
    folder = CatalogFolder.create_or_open(tmp_path / "new")
    assert not folder.index.exists()
    assert list_runs(folder) == []
    assert folder.index.exists()
