import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from stedopt_bluesky.records import CatalogFolder, RunRecord
from stedopt_bluesky.records.replay import rerun_decisions
from stedopt_bluesky.session import config_of, make_choose, make_strategy
from tests.small import small_toml


def places(record):
    return [(e["data"]["region_x_um"], e["data"]["region_y_um"]) for e in record.events("primary")]


# --- beginning ----------------------------------------------------------------------------


def test_options_change_the_configuration(stedopt_json, small):
    options = ("--images", 1, "--seed", 9, "--operator", "Eve", "--strategy", "random")
    run, _ = stedopt_json(*small, *options)
    assert (run["images_planned"], run["seed"], run["operator"]) == (1, 9, "Eve")
    assert len(run["images"]) == 1


def test_an_image_as_the_sample_is_found_again_from_any_folder(
    stedopt_json, small, tmp_path, monkeypatch
):
    counts = np.random.default_rng(0).poisson(np.kron(np.eye(30), np.full((20, 20), 30.0)))
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    tifffile.imwrite(tmp_path / "here" / "axons.tif", counts.astype(np.uint16))
    monkeypatch.chdir(tmp_path / "here")
    run, result = stedopt_json(*small, "--images", 1, "--sample", "axons.tif")
    assert result.exit_code == 0, result.stderr
    assert run["sample"] == "axons"
    monkeypatch.chdir(tmp_path / "there")

    _, result = stedopt_json("resume", run["uid"], "--images", 1, "--catalog", small[-1])

    assert result.exit_code == 0, result.stderr


@pytest.mark.usefixtures("pictures")
def test_an_empty_sample_says_that_there_is_nothing_to_image(stedopt_json, small, tmp_path):
    dim = np.zeros((200, 200))
    dim[0, 0] = 1.0  # one pixel that is not 0: an image, with nothing to see
    np.save(tmp_path / "empty.npy", dim)
    run, result = stedopt_json(*small, "--sample", tmp_path / "empty.npy")

    assert result.exit_code == 1
    assert run["exit_status"] == "fail"
    assert run["reason"].startswith("images = 3: only 0 regions of 1.28 µm")
    assert run["commands"]["continue"] is None
    assert run["figure"] is None
    assert "the run ended early: images = 3: only 0 regions" in result.stderr


def test_too_many_images_are_told_with_the_command_for_as_many_as_there_are(stedopt_json, small):
    run, result = stedopt_json(*small, "--images", 5000)

    assert result.exit_code == 1
    regions = int(re.search(r"only (\d+) regions", run["reason"]).group(1))
    assert f"--images {regions} " in run["commands"]["continue"]


def test_fields_without_more_regions_are_no_reason_to_go_on(stedopt_json, small, tmp_path):
    fields = tmp_path / "fields.toml"
    fields.write_text(Path(small[1]).read_text() + "\n[stage]\ncolumns = 2\nstep_um = 8.0\n")
    text = fields.read_text().replace("[overview]", "[overview]\nmost_regions = 1")
    fields.write_text(text)
    assert "most_regions" in text
    run, result = stedopt_json("run", fields, *small[2:])

    assert result.exit_code == 1
    assert run["reason"] == "images = 3: 2 were taken; 2 fields have no more regions"
    assert run["commands"]["continue"] is None


# --- going on ---------------------------------------------------------------------------


def records_of(stored):
    folder = CatalogFolder.open(stored.catalog)
    return {
        name: RunRecord.read(next(folder.journal.rglob(f"{getattr(stored, name)['uid']}.jsonl")))
        for name in ("aborted", "resumed")
    }


def test_a_resumed_run_takes_the_images_that_are_missing(stored):
    assert stored.aborted["images_planned"] == 4
    assert len(stored.aborted["images"]) == 2
    assert stored.resumed["resumes"] == stored.aborted["uid"]
    assert [image["iteration"] for image in stored.resumed["images"]] == [2, 3]


def test_a_resumed_run_images_no_region_again(stored, stedopt_json, small):
    records = records_of(stored)
    both = places(records["aborted"]) + places(records["resumed"])
    assert len(set(both)) == 4
    assert "overview" not in records["resumed"].streams


