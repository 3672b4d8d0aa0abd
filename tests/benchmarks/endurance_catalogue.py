"""What a catalogue endures: Tiled killed, disks full, torn records, clock jumps, two programs.

``python -m tests.benchmarks.endurance_catalogue [--moments N] [--only WHAT ...] [--json]`` prints
a table, and ends with 1 when anything was lost. Runs are those of the digital twin, of images of
32² or 64² pixels. A process feeds the catalogue, ``stedopt ingest --follow``, and is ended by
SIGINT; what it has not brought in counts as lost. After each trial all pixels are read, `stedopt
catalog verify`'s checks are made and the catalogue is asked for every row. (Killed runs:
``endurance_kills``; files that may not grow: ``faults``.)
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from bluesky import RunEngine
from rich.console import Console

from stedopt_bluesky.config import ExperimentConfig, preset
from stedopt_bluesky.config.keys import CATALOG_VARIABLE
from stedopt_bluesky.records import Catalog, CatalogFolder
from stedopt_bluesky.records.journal import Document, journal_paths, records
from stedopt_bluesky.records.recovery import close_broken_run
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.records.verify import verify
from stedopt_bluesky.reports.progress import RunProgress
from stedopt_bluesky.session import connect_application, open_session
from tests.benchmarks.endurance_kills import FIRST_ARRAYS
from tests.benchmarks.forked import Forked
from tests.benchmarks.kept import is_catalogued, readable
from tests.benchmarks.small_disk import LONG_S, fill_and_go_on, refusal
from tests.records.tiled_process import KEY, TiledProcess

MOMENTS = 20
IMAGES = 12
CHANGES: dict[str, Any] = {
    "images": IMAGES,
    "microscope.field_um": 30.0,
    "overview.size_um": 30.0,
    "overview.minimum_foreground": 0.02,
    "imaging.region_size_um": 0.64,
    "time_lapse.images_per_region": 2,
}
# Pixels of a side of these images, and of those of DISK_TOML.
SIDE, DISK_SIDE = 32, 64
HOUR_S = 3600.0
# Sizes of a disk that is filled by a run of 64² pixels, KiB: with less it cannot begin.
DISK_KIB = (330, 520)
DISK_TOML = """
preset = "classical"
images = {images}
seed = {seed}
[microscope]
field_um = 30.0
[overview]
size_um = 30.0
minimum_foreground = 0.02
[imaging]
region_size_um = 1.28
[catalog]
background = false
"""


@dataclass
class Row:
    """What became of the trials of one kind.

    Parameters
    ----------
    trials, runs : int
        How many; runs that have a journal.
    expected, kept : int
        Images that had an Event, and those of them that can be read.
    whole : int
        Runs of which `stedopt catalog verify` finds nothing wrong.
    catalogued : int
        Runs of which the catalogue has every decision's and every image's row.
    wrong : list of str
        Whatever else was not as it should be.
    skipped : str
        Why there are no trials.
    """

    trials: int = 0
    runs: int = 0
    expected: int = 0
    kept: int = 0
    whole: int = 0
    catalogued: int = 0
    wrong: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def nothing_lost(self) -> bool:
        """Whether all is there, or nothing was tried, for a reason."""
        if self.skipped:
            return not self.trials
        counts = (self.whole, self.catalogued)
        return (
            self.kept >= self.expected > 0
            and not self.wrong
            and counts == (self.runs, self.runs)
            and self.runs > 0
        )

    @contextlib.contextmanager
    def trial(self) -> Iterator[None]:
        """Count a trial; one that fails is told as wrong, and the next one goes on."""
        self.trials += 1
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.wrong.append(f"trial {self.trials}: {' '.join(repr(error).split())}")

    @contextlib.contextmanager
    def feeding(self, catalog: Path, server: str = "") -> Iterator[None]:
        """Have a process feed a catalogue, and end it by SIGINT; it must say that all is in."""
        to = ("--to", server) if server else ()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "stedopt_bluesky.cli", "ingest", "--follow", "--json"),
                *("--catalog", str(catalog), *to),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, CATALOG_VARIABLE: KEY},
        )
        try:
            assert process.stderr is not None
            said = process.stderr.readline()  # from here on SIGINT is waited for
            yield
            process.send_signal(signal.SIGINT)
            out, words = process.communicate(timeout=LONG_S)
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0 or not json.loads(out)["complete"]:
            self.wrong.append(f"the feeder: {' '.join((said + words).split())}")

    def look(self, folder: CatalogFolder, expected: int, side: int = SIDE) -> None:
        """Count what trials have left in a catalogue, which is taken as it was fed."""
        self.expected += expected
        records_ = [RunRecord.read(path) for path in journal_paths(folder)]
        self.runs += len(records_)
        self.kept += sum(len(readable(record, side)) for record in records_)
        found = verify(folder)
        self.whole += sum(run.status == "whole" for run in found.runs)
        self.wrong += [f"{r.uid[:8]}: {p}" for r in found.runs for p in r.problems]
        self.wrong += [o for o in found.orphans if not o.endswith(FIRST_ARRAYS)]
        with Catalog(folder, wait_s=LONG_S, fill=False) as catalogue:
            self.catalogued += sum(is_catalogued(catalogue, record) for record in records_)


def image(
    catalog: Path | CatalogFolder,
    seed: int = 0,
    observe: Callable[[str, Document], object] = lambda name, doc: None,
) -> int:
    """Run once in this process; its Events of images."""
    config = small(seed)
    events: list[str] = []

    def count(name: str, doc: Document) -> None:
        if name == "event" and "image_iteration" in doc["data"]:
            events.append(doc["uid"])

    engine = RunEngine({}, context_managers=[])
    with open_session(config, connect_application(config), catalog, run_engine=engine) as session:
        engine.subscribe(count)
        engine.subscribe(observe)
        engine(session.optimize())
    return len(events)


def small(seed: int) -> ExperimentConfig:
    """Configuration of the runs."""
    return preset("classical").updated({**CHANGES, "seed": seed})


def tiled_killed(moments: int, rng: np.random.Generator) -> Row:
    """Kill the Tiled server at random moments of runs, and start it again a little later."""
    row = Row()
    with tempfile.TemporaryDirectory(prefix="stedopt-") as place:
        folder = CatalogFolder.create_or_open(Path(place) / "catalogue")
        server = TiledProcess(folder, Path(place))
        expected = 0
        try:
            with row.feeding(folder.path, server.uri):
                for number in range(moments):
                    with row.trial():
                        expected += _image_without_a_server(
                            folder, number, server, int(rng.integers(IMAGES)), rng.uniform(0, 3)
                        )
                server.start()
        finally:
            server.kill()
        row.look(folder, expected)
    return row


def _image_without_a_server(
    folder: CatalogFolder, seed: int, server: TiledProcess, at: int, away_s: float
) -> int:
    """Run, and have the server killed at an image and started again later; Events of images."""
    server.start()

    def come_back() -> None:
        time.sleep(away_s)
        server.start()

    back = threading.Thread(target=come_back)

    def kill(name: str, doc: Document) -> None:
        if name == "event" and doc["data"].get("image_iteration") == at:
            server.kill()
            back.start()

    try:
        return image(folder, seed, kill)
    finally:
        if back.ident is not None:
            back.join()
        server.kill()


def two_programs(moments: int, rng: np.random.Generator) -> Row:
    """Have two programs image into one catalogue, a third one feed it and a fourth one read."""
    row = Row()
    with tempfile.TemporaryDirectory(prefix="stedopt-") as place:
        folder = CatalogFolder.create_or_open(Path(place) / "catalogue")
        with row.feeding(folder.path):
            for number in range(moments):
                with row.trial():
                    _two_runs(folder, Path(place), number, rng, row)
        row.look(folder, 2 * IMAGES * moments, DISK_SIDE)
    return row


def _two_runs(
    folder: CatalogFolder, place: Path, number: int, rng: np.random.Generator, row: Row
) -> None:
    """Have two programs run at once, and read their journals meanwhile."""
    before = set(journal_paths(folder))
    runs = []
    for program in range(2):
        toml = place / f"{number}-{program}.toml"
        toml.write_text(DISK_TOML.format(images=IMAGES, seed=2 * number + program))
        runs.append(Forked(("run", toml, "--catalog", folder.path), {}))
    reads = 0
    while any(run.poll() is None for run in runs):
        time.sleep(rng.uniform(0, 0.2))
        for path in set(journal_paths(folder)) - before:
            reads += len(tuple(records(path)))
    row.wrong += [] if reads else ["nothing was read while they imaged"]
    for program in runs:
        _, words = program.communicate(LONG_S)
        if program.returncode != 0:
            row.wrong.append(" ".join(words.split()) or f"exit code {program.returncode}")
    if len(journal_paths(folder)) != len(before) + 2:
        row.wrong.append("not two runs")


def torn_record(moments: int, rng: np.random.Generator) -> Row:
    """Cut a run's journal at every byte of an Event, and close it as after a crash."""
    row = Row()
    with tempfile.TemporaryDirectory(prefix="stedopt-") as place:
        whole = CatalogFolder.create_or_open(Path(place) / "whole")
        image(whole, int(rng.integers(1000)))
        (path,) = journal_paths(whole)
        content = path.read_bytes()
        ends = [0, *(end for _, _, end in records(path))]
        kinds = [name for name, _, _ in records(path)]
        event = max(n for n, name in enumerate(kinds) if name == "event")
        start, end = ends[event], ends[event + 1]
        # Of all cuts the journal is looked at; of some all pixels and the catalogue too.
        looked_at = {start, end - 1, *rng.integers(start, end, moments)}
        for position in range(start, end):
            with row.trial(), tempfile.TemporaryDirectory(dir=place) as cut_:
                cut = CatalogFolder.create_or_open(Path(cut_) / "cut")
                journal = cut.journal / path.relative_to(whole.journal)
                journal.parent.mkdir(parents=True, exist_ok=True)
                journal.write_bytes(content[:position])
                close_broken_run(cut, journal)
                kept = journal.read_bytes()
                if not (kept.startswith(content[:start]) and kept.count(b"\n") == event + 1):
                    row.wrong.append(f"cut at byte {position}: {len(kept)} bytes are left")
                if position in looked_at:
                    shutil.copytree(whole.arrays, cut.arrays, dirs_exist_ok=True)
                    with row.feeding(cut.path):
                        pass
                    row.look(cut, IMAGES - 1)
    return row


