"""What the journal costs per event: RunEngine alone, with the journal, with fsync.

``python -m tests.benchmarks.journal_cost`` prints a markdown table. The scalars are those of
an optimisation's primary stream; no images, which cost the same with and without a journal.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bluesky import RunEngine
from bluesky import plan_stubs as bps
from ophyd import Signal

from stedopt_bluesky.records.folder import CatalogFolder
from stedopt_bluesky.records.journal import Journal

EVENTS = 300
REPEATS = 5
# About as many scalars as an image's event has: parameters, region, objectives, timings.
SCALARS = 20


def ms_per_event(journal: Journal | None) -> float:
    """Milliseconds per event of a run of `EVENTS` events, opening and closing left out."""
    engine = RunEngine({}, context_managers=[])
    if journal is not None:
        engine.subscribe(journal)
    signals = [Signal(name=f"scalar{n}", value=n / 7) for n in range(SCALARS)]
    elapsed = []

    def plan() -> Iterator[Any]:
        yield from bps.open_run()
        yield from bps.trigger_and_read(signals)  # the first one makes the descriptor
        begun = time.perf_counter()
        for _ in range(EVENTS):
            yield from bps.trigger_and_read(signals)
        elapsed.append(time.perf_counter() - begun)
        yield from bps.close_run()

    engine(plan())
    return 1000 * elapsed[0] / EVENTS


def main() -> None:
    """Measure and print the table: median and range of `REPEATS` runs of each kind."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = CatalogFolder.create_or_open(Path(temporary) / "catalogue")
        journals = {
            "RunEngine alone": None,
            "journal, flushed": Journal(folder, fsync=False),
            "journal, fsync": Journal(folder, fsync=True),
        }
        # In turn, so that a busy moment of the machine does not fall on one kind only.
        rounds = [
            {name: ms_per_event(journal) for name, journal in journals.items()}
            for _ in range(REPEATS)
        ]
    print(f"| {EVENTS} events of {SCALARS} scalars | median, ms per event | range |")
    print("|---|---|---|")
    for name in journals:
        times = [one[name] for one in rounds]
        low, middle, high = min(times), statistics.median(times), max(times)
        print(f"| {name} | {middle:.2f} | {low:.2f}-{high:.2f} |")


if __name__ == "__main__":
    main()
