"""Runs killed at random moments and gone on with, again and again: nothing may be lost.

``python -m tests.benchmarks.endurance_kills [--kills N] [--seed N] [--json]`` prints a table, and
ends with 1 when anything was lost. `stedopt run` images a served twin; at a random moment of its
images it gets SIGKILL, `stedopt resume` goes on with it and is killed in its turn. Ten kills make a
chain of runs, which is then gone on with to its end, verified, taken into a catalogue, and decided
anew from its observations as one run that nothing had interrupted.

The witness is the twin, which outlives what is killed: a scan that it has ended had its decision
on disk before, and one of a further image had the Event of the image before. In every fifth chain
the catalogue is fed beside the runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from stedopt_bluesky.records import Catalog, CatalogFolder
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.journal import journal_paths
from stedopt_bluesky.records.replay import rerun_decisions
from stedopt_bluesky.records.resume import RunChain, read_chain
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.session.decisions import make_choose
from stedopt_bluesky.session.stored import config_of, prior_of
from stedopt_bluesky.session.strategies import make_strategy
from tests.benchmarks.forked import Forked
from tests.benchmarks.kills import KEY, wait_for, watched_twin

KILLS = 100
CHAIN = 10
# Of so many chains, one has its catalogue fed beside the runs.
FED_EVERY = 5
# A run is killed up to so long, s, after it has opened its measurement (this share of them: before
# or in the overview, mostly), or after its first scan of an image; a chain has more images than are
# taken in that time, and so many after the last kill.
EARLY, MOST_S = 0.2, 3.0
PLANNED, LAST_IMAGES = 5000, 2
SCANS_PER_IMAGE = 3
TOML = """
preset = "classical"
images = {images}
seed = {seed}
[microscope]
host = "{host}"
field_um = 30.0
[overview]
size_um = 30.0
minimum_foreground = 0.02
[imaging]
region_size_um = 0.64
[time_lapse]
images_per_region = 10
[catalog]
background = {background}
"""
IMAGES = ("microscope_confocal1", "microscope_sted1", "microscope_confocal2")
# A bound against hanging.
LONG_S = 300.0
# What `stedopt catalog verify` says of the first arrays of a run that ended before a document told
# of them: they were in flight.
FIRST_ARRAYS = "no journal names it; it has arrays of 1 Events"


@dataclass
class Counts:
    """What was counted, over all chains.

    Parameters
    ----------
    kills, not_begun : int
        Runs killed, and of these the ones that had written no start document yet.
    decisions_due, decisions_lost : int
        Images of which the twin has scanned anything: each was decided; and those of them whose
        decision is in no journal.
    images_due, images_lost : int
        Images after which the twin has begun a further one: each had its Event; and those of them
        without an Event, or whose Event names images that cannot be read.
    in_flight : int
        Images whose three scans had ended, and whose Event was not written yet, when the run was
        killed: at most one a kill.
    events, decisions : int
        In the journals.
    unnamed : int
        Files with the first arrays of a run, which was killed before a document told of them: part
        of what was in flight.
    torn : int
        Journals whose last record was torn by the kill.
    wrong : list of str
        What `stedopt catalog verify` found.
    runs, catalogued : int
        Runs with a start document, and runs in the catalogues.
    same_decisions : int
        Decisions that one strategy, never interrupted, makes again bit for bit.
    """

    kills: int = 0
    not_begun: int = 0
    decisions_due: int = 0
    decisions_lost: int = 0
    images_due: int = 0
    images_lost: int = 0
    in_flight: int = 0
    events: int = 0
    decisions: int = 0
    unnamed: int = 0
    torn: int = 0
    wrong: list[str] = field(default_factory=list)
    runs: int = 0
    catalogued: int = 0
    same_decisions: int = 0

    @property
    def nothing_lost(self) -> bool:
        """Whether all is there, and decided as without the kills."""
        return (
            not (self.decisions_lost or self.images_lost or self.wrong)
            and max(self.in_flight, self.unnamed) <= self.kills
            and self.catalogued == self.runs
            and self.same_decisions == self.decisions
        )


def chain(kills: int, seed: int, folder: Path, counts: Counts, *, fed: bool) -> None:
    """Kill a run and those that go on with it so many times, then look at what is left.

    Parameters
    ----------
    kills : int
        How many.
    seed : int
        Of the moments and of the run.
    folder : Path
        An empty folder.
    counts : Counts
        Is added to.
    fed : bool
        Whether the catalogue is fed beside the runs.
    """
    rng = np.random.default_rng(seed)
    catalog, toml = folder / "catalogue", folder / "run.toml"
    with watched_twin(real_time=False) as (watched, server):
        background = str(fed).lower()
        toml.write_text(
            TOML.format(host=server.address, images=PLANNED, seed=seed, background=background)
        )

        def scans() -> int:
            """Scans of images so far that have ended; each configuration's lasers are logged."""
            return len(
                {
                    record.start_s
                    for record in watched.twin.emission_log
                    if not record.configuration.startswith("overview")
                }
            )

        uid = ""

        def in_light(before: int) -> bool:
            return scans() > before

        for _ in range(kills):
            before, known = scans(), set(_journals(catalog))
            process = _begin(uid, toml, catalog)
            early = rng.random() < EARLY
            begun = watched.twin.measurement_names if early else partial(in_light, before)
            wait_for(begun, process)
            time.sleep(rng.uniform(0, MOST_S))
            process.kill()
            process.communicate(timeout=LONG_S)  # its watchdog has the same standard error
            counts.kills += 1
            new = [path for path in _journals(catalog) if path not in known]
            uid = _look(new, scans() - before, catalog, counts) or uid
        last = _begin(uid, toml, catalog, LAST_IMAGES if uid else None)
        if not uid:
            raise RuntimeError("no run of the chain has begun: kill them later")
        out, words = last.communicate(timeout=LONG_S)
        if last.returncode != 0:
            raise RuntimeError(f"the last one: {words}")
    folder_ = CatalogFolder.open(catalog)
    whole = read_chain(folder_, json.loads(out)["uid"])
    _verify(catalog, counts)
    _look_into_catalogue(folder_, counts)
    counts.events += len(whole.history)
    decided, same = decided_again(whole)
    counts.decisions += decided
    counts.same_decisions += same