def test_a_resumed_run_decides_as_if_it_had_not_stopped(stored, stedopt_json, small):
    """Regions as an uninterrupted run; choices as a strategy with the joined observations."""
    records = records_of(stored)
    joined = records["aborted"].observations + records["resumed"].observations
    config = config_of(records["aborted"])
    strategy, choose = make_strategy(config), make_choose(config)
    for index, values in joined:
        assert choose(strategy.suggest()).index == index
        strategy.ingest(index, values)
    whole, _ = stedopt_json(*small, "--images", 4)
    (path,) = small[-1].glob(f"journal/*/{whole['uid']}.jsonl")
    assert places(RunRecord.read(path)) == places(records["aborted"]) + places(records["resumed"])


def test_a_resumed_run_can_be_resumed_and_replayed(copied, stedopt_json):
    where = ("--catalog", copied.catalog)
    third, _ = stedopt_json("resume", copied.resumed["uid"], "--images", 2, *where)

    assert [image["iteration"] for image in third["images"]] == [4, 5]
    replayed, result = stedopt_json("replay", third["uid"], *where)
    assert result.exit_code == 0
    assert (replayed["decisions"], replayed["differing"]) == (2, 0)


def test_a_run_that_is_being_written_cannot_be_resumed(copied, stedopt, journal):
    from stedopt_bluesky.records import locks
    from stedopt_bluesky.records.journal import lock_path

    folder = CatalogFolder.open(copied.catalog)
    lock = locks.hold(lock_path(folder, journal(copied.catalog, copied.aborted["uid"])))
    try:
        result = stedopt("resume", copied.aborted["uid"], "--catalog", copied.catalog)
    finally:
        locks.let_go(lock)
    assert result.exit_code == 2
    assert "still being written" in result.stderr


def test_a_run_that_its_program_left_open_is_closed_and_gone_on_with(copied, stedopt_json, journal):
    path = journal(copied.catalog, copied.aborted["uid"])
    whole = path.read_bytes().splitlines(keepends=True)
    # Killed while the second image was recorded: its Event is torn.
    last_event = max(i for i, line in enumerate(whole) if line.startswith(b'["event",'))
    path.write_bytes(b"".join(whole[:last_event]) + whole[last_event][:40])
    runs, _ = stedopt_json("runs", "--catalog", copied.catalog, "--uid", copied.aborted["uid"])
    assert [(run["exit_status"], run["images"]) for run in runs] == [("interrupted", 1)]

    where = ("--catalog", copied.catalog)
    resumed, result = stedopt_json("resume", copied.aborted["uid"], *where)

    assert result.exit_code == 0, result.stderr
    assert [image["iteration"] for image in resumed["images"]] == [1, 2, 3]
    record = RunRecord.read(path)
    assert record.stop["exit_status"] == "fail"
    again = RunRecord.read(journal(copied.catalog, resumed["uid"]))
    # The region of the torn image was exposed, so that it is left out: 1 + 1 lost + 3.
    assert not set(places(again)) & set(places(record))
    replayed, _ = stedopt_json("replay", resumed["uid"], *where)
    assert replayed["differing"] == 0


def test_the_resumed_decisions_survive_replay_with_all_clouds(stored):
    record = records_of(stored)["aborted"]
    config = config_of(record)
    decisions = rerun_decisions(
        record, lambda _: make_strategy(config), make_choose(config), compare_clouds=True
    )
    assert decisions
    assert all(d.same for d in decisions)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--ask", "rating"), "error: ask = 'rating': only together with --expert"),
        (("--expert", "--ask", "colour"), "error: expert.asks.0 = 'colour': "),
        (("--expert", "--ask", "choice", "--ask", "choice"), "error: expert.asks = "),
        (("--expert", "--terminal"), "error: expert: not together with --terminal"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(stedopt, small, options, says):
    result = stedopt(*small, *options)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(says), line


def test_a_terminal_shows_no_pictures(stedopt, tmp_path):
    toml = tmp_path / "asks.toml"
    toml.write_text(small_toml('[expert]\nasks = ["choice", "rating"]\n', images=1))
    result = stedopt("run", toml, "--terminal", "--catalog", tmp_path / "cat")
    assert result.exit_code == 2
    line = result.stderr.splitlines()[-1]
    assert line.startswith("error: expert.asks: rating needs pictures")
    assert list((tmp_path / "cat").rglob("*.jsonl")) == []
