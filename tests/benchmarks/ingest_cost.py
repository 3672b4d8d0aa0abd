"""Throughput, and what journal and catalogue cost of it, with Tiled up, down, slow and hung.

``python -m tests.benchmarks.ingest_cost [--images N]`` prints a markdown table. Runs of the
digital twin whose scans take no time, so that all that is measured is overhead, with random
sampling and one objective, so that decisions cost little and do not grow. "Slow" is a server
whose every answer comes half a second late, "hung" one that takes connections and never answers.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

# Before numpy is loaded: one thread, so that figures do not depend on the machine's load.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

IMAGES = 150
ROUNDS = 3
# How late the answers of a slow server come, s.
LATE_S = 0.5
CONFIG = {
    "microscope.field_um": 60.0,
    "overview.size_um": 60.0,
    "overview.minimum_foreground": 0.01,
    "imaging.region_size_um": 2.24,
    "bandit.strategy": "random",
    "objectives": [{"name": "snr"}],
}


class NoJournal:
    """In place of a journal: nothing is kept."""

    def __init__(self, folder: object) -> None: ...

    def __call__(self, name: str, doc: object) -> None:
        """Forget a document."""

    def close(self) -> None:
        """Close nothing."""


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
def fed(uri: str, session: Any, key: str = "k" * 32) -> Iterator[None]:
    """Have the catalogue fed, that of the server at ``uri``; "": its own."""
    from stedopt_bluesky.records.background import BackgroundIngestion
    from stedopt_bluesky.records.following import Target

    with BackgroundIngestion(Target(session.folder, uri, key)) as beside:
        yield
        if uri == "":
            beside.finish(120)
        else:
            beside.kill()


def with_journal(images: int, journal: Callable[..., Any]) -> list[float]:
    """Times of a run with something else in the journal's place."""
    with mock.patch("stedopt_bluesky.records.journal.Journal", journal):
        return image_times(images, {}, contextlib.nullcontext)


@contextlib.contextmanager
def hung_server() -> Iterator[str]:
    """Serve nothing: connections are taken by the system and never answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def slow_server() -> Iterator[tuple[str, str]]:
    """Serve a Tiled whose answers come late; its address and key."""
    from stedopt_bluesky.records import CatalogFolder
    from tests.records.tiled_process import KEY, TiledProcess

    with tempfile.TemporaryDirectory(prefix="stedopt-") as directory, socket.socket() as listener:
        server = TiledProcess(CatalogFolder.create_or_open(Path(directory) / "c"), Path(directory))
        server.start()
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)

        def serve() -> None:
            with contextlib.suppress(OSError):  # closed at the end
                while True:
                    near, _ = listener.accept()
                    far = socket.create_connection(("127.0.0.1", server.port))
                    for source, sink, late_s in ((near, far, 0.0), (far, near, LATE_S)):
                        threading.Thread(
                            target=_pass_on, args=(source, sink, late_s), daemon=True
                        ).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", KEY
        finally:
            server.kill()


def _pass_on(source: socket.socket, sink: socket.socket, late_s: float) -> None:
    """Pass bytes on, late, until either side ends."""
    with contextlib.suppress(OSError), source, sink:
        while piece := source.recv(65536):
            time.sleep(late_s)
            sink.sendall(piece)


def main(images: int = IMAGES) -> None:
    """Measure and print the table."""
    from stedopt_bluesky.records.journal import Journal

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with hung_server() as hung, slow_server() as (slow, key):
        base = "journal on disk (fsync)"
        beside: dict[str, Callable[[Any], AbstractContextManager[Any]]] = {
            base: contextlib.nullcontext,
            "and fed: its own Tiled": partial(fed, ""),
            "and fed: Tiled down": partial(fed, nobody),
            "and fed: Tiled slow": partial(fed, slow, key=key),
            "and fed: Tiled hung": partial(fed, hung),
        }
        kinds: dict[str, Callable[[], list[float]]] = {
            "no journal": partial(with_journal, images, NoJournal),
            "journal, flushed": partial(with_journal, images, partial(Journal, fsync=False)),
            **{name: partial(image_times, images, {}, what) for name, what in beside.items()},
        }
        rounds: list[dict[str, list[float]]] = []
        for _ in range(ROUNDS):
            # In turn, so that a busy moment of the machine does not fall on one kind only.
            rounds.append({name: measure() for name, measure in kinds.items()})
    print_times(rounds, images, base)


def print_times(
    rounds: Sequence[Mapping[str, list[float]]], images: int, base: str | None = None
) -> None:
    """Print the table of each kind's times, and what they are more than one kind's, the first."""
    runs = f"{len(rounds)} runs of {images} images"
    print(f"| {runs} | images/s | median, ms an image | mean | 95 % | added, mean |")
    print("|---|---|---|---|---|---|")
    all_of = {name: [t for one in rounds for t in one[name]] for name in rounds[0]}
    of_base = statistics.fmean(all_of[base or next(iter(all_of))])
    for name, times in all_of.items():
        mean = statistics.fmean(times)
        high = sorted(times)[int(0.95 * len(times))]
        print(
            f"| {name} | {1000 / mean:.1f} | {statistics.median(times):.2f} | {mean:.2f} "
            f"| {high:.2f} | {mean - of_base:+.2f} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    main(parser.parse_args().images)
