"""Every kind of damage done to a stored run is named; intact runs are whole."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stedopt_bluesky.networks.weights import find_weights, load_weights
from stedopt_bluesky.records import locks
from stedopt_bluesky.records.assets import open_to_read
from stedopt_bluesky.records.folder import CatalogFolder
from stedopt_bluesky.records.journal import (
    Journal,
    find_run,
    journal_paths,
    lock_path,
    read_journal,
)
from stedopt_bluesky.records.journal_check import OPEN, TORN, check_journal
from stedopt_bluesky.records.left_open import is_left_open
from stedopt_bluesky.records.networks import keep_network
from stedopt_bluesky.records.recovery import BROKEN_REASON
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.records.verify import count_events, verify

# Every example writes and reads files.
files = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def copied(stored, tmp_path):
    """The stored run, to be damaged: folder and journal."""
    folder = CatalogFolder.open(shutil.copytree(stored[0].path, tmp_path / "copy"))
    return folder, find_run(folder, stored[1])


@pytest.fixture(scope="module")
def copied_once(stored, tmp_path_factory):
    """The same for hypothesis, whose examples write the whole journal each."""
    place = tmp_path_factory.mktemp("once") / "copy"
    folder = CatalogFolder.open(shutil.copytree(stored[0].path, place))
    path = find_run(folder, stored[1])
    return folder, path, path.read_bytes()


def problems(folder, **options):
    (run,) = verify(folder, **options).runs
    return run.problems


def lines(path):
    return path.read_bytes().splitlines(keepends=True)


def place_of(path, name, n=0):
    """Index of the n-th record of a name."""
    return [i for i, line in enumerate(lines(path)) if json.loads(line)[0] == name][n]


def edit(path, name, change, n=0):
    """Change the n-th document of a name."""
    found, place = lines(path), place_of(path, name, n)
    _, doc = json.loads(found[place])
    change(doc)
    found[place] = json.dumps([name, doc]).encode() + b"\n"
    path.write_bytes(b"".join(found))


def file_of(folder, path, key):
    """HDF5 file of a data key."""
    for name, doc in read_journal(path):
        if name == "stream_resource" and doc["data_key"] == key:
            return folder.arrays / doc["uri"].rsplit("/", 1)[1]
    raise KeyError(key)


def state(folder):
    """Everything in a catalogue but its locks, by name."""
    return {
        path: path.read_bytes()
        for path in folder.path.rglob("*")
        if path.is_file() and folder.locks not in path.parents
    }


# --- intact -----------------------------------------------------------------------------


def test_an_intact_run_is_whole(copied):
    folder, path = copied
    before = state(folder)
    for options in ({}, {"quick": True}, {"mend": True}, {"journals": [path]}):
        found = verify(folder, **options)
        assert found.whole
        (run,) = found.runs
        assert (run.status, run.problems, run.mended) == ("whole", [], [])
        # Four decisions and four images, of two arrays each.
        assert (run.events, run.arrays, run.unchecked) == (8, 12, 0)
        assert (found.orphans, found.left_over) == ([], [])
    assert state(folder) == before


def test_runs_without_checksums_are_read_all_the_same(folder, small):
    uid, _ = small["record_run"](folder, 2, checksums=False)
    (run,) = verify(folder).runs
    assert (run.status, run.arrays, run.unchecked) == ("whole", 6, 6)
    file_of(folder, find_run(folder, uid), "decision_cloud").write_bytes(b"no HDF5")
    assert "decision_cloud cannot be read" in problems(folder)[0]


def test_every_event_is_counted(copied):
    folder, path = copied
    seen = []
    verify(folder, advance=seen.append)
    assert sum(seen) == count_events([path]) == 8


def test_event_pages_are_taken_apart(copied):
    from event_model import pack_event_page

    folder, path = copied
    last = place_of(path, "event", 7)
    found = lines(path)
    page = pack_event_page(json.loads(found[last])[1])
    found[last] = json.dumps(["event_page", page]).encode() + b"\n"
    path.write_bytes(b"".join(found))
    assert problems(folder) == []
    edit(path, "event_page", lambda doc: doc["seq_num"].append(5))
    assert "event_page has columns of several lengths" in problems(folder)[0]


# --- arrays -----------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["microscope_confocal1", "microscope_sted1", "decision_cloud"])
def test_a_bit_that_flipped_in_an_image_is_found(copied, key):
    folder, path = copied
    with h5py.File(file_of(folder, path, key), "r") as file:
        place = file[key].id.get_chunk_info(2).byte_offset
    content = bytearray(file_of(folder, path, key).read_bytes())
    content[place + 7] ^= 1
    file_of(folder, path, key).write_bytes(content)

    (problem,) = problems(folder)
    stream = key.split("_")[0].replace("microscope", "primary")
    assert problem.startswith(f"Event 3 of {stream!r}: {key.split('_')[0]}_arrays_blake2b is not")
    assert key in problem
    assert problems(folder, quick=True) == [], "their bytes are left out"


def test_images_of_the_same_size_that_were_exchanged_are_found(copied):
    folder, path = copied
    with h5py.File(file_of(folder, path, "microscope_sted1"), "a") as file:
        dataset = file["microscope_sted1"]
        dataset[0], dataset[1] = dataset[1], dataset[0]
    assert [p[:7] for p in problems(folder)] == ["Event 1", "Event 2"]


def test_a_file_that_is_gone_is_told_once(copied):
    """Also while the original, to which the addresses in the journal lead, still has it."""
    folder, path = copied
    file = file_of(folder, path, "decision_cloud")
    file.unlink()
    for quick in (False, True):
        (problem,) = problems(folder, quick=quick)
        assert problem.startswith(f"decision_cloud cannot be read from {file}: ")


def test_a_file_of_other_shapes_or_types_is_told(copied):
    folder, path = copied
    file = file_of(folder, path, "microscope_sted1")
    with h5py.File(file, "a") as arrays:
        del arrays["microscope_sted1"]
        arrays["microscope_sted1"] = np.zeros((4, 5, 6), "u2")
        confocal = arrays["microscope_confocal1"][:]
        del arrays["microscope_confocal1"]
        arrays["microscope_confocal1"] = confocal.astype("f4")
    for quick in (False, True):
        assert problems(folder, quick=quick) == [
            "microscope_confocal1 has arrays of dtype <f4 in its file, <i2 in the journal",
            "microscope_sted1 has arrays of shape [5, 6] in its file, [6, 5] in the journal",
        ]


def test_a_file_with_fewer_images_than_the_journal_tells_of(copied):
    folder, path = copied
    with h5py.File(file_of(folder, path, "decision_cloud"), "a") as file:
        file["decision_cloud"].resize(3, axis=0)
    for quick in (False, True):
        (problem,) = problems(folder, quick=quick)
        assert problem.startswith("Event 4 of 'decision': ")
        assert "has 3 frames of decision_cloud; the journal tells of 4" in problem


def test_a_dataset_that_is_not_there_is_told(copied):
    folder, path = copied
    with h5py.File(file_of(folder, path, "decision_cloud"), "a") as file:
        del file["decision_cloud"]
    (problem,) = problems(folder)
    assert "it has no dataset 'decision_cloud' of frames" in problem


@files
@given(st.data())
def test_a_damaged_file_of_images_never_raises(copied_once, data):
    """Bytes are changed anywhere, the file's structure too: whole is what reads as before."""
    folder, path, _ = copied_once
    file = file_of(folder, path, "microscope_sted1")
    before = file.read_bytes()
    with h5py.File(file) as arrays:
        images = {key: dataset[:] for key, dataset in arrays.items()}
    content = bytearray(before)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        (run,) = verify(folder).runs
        if run.status == "whole":
            with open_to_read(file, growing=False) as arrays:
                for key, then in images.items():
                    np.testing.assert_array_equal(arrays[key][: len(then)], then)
        else:
            assert run.problems
            assert file.read_bytes() != before
        with h5py.File(folder.path / "copy.h5", "w"):
            pass  # h5py itself is well after what it has read
    finally:
        file.write_bytes(before)
        (folder.path / "copy.h5").unlink(missing_ok=True)