def clock_jumps(moments: int, rng: np.random.Generator) -> Row:
    """Have the system's clock jump by an hour, to and fro, at a random image of a run."""
    row = Row()
    for number in range(moments):
        jump_s = HOUR_S if number % 2 else -HOUR_S
        with row.trial(), tempfile.TemporaryDirectory(prefix="stedopt-") as place:
            folder = CatalogFolder.create_or_open(Path(place) / "catalogue")
            with row.feeding(folder.path):
                at = int(rng.integers(1, IMAGES))
                expected = image_with_a_jump(folder, number, at, jump_s, row)
                expected += image(folder, number + 1)  # by the right clock again
            row.look(folder, expected)
            with Catalog(folder, wait_s=LONG_S, fill=False) as catalogue:
                listed = {p.stem: RunRecord.read(p).start["time"] for p in journal_paths(folder)}
                if catalogue.client[-1].start["uid"] != max(listed, key=lambda uid: listed[uid]):
                    row.wrong.append("the catalogue's last run is not the newest one")
    return row


def image_with_a_jump(folder: CatalogFolder, seed: int, at: int, jump_s: float, row: Row) -> int:
    """Run with a clock that jumps at an image; the order and the time left must not mind.

    Parameters
    ----------
    folder : CatalogFolder
        An empty one.
    seed : int
        The run's.
    at : int
        The image, from 0, after which the clock jumps.
    jump_s : float
        By how much, s.
    row : Row
        Is told what was wrong.
    """
    now, jumped = time.time, threading.Event()
    shown = RunProgress(Console(stderr=True, quiet=True))
    begun = time.monotonic()

    def observe(name: str, doc: Document) -> None:
        if name == "event" and doc["data"].get("image_iteration") == at:
            jumped.set()
        shown(name, doc)
        # What is left is estimated from images that are done, one or more: at most all of them
        # would take, at the slowest pace that there can have been; and it is rounded up.
        most_s = 1 + IMAGES * (time.monotonic() - begun)
        for task in shown._progress.tasks:
            if task.time_remaining is not None and not 0 <= task.time_remaining <= most_s:
                row.wrong.append(f"{task.time_remaining} s are said to be left")

    def clock() -> float:
        return now() + (jump_s if jumped.is_set() else 0.0)

    with mock.patch("time.time", new=clock):
        expected = image(folder, seed, observe)
    (path,) = journal_paths(folder)
    record = RunRecord.read(path)
    events = record.events("primary")
    if [event["seq_num"] for event in events] != list(range(1, IMAGES + 1)):
        row.wrong.append("seq_num is not the order of the journal")
    times = [event["time"] for event in events]
    if not max(times) - min(times) > HOUR_S / 2:
        row.wrong.append("the clock did not jump")
    return expected


