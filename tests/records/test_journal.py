import json
import math
import os
import struct
import time
from datetime import UTC, datetime

import numpy as np
import pytest
from event_model import NumpyEncoder, compose_run
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.journal import (
    Journal,
    NewJournals,
    append,
    find_run,
    is_live,
    journal_paths,
    read_journal,
)
from stedopt_bluesky.records.journal_check import check_journal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
# Every example writes files: fewer than hypothesis' 100, and no limit of time on a busy machine.
files = settings(max_examples=40, deadline=None)
EVENTS = st.lists(st.dictionaries(st.text(), JSON, max_size=3), min_size=1, max_size=4)


def write(path, documents):
    with path.open("wb", buffering=0) as file:
        for doc in documents:
            append(file.fileno(), "event", doc, fsync=False)
    return path


def bits(value):
    return struct.pack("<d", value)


@files
@given(EVENTS)
def test_documents_come_back_as_they_were(tmp_path_factory, documents):
    path = write(tmp_path_factory.mktemp("j") / "j.jsonl", documents)
    assert [doc for _, doc in read_journal(path)] == documents


@files
@given(EVENTS, st.data())
def test_a_journal_cut_anywhere_gives_its_whole_records(tmp_path_factory, documents, data):
    path = write(tmp_path_factory.mktemp("j") / "j.jsonl", documents)
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    assert [doc for _, doc in read_journal(path)] == documents[:whole]


@files
@given(st.floats())
def test_floats_come_back_bit_for_bit(tmp_path_factory, value):
    path = write(tmp_path_factory.mktemp("j") / "j.jsonl", [{"v": value, "a": np.array([value])}])
    [(_, doc)] = read_journal(path)
    # Not-a-number has many bit patterns; Python's own is what comes back.
    expected = math.nan if math.isnan(value) else value
    assert bits(doc["v"]) == bits(expected)
    assert bits(doc["a"][0]) == bits(expected)


def test_numpy_is_written_as_event_model_writes_it(tmp_path):
    doc = {
        "image": np.arange(6, dtype=np.int16).reshape(2, 3),
        "f4": np.float32(0.1),
        "i8": np.int64(2**62),
        "yes": np.bool_(True),
        "text": np.str_("µ"),
    }
    path = write(tmp_path / "j.jsonl", [doc])
    assert json.loads(path.read_text()) == json.loads(json.dumps(["event", doc], cls=NumpyEncoder))


def test_what_json_does_not_know_is_refused_and_leaves_the_journal_whole(folder):
    journal = Journal(folder, fsync=False)
    run = compose_run()
    journal("start", run.start_doc)
    [path] = journal_paths(folder)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="set"):
        journal("descriptor", {"uid": "d", "run_start": run.start_doc["uid"], "x": {1}})
    assert path.read_bytes() == before
    journal.close()


