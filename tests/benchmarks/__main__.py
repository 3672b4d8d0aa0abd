"""All benchmarks, one after another: ``make bench``. Tables are printed, figures go to bench/."""

from __future__ import annotations

import os
import platform
from pathlib import Path

# Before numpy is loaded: one thread, so that figures do not depend on the machine's load.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def main() -> None:
    """Run all benchmarks."""
    from tests.benchmarks import (
        decision_speed,
        journal_cost,
        objective_speed,
        optimisation,
        twin_against_pysted,
    )

    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, one BLAS thread")
    optimisation.main()
    print("\n### A decision: learn one image, draw the cloud, choose\n")
    decision_speed.main()
    print("\n### The objectives of one region\n")
    objective_speed.main()
    print("\n### The journal\n")
    journal_cost.main()
    print("\n### The twin against pySTED\n")
    figures = Path("bench")
    figures.mkdir(exist_ok=True)
    twin_against_pysted.main(figures)


if __name__ == "__main__":
    main()