def disk_full(moments: int, rng: np.random.Generator) -> Row:
    """Run on a disk that is full after a random number of bytes, and go on with more room."""
    row = Row(skipped=refusal())
    for number in range(0 if row.skipped else moments):
        with row.trial(), tempfile.TemporaryDirectory(prefix="stedopt-") as place:
            disk, out, toml = Path(place) / "disk", Path(place) / "out", Path(place) / "run.toml"
            disk.mkdir()
            out.mkdir()
            toml.write_text(DISK_TOML.format(images=IMAGES, seed=number))
            first, second = fill_and_go_on(toml, disk, out, int(rng.integers(*DISK_KIB)))
            if "Traceback" in first.words or "No space left on device" not in first.words:
                row.wrong.append(first.last_word)
            told = [ended.images for ended in (first, second) if ended]
            if sum(told) != IMAGES:
                row.wrong.append(f"{told} images, of {IMAGES}")
            # Where it was is gone: files are found beside their journal.
            folder = CatalogFolder.open(out / "catalog")
            with row.feeding(folder.path):
                pass
            row.look(folder, sum(told), DISK_SIDE)
    return row


KINDS: dict[str, Callable[[int, np.random.Generator], Row]] = {
    "Tiled killed and started again": tiled_killed,
    "two programs, one that feeds and one that reads": two_programs,
    "last record torn, at every byte": torn_record,
    "disk full": disk_full,
    "clock jumps by an hour": clock_jumps,
}


