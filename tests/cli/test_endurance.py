"""A run killed twice and gone on with: nothing is lost, and it is decided as without the kills.

:mod:`tests.benchmarks.endurance_kills` does the same a hundred times. And what the endurance
benchmarks count as lost: a loss that they do not see would never be known.
"""

import dataclasses
import shutil
import time

import numpy as np
import pytest

from stedopt_bluesky.records import CatalogFolder, RunRecord
from stedopt_bluesky.records.journal import journal_paths, records
from stedopt_bluesky.reports.progress import RunProgress
from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks import endurance_catalogue, endurance_images, endurance_kills
from tests.benchmarks.endurance_catalogue import IMAGES, SIDE, Row, image, image_with_a_jump
from tests.benchmarks.endurance_kills import Counts, Killed, arrays_of, chain, lost_arrays
from tests.benchmarks.kept import readable

# With this one both runs are killed after their first scan of an image.
SEED = 2


@pytest.mark.campaign
@pytest.mark.timeout(600)  # 40 s on two cores; a loaded machine may need many times that
def test_nothing_is_lost_in_a_chain_of_killed_runs(tmp_path):
    counts = Counts()

    chain(2, SEED, tmp_path, counts, fed=False)

    assert counts.kills == 2
    assert counts.not_begun == 0
    assert counts.decisions_due > 0, "the twin has seen images"
    assert counts.arrays_due > 0, "files were looked at"
    assert counts.nothing_lost, counts


@pytest.fixture(scope="module")
def imaged(tmp_path_factory):
    """Folder of a catalogue with one run."""
    catalog = tmp_path_factory.mktemp("imaged") / "catalogue"
    assert image(catalog) == IMAGES
    return catalog


