"""10,000 images in one run: what an image costs at the end, and what memory the program takes.

``python -m tests.benchmarks.endurance_images [--images N] [--fed] [--json]`` prints markdown
tables, and ends with 1 when an image took more than 1.2 times the processor's time in the end, or
memory grew, or something is not there afterwards. One real run of the digital twin, with images of
32² pixels, the default strategy and a journal on disk. What is measured is all but the twin's
photophysics: drawing options, choosing, moving, rating, writing images, journal, progress. With
``--fed`` the catalogue is fed beside it. Afterwards the run is read, verified, looked for in the
catalogue and gone on with.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Before numpy is loaded: one thread, so that figures do not depend on the machine's load.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

IMAGES = 10_000
# So many images are compared at either end, after so many in which hyper-parameters are fitted at
# each and modules are loaded.
ENDS, WARM_UP = 500, 100
# Judged by the processor's time. The clock's is printed: what else runs on the computer changes it
# several times over within the hours that a run takes, at either end of it.
MOST_RATIO = 1.2
# KiB an image, over the second half of a run: less than the 6 KiB that an image's three scans would
# take if they were kept (32² pixels of 16 bits each), and more than the twin's own log of its
# lasers, about 1, and the history that strategy and progress learn from.
MOST_GROWTH_KIB = 4.0
# Images from which on memory is judged, where that is the second half of a run: what is taken once
# has been taken by then (39 MiB between images 3000 and 3500 of the run that was measured).
JUDGED_FROM = 4000
# Nine fields with some 500 regions each.
CONFIG = {
    "sample.name": "actin",
    "microscope.field_um": 95.0,
    "overview.size_um": 30.0,
    "overview.minimum_foreground": 0.05,
    "imaging.region_size_um": 0.64,
    "stage.columns": 3,
    "stage.rows": 3,
    "time_lapse.images_per_region": 3,
}
# Rows of the table of a run: so many parts of it.
PARTS = 10
_MIB = 2**20


@dataclass(eq=False)
class Seen:
    """What is seen of a run, image by image; a callback of documents.

    Parameters
    ----------
    wall_s, processor_s : list of float
        When each image's Event came, and the time that the program had used of the processor; of
        both the twin's photophysics is left out.
    memory_MiB, fed_MiB : list of float
        Resident, of the program and of the process that feeds the catalogue.
    """

    wall_s: list[float] = field(default_factory=list)
    processor_s: list[float] = field(default_factory=list)
    memory_MiB: list[float] = field(default_factory=list)
    fed_MiB: list[float] = field(default_factory=list)
    fed_pid: int = 0
    _physics_wall_s: float = 0.0
    _physics_processor_s: float = 0.0

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Observe one document."""
        if name != "event" or "image_iteration" not in doc["data"]:
            return
        self.wall_s.append(time.perf_counter() - self._physics_wall_s)
        self.processor_s.append(time.process_time() - self._physics_processor_s)
        self.memory_MiB.append(resident_MiB(os.getpid()))
        if self.fed_pid:
            self.fed_MiB.append(resident_MiB(self.fed_pid))
        if len(self.wall_s) % ENDS == 0:  # of a table that takes long, what is known so far
            medians = [statistics.median(v[-ENDS:]) for v in (self.wall_ms, self.processor_ms)]
            told = [round(v, 2) for v in (*medians, self.memory_MiB[-1])]
            print(f"{len(self.wall_s)} images: ms, processor ms, MiB {told}", file=sys.stderr)

    def expose(self, *arguments: Any) -> Any:
        """Have the twin's photophysics reckoned, and note how long that took."""
        from stedopt_bluesky.twin.photophysics import expose_labels

        begin, processor = time.perf_counter(), time.thread_time()
        try:
            return expose_labels(*arguments)
        finally:
            self._physics_wall_s += time.perf_counter() - begin
            self._physics_processor_s += time.thread_time() - processor

    @property
    def wall_ms(self) -> list[float]:
        """Overhead of each image but the first."""
        return [1e3 * (b - a) for a, b in itertools.pairwise(self.wall_s)]

    @property
    def processor_ms(self) -> list[float]:
        """Processor time of each image but the first."""
        return [1e3 * (b - a) for a, b in itertools.pairwise(self.processor_s)]


def resident_MiB(pid: int) -> float:  # noqa: N802  MiB is the unit's own name
    """Memory of a process that is in RAM."""
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / _MIB
    return float("nan")


def image(images: int, catalog: Path, *, fed: bool) -> Seen:
    """Run, and watch."""
    from bluesky import RunEngine
    from rich.console import Console

    from stedopt_bluesky.config import preset
    from stedopt_bluesky.records.background import BackgroundIngestion
    from stedopt_bluesky.records.following import Target
    from stedopt_bluesky.reports.progress import RunProgress
    from stedopt_bluesky.session import open_session
    from stedopt_bluesky.twin import TwinApplication, make_sample

    config = preset("classical").updated({**CONFIG, "images": images})
    seen = Seen()
    sample = make_sample("actin", config.seed, config.microscope.field_um * 1e-6)
    twin = TwinApplication(sample, seed=config.seed, expose=seen.expose)
    engine = RunEngine({}, context_managers=[])
    engine.subscribe(seen)
    engine.subscribe(RunProgress(Console(stderr=True)))
    with open_session(config, twin, catalog, run_engine=engine) as session:
        beside: Any = contextlib.nullcontext()
        if fed:
            beside = BackgroundIngestion(Target(session.folder))
            seen.fed_pid = beside.pid
        with beside:
            engine(session.optimize())
            if fed and (why := beside.finish(3600)):
                raise RuntimeError(why)
    return seen


