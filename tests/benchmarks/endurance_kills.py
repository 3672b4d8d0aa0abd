"""Runs killed at random moments and gone on with, again and again: nothing may be lost.

``python -m tests.benchmarks.endurance_kills [--kills N] [--seed N] [--json]`` prints a table, and
ends with 1 when anything was lost. `stedopt run` images a served twin; at a random moment of its
images it gets SIGKILL, `stedopt resume` goes on with it and is killed in its turn. Ten kills make a
chain of runs, which is then gone on with to its end, verified, taken into a catalogue, and decided
anew from its observations as one run that nothing had interrupted.

There are two witnesses. The twin outlives what is killed: an image of which it has scanned anything
was decided before, and one after which it has begun another had its Event. And the disk, right
after a kill: each whole Event in the journal, and each array that can be read from a file, must be
there, unchanged, when the chain has come to its end. In every fifth chain the catalogue is fed
beside the runs, and taken as it was fed.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import sys
import tempfile
import time
import traceback
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from stedopt_bluesky.records import Catalog, CatalogFolder
from stedopt_bluesky.records.assets import open_to_read
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.journal import journal_paths, records
from stedopt_bluesky.records.replay import rerun_decisions
from stedopt_bluesky.records.resume import RunChain, read_chain
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.session.decisions import make_choose
from stedopt_bluesky.session.stored import config_of, prior_of
from stedopt_bluesky.session.strategies import make_strategy
from tests.benchmarks.forked import Forked
from tests.benchmarks.kept import is_catalogued, readable
from tests.benchmarks.kills import KEY, watched_twin
from tests.waiting import wait_for

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
# Pixels of a side of an image.
SIDE = 32
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
        Decisions that had to be there, by either witness; and those of them whose Event is not in
        the journal in the end.
    images_due, images_lost : int
        The same of images, whose Event must be there and every pixel readable.
    arrays_due, arrays_lost : int
        Arrays that could be read from files right after a kill, with an Event or without; and
        those of them that are not there, or not the same, in the end.
    in_flight : int
        Images whose three scans had ended, and whose Event was not written yet, when the run was
        killed: at most one a kill.
    events, decisions : int
        Of images and decisions, in the joined runs.
    unnamed : int
        Files with the first arrays of a run, which was killed before a document told of them: part
        of what was in flight.
    torn : int
        Journals whose last record was torn by the kill.
    wrong : list of str
        What `stedopt catalog verify` found, and whatever else was not as it should be.
    runs, catalogued : int
        Runs with a start document, and those of them that the catalogues have whole.
    same_decisions : int
        Decisions that one strategy, never interrupted, makes again bit for bit.
    """

    kills: int = 0
    not_begun: int = 0
    decisions_due: int = 0
    decisions_lost: int = 0
    images_due: int = 0
    images_lost: int = 0
    arrays_due: int = 0
    arrays_lost: int = 0
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
        """Whether all is there, and decided as without the kills; and something was there."""
        lost = self.decisions_lost or self.images_lost or self.arrays_lost
        return (
            not (lost or self.wrong)
            and max(self.in_flight, self.unnamed) <= self.kills
            and self.decisions_due > 0
            and self.catalogued == self.runs > 0
            and self.same_decisions == self.decisions > 0
        )