def test_files_that_no_journal_names(copied):
    folder, path = copied
    with h5py.File(folder.arrays / "lost.h5", "w") as file:
        file["microscope_sted1"] = np.zeros((3, 6, 5), "i2")
    with h5py.File(folder.arrays / "empty.h5", "w") as file:
        file.create_dataset("x", (0, 6), "i2", maxshape=(None, 6))
    (folder.arrays / "zeros.h5").write_bytes(bytes(64))
    (folder.arrays / "text.txt").write_text("text")
    before = state(folder)

    found = verify(folder, mend=True)

    assert not found.whole
    assert found.orphans == [
        "arrays/lost.h5: no journal names it; it has arrays of 3 Events",
        "arrays/text.txt: no journal names it; it is no HDF5 file",
    ]
    assert found.left_over == ["arrays/empty.h5", "arrays/zeros.h5"]
    assert state(folder) == before, "nothing is ever deleted"
    assert verify(folder, [path]).whole, "of one run only its own files are looked at"


def test_the_files_of_a_journal_that_was_lost_are_nobodys(copied):
    folder, path = copied
    path.unlink()
    found = verify(folder)
    assert found.runs == []
    assert len(found.orphans) == 2
    assert not found.whole


# --- the journal ------------------------------------------------------------------------


def independent(first, second):
    """Whether two records that follow one another may as well come the other way round."""
    (name, doc), (other_name, other) = first, second
    if "start" in (name, other_name) or "stop" in (name, other_name):
        return False
    if doc["uid"] in (other.get("descriptor"), other.get("stream_resource")):
        return False
    return other_name != "event" or other["descriptor"] != doc.get("descriptor")


