"""What feeding the catalogue costs the acquisition: ms an image, with Tiled up, down and hung.

``python -m tests.benchmarks.ingest_cost [--images N]`` prints a markdown table. Runs of the
digital twin whose scans take no time, so that all that is measured is overhead, with random
sampling and one objective, so that decisions cost little and do not grow. "Hung" is a server
that takes connections and never answers.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import socket
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before numpy is loaded: one thread, so that figures do not depend on the machine's load.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

IMAGES = 150
ROUNDS = 3
CONFIG = {
    "microscope.field_um": 60.0,
    "overview.size_um": 60.0,
    "overview.minimum_foreground": 0.01,
    "imaging.region_size_um": 2.24,
    "bandit.strategy": "random",
    "objectives": [{"name": "snr"}],
}


def ms_per_image(images: int, uri: str | None) -> list[float]:
    """Milliseconds from one primary Event to the next; ``uri``: None: not fed, "": its own."""
    from bluesky import RunEngine

    from stedopt_bluesky.config import preset
    from stedopt_bluesky.records.background import BackgroundIngestion
    from stedopt_bluesky.records.following import Target
    from stedopt_bluesky.session import connect_application, open_session

    times: list[float] = []

    def observe(name: str, doc: dict[str, Any]) -> None:
        if name == "event" and "image_iteration" in doc["data"]:
            times.append(doc["time"])

    config = preset("classical").updated({**CONFIG, "images": images})
    with tempfile.TemporaryDirectory(prefix="stedopt-") as directory:
        engine = RunEngine({}, context_managers=[])
        engine.subscribe(observe)
        with open_session(
            config, connect_application(config), Path(directory) / "cat", run_engine=engine
        ) as session:
            beside: Any = contextlib.nullcontext()
            if uri is not None:
                beside = BackgroundIngestion(Target(session.folder, uri, "k" * 32))
            with beside:
                engine(session.optimize())
                if uri == "":
                    beside.finish(120)
                elif uri is not None:
                    beside.kill()
    return [1000 * (b - a) for a, b in itertools.pairwise(times)]


@contextlib.contextmanager
def hung_server() -> Iterator[str]:
    """Serve nothing: connections are taken by the system and never answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def main(images: int = IMAGES) -> None:
    """Measure and print the table."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with hung_server() as hung:
        kinds = {"not fed": None, "its own Tiled": "", "Tiled down": nobody, "Tiled hung": hung}
        rounds: list[dict[str, list[float]]] = []
        for _ in range(ROUNDS):
            # In turn, so that a busy moment of the machine does not fall on one kind only.
            rounds.append({name: ms_per_image(images, uri) for name, uri in kinds.items()})
    print(f"| {ROUNDS} runs of {images} images | median, ms an image | mean | 95 % | added, mean |")
    print("|---|---|---|---|---|")
    all_of = {name: [t for one in rounds for t in one[name]] for name in kinds}
    base = statistics.fmean(all_of["not fed"])
    for name, times in all_of.items():
        mean = statistics.fmean(times)
        high = sorted(times)[int(0.95 * len(times))]
        print(
            f"| {name} | {statistics.median(times):.1f} | {mean:.1f} | {high:.1f} | "
            f"{mean - base:+.1f} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    main(parser.parse_args().images)
