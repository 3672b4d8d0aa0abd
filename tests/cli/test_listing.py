import pytest

from stedopt_bluesky.cli import listing
from stedopt_bluesky.records import CatalogFolder, RunRecord, find_run


def test_runs_are_listed_newest_first(stedopt_json, stored):
    runs, result = stedopt_json("runs", "--catalog", stored.catalog)

    assert result.exit_code == 0
    uids = [stored.resumed["uid"], stored.aborted["uid"], stored.finished["uid"]]
    assert [run["uid"] for run in runs] == uids
    assert [run["exit_status"] for run in runs] == ["success", "abort", "success"]
    assert [run["images"] for run in runs] == [2, 2, 3]
    assert [run["sample"] for run in runs] == ["actin", "actin", "tubulin"]
    assert {run["operator"] for run in runs} == {"Ada"}
    assert runs[1]["reason"] == "interrupted by the user (Ctrl-C)"
    assert all(run["begun"].startswith("20") for run in runs)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--sample", "tubulin"], ["finished"]),
        (["--sample", "neuron"], []),
        (["--preset", "classical"], ["resumed", "aborted", "finished"]),
        (["--preset", "live_far_red"], []),
        (["--since", "2026-01-01"], ["resumed", "aborted", "finished"]),
        (["--since", "2100-01-01"], []),
        (["--until", "2100-01-01", "--sample", "actin"], ["resumed", "aborted"]),
        (["--until", "2001-01-01"], []),
        (["--structure", "actin"], ["resumed", "aborted"]),
        (["--operator", "Ada", "--status", "abort"], ["aborted"]),
        (["--status", "interrupted"], []),
        (["--parameter", "dwelltime_us", "--objective", "snr"], ["resumed", "aborted", "finished"]),
        (["--objective", "quality"], []),
        (["--network", "actin"], []),
        (["--where", "images >= 3"], ["finished"]),
        (["--where", "images < 3", "--where", "exposure_s > 0"], ["resumed", "aborted"]),
        (["--where", "dwelltime_us > 0", "--newest", "1"], ["resumed"]),
        (["--where", "best.photobleaching > 1"], []),
    ],
)
def test_runs_are_filtered(stedopt_json, stored, options, expected):
    runs, _ = stedopt_json("runs", "--catalog", stored.catalog, *options)
    assert [run["uid"] for run in runs] == [getattr(stored, name)["uid"] for name in expected]


def test_runs_are_filtered_by_the_beginning_of_their_uid(stedopt_json, stored):
    uid = stored.aborted["uid"]
    runs, _ = stedopt_json("runs", "--catalog", stored.catalog, "--uid", uid[:10])
    assert [run["uid"] for run in runs] == [uid]


def test_the_table_of_runs(stedopt, stored):
    result = stedopt("runs", "--catalog", stored.catalog)
    assert result.stdout.startswith("Runs, newest first")
    for run in (stored.finished, stored.aborted, stored.resumed):
        assert run["uid"][:8] in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    none = stedopt("runs", "--catalog", stored.catalog, "--sample", "neuron")
    assert (none.exit_code, none.stdout) == (0, "no run matches\n")


def test_a_table_shows_what_was_asked_by(stedopt, stored):
    result = stedopt("runs", "--catalog", stored.catalog, "--where", "photobleaching >= 0")
    assert "photo-" in result.stdout
    assert "bleaching" in result.stdout
    folder = CatalogFolder.open(stored.catalog)
    record = RunRecord.read(find_run(folder, stored.finished["uid"]))
    values = sorted(record.table("primary")["objective_photobleaching"])
    (line,) = [x for x in result.stdout.splitlines() if x.startswith(stored.finished["uid"][:8])]
    assert f"{values[1]:.4g}" in line  # the median of three images


def test_a_long_table_is_cut_and_says_so(stedopt, stedopt_json, stored, monkeypatch):
    monkeypatch.setattr(listing, "MOST_ROWS", 2)
    result = stedopt("runs", "--catalog", stored.catalog)
    assert stored.finished["uid"][:8] not in result.stdout
    assert "the newest 2 of 3 runs; --newest N shows more" in result.stdout
    assert (
        stored.finished["uid"][:8]
        in stedopt("runs", "--catalog", stored.catalog, "--newest", 3).stdout
    )
    assert len(stedopt_json("runs", "--catalog", stored.catalog)[0]) == 3


def test_progress_is_shown_where_many_journals_are_read(stedopt, copied, monkeypatch):
    """Standard output stays what scripts read."""
    seen = []

    class Bar:
        def __init__(self, console, what, total):
            seen.append((what, total))

        def __enter__(self):
            return seen.append

        def __exit__(self, *_):
            pass

    monkeypatch.setattr("stedopt_bluesky.experiments.progress.ExperimentProgress", Bar)
    monkeypatch.setattr(listing, "_FEW_JOURNALS", 2)
    copied_index = CatalogFolder.open(copied.catalog).index
    copied_index.unlink(missing_ok=True)
    stedopt("runs", "--catalog", copied.catalog, "--json")
    assert seen == [("journals", 3), 1, 1, 1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--where", "snr"], "where = 'snr': a name, <, <=, >, >= or =, and a number"),
        (["--where", "snrr > 1"], "did you mean 'snr'?"),
        (["--status", "done"], "status = 'done': success, abort, fail, running"),
    ],
)
def test_a_wrong_question_is_told_in_one_line(stedopt, stored, options, says):
    result = stedopt("runs", "--catalog", stored.catalog, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