def test_a_journal_with_two_lines_exchanged(copied):
    folder, path = copied
    found = lines(path)
    content = path.read_bytes()
    for n in range(len(found) - 1):
        exchanged = [*found[:n], found[n + 1], found[n], *found[n + 2 :]]
        path.write_bytes(b"".join(exchanged))
        names = [json.loads(line)[0] for line in found[n : n + 2]]
        free = independent(*(json.loads(line) for line in found[n : n + 2]))
        said = problems(folder)
        assert bool(said) != free, (n, names, said)
        if not free:
            assert any(s.startswith((f"line {n + 1}: ", f"line {n + 2}: ")) for s in said)
        path.write_bytes(content)
    assert problems(folder) == []


@pytest.mark.parametrize("stream", ["primary", "decision"])
@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_a_number_of_events_that_is_not_theirs(copied, stream, change):
    folder, path = copied
    edit(path, "stop", lambda doc: doc["num_events"].update({stream: 4 + change}))
    expected = f"the stop document counts {4 + change} Events of {stream!r}, 4 are there"
    assert problems(folder) == [expected]
    assert problems(folder, mend=True) == [expected], "a stop document is not written anew"


def test_events_of_a_stream_that_is_not_there(copied):
    folder, path = copied
    edit(path, "stop", lambda doc: doc["num_events"].update(other=2))
    assert problems(folder) == ["the stop document counts 2 Events of 'other', 0 are there"]


@pytest.mark.parametrize(
    ("name", "n"), [("event", 0), ("event", 7), ("descriptor", 1), ("stream_datum", 3)]
)
def test_a_document_that_is_there_twice(copied, name, n):
    folder, path = copied
    found, place = lines(path), place_of(path, name, n)
    path.write_bytes(b"".join([*found[: place + 1], *found[place:]]))
    uid = json.loads(found[place])[1]["uid"]
    assert problems(folder) == [
        f"line {place + 2}: {name} {uid} has been there in line {place + 1}"
    ]