def stedopt(*arguments: object) -> Forked:
    """Start a command of ours."""
    return Forked(arguments, {"STEDOPT_API_KEY": KEY})


def _begin(uid: str, toml: Path, catalog: Path, images: int | None = None) -> Forked:
    if not uid:
        return stedopt("run", toml, "--catalog", catalog)
    more = () if images is None else ("--images", images)
    return stedopt("resume", uid, "--catalog", catalog, *more)


def _journals(catalog: Path) -> list[Path]:
    try:
        return journal_paths(CatalogFolder.open(catalog))
    except CatalogError:  # not made yet
        return []


def _look(new: list[Path], scans: int, catalog: Path, counts: Counts) -> str:
    """Count what a killed run has left; its uid, "" when it had not begun."""
    record = None
    if new:
        (path,) = new
        counts.torn += not path.read_bytes().endswith(b"\n")
        try:
            record = RunRecord.read(path)
        except CatalogError:  # killed before its start document was whole
            record = None
    if record is None:
        counts.not_begun += 1
        if scans:
            counts.decisions_lost += math.ceil(scans / SCANS_PER_IMAGE)
        return ""
    decided = len(record.events("decision")) if "decision" in record.streams else 0
    kept = _readable(record)
    due = math.ceil(scans / SCANS_PER_IMAGE)
    counts.decisions_due += due
    counts.decisions_lost += max(0, due - decided)
    counts.images_due += max(0, due - 1)
    counts.images_lost += max(0, due - 1 - kept) + len(record.observations) - kept
    counts.in_flight += max(0, scans // SCANS_PER_IMAGE - kept)
    return record.uid


def _readable(record: RunRecord) -> int:
    """Events of images of which every pixel can be read."""
    if "primary" not in record.streams:
        return 0
    return min(len(record.arrays(key)) for key in IMAGES)


def _verify(catalog: Path, counts: Counts) -> None:
    process = stedopt("catalog", "verify", "--catalog", catalog, "--mend")
    out, words = process.communicate(timeout=LONG_S)
    if not out:
        raise RuntimeError(f"verify: {words}")
    found = json.loads(out)
    for run in found["runs"]:
        counts.wrong += [f"{run['uid'][:8]}: {problem}" for problem in run["problems"]]
    for orphan in found["orphans"]:
        if orphan.endswith(FIRST_ARRAYS):
            counts.unnamed += 1
        else:
            counts.wrong.append(orphan)


def _look_into_catalogue(folder: CatalogFolder, counts: Counts) -> None:
    """Open the catalogue, which takes in what it lacks."""
    paths = [path for path in journal_paths(folder) if path.read_bytes()]
    counts.runs += len(paths)
    with Catalog(folder, wait_s=LONG_S) as catalogue:
        for path in paths:
            record = RunRecord.read(path)
            if path.stem not in catalogue.client:
                continue
            taken = len(record.observations)
            rows = len(catalogue.table(path.stem, "primary")) if taken else 0
            counts.catalogued += rows == taken


def decided_again(whole: RunChain) -> tuple[int, int]:
    """Decide a chain of runs anew as one that was never interrupted: decisions, and same ones."""
    config = config_of(whole.records[0])
    strategy = make_strategy(config, (), prior_of(whole.records[0]))
    choose = make_choose(config)
    compared = [
        one
        for record in whole.records
        for one in rerun_decisions(record, lambda _: strategy, choose, compare_clouds=True)
    ]
    return len(compared), sum(one.same for one in compared)


def main(kills: int = KILLS, seed: int = 0, *, as_json: bool = False) -> bool:
    """Print the table; whether nothing was lost."""
    counts = Counts()
    for number in range(math.ceil(kills / CHAIN)):
        with tempfile.TemporaryDirectory(prefix="stedopt-") as folder:
            left = min(CHAIN, kills - number * CHAIN)
            chain(left, seed + number, Path(folder), counts, fed=number % FED_EVERY == 0)
        # Of a table that takes half an hour, what is known so far.
        so_far = {"of": kills, **dataclasses.asdict(counts)}
        print(json.dumps(so_far), file=sys.stderr, flush=True)
    told = dataclasses.asdict(counts)
    if as_json:
        print(json.dumps({**told, "nothing_lost": counts.nothing_lost}, indent=1))
    else:
        print("| what was counted | |\n|---|---|")
        for name, value in told.items():
            print(f"| {name.replace('_', ' ')} | {value or '0'} |")
    return counts.nothing_lost


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    sys.exit(not main(given.kills, given.seed, as_json=given.json))