@dataclass(frozen=True)
class Killed:
    """A run right after its end.

    Parameters
    ----------
    path : Path or None
        Its journal; None: there is none.
    scans : int
        Scans of images that the twin had begun for it.
    events : dict of str to set of str
        Uids of the whole Events in the journal, by stream; empty: there is no start document.
    """

    path: Path | None
    scans: int
    events: dict[str, set[str]]

    @classmethod
    def look(cls, path: Path | None, scans: int) -> Killed:
        """Read what there is on disk.

        Raises
        ------
        CatalogError
            When a record is damaged that is not the journal's last one.
        """
        streams: dict[str, str] = {}
        events: dict[str, set[str]] = {}
        for name, doc, _ in [] if path is None else records(path):
            if name == "start":
                events |= {"decision": set(), "primary": set()}
            elif name == "descriptor":
                streams[doc["uid"]] = doc["name"]
            elif name == "event":
                events.setdefault(streams[doc["descriptor"]], set()).add(doc["uid"])
        return cls(path, scans, events)

    @property
    def begun(self) -> bool:
        """Whether there is a start document."""
        return bool(self.events)

    @property
    def imaged(self) -> int:
        """Images of which the twin has scanned anything."""
        return math.ceil(self.scans / SCANS_PER_IMAGE)

    def count(self, counts: Counts) -> None:
        """Count what is there in the end, of what each witness says."""
        decisions, images = set[str](), set[str]()
        told = {"decision": set[str](), "primary": set[str](), **self.events}
        if self.path is not None and self.begun:
            try:
                record = RunRecord.read(self.path)
            except CatalogError as error:
                counts.wrong.append(str(error))
            else:
                if "decision" in record.streams:
                    decisions = {event["uid"] for event in record.events("decision")}
                images = readable(record, SIDE)
        # The last image that was begun may have had no Event yet.
        for found, on_disk, scanned, what in (
            (decisions, told["decision"], self.imaged, "decisions"),
            (images, told["primary"], max(0, self.imaged - 1), "images"),
        ):
            lost = max(len(on_disk - found), scanned - len(found))
            for name, number in (("due", max(len(on_disk), scanned)), ("lost", max(0, lost))):
                key = f"{what}_{name}"
                setattr(counts, key, getattr(counts, key) + number)
        counts.in_flight += max(0, self.scans // SCANS_PER_IMAGE - len(told["primary"]))


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
        killed: list[Killed] = []
        arrays: dict[tuple[Path, str], tuple[int, str]] = {}
        for _ in range(kills):
            before, known = scans(), set(_journals(catalog))
            # Of the run before, which nobody has closed.
            open_before = set(watched.twin.measurement_names())
            process = _begin(uid, toml, catalog)

            def opened(before: set[str] = open_before) -> bool:
                return not before.issuperset(watched.twin.measurement_names())

            def in_light(before: int = before) -> bool:
                return scans() > before

            begun = opened if rng.random() < EARLY else in_light
            wait_for(begun, LONG_S, what="the run", process=process)
            time.sleep(rng.uniform(0, MOST_S))
            process.kill()
            process.communicate(timeout=LONG_S)  # its watchdog has the same standard error
            counts.kills += 1
            new = [path for path in _journals(catalog) if path not in known]
            if len(new) > 1:
                counts.wrong.append(f"one run has made {len(new)} journals")
            one = Killed.look(new[0] if new else None, scans() - before)
            killed.append(one)
            counts.not_begun += not one.begun
            counts.torn += bool(new) and not new[0].read_bytes().endswith(b"\n")
            arrays |= arrays_of(catalog, {path for path, _ in arrays})
            uid = one.path.stem if one.begun and one.path else uid
        if not uid:
            raise RuntimeError("no run of the chain has begun: kill them later")
        last = _begin(uid, toml, catalog, LAST_IMAGES)
        out, words = last.communicate(timeout=LONG_S)
        if last.returncode != 0:
            raise RuntimeError(f"the last one: {words}")
    folder_ = CatalogFolder.open(catalog)
    whole = read_chain(folder_, json.loads(out)["uid"])
    joined = {record.uid for record in whole.records[:-1]}
    if joined != {one.path.stem for one in killed if one.begun and one.path}:
        counts.wrong.append("the joined runs are not those that had begun")
    _verify(catalog, counts)
    _look_into_catalogue(folder_, counts, fed=fed)
    for one in killed:
        one.count(counts)
    counts.arrays_due += sum(count for count, _ in arrays.values())
    counts.arrays_lost += lost_arrays(arrays)
    counts.events += len(whole.history)
    decided, same = decided_again(whole)
    counts.decisions += decided
    counts.same_decisions += same
    if decided != (there := sum(len(r.events("decision")) for r in whole.records)):
        counts.wrong.append(f"of {there} decisions {decided} were made again")


def arrays_of(catalog: Path, but: Collection[Path] = ()) -> dict[tuple[Path, str], tuple[int, str]]:
    """How many arrays each dataset of a catalogue's files has, and a digest of them all.

    Files that HDF5 cannot read hold none: their first array was not complete.
    """
    found: dict[tuple[Path, str], tuple[int, str]] = {}
    for path in set((catalog / "arrays").rglob("*.h5")).difference(but):
        try:
            with open_to_read(path, growing=False) as file:
                for name, dataset in file.items():
                    if isinstance(dataset, h5py.Dataset) and dataset.shape:
                        found[path, name] = len(dataset), _digest(dataset, len(dataset))
        except OSError:
            continue
    return found


def lost_arrays(before: dict[tuple[Path, str], tuple[int, str]]) -> int:
    """Arrays that files had before, and that are not there any more, or not the same."""
    lost = 0
    for (path, name), (count, digest) in before.items():
        try:
            with open_to_read(path, growing=False) as file:
                same = _digest(file[name], count) == digest
        except (OSError, KeyError):
            same = False
        lost += 0 if same else count
    return lost


def _digest(dataset: h5py.Dataset, count: int) -> str:
    digest = hashlib.sha256()
    for index in range(count):  # one by one: a file of clouds may be large
        digest.update(dataset[index].tobytes())
    return digest.hexdigest()


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


def _look_into_catalogue(folder: CatalogFolder, counts: Counts, *, fed: bool) -> None:
    """Look for the runs in the catalogue as it was fed: beside them, or now."""
    if not fed:
        _, words = (feeder := stedopt("ingest", "--catalog", folder.path)).communicate(LONG_S)
        if feeder.returncode != 0:
            counts.wrong.append(f"ingest: {words}")
    # Those whose start document was not whole are no runs.
    paths = [path for path in journal_paths(folder) if Killed.look(path, 0).begun]
    counts.runs += len(paths)
    # What fed beside a killed run may still have it.
    with Catalog(folder, wait_s=LONG_S, fill=False) as catalogue:
        counts.catalogued += sum(is_catalogued(catalogue, RunRecord.read(p)) for p in paths)


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
            try:
                chain(left, seed + number, Path(folder), counts, fed=number % FED_EVERY == 0)
            except Exception as error:  # told as wrong; the next chain goes on
                traceback.print_exc()
                counts.wrong.append(f"chain {number}: {' '.join(repr(error).split())}")
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
