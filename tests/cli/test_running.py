import itertools
import json
import os
import re
import shlex
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from stedopt_bluesky.cli import running
from stedopt_bluesky.cli.interrupts import ABANDONED, INTERRUPTED, TERMINATED, Interrupts
from stedopt_bluesky.objectives import registry
from stedopt_bluesky.records import Catalog, CatalogFolder, RunRecord
from stedopt_bluesky.records.replay import rerun_decisions
from stedopt_bluesky.session import config_of, make_choose, make_strategy
from stedopt_bluesky.twin.application import TwinApplication
from stedopt_bluesky.twin.faults import FaultyApplication


def places(record):
    return [(e["data"]["region_x_um"], e["data"]["region_y_um"]) for e in record.events("primary")]


@pytest.fixture
def small(toml, tmp_path):
    """Arguments of a small run into a catalogue of its own."""
    return ("run", toml, "--catalog", tmp_path / "cat")


# --- what a run gives -------------------------------------------------------------------


def test_a_run_as_json(stored):
    run = stored.finished
    assert run["exit_status"] == "success"
    assert (run["sample"], run["seed"], run["operator"]) == ("tubulin", 1, "Ada")
    assert [image["number"] for image in run["images"]] == [1, 2, 3]
    assert run["best"][0]["utility"] == max(image["utility"] for image in run["images"])
    assert run["catalog"] == str(stored.catalog)
    with open(run["figure"], "rb") as figure:
        assert figure.read(8) == b"\x89PNG\r\n\x1a\n"


def test_a_run_is_in_the_databases_when_it_has_ended(stored):
    with Catalog(CatalogFolder.open(stored.catalog)) as catalog:
        summaries = {run.uid: run for run in catalog.runs()}
        images = catalog.images(stored.finished["uid"], "microscope_sted1")
    assert set(summaries) == {stored.finished["uid"], stored.aborted["uid"], stored.resumed["uid"]}
    assert images.shape == (3, 64, 64)