def ratio(values: Sequence[float]) -> float:
    """Median of the last images over that of the first ones."""
    ends = min(ENDS, len(values) // 3)
    first = values[min(WARM_UP, ends) :][:ends]
    return statistics.median(values[-ends:]) / statistics.median(first)


def problems_of(seen: Seen) -> list[str]:
    """What a run shows that must not be: images that cost more, memory that grows."""
    found = []
    if not (slower := ratio(seen.processor_ms)) <= MOST_RATIO:
        found.append(f"{slower:.2f} times the processor's time in the end, at most {MOST_RATIO}")
    for what, memory in (("the program", seen.memory_MiB), ("what feeds", seen.fed_MiB)):
        if len(memory) < 2 * JUDGED_FROM:
            continue
        if not (grown := growth_KiB(memory)) <= MOST_GROWTH_KIB:
            found.append(f"{what} grows by {grown:.1f} KiB an image, at most {MOST_GROWTH_KIB}")
    return found


def growth_KiB(memory_MiB: Sequence[float]) -> float:  # noqa: N802
    """Slope of the memory over the second half of the images, KiB an image (least squares)."""
    half = memory_MiB[len(memory_MiB) // 2 :]
    return 1024 * statistics.linear_regression(range(len(half)), half).slope


def afterwards(catalog: Path, images: int, *, fed: bool) -> dict[str, float]:
    """Do with the run what is done with runs; s, and MiB of its files.

    Raises
    ------
    RuntimeError
        When images, files or rows of the catalogue are missing.
    """
    from stedopt_bluesky.records import Catalog, CatalogFolder, RunRecord
    from stedopt_bluesky.records.journal import journal_paths
    from stedopt_bluesky.records.verify import verify
    from stedopt_bluesky.session import continuation_of
    from stedopt_bluesky.session.strategies import make_strategy
    from tests.benchmarks.kept import is_catalogued

    folder = CatalogFolder.open(catalog)
    (journal,) = journal_paths(folder)
    found: dict[str, float] = {"journal, MiB": journal.stat().st_size / _MIB}
    arrays = [path.stat().st_size for path in folder.arrays.rglob("*.h5")]
    found["images and clouds, MiB"] = sum(arrays) / _MIB

    def timed(what: str, do: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        result = do()
        found[f"{what}, s"] = time.perf_counter() - begin
        return result

    record = timed("read", lambda: RunRecord.read(journal))
    if len(record.observations) != images:
        raise RuntimeError(f"{len(record.observations)} images are in the journal, of {images}")
    timed("table", lambda: record.table("primary"))
    timed("one image", lambda: record.array("microscope_sted1", record.events("primary")[-1]))
    timed("verify --quick", lambda: verify(folder, quick=True))
    verified = timed("verify", lambda: verify(folder))
    if not verified.whole:
        raise RuntimeError(f"{verified}")
    if fed:
        # As it was fed: opened without bringing in what is missing.
        with Catalog(folder, fill=False) as catalogue:
            if not timed("rows in the catalogue", lambda: is_catalogued(catalogue, record)):
                raise RuntimeError("the catalogue has not a row for each decision and image")
    earlier = timed("resume: read what is left", lambda: continuation_of(folder, record.uid, 10))
    timed(
        "resume: learn again",
        lambda: make_strategy(earlier.config, earlier.history, earlier.prior).suggest(),
    )
    return found


def main(images: int = IMAGES, *, fed: bool = False, as_json: bool = False) -> bool:
    """Run, print the tables; whether images cost no more in the end, and memory stays flat."""
    with tempfile.TemporaryDirectory(prefix="stedopt-") as directory:
        catalog = Path(directory) / "catalogue"
        seen = image(images, catalog, fed=fed)
        later = afterwards(catalog, images, fed=fed)
    wall, processor = seen.wall_ms, seen.processor_ms
    told: dict[str, Any] = {
        "images": len(seen.wall_s),
        "fed": fed,
        "ratio, wall": ratio(wall),
        "ratio, processor": ratio(processor),
        "KiB an image": growth_KiB(seen.memory_MiB),
        **({"KiB an image, feeding": growth_KiB(seen.fed_MiB)} if fed else {}),
        **later,
    }
    step = max(1, len(wall) // PARTS)
    parts = [slice(start, start + step) for start in range(0, step * PARTS, step)]
    rows = [
        {
            "images": f"{part.start + 1}-{part.stop}",
            "ms an image": statistics.median(wall[part]),
            "processor, ms": statistics.median(processor[part]),
            "memory, MiB": seen.memory_MiB[part.stop],
            **({"feeding, MiB": seen.fed_MiB[part.stop]} if fed else {}),
        }
        for part in parts
    ]
    problems = problems_of(seen)
    if as_json:
        print(json.dumps({**told, "parts": rows, "problems": problems}, indent=1))
    else:
        print(f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
        for row in rows:
            values = [f"{v:.1f}" if isinstance(v, float) else v for v in row.values()]
            print(f"| {' | '.join(values)} |")
        print()
        for what, value in told.items():
            print(f"- {what}: {value:.3g}" if isinstance(value, float) else f"- {what}: {value}")
        for problem in problems:
            print(f"- wrong: {problem}")
    return not problems


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES, help="at least 30")
    parser.add_argument("--fed", action="store_true", help="the catalogue is fed beside the run")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    sys.exit(not main(given.images, fed=given.fed, as_json=given.json))
