from datetime import UTC, datetime

import pytest
from event_model import compose_run

from stedopt_bluesky.records.folder import CatalogFolder
from stedopt_bluesky.records.journal import Journal, journal_paths
from stedopt_bluesky.records.query import RunQuery
from stedopt_bluesky.records.runs import list_runs, summarize

DAY = 86_400.0


@pytest.fixture
def many(folder):
    """Ten runs, a day apart, of two samples in turn; the first is run0."""
    for n in range(10):
        run = compose_run(
            uid=f"run{n}",
            time=n * DAY,
            metadata={"sample": "ab"[n % 2], "preset": "p", "plan_name": "optimize_sted"},
        )
        journal = Journal(folder, fsync=False)
        journal("start", run.start_doc)
        journal("stop", run.compose_stop(time=n * DAY + 1))
    return folder


def uids(runs):
    return [run.uid for run in runs]


def test_newest_first(many):
    assert uids(list_runs(many)) == [f"run{n}" for n in range(9, -1, -1)]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"sample": "b"}, [9, 7, 5, 3, 1]),
        ({"sample": "b", "since": 5 * DAY}, [9, 7, 5]),
        ({"since": 2 * DAY, "until": 4 * DAY}, [3, 2]),
        ({"until": datetime(1970, 1, 3, tzinfo=UTC)}, [1, 0]),
        ({"since": "1970-01-09T00:00+00:00"}, [9, 8]),
        ({"preset": "other"}, []),
        ({"plan": "optimize_sted", "since": 9 * DAY}, [9]),
        ({"plan": "count"}, []),
    ],
)
def test_filters(many, filters, expected):
    assert uids(list_runs(many, RunQuery(**filters))) == [f"run{n}" for n in expected]


def test_a_summary_tells_what_the_run_was(stored):
    folder, uid, documents = stored
    [summary] = list_runs(folder)
    assert summary.uid == uid
    assert summary.time == documents[0][1]["time"]
    assert (summary.sample, summary.preset, summary.operator) == ("neuron", "live_far_red", "AD")
    assert (summary.plan_name, summary.seed) == ("optimize_sted", 7)
    assert (summary.images, summary.exit_status, summary.reason) == (4, "success", "")


def test_a_run_without_stop_is_running_or_interrupted(folder, small):
    seen = []
    small["record_run"](folder, 2, before_image=lambda n: seen.extend(list_runs(folder)))
    assert [(s.exit_status, s.images) for s in seen] == [("running", 0), ("running", 1)]
    [path] = journal_paths(folder)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    summary = summarize(folder, path)
    assert (summary.exit_status, summary.images) == ("interrupted", 2)


@pytest.mark.parametrize("content", [b"", b"garbage\n", b'["event",{}]\n', b'["start",{}]\n'])
def test_a_damaged_journal_is_listed_and_hides_no_other(stored, tmp_path, content):
    folder, uid, _ = stored
    other = CatalogFolder.create_or_open(tmp_path / "c")
    year = other.journal / "2026"
    year.mkdir(parents=True)
    good = next(p for p in journal_paths(folder) if p.stem == uid)
    (year / good.name).write_bytes(good.read_bytes())
    (year / "bad.jsonl").write_bytes(content)
    by_uid = {run.uid: run for run in list_runs(other)}
    assert by_uid[uid].exit_status == "success"
    assert by_uid["bad"].exit_status == "damaged"
    assert by_uid["bad"].reason


def test_a_journal_damaged_in_the_middle_keeps_its_metadata(stored, tmp_path):
    folder, uid, _ = stored
    other = CatalogFolder.create_or_open(tmp_path / "c")
    (other.journal / "2026").mkdir(parents=True)
    lines = next(p for p in journal_paths(folder) if p.stem == uid).read_bytes().splitlines(True)
    path = other.journal / "2026" / f"{uid}.jsonl"
    path.write_bytes(lines[0] + b"garbage\n" + lines[2])
    summary = summarize(other, path)
    assert (summary.exit_status, summary.sample) == ("damaged", "neuron")
    assert "line 2" in summary.reason


def test_a_long_last_record_is_read_whole(folder):
    run = compose_run()
    journal = Journal(folder, fsync=False)
    journal("start", run.start_doc)
    journal("stop", run.compose_stop(exit_status="abort", reason="x" * 50_000))
    [summary] = list_runs(folder)
    assert summary.exit_status == "abort"
    assert len(summary.reason) == 50_000
