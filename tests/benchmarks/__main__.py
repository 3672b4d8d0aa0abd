"""All benchmarks, one after another: ``make bench``. Tables are printed, figures go to bench/.

``python -m tests.benchmarks`` takes some fifteen minutes on two cores: few seeds and moments, and
of the peers those that decide within a second. ``python -m tests.benchmarks --slow-seeds 20 --out
DIR`` is the whole, ``make campaign``, and takes most of a day: every peer, every size; the
trials are stored as they end, so that it can be interrupted and started again.
"""

from __future__ import annotations

import argparse
import os
import platform
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

# Before numpy is loaded: one thread, so that figures do not depend on the machine's load.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

FIGURES = Path("bench")
# What fits into fifteen minutes: seeds of what is fast; problems on which one trial of BoTorch
# takes less than a minute; the limit of a cell, in s of processor time, and the largest cell,
# configurations times images.
SHORT_SEEDS = 5
SHORT_SLOW_PROBLEMS = ("STED toy", "BraninCurrin", "Branin")
SHORT_LIMIT_S = 30.0
SHORT_MOST = 10**8
# Moments per fault and per signal; 20 in the campaign.
SHORT_FAULT_MOMENTS, SHORT_KILL_MOMENTS = 2, 1
MOMENTS = 20
# Runs of a catalogue that is searched; those of a facility in the campaign.
SHORT_RUNS, RUNS = 1000, 10_000


class LostError(RuntimeError):
    """A campaign after which something was not there."""


def heading(title: str, command: str) -> None:
    """Say what comes, and how to run it alone."""
    print(f"\n### {title}\n\n`python -m tests.benchmarks.{command}`\n", flush=True)


def short() -> None:
    """Run the regret, the fronts and the decision's cost with few seeds."""
    from tests.benchmarks import decision_speed, front_mapping, preference_regret
    from tests.benchmarks.methods import BOTORCH, MAPPING, PREFERENCE, SLOW

    heading("Regret with a preference", "preference_regret")
    fast = [method for method in PREFERENCE if method not in SLOW]
    preference_regret.main(methods=fast, seeds=SHORT_SEEDS)
    print()
    preference_regret.main(SHORT_SLOW_PROBLEMS, [BOTORCH], slow_seeds=1)
    heading("Mapping the front", "front_mapping")
    front_mapping.main(methods=[m for m in MAPPING if m not in SLOW], seeds=SHORT_SEEDS)
    heading("A decision: learn one image, draw the cloud, choose", "decision_speed")
    decision_speed.main(limit_s=SHORT_LIMIT_S, most=SHORT_MOST)


def whole(seeds: int, slow_seeds: int, out: Path) -> None:
    """Run the same with all methods; the trials are stored."""
    from tests.benchmarks import (
        automated,
        decision_speed,
        front_mapping,
        preference_networks,
        preference_regret,
        quality_network,
        uncaging_preferences,
    )

    out.mkdir(parents=True, exist_ok=True)
    heading("A decision: learn one image, draw the cloud, choose", "decision_speed")
    decision_speed.main()
    heading("Regret with a preference", "preference_regret")
    preference_regret.main(seeds=seeds, slow_seeds=slow_seeds, out=out / "preference_regret.jsonl")
    heading("Mapping the front", "front_mapping")
    front_mapping.main(seeds=seeds, slow_seeds=slow_seeds, out=out / "front_mapping.jsonl")
    heading("The quality networks", "quality_network")
    quality_network.main()
    heading("The preference networks", "preference_networks")
    preference_networks.main()
    heading("Fully automated runs", "automated")
    automated.main()
    heading("Preferences for local responses", "uncaging_preferences")
    uncaging_preferences.main()


def rest(fault_moments: int, kill_moments: int, runs: int) -> None:
    """Run what takes a minute or less each with few moments, and the twin against pySTED."""
    from tests.benchmarks import (
        calibration,
        catalogue_scale,
        faults,
        ingest_cost,
        journal_cost,
        kills,
        live_cost,
        networks_service,
        objective_speed,
        optimisation,
        page,
        quality_network,
        served_twin,
        spines,
        twin_against_pysted,
        verify_cost,
    )

    tables: dict[str, tuple[str, Callable[[], None]]] = {
        "The posterior against the truth": ("calibration", calibration.main),
        "The demo preset's grid, classical measures, on the twin": (
            "optimisation",
            optimisation.main,
        ),
        "What the quality network costs": ("quality_network", quality_network.speed),
        "The networks over HTTP": ("networks_service", networks_service.main),
        "The objectives of one region": ("objective_speed", objective_speed.main),
        "The journal": ("journal_cost", journal_cost.main),
        "Throughput: journal and catalogue": ("ingest_cost", ingest_cost.main),
        "Verifying and rebuilding a catalogue": ("verify_cost", verify_cost.main),
        "A catalogue of many runs": (
            f"catalogue_scale --runs {runs}",
            partial(catalogue_scale.main, runs),
        ),
        "Live views": ("live_cost", live_cost.main),
        "The page": ("page", page.main),
        "What a served twin costs": ("served_twin", served_twin.main),
        "Spines on the overview": ("spines", spines.main),
        "Faults of the microscope": (
            f"faults --moments {fault_moments}",
            partial(faults.main, fault_moments),
        ),
        "Killed at random moments": (
            f"kills --moments {kill_moments}",
            partial(kills.main, kill_moments),
        ),
    }
    for title, (command, main) in tables.items():
        heading(title, command)
        main()
    heading("The twin against pySTED", "twin_against_pysted --out bench")
    FIGURES.mkdir(exist_ok=True)
    twin_against_pysted.main(FIGURES)


def endurance() -> None:
    """Run what shows that nothing is lost and nothing slows down, an hour or more.

    Raises
    ------
    LostError
        With what did not hold or failed; all of it is run first.
    """
    from tests.benchmarks import endurance_catalogue, endurance_images, endurance_kills

    tables: dict[str, tuple[str, Callable[[], bool]]] = {
        "Killed a hundred times": ("endurance_kills", endurance_kills.main),
        "What a catalogue endures": ("endurance_catalogue", endurance_catalogue.main),
        "10,000 images in one run": ("endurance_images", endurance_images.main),
        "10,000 images, the catalogue fed beside it": (
            "endurance_images --fed",
            partial(endurance_images.main, fed=True),
        ),
    }
    failed = []
    for title, (command, main) in tables.items():
        heading(title, command)
        try:
            held = main()
        except Exception:
            traceback.print_exc()
            held = False
        if not held:
            failed.append(command)
    if failed:
        raise LostError(f"did not hold: {', '.join(failed)}")


def main(seeds: int, slow_seeds: int, out: Path | None) -> None:
    """Run all benchmarks; the whole of them when there is somewhere to store the trials."""
    now = datetime.now(UTC).date()
    print(f"{now}, Python {platform.python_version()}, {os.cpu_count()} cores, one BLAS thread")
    if out is None:
        short()
        rest(SHORT_FAULT_MOMENTS, SHORT_KILL_MOMENTS, SHORT_RUNS)
    else:
        whole(seeds, slow_seeds, out)
        rest(MOMENTS, MOMENTS, RUNS)
        endurance()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="with --out: of all but the peers")
    parser.add_argument("--slow-seeds", type=int, default=2, help="with --out: of the slow peers")
    parser.add_argument("--out", type=Path, help="folder of stored trials: run the whole")
    arguments = parser.parse_args()
    main(arguments.seeds, arguments.slow_seeds, arguments.out)
