import itertools
import json
import os
import re
import shlex
import signal
import threading

import pytest

from stedopt_bluesky.cli import performing
from stedopt_bluesky.cli.interrupts import ABANDONED, INTERRUPTED, TERMINATED, Interrupts
from stedopt_bluesky.records import Catalog, CatalogFolder
from stedopt_bluesky.records.background import BackgroundIngestion
from stedopt_bluesky.twin.application import TwinApplication
from stedopt_bluesky.twin.faults import FaultyApplication
from tests.waiting import wait_for

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


def test_a_run_is_in_the_databases_when_it_has_ended(stedopt_json, fed_toml, tmp_path):
    run, _ = stedopt_json("run", fed_toml, "--catalog", tmp_path / "cat")
    with Catalog(CatalogFolder.open(tmp_path / "cat"), fill=False) as catalog:
        (summary,) = catalog.runs()
        images = catalog.images(run["uid"], "microscope_sted1")
    assert (summary.uid, summary.exit_status) == (run["uid"], "success")
    assert images.shape == (3, 64, 64)


@pytest.mark.usefixtures("pictures")
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


def press(*_, **__):
    """Take the place of something that Ctrl-C comes into."""
    raise KeyboardInterrupt


def test_ctrl_c_while_a_run_is_stored_loses_nothing(stedopt, fed_toml, tmp_path, monkeypatch):
    monkeypatch.setattr(BackgroundIngestion, "finish", press)
    fed = ("run", fed_toml, "--catalog", tmp_path / "cat")
    result = stedopt(*fed, "--images", 5000)
    assert result.exit_code == 130
    told = re.search(r"it is kept: (.*)$", result.stderr, re.MULTILINE).group(1)
    on = re.search(r"^go on with it: (.*)$", result.stderr, re.MULTILINE).group(1)
    assert stedopt(*shlex.split(told)[1:]).exit_code == 0
    assert shlex.split(on)[1] == "resume"

    # Nothing to go on with where all images are there.
    result = stedopt(*fed, "--images", 1)
    assert result.exit_code == 130
    told = re.search(r"it is kept: (.*)$", result.stderr, re.MULTILINE).group(1)
    assert "go on with it" not in result.stderr
    shown = stedopt(*shlex.split(told)[1:], "--json")
    assert json.loads(shown.stdout)["exit_status"] == "success"


# --- what goes wrong --------------------------------------------------------------------


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


def test_an_imspector_that_dies_in_a_run_is_told_with_the_command_to_go_on(
    stedopt_json, small, monkeypatch
):
    connect = performing.connect_application
    monkeypatch.setattr(
        performing,
        "connect_application",
        lambda *told: FaultyApplication(connect(*told), "dies in a scan", 8),
    )
    run, result = stedopt_json(*small)

    assert result.exit_code == 1
    assert (run["exit_status"], len(run["images"])) == ("fail", 2)
    assert "Connection refused" in run["reason"]
    assert "lasers may be on" in result.stderr
    assert f"resume {run['uid'][:8]}" in run["commands"]["continue"]
    assert "Traceback" not in result.stderr


def test_images_that_cannot_be_rated_are_warned_of(stedopt_json, small, monkeypatch):
    def broken(images):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("stedopt_bluesky.objectives.make_rater", lambda *_: broken)
    run, result = stedopt_json(*small)

    assert result.exit_code == 0
    assert [image["utility"] for image in run["images"]] == [None] * 3
    assert run["best"] == []
    assert result.stderr.count("warning: ") == 3
    assert "division by zero" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_catalogue_that_is_open_elsewhere_does_not_lose_the_run(
    stedopt, stedopt_json, fed_toml, tmp_path, monkeypatch
):
    """What is printed brings it in, once the catalogue is free."""
    monkeypatch.setattr("sys.argv", ["stedopt"])
    folder = CatalogFolder.create_or_open(tmp_path / "cat")
    with Catalog(folder):
        run, result = stedopt_json("run", fed_toml, "--catalog", folder.path, "--images", 1)
    assert result.exit_code == 0
    (warning,) = re.findall(r"^warning: the run is kept in its journal.*$", result.stderr, re.M)
    reason, command = warning.split("; later: ")
    assert f"the catalogue {folder.path} is open elsewhere" in reason
    with Catalog(folder, fill=False) as catalog:
        assert run["uid"] not in {stored.uid for stored in catalog.runs()}

    assert command.startswith("stedopt ingest ")
    ingested = stedopt(*shlex.split(command)[1:])

    assert ingested.exit_code == 0, ingested.stderr
    with Catalog(folder, fill=False) as catalog:
        assert {stored.uid for stored in catalog.runs()} == {run["uid"]}


@pytest.mark.usefixtures("pictures")
def test_a_picture_that_cannot_be_saved_does_not_lose_the_summary(stedopt_json, small, monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", refuse)
    run, result = stedopt_json(*small)

    assert result.exit_code == 0
    assert run["figure"] is None
    assert "was not saved: [Errno 28] No space left on device" in result.stderr


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


# --- signals, in this process (others in test_interrupts) -------------------------------


def closed(catalog):
    """Whether the journal of the only run has its stop document."""
    (path,) = catalog.glob("journal/*/*.jsonl")
    return b'\n["stop",' in path.read_bytes()


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
            wait_for(lambda: closed(small[-1]), 20)

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


def test_an_interrupt_during_the_last_image_lets_the_run_end_well(stedopt_json, small, interrupt):
    interrupt(2)
    run, result = stedopt_json(*small)
    assert result.exit_code == 0
    assert (run["exit_status"], len(run["images"])) == ("success", 3)


@pytest.mark.parametrize("where", ["connect_application", "open_session"])
def test_ctrl_c_before_the_run_begins(stedopt, small, monkeypatch, where):
    monkeypatch.setattr(performing, where, press)
    result = stedopt(*small)

    assert result.exit_code == 130
    assert result.stderr == "warning: interrupted before the run began: nothing was imaged\n"
    assert not small[-1].exists()