def test_a_run_in_words_ends_with_what_to_do_next(stedopt, small, tmp_path, monkeypatch):
    """The commands that are printed are run as they stand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stedopt"])
    result = stedopt("run", small[1], "--catalog", "my cat", "--figure", "pictures/run.png")

    assert result.exit_code == 0, result.stderr
    out = result.stdout
    assert "The best 3 of 3 images" in out
    assert "The last 3 images" in out
    assert max(map(len, out.splitlines())) <= 80
    told = dict(re.findall(r"^ *(\w+)  (.*)$", out, re.MULTILINE))
    assert len(told["run"]) == 36
    assert told["ended"] == "3 of 3 images, success"
    assert told["catalogue"] == "my cat"
    assert (tmp_path / told["picture"]).stat().st_size > 10_000
    assert "Traceback" not in result.stderr
    for name, shows in (
        ("query", "The best 3 of 3 images"),
        ("replay", "3 decisions made anew, 0 differ"),
        ("continue", "20 of 20 images, success"),
    ):
        assert told[name].startswith("stedopt ")
        done = stedopt(*shlex.split(told[name])[1:])
        assert done.exit_code == 0, done.stderr
        assert shows in done.stdout


@pytest.mark.usefixtures("without_store")
def test_options_change_the_configuration(stedopt_json, small):
    options = ("--images", 1, "--seed", 9, "--operator", "Eve", "--strategy", "random")
    run, _ = stedopt_json(*small, *options)
    assert (run["images_planned"], run["seed"], run["operator"]) == (1, 9, "Eve")
    assert len(run["images"]) == 1


@pytest.mark.usefixtures("without_store")
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


@pytest.mark.usefixtures("without_store")
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


@pytest.mark.usefixtures("without_store")
def test_too_many_images_are_told_with_the_command_for_as_many_as_there_are(stedopt_json, small):
    run, result = stedopt_json(*small, "--images", 5000)

    assert result.exit_code == 1
    regions = int(re.search(r"only (\d+) regions", run["reason"]).group(1))
    assert f"--images {regions} " in run["commands"]["continue"]


@pytest.mark.usefixtures("without_store")
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


def interrupted(*_):
    raise KeyboardInterrupt


def test_ctrl_c_while_a_run_is_stored_loses_nothing(stedopt, small, monkeypatch):
    monkeypatch.setattr(running, "_store", interrupted)
    result = stedopt(*small, "--images", 5000)
    assert result.exit_code == 130
    told = re.search(r"it is kept: (.*)$", result.stderr, re.MULTILINE).group(1)
    on = re.search(r"^go on with it: (.*)$", result.stderr, re.MULTILINE).group(1)
    monkeypatch.undo()
    assert stedopt(*shlex.split(told)[1:]).exit_code == 0
    assert shlex.split(on)[1] == "resume"

    # Nothing to go on with where all images are there.
    monkeypatch.setattr(running, "_store", interrupted)
    result = stedopt(*small, "--images", 1)
    assert "it is kept" in result.stderr
    assert "go on with it" not in result.stderr


# --- what goes wrong --------------------------------------------------------------------


@pytest.mark.usefixtures("without_store")
def test_a_scan_that_fails_is_told_in_plain_words(stedopt_json, small, monkeypatch):
    scans, start = itertools.count(), TwinApplication.start

    def fail_in_third_image(self, measurement):
        if next(scans) == 8:
            raise RuntimeError("AOTF timeout")
        return start(self, measurement)

    monkeypatch.setattr(TwinApplication, "start", fail_in_third_image)
    run, result = stedopt_json(*small)

    assert result.exit_code == 1
    assert (run["exit_status"], len(run["images"])) == ("fail", 2)
    assert "AOTF timeout" in run["reason"]
    assert "AOTF timeout" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.usefixtures("without_store")
def test_an_imspector_that_refuses_is_told_in_its_words(stedopt, small, monkeypatch):
    def refuse(self):
        raise RuntimeError("no licence")

    monkeypatch.setattr(TwinApplication, "create_measurement", refuse)
    result = stedopt(*small)

    # Nothing was begun: an error of the request, in the vendor's words.
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert "no licence" in line
    assert not small[-1].exists()


@pytest.mark.usefixtures("without_store")
def test_an_imspector_that_dies_in_a_run_is_told_with_the_command_to_go_on(
    stedopt_json, small, monkeypatch
):
    connect = running.connect_application
    monkeypatch.setattr(
        running, "connect_application", lambda c: FaultyApplication(connect(c), "dies in a scan", 8)
    )
    run, result = stedopt_json(*small)

    assert result.exit_code == 1
    assert (run["exit_status"], len(run["images"])) == ("fail", 2)
    assert "Connection refused" in run["reason"]
    assert "lasers may be on" in result.stderr
    assert f"resume {run['uid'][:8]}" in run["commands"]["continue"]
    assert "Traceback" not in result.stderr


@pytest.mark.usefixtures("without_store")
def test_images_that_cannot_be_rated_are_warned_of(stedopt_json, small, monkeypatch):
    def broken(images):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(registry.ObjectiveFunction, "evaluate", broken, raising=False)
    monkeypatch.setattr("stedopt_bluesky.objectives.make_rater", lambda *_: broken)
    run, result = stedopt_json(*small)

    assert result.exit_code == 0
    assert [image["utility"] for image in run["images"]] == [None] * 3
    assert run["best"] == []
    assert result.stderr.count("warning: ") == 3
    assert "division by zero" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_catalogue_that_is_open_elsewhere_does_not_lose_the_run(stedopt_json, small, monkeypatch):
    folder = CatalogFolder.create_or_open(small[-1])
    wait = "stedopt_bluesky.records.catalog.Catalog.__init__"
    original = Catalog.__init__
    monkeypatch.setattr(
        wait, lambda self, folder, wait_s=0.1: original(self, folder, wait_s=wait_s)
    )
    with Catalog(folder):
        first, result = stedopt_json(*small, "--images", 1)
    assert result.exit_code == 0
    assert "warning: the run is kept in its journal" in result.stderr

    second, _ = stedopt_json(*small, "--images", 1)

    with Catalog(folder) as catalog:  # the one that was left out is there too
        assert {run.uid for run in catalog.runs()} == {first["uid"], second["uid"]}


@pytest.mark.usefixtures("without_store")
def test_a_picture_that_cannot_be_saved_does_not_lose_the_summary(stedopt_json, small, monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", refuse)
    run, result = stedopt_json(*small)

    assert result.exit_code == 0
    assert run["figure"] is None
    assert "was not saved: [Errno 28] No space left on device" in result.stderr


@pytest.mark.usefixtures("without_store")
def test_a_full_disk_ends_the_run_in_one_line(stedopt, small, monkeypatch):
    writes, write = itertools.count(), os.write

    def fill(descriptor, data):
        if bytes(data[:1]) == b"[" and next(writes) > 10:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr("stedopt_bluesky.records.journal.os.write", fill)
    result = stedopt(*small)

    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert "Traceback" not in result.output


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


@pytest.mark.usefixtures("without_store")
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


@pytest.mark.usefixtures("without_store")
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


@pytest.mark.usefixtures("without_store")
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


# --- signals, in this process (others in test_interrupts) -------------------------------


def wait_until(condition, seconds=20):
    """Look every 10 ms: another thread brings it about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def closed(catalog):
    """Whether the journal of the only run has its stop document."""
    (path,) = catalog.glob("journal/*/*.jsonl")
    return b'\n["stop",' in path.read_bytes()