def main(moments: int = MOMENTS, only: list[str] | None = None, *, as_json: bool = False) -> bool:
    """Print the table; whether nothing was lost."""
    rows: dict[str, Row] = {}
    if not as_json:
        print(
            "| | trials | runs | images kept / expected | runs verified | runs in the catalogue |"
        )
        print("|---|---|---|---|---|---|")
    for what, trials in KINDS.items():
        if only and trials.__name__ not in only:
            continue
        row = rows[what] = _tried(trials, moments)
        for wrong in row.wrong:
            print(f"{what}: {wrong}", file=sys.stderr)
        if as_json:
            continue
        if row.skipped:
            print(f"| {what} | skipped: {row.skipped} | | | | |", flush=True)
            continue
        print(
            f"| {what} | {row.trials} | {row.runs} | {row.kept} / {row.expected} "
            f"| {row.whole}/{row.runs} | {row.catalogued}/{row.runs} |",
            flush=True,
        )
    if as_json:
        plain = {what: dataclasses.asdict(row) for what, row in rows.items()}
        print(json.dumps(plain, indent=1))
    return all(row.nothing_lost for row in rows.values())


def _tried(trials: Callable[[int, np.random.Generator], Row], moments: int) -> Row:
    """Try one kind; what fails outside of its single trials is told as wrong too."""
    try:
        return trials(moments, np.random.default_rng(0))
    except Exception as error:
        traceback.print_exc()
        return Row(wrong=[" ".join(repr(error).split())])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=MOMENTS)
    parser.add_argument("--only", nargs="*", choices=[kind.__name__ for kind in KINDS.values()])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    sys.exit(not main(given.moments, given.only, as_json=given.json))
