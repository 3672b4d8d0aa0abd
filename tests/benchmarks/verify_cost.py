"""What it costs to keep a catalogue: verifying, rebuilding, and the checksums of arrays.

``python -m tests.benchmarks.verify_cost [--images N]`` prints a markdown table of processor times,
which what else the computer does changes little. Runs of the digital twin with three images of
224² pixels a region; verified are files that were written a moment ago and need no disk.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Before numpy is loaded: one thread, so that figures do not depend on the machine's load.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from bluesky import RunEngine

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.config import preset
from stedopt_bluesky.devices.image_store import checksum_of
from stedopt_bluesky.records import Catalog, CatalogFolder
from stedopt_bluesky.records.verify import verify
from stedopt_bluesky.session import connect_application, open_session

VERIFIED_IMAGES = 200
REBUILT_RUNS, REBUILT_IMAGES = 4, 60
REPEATS = 5
SIDES = (224, 512)


def record(path: Path, images: int) -> CatalogFolder:
    """Add a run to a catalogue; one region again and again, as regions do not matter here."""
    config = preset("classical").updated(
        {"images": images, "bandit.strategy": "random", "objectives": [{"name": "snr"}]}
    )
    region = Region(0.0, 0.0, config.imaging.region_size_um)
    engine = RunEngine({}, context_managers=[])
    with open_session(config, connect_application(config), path, run_engine=engine) as session:
        engine(session.optimize(regions=[region] * images))
        return session.folder


def seconds(work: Callable[[], object]) -> list[float]:
    """Processor times of `REPEATS` repetitions, s."""
    times = []
    for _ in range(REPEATS):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return times


def check(folder: CatalogFolder) -> None:
    """Verify all arrays of a catalogue."""
    found = verify(folder)
    if not found.whole:
        raise RuntimeError(f"{found} is not whole")


def rebuild(folder: CatalogFolder) -> list[float]:
    """Processor times from one run that is taken in to the next, s; loading Tiled is left out."""
    moments: list[float] = []
    catalog = Catalog(folder)
    try:
        catalog.rebuild(lambda _: moments.append(time.process_time()))
    finally:
        catalog.close()
    return [float(s) for s in np.diff(moments)]


def row(what: str, times: list[float], unit: str = "s") -> None:
    """Print median and range of times in s."""
    scale = 1e3 if unit == "ms" else 1.0
    low, middle, high = (scale * f(times) for f in (min, statistics.median, max))
    print(f"| {what} | {middle:.2f} {unit} | {low:.2f}-{high:.2f} |")


def main(images: int = VERIFIED_IMAGES) -> None:
    """Measure and print the table."""
    print("| processor time | median | range |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="stedopt-") as temporary:
        folder = record(Path(temporary) / "verified", images)
        row(f"verify a run of {images} images", seconds(lambda: check(folder)))
        for _ in range(REBUILT_RUNS):
            rebuilt = record(Path(temporary) / "rebuilt", REBUILT_IMAGES)
        row(f"rebuild, per run of {REBUILT_IMAGES} images", rebuild(rebuilt))
    rng = np.random.default_rng(0)
    for side in SIDES:
        arrays = {f"image{n}": rng.integers(0, 99, (side, side), np.int16) for n in range(3)}
        row(f"checksum of 3 × {side}² pixels", seconds(lambda a=arrays: checksum_of(a)), "ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=VERIFIED_IMAGES)
    main(parser.parse_args().images)