@pytest.mark.parametrize("n", range(8))
def test_an_event_that_is_missing(copied, n):
    folder, path = copied
    found, place = lines(path), place_of(path, "event", n)
    stream = ["decision", "primary"][n % 2]
    path.write_bytes(b"".join([*found[:place], *found[place + 1 :]]))
    said = problems(folder)
    assert said[-1] == f"the stop document counts 4 Events of {stream!r}, 3 are there"
    if n < 6:  # the last one's gap is seen from the number alone
        assert f"event {n // 2 + 2} of {stream!r}: {n // 2 + 1} is the next" in said[0]


def test_a_document_that_is_not_valid(copied):
    folder, path = copied
    place = place_of(path, "event", 2)
    edit(path, "event", lambda doc: doc.update(seq_num="two"), 2)
    said = problems(folder)
    assert said[0] == (
        f"line {place + 1}: event is not valid: seq_num: input should be a valid integer"
    )


def test_what_an_event_lacks_and_what_it_has_too_much(copied):
    folder, path = copied
    edit(path, "event", lambda doc: doc["data"].pop("image_iteration"), 1)
    edit(path, "event", lambda doc: doc["data"].update(x=1.0), 3)
    first, second = problems(folder)
    assert first.endswith("event 1 of 'primary' has no 'image_iteration'")
    assert second.endswith("event 2 of 'primary' has, unlike its descriptor, 'x'")


def test_documents_of_another_run(copied):
    folder, path = copied
    edit(path, "descriptor", lambda doc: doc.update(run_start="someone"))
    other = path.with_name("other.jsonl")
    path.rename(other)
    said = problems(folder)
    assert said[0].endswith("the file is named other")
    assert said[1].endswith("is of another run, someone")


def test_frames_that_are_given_to_no_events(copied):
    folder, path = copied
    edit(path, "stream_datum", lambda doc: doc["indices"].update(stop=10**18))
    said = problems(folder)
    assert "stream_datum gives frames 0 to 1000000000000000000 to Events 1 to 2" in said[0]
    assert "has no stream_datum of 'decision_cloud' before it" in said[1]


@pytest.mark.parametrize("content", [b"", b"\n", b"[", b"[" * 100_000 + b"\n", b"\xff\xfe\n"])
def test_a_journal_without_a_single_document(copied, content):
    folder, path = copied
    path.write_bytes(content)
    said = problems(folder, mend=True)
    assert "it has no start document" in said
    assert path.read_bytes() == content, "not mended, not touched"


def test_a_damaged_line_in_the_middle_is_told_and_all_else_checked(copied):
    folder, path = copied
    found, place = lines(path), place_of(path, "event", 3)
    found[place] = found[place][:50] + b"#" + found[place][51:]
    found[place] = found[place].replace(b'"', b"'", 2)
    path.write_bytes(b"".join(found))
    edit_last = problems(folder, mend=True)
    assert edit_last[0] == f"line {place + 1} is damaged: no document can be read"
    assert lines(path) == found, "what is damaged is not touched"


def test_a_journal_that_cannot_be_read(copied):
    folder, path = copied
    path.unlink()
    path.mkdir()
    assert "the journal cannot be read" in problems(folder)[0]


# --- torn and left open, and mending ----------------------------------------------------


@files
@given(st.data())
def test_a_journal_cut_anywhere_is_named_and_mended(copied_once, data):
    folder, path, content = copied_once
    path.write_bytes(content)
    ends = [0, *np.cumsum([len(line) for line in lines(path)]).tolist()]
    # In the middle of a record, and at the boundaries of records.
    cut = data.draw(st.integers(0, len(content) - 1) | st.sampled_from(ends[:-1]))
    path.write_bytes(content[:cut])
    whole_end = max(end for end in ends if end <= cut)
    torn = cut != whole_end

    (run,) = verify(folder).runs
    assert run.status == "wrong"
    assert (TORN in run.problems, OPEN in run.problems) == (torn, whole_end > 0)
    assert path.read_bytes() == content[:cut], "without --mend nothing is written"

    (run,) = verify(folder, mend=True).runs
    if whole_end == 0:
        assert "it has no start document" in run.problems
        assert run.mended == []
        assert path.read_bytes() == content[:cut]
        return
    assert (run.status, run.problems) == ("whole", [])
    cut_off = "the torn record was cut off, " if torn else ""
    assert run.mended == [f"{cut_off}the run was closed: {BROKEN_REASON}"]
    kept = path.read_bytes()
    assert kept[:whole_end] == content[:whole_end]
    assert RunRecord.read(path).stop["exit_status"] == "fail"
    (run,) = verify(folder, mend=True).runs
    assert (run.status, run.mended) == ("whole", [])
    assert path.read_bytes() == kept


