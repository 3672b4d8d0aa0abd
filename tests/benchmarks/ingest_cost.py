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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
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


def image_times(
    images: int, changes: Mapping[str, Any], beside: Callable[[Any], AbstractContextManager[Any]]
) -> list[float]:
    """Milliseconds from one primary Event to the next of a run with a changed configuration.

    ``beside`` makes, of the session, what is entered while it runs.
    """
    from bluesky import RunEngine

    from stedopt_bluesky.config import preset
    from stedopt_bluesky.session import connect_application, open_session

    times: list[float] = []

    def observe(name: str, doc: dict[str, Any]) -> None:
        if name == "event" and "image_iteration" in doc["data"]:
            times.append(doc["time"])

    config = preset("classical").updated({**CONFIG, "images": images, **changes})
    with tempfile.TemporaryDirectory(prefix="stedopt-") as directory:
        engine = RunEngine({}, context_managers=[])
        engine.subscribe(observe)
        with (
            open_session(
                config, connect_application(config), Path(directory) / "cat", run_engine=engine
            ) as session,
            beside(session),
        ):
            engine(session.optimize())
    return [1000 * (b - a) for a, b in itertools.pairwise(times)]


@contextlib.contextmanager
def fed(uri: str | None, session: Any) -> Iterator[None]:
    """Have the catalogue fed; ``uri``: None: not fed, "": its own."""
    from stedopt_bluesky.records.background import BackgroundIngestion
    from stedopt_bluesky.records.following import Target

    if uri is None:
        yield
        return
    with BackgroundIngestion(Target(session.folder, uri, "k" * 32)) as beside:
        yield
        if uri == "":
            beside.finish(120)
        else:
            beside.kill()


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
            rounds.append(
                {name: image_times(images, {}, partial(fed, uri)) for name, uri in kinds.items()}
            )
    print_times(rounds, images)


def print_times(rounds: Sequence[Mapping[str, list[float]]], images: int) -> None:
    """Print the table of each kind's times, and what they are more than the first kind's."""
    runs = f"{len(rounds)} runs of {images} images"
    print(f"| {runs} | median, ms an image | mean | 95 % | added, mean |")
    print("|---|---|---|---|---|")
    all_of = {name: [t for one in rounds for t in one[name]] for name in rounds[0]}
    base = statistics.fmean(next(iter(all_of.values())))
    for name, all_times in all_of.items():
        mean = statistics.fmean(all_times)
        high = sorted(all_times)[int(0.95 * len(all_times))]
        print(
            f"| {name} | {statistics.median(all_times):.2f} | {mean:.2f} | {high:.2f} | "
            f"{mean - base:+.2f} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    main(parser.parse_args().images)
