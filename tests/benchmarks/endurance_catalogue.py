"""What a catalogue endures: Tiled killed, disks full, torn records, clock jumps, two programs.

``python -m tests.benchmarks.endurance_catalogue [--moments N] [--only WHAT ...] [--json]`` prints
a table, and ends with 1 when anything was lost. Runs are those of the digital twin, of images of
32² or 64² pixels. After each trial all pixels are read, `stedopt catalog verify`'s checks are made
and the catalogue is asked for every row. (Killed runs: ``endurance_kills``; files that may not
grow: ``faults``.)
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from bluesky import RunEngine
from rich.console import Console

from stedopt_bluesky.config import ExperimentConfig, preset
from stedopt_bluesky.records import Catalog, CatalogFolder
from stedopt_bluesky.records.background import BackgroundIngestion
from stedopt_bluesky.records.following import Target, once
from stedopt_bluesky.records.journal import Document, journal_paths, records
from stedopt_bluesky.records.recovery import close_broken_run
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.records.verify import verify
from stedopt_bluesky.reports.progress import RunProgress
from stedopt_bluesky.session import connect_application, open_session
from tests.benchmarks.endurance_kills import FIRST_ARRAYS
from tests.benchmarks.forked import Forked
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
SHOTS = ("microscope_confocal1", "microscope_sted1", "microscope_confocal2")
HOUR_S = 3600.0
# A bound against hanging.
LONG_S = 300.0
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
# A disk of its own in a name space of its own; then it gets more room, and the run goes on.
DISK_SCRIPT = """
mount -t tmpfs -o size={kib}k tmpfs "{disk}" || exit 99
cd "{disk}"
{stedopt} run "{toml}" --catalog cat --json > "{out}/first.json" 2> "{out}/first.err"
mount -o remount,size=64m "{disk}"
uid=$(ls cat/journal/*/ 2> /dev/null | grep jsonl | cut -c1-36)
if [ -n "$uid" ]; then
  {stedopt} resume "$uid" --catalog cat --json > "{out}/second.json" 2> "{out}/second.err"
fi
cp -r "{disk}/cat" "{out}/cat"
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
        Runs of which the catalogue has every image's row.
    wrong : list of str
        Whatever else was not as it should be.
    """

    trials: int = 0
    runs: int = 0
    expected: int = 0
    kept: int = 0
    whole: int = 0
    catalogued: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def nothing_lost(self) -> bool:
        """Whether all is there."""
        counts = (self.whole, self.catalogued)
        return self.kept >= self.expected and not self.wrong and counts == (self.runs, self.runs)

    def look(self, folder: CatalogFolder, expected: int) -> None:
        """Count what one trial has left in a catalogue."""
        self.trials += 1
        self.expected += expected
        taken = {path.stem: _readable(path) for path in journal_paths(folder)}
        self.runs += len(taken)
        self.kept += sum(taken.values())
        found = verify(folder)
        self.whole += sum(run.status == "whole" for run in found.runs)
        self.wrong += [f"{r.uid[:8]}: {p}" for r in found.runs for p in r.problems]
        self.wrong += [o for o in found.orphans if not o.endswith(FIRST_ARRAYS)]
        with Catalog(folder, wait_s=LONG_S) as catalogue:
            catalogue.sync()
            for uid, images in taken.items():
                rows = len(catalogue.table(uid, "primary")) if images else 0
                self.catalogued += uid in catalogue.client and rows == images


def _readable(journal: Path) -> int:
    """Images of a run of which every pixel can be read."""
    record = RunRecord.read(journal)
    if "primary" not in record.streams:
        return 0
    return min(len(record.arrays(key)) for key in SHOTS)


def image(
    catalog: Path | CatalogFolder,
    seed: int = 0,
    observe: Callable[[str, Document], object] = lambda name, doc: None,
    target: Callable[[CatalogFolder], Target] | None = None,
) -> int:
    """Run once in this process, the catalogue fed beside it if one is named; its Events."""
    config = small(seed)
    events: list[str] = []

    def count(name: str, doc: Document) -> None:
        if name == "event" and "image_iteration" in doc["data"]:
            events.append(doc["uid"])

    engine = RunEngine({}, context_managers=[])
    with open_session(config, connect_application(config), catalog, run_engine=engine) as session:
        fed = BackgroundIngestion(target(session.folder)) if target else None
        engine.subscribe(count)
        engine.subscribe(observe)
        engine(session.optimize())
        if fed:
            # It may have given up on a server that was away for long: the next one brings it in.
            fed.finish(LONG_S)
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
            for number in range(moments):
                server.start()
                at = int(rng.integers(IMAGES))
                back = threading.Thread(target=_start_later, args=(server, rng.uniform(0, 3)))

                def kill(name: str, doc: Document, at: int = at, back: Any = back) -> None:
                    if name == "event" and doc["data"].get("image_iteration") == at:
                        server.kill()
                        back.start()

                expected += image(
                    folder, number, kill, lambda folder: Target(folder, server.uri, KEY)
                )
                back.join()
                server.kill()
            server.start()
            if not once(Target(folder, server.uri, KEY), lambda told: None):
                row.wrong.append("the server does not answer")
        finally:
            server.kill()
        row.look(folder, expected)
        row.trials = moments
    return row


def _start_later(server: TiledProcess, after_s: float) -> None:
    time.sleep(after_s)
    server.start()


def two_programs(moments: int, rng: np.random.Generator) -> Row:
    """Have two programs image into one catalogue, a third one feed it and a fourth one read."""
    row = Row()
    with tempfile.TemporaryDirectory(prefix="stedopt-") as place:
        catalog = Path(place) / "catalogue"
        expected = 0
        for number in range(moments):
            before = len(journal_paths(CatalogFolder.open(catalog))) if number else 0
            runs = []
            for program in range(2):
                toml = Path(place) / f"{number}-{program}.toml"
                toml.write_text(DISK_TOML.format(images=IMAGES, seed=2 * number + program))
                runs.append(Forked(("run", toml, "--catalog", catalog), {}))
            while not catalog.exists() and any(run.poll() is None for run in runs):
                time.sleep(0.01)
            beside = [Forked(("ingest", "--catalog", catalog), {})]
            reads = 0
            while any(run.poll() is None for run in runs):
                time.sleep(rng.uniform(0, 0.2))
                for path in journal_paths(CatalogFolder.open(catalog)):
                    reads += len(tuple(records(path)))
            row.wrong += [] if reads else ["nothing was read while they imaged"]
            for program in runs + beside:
                _, words = program.communicate(LONG_S)
                if program.returncode != 0:
                    row.wrong.append(words.strip().splitlines()[-1])
            if len(journal_paths(CatalogFolder.open(catalog))) != before + 2:
                row.wrong.append("not two runs")
            expected += 2 * IMAGES
        row.look(CatalogFolder.open(catalog), expected)
        row.trials = moments
    return row


def torn_record(moments: int, rng: np.random.Generator) -> Row:
    """Cut a run's journal at every byte of an Event, and close it as after a crash."""
    row = Row()
    with tempfile.TemporaryDirectory(prefix="stedopt-") as place:
        whole = Path(place) / "whole"
        image(whole, int(rng.integers(1000)))
        (path,) = journal_paths(CatalogFolder.open(whole))
        content = path.read_bytes()
        ends = [0, *(end for _, _, end in records(path))]
        kinds = [name for name, _, _ in records(path)]
        event = max(n for n, name in enumerate(kinds) if name == "event")
        start, end = ends[event], ends[event + 1]
        cut = CatalogFolder.create_or_open(Path(place) / "cut")
        shutil.copytree(CatalogFolder.open(whole).arrays, cut.arrays, dirs_exist_ok=True)
        journal = cut.journal / path.relative_to(CatalogFolder.open(whole).journal)
        journal.parent.mkdir(parents=True, exist_ok=True)
        # Of all cuts the journal is looked at, of some all pixels too.
        looked_at = {start, end - 1, *rng.integers(start, end, moments)}
        for position in range(start, end):
            journal.write_bytes(content[:position])
            close_broken_run(cut, journal)
            row.trials += 1
            kept = journal.read_bytes()
            if not (kept.startswith(content[:start]) and kept.count(b"\n") == event + 1):
                row.wrong.append(f"cut at byte {position}: {len(kept)} bytes are left")
            if position in looked_at:
                row.runs += 1
                row.expected += IMAGES - 1
                row.kept += _readable(journal)
                row.whole += all(run.status == "whole" for run in verify(cut).runs)
        with Catalog(cut, wait_s=LONG_S) as catalogue:  # the last one of them
            rows = len(catalogue.table(journal.stem, "primary"))
        row.catalogued = row.runs if rows == IMAGES - 1 else 0
    return row


def clock_jumps(moments: int, rng: np.random.Generator) -> Row:
    """Have the system's clock jump by an hour, to and fro, at a random image of a run."""
    row = Row()
    for number in range(moments):
        jump_s = HOUR_S if number % 2 else -HOUR_S
        with tempfile.TemporaryDirectory(prefix="stedopt-") as place:
            folder = CatalogFolder.create_or_open(Path(place) / "catalogue")
            expected = _image_with_a_jump(folder, number, int(rng.integers(1, IMAGES)), jump_s, row)
            expected += image(folder, number + 1)  # by the right clock again
            row.look(folder, expected)
            with Catalog(folder, wait_s=LONG_S) as catalogue:
                listed = {p.stem: RunRecord.read(p).start["time"] for p in journal_paths(folder)}
                if catalogue.client[-1].start["uid"] != max(listed, key=lambda uid: listed[uid]):
                    row.wrong.append("the catalogue's last run is not the newest one")
    return row


def _image_with_a_jump(folder: CatalogFolder, seed: int, at: int, jump_s: float, row: Row) -> int:
    """Run with a clock that jumps at an image; the order and the time left must not mind."""
    now, jumped = time.time, threading.Event()
    shown = RunProgress(Console(stderr=True, quiet=True))
    begun = time.monotonic()

    def observe(name: str, doc: Document) -> None:
        if name == "event" and doc["data"].get("image_iteration") == at:
            jumped.set()
        shown(name, doc)
        for task in shown._progress.tasks:
            left_s = task.time_remaining
            if left_s is not None and not 0 <= left_s <= 10 * IMAGES * (1 + now() - begun):
                row.wrong.append(f"{left_s} s are said to be left")

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


def disk_full(moments: int, rng: np.random.Generator) -> Row | None:
    """Run on a disk that is full after a random number of bytes; None: none can be mounted."""
    if shutil.which("unshare") is None:
        return None
    row = Row()
    for number in range(moments):
        with tempfile.TemporaryDirectory(prefix="stedopt-") as place:
            disk, out = Path(place) / "disk", Path(place) / "out"
            disk.mkdir()
            out.mkdir()
            toml = Path(place) / "run.toml"
            toml.write_text(DISK_TOML.format(images=IMAGES, seed=number))
            script = DISK_SCRIPT.format(
                kib=int(rng.integers(*DISK_KIB)),
                disk=disk,
                out=out,
                toml=toml,
                stedopt=f"{sys.executable} -m stedopt_bluesky.cli",
            )
            done = subprocess.run(
                ["unshare", "-Urm", "sh", "-c", script],
                env={**os.environ, "PYTHONPATH": os.getcwd()},
                check=False,
                capture_output=True,
                timeout=2 * LONG_S,
            )
            if done.returncode == 99:
                return None
            said = (out / "first.err").read_text()
            if "Traceback" in said or "No space left on device" not in said:
                row.wrong.append(said.strip().splitlines()[-1])
            told = [_told(out / name) for name in ("first.json", "second.json")]
            if sum(told) != IMAGES:
                row.wrong.append(f"{told} images, of {IMAGES}")
            # Where it was is gone: files are found beside their journal.
            row.look(CatalogFolder.open(out / "cat"), sum(told))
    return row


def _told(said: Path) -> int:
    """Images that a command says it has taken."""
    return len(json.loads(said.read_text())["images"]) if said.exists() else 0


KINDS: dict[str, Callable[[int, np.random.Generator], Row | None]] = {
    "Tiled killed and started again": tiled_killed,
    "two programs, one that feeds and one that reads": two_programs,
    "last record torn, at every byte": torn_record,
    "disk full": disk_full,
    "clock jumps by an hour": clock_jumps,
}


def main(moments: int = MOMENTS, only: list[str] | None = None, *, as_json: bool = False) -> bool:
    """Print the table; whether nothing was lost."""
    rows: dict[str, Row | None] = {}
    if not as_json:
        print(
            "| | trials | runs | images kept / expected | runs verified | runs in the catalogue |"
        )
        print("|---|---|---|---|---|---|")
    for what, trials in KINDS.items():
        if only and trials.__name__ not in only:
            continue
        row = rows[what] = trials(moments, np.random.default_rng(0))
        if as_json:
            continue
        if row is None:
            print(f"| {what} | none: no file system can be mounted here | | | | |", flush=True)
            continue
        print(
            f"| {what} | {row.trials} | {row.runs} | {row.kept} / {row.expected} "
            f"| {row.whole}/{row.runs} | {row.catalogued}/{row.runs} |",
            flush=True,
        )
        for wrong in row.wrong:
            print(f"{what}: {wrong}", file=sys.stderr)
    if as_json:
        plain = {what: row and dataclasses.asdict(row) for what, row in rows.items()}
        print(json.dumps(plain, indent=1))
    return all(row is None or row.nothing_lost for row in rows.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=MOMENTS)
    parser.add_argument("--only", nargs="*", choices=[kind.__name__ for kind in KINDS.values()])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    sys.exit(not main(given.moments, given.only, as_json=given.json))