def test_a_disk_that_is_full_leaves_the_journal_whole(folder, monkeypatch):
    journal = Journal(folder, fsync=False)
    run = compose_run()
    journal("start", run.start_doc)
    [path] = journal_paths(folder)
    before = path.read_bytes()
    really_write = os.write

    def half(descriptor, data):
        if len(data) < 20:
            raise OSError(28, "No space left on device")
        return really_write(descriptor, data[: len(data) // 2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space"):
            journal("stop", run.compose_stop())
    assert path.read_bytes() == before
    journal("stop", {"run_start": run.start_doc["uid"]})
    assert [name for name, _ in read_journal(path)] == ["start", "stop"]


def test_after_a_refused_event_the_stop_document_counts_what_is_there(folder, monkeypatch):
    journal = Journal(folder, fsync=False)
    run = compose_run()
    journal("start", run.start_doc)
    stream = run.compose_descriptor(
        name="primary", data_keys={"x": {"dtype": "number", "shape": [], "source": "here"}}
    )
    journal("descriptor", stream.descriptor_doc)
    events = [stream.compose_event(data={"x": n}, timestamps={"x": n}) for n in range(3)]
    for event in events[:2]:
        journal("event", event)

    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            journal("event", events[2])
    stop = run.compose_stop(exit_status="fail", reason="No space left on device")
    assert stop["num_events"] == {"primary": 3}
    journal("stop", stop)

    [path] = journal_paths(folder)
    assert check_journal(path).problems == []
    *_, (_, written) = read_journal(path)
    assert written == {**stop, "num_events": {"primary": 2}}


def test_a_corrupt_record_in_the_middle_is_named(tmp_path):
    path = write(tmp_path / "j.jsonl", [{"n": n} for n in range(4)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1] + b'["event", {"n"\n' + lines[3])
    documents = read_journal(path)
    assert [next(documents), next(documents)] == [("event", {"n": 0}), ("event", {"n": 1})]
    with pytest.raises(CatalogError, match="damaged in line 3"):
        next(documents)


@pytest.mark.parametrize("line", [b"[]\n", b"1\n", b'["event",{}]', b'["evnt",{}]\n', b"\0\0\n"])
def test_what_is_not_a_record_ends_the_journal(tmp_path, line):
    path = write(tmp_path / "j.jsonl", [{"n": 0}])
    path.write_bytes(path.read_bytes() + line)
    assert [doc for _, doc in read_journal(path)] == [{"n": 0}]


def test_a_missing_journal_is_refused_in_one_line(tmp_path):
    with pytest.raises(CatalogError, match=r"none\.jsonl cannot be read"):
        list(read_journal(tmp_path / "none.jsonl"))


def test_a_run_of_the_run_engine_is_all_there(stored):
    folder, uid, documents = stored
    path = find_run(folder, uid)
    assert path.parent.name.isdigit()
    expected = json.loads(json.dumps(documents, cls=NumpyEncoder), parse_constant=str)
    written = [json.loads(line, parse_constant=str) for line in path.read_text().splitlines()]
    assert written == expected


def test_interleaved_runs_go_to_journals_of_their_own(folder):
    journal = Journal(folder, fsync=False)
    runs = [compose_run(), compose_run()]
    for run in runs:
        journal("start", run.start_doc)
    bundles = [
        run.compose_descriptor(
            name="primary", data_keys={"x": {"dtype": "number", "shape": [], "source": "s"}}
        )
        for run in runs
    ]
    for bundle in bundles:
        journal("descriptor", bundle.descriptor_doc)
    for value in (1, 2):
        for bundle in bundles:
            event = bundle.compose_event(data={"x": value}, timestamps={"x": 0})
            journal("event", event)
    for run in runs:
        journal("stop", run.compose_stop())
    for run in runs:
        documents = list(read_journal(find_run(folder, run.start_doc["uid"])))
        assert [n for n, _ in documents] == ["start", "descriptor", "event", "event", "stop"]
        assert documents[-1][1]["run_start"] == run.start_doc["uid"]


@pytest.mark.parametrize(
    ("name", "doc"),
    [("event", {"descriptor": "?"}), ("stop", {"run_start": "?"}), ("stop", {}), ("x", {})],
)
def test_a_document_of_no_open_run_is_refused(folder, name, doc):
    with pytest.raises(CatalogError, match=r"belongs to no open run|not the name"):
        Journal(folder)(name, doc)


def test_a_run_is_not_written_twice(folder):
    run = compose_run()
    journal = Journal(folder, fsync=False)
    journal("start", run.start_doc)
    with pytest.raises(CatalogError, match="being written"):
        Journal(folder, fsync=False)("start", run.start_doc)
    journal("stop", run.compose_stop())
    with pytest.raises(CatalogError, match="has a journal already"):
        Journal(folder, fsync=False)("start", run.start_doc)


@pytest.mark.parametrize("uid", ["../x", "", "a/b", ".hidden", "a\\b"])
def test_a_uid_cannot_lead_out_of_the_folder(folder, uid):
    with pytest.raises(CatalogError, match="cannot be the name of a file"):
        Journal(folder)("start", {"uid": uid, "time": 0.0})


def test_every_document_is_synchronised_only_when_asked(folder, monkeypatch):
    synchronised = []
    monkeypatch.setattr(os, "fsync", synchronised.append)
    for fsync in (False, True):
        run = compose_run()
        journal = Journal(folder, fsync=fsync)
        journal("start", run.start_doc)
        journal("stop", run.compose_stop())
        # Two documents, and the folder in which the file is new.
        assert len(synchronised) == (3 if fsync else 0)


def test_a_journal_is_live_until_its_run_is_closed(folder):
    run = compose_run()
    journal = Journal(folder, fsync=False)
    journal("start", run.start_doc)
    [path] = journal_paths(folder)
    assert is_live(folder, path)
    journal("stop", run.compose_stop())
    assert list(folder.locks.iterdir()) == []
    assert not is_live(folder, path)


def test_runs_are_found_by_the_beginning_of_their_uid(folder):
    for uid in ("abc-1", "abc-2", "abd-1", "abd-12"):
        journal = Journal(folder, fsync=False)
        journal("start", {"uid": uid, "time": 0.0})
        journal.close()
    assert find_run(folder, "abc-2").stem == "abc-2"
    assert find_run(folder, "abd-1").stem == "abd-1"
    with pytest.raises(CatalogError, match=r"2 runs .* begin with 'abc'"):
        find_run(folder, "abc")
    with pytest.raises(CatalogError, match=r"no run .* begins with 'x'"):
        find_run(folder, "x")
    with pytest.raises(CatalogError, match="first characters"):
        find_run(folder, "")


def test_two_catalogues_know_nothing_of_one_another(tmp_path, small):
    first = CatalogFolder.create_or_open(tmp_path / "first")
    second = CatalogFolder.create_or_open(tmp_path / "second")
    uid, _ = small["record_run"](first, 1)
    assert find_run(first, uid)
    assert journal_paths(second) == []


def test_new_journals_are_found_and_folders_at_rest_are_not_listed(folder, monkeypatch):
    new = NewJournals(folder)
    assert new.look() == []
    for uid, year in (("a", 2025), ("b", 2026)):
        Journal(folder)("start", {"uid": uid, "time": datetime(year, 6, 1, tzinfo=UTC).timestamp()})
    first, second = sorted(journal_paths(folder))
    assert sorted(new.look()) == [first, second]
    # What comes within the clock's grain may have the folder's time already: listed once more.
    assert sorted(new.look()) == [first, second]
    an_hour_ago = time.time() - 3600
    for path in (first, second):
        os.utime(path.parent, (an_hour_ago, an_hour_ago))
    assert sorted(new.look()) == [first, second]

    listed = []
    really_list = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(str(path)) or really_list(path))
    assert new.look() == []
    assert listed == [str(folder.journal)]
    third = second.with_name("c.jsonl")
    third.touch()
    assert set(new.look()) == {second, third}
    assert str(first.parent) not in listed