@settings(files, max_examples=150)
@given(st.data())
def test_an_arbitrarily_damaged_journal_never_raises(copied_once, data):
    """Bytes are changed, put in and taken out, whole records among them."""
    folder, path, content = copied_once
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(damaged)))
        end = start + data.draw(st.integers(0, 40))
        damaged[start:end] = data.draw(st.binary(max_size=40))
    path.write_bytes(damaged)
    (run,) = verify(folder, quick=True, mend=data.draw(st.booleans())).runs
    assert all("\n" not in problem for problem in run.problems)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@settings(files, max_examples=150)
@given(st.data())
def test_documents_with_strange_values_never_raise(copied_once, data):
    """Valid JSON, in which anything may stand anywhere."""
    folder, path, content = copied_once
    path.write_bytes(content)
    found = lines(path)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(found) - 1))
        record = json.loads(found[place])
        node = record[1]
        while isinstance(node, dict) and node:
            key = data.draw(st.sampled_from(sorted(node)))
            if isinstance(node[key], dict) and node[key] and data.draw(st.booleans()):
                node = node[key]
                continue
            node[key] = data.draw(JSON)
            break
        found[place] = json.dumps(record).encode() + b"\n"
    path.write_bytes(b"".join(found))
    mend = data.draw(st.booleans())
    (run,) = verify(folder, mend=mend).runs
    assert all("\n" not in problem for problem in run.problems)
    # Every line can be read and none is torn: nothing is written but a stop document, by --mend.
    kept = path.read_bytes()
    assert kept.startswith(b"".join(found))
    assert (kept == b"".join(found)) == (run.mended == [])
    assert mend or run.mended == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no kill -9")
def test_a_run_whose_program_was_killed_is_closed_and_its_images_compared(tmp_path):
    """Its files of images are as HDF5 leaves them when the writer dies."""
    program = [sys.executable, str(Path(__file__).with_name("conftest.py")), str(tmp_path / "c")]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "ready\n"
        folder = CatalogFolder.open(tmp_path / "c")
        assert [run.status for run in verify(folder, mend=True).runs] == ["running"]
        os.kill(child.pid, signal.SIGKILL)
    assert problems(folder) == [OPEN]
    (run,) = verify(folder, mend=True).runs
    assert run.mended == [f"the run was closed: {BROKEN_REASON}"]
    assert (run.status, run.arrays, run.unchecked) == ("whole", 7, 0)
    (path,) = journal_paths(folder)
    file = file_of(folder, path, "microscope_sted1")
    assert is_left_open(file)
    content = bytearray(file.read_bytes())
    content[60:160] = bytes(100)  # of the root group, for which a reader would wait
    file.write_bytes(content)
    (problem, *_) = problems(folder)
    assert "microscope_confocal1 cannot be read" in problem


def test_a_run_under_way_is_running_and_not_touched(copied, small, stored):
    folder, path = copied
    documents = list(read_journal(path))
    path.unlink()
    journal = Journal(folder, fsync=False)
    try:
        for name, doc in documents[:-1]:
            journal(name, doc)
            before = state(folder)
            found = verify(folder, mend=True)
            assert [run.status for run in found.runs] == ["running"]
            assert found.whole
            assert state(folder) == before
        with path.open("ab") as file:
            file.write(b'["stop",{"ui')  # as it is while a record is being written
        assert [run.status for run in verify(folder, mend=True).runs] == ["running"]
    finally:
        journal.close()
    assert [run.status for run in verify(folder).runs] == ["wrong"]