@pytest.mark.usefixtures("without_store")
@pytest.mark.parametrize(
    ("number", "reason", "images", "code"),
    [
        (signal.SIGINT, INTERRUPTED, 2, 130),
        (signal.SIGINT, ABANDONED, 1, 130),
        (signal.SIGTERM, TERMINATED, 1, 143),
    ],
)
def test_signals_close_the_run(
    stedopt_json, small, interrupt, monkeypatch, number, reason, images, code
):
    """They come while the second image's configuration is chosen."""
    before = signal.getsignal(signal.SIGINT)  # ignored, in a shell's background
    monkeypatch.setattr("stedopt_bluesky.cli.interrupts._BOUNCE_S", 0.0)
    monkeypatch.setattr("sys.argv", ["stedopt"])
    paused, pause = threading.Event(), Interrupts._pause
    monkeypatch.setattr(Interrupts, "_pause", lambda self: (pause(self), paused.set()))

    def then():
        if reason == ABANDONED:
            assert paused.wait(20)
            os.kill(os.getpid(), number)
        if reason != INTERRUPTED:  # the choice comes too late
            wait_until(lambda: closed(small[-1]))

    interrupt(1, number=number, then=then)
    run, result = stedopt_json(*small)

    assert result.exit_code == code
    assert (run["exit_status"], run["reason"]) == ("abort", reason)
    assert len(run["images"]) == images
    assert f"the run ended early: {reason}" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Pausing" not in result.stderr  # Bluesky's remarks are not for this user
    assert signal.getsignal(signal.SIGINT) is before
    assert run["commands"]["continue"].startswith("stedopt resume ")


@pytest.mark.usefixtures("without_store")
def test_an_interrupt_during_the_last_image_lets_the_run_end_well(stedopt_json, small, interrupt):
    interrupt(2)
    run, result = stedopt_json(*small)
    assert result.exit_code == 0
    assert (run["exit_status"], len(run["images"])) == ("success", 3)


@pytest.mark.parametrize("where", ["connect_application", "open_session"])
def test_ctrl_c_before_the_run_begins(stedopt, small, monkeypatch, where):
    def press(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, where, press)
    result = stedopt(*small)

    assert result.exit_code == 130
    assert result.stderr == "warning: interrupted before the run began: nothing was imaged\n"
    assert not small[-1].exists()


def test_ctrl_c_while_the_run_is_stored(stedopt, small, monkeypatch):
    def press(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Catalog, "ingest", press)
    result = stedopt(*small, "--images", 1)

    assert result.exit_code == 130
    command = re.search(r"it is kept: stedopt (show \w+ --catalog .*)$", result.stderr).group(1)
    shown = stedopt(*shlex.split(command), "--json")
    assert json.loads(shown.stdout)["exit_status"] == "success"


def test_the_resumed_decisions_survive_replay_with_all_clouds(stored):
    record = records_of(stored)["aborted"]
    config = config_of(record)
    decisions = rerun_decisions(
        record, lambda _: make_strategy(config), make_choose(config), compare_clouds=True
    )
    assert decisions
    assert all(d.same for d in decisions)