@pytest.fixture
def catalog(imaged, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(imaged, tmp_path / "catalogue")


def journal_of(catalog):
    (path,) = journal_paths(CatalogFolder.open(catalog))
    return path


def cut(path, stream):
    """Take the last Event of a stream out of a journal, and all that comes after it."""
    lines = path.read_bytes().splitlines(keepends=True)
    names = {}
    for name, doc, _ in records(path):
        if name == "descriptor":
            names[doc["uid"]] = doc["name"]
    last = max(
        number
        for number, (name, doc, _) in enumerate(records(path))
        if name == "event" and names[doc["descriptor"]] == stream
    )
    path.write_bytes(b"".join(lines[:last]))


def test_what_cannot_be_read_is_counted_and_not_the_end(catalog):
    record = RunRecord.read(journal_of(catalog))
    assert len(readable(record, SIDE)) == IMAGES
    assert readable(record, SIDE + 1) == set()
    files = sorted((catalog / "arrays").rglob("*.h5"))
    for path in files:
        path.write_bytes(path.read_bytes()[:1000])
    assert readable(record, SIDE) == set()


def counted(killed):
    counts = Counts()
    killed.count(counts)
    return {
        key: value
        for key, value in dataclasses.asdict(counts).items()
        if key in ("decisions_due", "decisions_lost", "images_due", "images_lost", "in_flight")
    }


# All scans of all images, as many as the twin has seen of this run.
SCANS = 3 * IMAGES
WHOLE = {
    "decisions_due": IMAGES,
    "decisions_lost": 0,
    "images_due": IMAGES,
    "images_lost": 0,
    "in_flight": 0,
}


def test_of_a_whole_run_nothing_is_lost(catalog):
    assert counted(Killed.look(journal_of(catalog), SCANS)) == WHOLE


@pytest.mark.parametrize(
    ("stream", "lost"),
    # The last decision comes before the last image.
    [("primary", {"images_lost": 1}), ("decision", {"images_lost": 1, "decisions_lost": 1})],
)
def test_an_event_that_was_on_disk_and_is_not_there_any_more_is_lost(catalog, stream, lost):
    # The twin is no witness here: it is asked for nothing.
    killed = Killed.look(journal_of(catalog), 0)
    cut(journal_of(catalog), stream)
    assert counted(killed) == {**WHOLE, **lost}


def test_what_the_twin_has_scanned_and_was_never_on_disk_is_lost(catalog):
    cut(journal_of(catalog), "decision")
    # Of the last image nothing is there, of one more neither, and its scan has begun.
    killed = Killed.look(journal_of(catalog), SCANS + 1)
    assert counted(killed) == {
        "decisions_due": IMAGES + 1,
        "decisions_lost": 2,
        "images_due": IMAGES,
        "images_lost": 1,
        "in_flight": 1,
    }


def test_a_start_document_that_is_not_there_is_no_excuse(tmp_path):
    assert counted(Killed.look(None, 4)) == {
        "decisions_due": 2,
        "decisions_lost": 2,
        "images_due": 1,
        "images_lost": 1,
        "in_flight": 1,
    }


def test_an_image_whose_pixels_are_gone_is_lost(catalog):
    killed = Killed.look(journal_of(catalog), SCANS)
    before = arrays_of(catalog)
    assert lost_arrays(before) == 0
    assert sum(count for count, _ in before.values()) > 3 * IMAGES
    for path in (catalog / "arrays").rglob("*.h5"):
        path.unlink()
    assert counted(killed) == {**WHOLE, "images_lost": IMAGES}
    assert lost_arrays(before) == sum(count for count, _ in before.values())


def test_where_nothing_was_counted_nothing_is_shown():
    whole = Counts(
        kills=1, decisions_due=1, images_due=1, decisions=1, same_decisions=1, runs=1, catalogued=1
    )
    assert whole.nothing_lost
    assert not Counts().nothing_lost
    assert not dataclasses.replace(whole, decisions=0, same_decisions=0).nothing_lost
    assert not dataclasses.replace(whole, runs=0, catalogued=0).nothing_lost
    assert not dataclasses.replace(whole, arrays_lost=1).nothing_lost
    assert not Row().nothing_lost


@pytest.mark.slow
def test_what_the_feeder_has_not_brought_in_is_lost(catalog):
    folder = CatalogFolder.open(catalog)
    unfed, fed = Row(), Row()
    unfed.look(folder, IMAGES)
    assert (unfed.runs, unfed.whole, unfed.kept) == (1, 1, IMAGES)
    assert unfed.catalogued == 0
    assert not unfed.nothing_lost

    with fed.feeding(catalog):
        pass
    fed.look(folder, IMAGES)
    assert fed.wrong == []
    assert fed.catalogued == 1
    assert fed.nothing_lost


class ByTheClock(RunProgress):
    """Tells the time left by the system's clock, which jumps, and from all images so far."""

    def __init__(self, console):
        super().__init__(console)

        def clock():
            return time.time()  # looked up anew each time: it is what jumps

        self._progress.get_time = clock
        self._progress.speed_estimate_period = float("inf")


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
@pytest.mark.parametrize("progress", [RunProgress, ByTheClock])
def test_a_time_left_that_follows_a_jump_of_the_clock_is_noticed(
    tmp_path, monkeypatch, jump_s, progress
):
    monkeypatch.setattr(endurance_catalogue, "RunProgress", progress)
    row, folder = Row(), CatalogFolder.create_or_open(tmp_path / "catalogue")
    assert image_with_a_jump(folder, 0, 3, jump_s, row) == IMAGES
    assert bool(row.wrong) == (progress is ByTheClock), row.wrong


def test_a_trial_that_fails_is_told_and_the_next_one_goes_on(capsys):
    row = Row()
    for number in range(3):
        with row.trial():
            if number == 1:
                raise ValueError("of this one")
    assert row.trials == 3
    assert row.wrong == ["trial 2: ValueError('of this one')"]
    assert "Traceback" in capsys.readouterr().err


def test_where_no_disk_can_be_mounted_the_reason_is_told(monkeypatch, capsys):
    monkeypatch.setattr(endurance_catalogue, "refusal", lambda: "no disk here")
    assert endurance_catalogue.main(1, ["disk_full"])
    assert "| disk full | skipped: no disk here |" in capsys.readouterr().out


def test_a_chain_that_fails_is_told_and_the_next_one_goes_on(monkeypatch, capsys):
    seeds = []

    def fail(kills, seed, folder, counts, *, fed):
        seeds.append(seed)
        raise RuntimeError("of this one")

    monkeypatch.setattr(endurance_kills, "chain", fail)
    assert not endurance_kills.main(20)
    assert seeds == [0, 1]
    assert "RuntimeError('of this one')" in capsys.readouterr().out


def test_an_endurance_benchmark_that_fails_does_not_keep_the_others_from_running(
    monkeypatch, capsys
):
    def fail():
        raise RuntimeError("of this one")

    ran = []
    monkeypatch.setattr(endurance_kills, "main", fail)
    monkeypatch.setattr(endurance_catalogue, "main", lambda: ran.append("catalogue") or True)
    monkeypatch.setattr(
        endurance_images, "main", lambda *, fed=False: ran.append(f"images {fed}") or not fed
    )
    with pytest.raises(benchmarks.LostError, match=r"endurance_kills, endurance_images --fed$"):
        benchmarks.endurance()
    assert ran == ["catalogue", "images False", "images True"]
    assert "of this one" in capsys.readouterr().err


def seen(*, slower=1.0, grows_KiB=0.0, fed_KiB=0.0):
    """What is seen of 10,000 images of 50 ms of processor time, slower from the middle on."""
    count = endurance_images.IMAGES
    steps_s = np.where(np.arange(count) < count // 2, 0.05, 0.05 * slower)
    # By the clock they take ten times as long in the end: another program has begun.
    wall_s = np.where(np.arange(count) < count // 2, 0.06, 0.6)
    return endurance_images.Seen(
        wall_s=list(np.cumsum(wall_s)),
        processor_s=list(np.cumsum(steps_s)),
        memory_MiB=list(300 + np.arange(count) * grows_KiB / 1024),
        fed_MiB=list(200 + np.arange(count) * fed_KiB / 1024),
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({"slower": 1.15, "grows_KiB": 3.9}, []),
        ({"slower": 1.25}, ["1.25 times the processor's time in the end, at most 1.2"]),
        ({"grows_KiB": 6.0}, ["the program grows by 6.0 KiB an image, at most 4.0"]),
        ({"fed_KiB": 6.0}, ["what feeds grows by 6.0 KiB an image, at most 4.0"]),
    ],
)
def test_images_that_cost_more_and_memory_that_grows_are_noticed(changes, told):
    assert endurance_images.problems_of(seen(**changes)) == told
