"""Kernel TS against a random policy by classical measures, and what an image costs beside exposure.

``python -m tests.benchmarks.optimisation [--images N] [--seeds N]``
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stedopt_bluesky.config import preset
from stedopt_bluesky.preference.rule import utilities
from stedopt_bluesky.records.folder import CatalogFolder
from stedopt_bluesky.records.journal import journal_paths
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.session import (
    connect_application,
    objectives_of,
    open_session,
    weights_of,
)

LAST = 20
RANDOM = "random"
STRATEGIES: Mapping[str, Mapping[str, str]] = {
    "Kernel TS, empirical Bayes": {
        "bandit.strategy": "kernel_ts",
        "bandit.adaptation": "empirical_bayes",
    },
    "Kernel TS, published": {"bandit.strategy": "kernel_ts", "bandit.adaptation": "published"},
    RANDOM: {"bandit.strategy": "random"},
}


@dataclass(frozen=True)
class Outcome:
    """Utility of each image, and the mean time per image beside the twin's exposure, in ms."""

    utility: np.ndarray
    overhead_ms: float


def run_once(settings: Mapping[str, str], seed: int, images: int) -> Outcome:
    """Run the preset `classical` once with some settings of its own."""
    config = preset("classical").updated({"seed": seed, "images": images, **settings})
    application = connect_application(config)
    times: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        folder = CatalogFolder.create_or_open(Path(directory) / "catalog")
        with open_session(config, application, folder) as session:
            session.run_engine.subscribe(lambda *_: times.append(time.perf_counter()), "event")
            session.run_engine(session.optimize())
        record = RunRecord.read(journal_paths(folder)[0])
        table = record.table("primary")
    values = np.array([list(v.values()) for _, v in record.observations])
    # Events: the overview, then a decision and an image in turn.
    total_s = times[-1] - times[0]
    exposure_s = float(np.sum(table["microscope_acquisition_s"]))
    return Outcome(
        utilities(values, objectives_of(config), weights_of(config)),
        1000 * (total_s - exposure_s) / images,
    )


def main(images: int = 60, seeds: int = 3) -> None:
    """Print the table."""
    print(f"Preset classical: 768 configurations, {images} images, seeds 0-{seeds - 1}.\n")
    print(f"| seed | strategy | utility, all | utility, last {LAST} | overhead, ms per image |")
    print("|---|---|---|---|---|")
    last: dict[str, list[float]] = {}
    for seed in range(seeds):
        for name, settings in STRATEGIES.items():
            outcome = run_once(settings, seed, images)
            tail = float(np.nanmean(outcome.utility[-LAST:]))
            last.setdefault(name, []).append(tail)
            print(
                f"| {seed} | {name} | {np.nanmean(outcome.utility):.3f} | {tail:.3f} "
                f"| {outcome.overhead_ms:.0f} |",
                flush=True,
            )
    print()
    random = np.array(last.pop(RANDOM))
    for name, tails in last.items():
        print(
            f"Last {LAST} images, {name} minus random: {np.mean(tails - random):+.3f} on average; "
            f"better in {np.sum(tails > random)} of {seeds} seeds."
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    main(arguments.images, arguments.seeds)
