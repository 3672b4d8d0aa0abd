import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from event_model import DocumentNames, compose_run, schema_validators

from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.journal import Journal, find_run, journal_paths, read_journal
from stedopt_bluesky.records.recovery import BROKEN_REASON, close_broken_run
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.records.runs import list_runs


@pytest.fixture
def broken(folder):
    """A journal without stop document, which nobody is writing."""
    journal = Journal(folder, fsync=False)
    run = compose_run()
    journal("start", run.start_doc)
    journal.close()
    return journal_paths(folder)[0]


def test_a_broken_run_is_closed_once(folder, broken):
    stop = close_broken_run(folder, broken)
    assert stop["exit_status"] == "fail"
    assert stop["reason"] == BROKEN_REASON == "the program ended before the run was closed"
    schema_validators[DocumentNames.stop].validate(stop)
    documents = list(read_journal(broken))
    assert documents[-1] == ("stop", stop)
    assert stop["time"] == documents[0][1]["time"]
    assert close_broken_run(folder, broken) is None
    assert list(read_journal(broken)) == documents


def test_a_torn_record_is_cut_off(folder, broken):
    with broken.open("ab") as file:
        file.write(b'["event",{"data":{"x')
    close_broken_run(folder, broken)
    assert broken.read_bytes().count(b"\n") == 2
    assert [name for name, _ in read_journal(broken)] == ["start", "stop"]


def test_a_run_that_is_being_written_is_left_alone(folder):
    journal = Journal(folder, fsync=False)
    run = compose_run()
    journal("start", run.start_doc)
    [path] = journal_paths(folder)
    before = path.read_bytes()
    assert close_broken_run(folder, path) is None
    assert path.read_bytes() == before
    journal("stop", run.compose_stop())


def test_a_journal_without_start_cannot_be_closed(folder, broken):
    broken.write_bytes(b'["start",{"uid"')
    with pytest.raises(CatalogError, match="no start document"):
        close_broken_run(folder, broken)


def test_a_damaged_journal_is_not_touched(folder, broken):
    content = broken.read_bytes() + b"garbage\n" + broken.read_bytes()
    broken.write_bytes(content)
    with pytest.raises(CatalogError, match="line 2"):
        close_broken_run(folder, broken)
    assert broken.read_bytes() == content


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no kill -9")
def test_a_run_whose_program_was_killed_is_closed_and_readable(tmp_path, small):
    program = [sys.executable, str(Path(__file__).with_name("conftest.py")), str(tmp_path / "c")]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "ready\n"
        folder = CatalogFolder.open(tmp_path / "c")
        [path] = journal_paths(folder)
        [summary] = list_runs(folder)
        assert (summary.exit_status, summary.images) == ("running", 2)
        assert close_broken_run(folder, path) is None, "a living run must not be closed"
        os.kill(child.pid, signal.SIGKILL)
    [summary] = list_runs(folder)
    assert (summary.exit_status, summary.images) == ("interrupted", 2)

    stop = close_broken_run(folder, path)

    assert stop["num_events"] == {"decision": 3, "primary": 2}
    [summary] = list_runs(folder)
    assert (summary.exit_status, summary.reason) == ("fail", BROKEN_REASON)
    record = RunRecord.read(find_run(folder, path.stem[:8]))
    assert record.clouds.shape == (3, 9, 2)
    for key in ("microscope_confocal1", "microscope_sted1"):
        images = record.images(key)
        assert len(images) == 2
        for n, image in enumerate(images):
            assert image.tobytes() == small["expected_image"](key, n).tobytes()