def test_images_of_a_run_under_way_that_no_event_tells_of_yet_are_not_nobodys(copied):
    folder, path = copied
    documents = list(read_journal(path))
    path.unlink()
    journal = Journal(folder, fsync=False)
    journal("start", documents[0][1])
    try:
        assert verify(folder).orphans == []
    finally:
        journal.close()
    assert len(verify(folder).orphans) == 2


def test_a_closed_run_whose_lock_is_held_is_told(copied):
    folder, path = copied
    lock = locks.hold(lock_path(folder, path))
    try:
        assert problems(folder) == ["it is closed, and a living process holds its lock"]
    finally:
        locks.let_go(lock)
    lock_path(folder, path).touch()  # left behind by a program that was killed
    assert problems(folder) == []


def test_a_run_that_cannot_be_closed_is_told(copied, monkeypatch):
    folder, path = copied
    path.write_bytes(b"".join(lines(path)[:-1]))

    def refuse(*_, **__):
        raise OSError("read-only file system")

    monkeypatch.setattr("stedopt_bluesky.records.recovery.append", refuse)
    said = problems(folder, mend=True)
    assert said == [OPEN, "it cannot be closed: read-only file system"]


# --- networks ---------------------------------------------------------------------------


@pytest.fixture
def with_networks(folder, small):
    """A run that used a shipped network and one of a user."""
    shipped = load_weights(find_weights("general", "quality"), "quality")
    own = hashlib.sha256(b"own").hexdigest()
    told = {
        "quality": shipped.identity,
        "preference": {"name": "mine", "version": "1", "sha256": own},
    }
    small["record_run"](folder, 1, networks=told)
    kept = keep_network(folder, shipped)
    mine = kept.with_name(f"{own}.safetensors")
    mine.write_bytes(b"own")
    assert problems(folder) == []
    return folder, kept, mine


def test_a_network_that_is_missing_is_told_and_a_shipped_one_brought_back(with_networks):
    folder, shipped, own = with_networks
    content = shipped.read_bytes()
    for path in (shipped, own):
        path.unlink()
    assert problems(folder) == [
        f"its quality network 'general': networks/{shipped.name} is missing",
        f"its preference network 'mine': networks/{own.name} is missing",
    ]
    (run,) = verify(folder, mend=True).runs
    assert run.mended == ["its quality network 'general' was brought back"]
    assert run.problems == [f"its preference network 'mine': networks/{own.name} is missing"]
    assert shipped.read_bytes() == content
    assert not own.exists()


def test_a_network_that_was_changed_is_told_and_kept_aside(with_networks):
    folder, shipped, own = with_networks
    content = shipped.read_bytes()
    shipped.write_bytes(content[:-1])
    own.write_bytes(b"other")
    first, second = problems(folder)
    assert f"networks/{shipped.name} is damaged: its SHA-256 is " in first
    assert f"networks/{own.name} is damaged" in second
    (run,) = verify(folder, mend=True).runs
    assert run.problems == [second]
    assert shipped.read_bytes() == content
    assert shipped.with_name(f"{shipped.name}.damaged").read_bytes() == content[:-1]
    assert own.read_bytes() == b"other"


@pytest.mark.parametrize(
    ("networks", "says"),
    [
        ({"quality": {"name": "x", "sha256": "../../x"}}, "'../../x' is no SHA-256"),
        ({"quality": "x"}, "'' is no SHA-256"),
        ([1], "no table"),
    ],
)
def test_networks_that_are_not_told_as_they_should(copied, networks, says):
    folder, path = copied
    edit(path, "start", lambda doc: doc.update(networks=networks))
    (problem,) = problems(folder)
    assert says in problem


def test_several_runs_are_told_apart(copied, small):
    folder, path = copied
    other, _ = small["record_run"](folder, 1)
    edit(path, "stop", lambda doc: doc["num_events"].update(primary=9))
    found = {run.uid: run.status for run in verify(folder).runs}
    assert found == {path.stem: "wrong", other: "whole"}
    assert verify(folder, [find_run(folder, other)]).whole
    assert len(journal_paths(folder)) == 2
    assert check_journal(path).start["uid"] == path.stem
