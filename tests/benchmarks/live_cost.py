"""What publishing costs the acquisition: ms an image, with nobody, one, and one that hangs.

``python -m tests.benchmarks.live_cost [--images N] [--rounds N]`` prints a markdown table by the
clock, and one of the processor time, which other programs change little: within the callbacks,
which the run waits for, and of the thread that draws, which takes it from the run all the same.
Runs as in `ingest_cost`: scans take no time. Who looks on is ``stedopt live --json``, a process of
its own; "hangs" is a subscriber that takes nothing, with buffers that hold one document.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from tests.benchmarks.ingest_cost import IMAGES, ROUNDS, image_times, print_times


def _address(session: Any) -> str:
    from stedopt_bluesky.records.announcement import announced

    (one,) = announced(session.folder)
    return one.address


@contextlib.contextmanager
def looking_on(session: Any) -> Iterator[None]:
    """Have a process look on, from before the run to its end."""
    command = [sys.executable, "-m", "stedopt_bluesky.cli", "live", _address(session), "--json"]
    process = subprocess.Popen(
        [*command, "--catalog", str(session.folder.path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    process.stderr.readline()  # it is there
    try:
        yield
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def hanging(session: Any) -> Iterator[None]:
    """Have a subscriber that takes nothing."""
    from stedopt_bluesky.records import subscription

    with patch.object(subscription, "HIGH_WATER_MARK", 1):
        slow = subscription.Subscription(_address(session))
    with slow:
        while not slow.is_connected:
            slow.receive(50)
        yield


@contextlib.contextmanager
def viewed(session: Any) -> Iterator[None]:
    """Have a table drawn by the session's own process, as `%live` does."""
    import io

    from rich.console import Console

    from stedopt_bluesky.reports.live import LiveView, TerminalScreen

    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=50)
    token = session.run_engine.subscribe(LiveView(TerminalScreen(console)))
    yield
    session.run_engine.unsubscribe(token)


def main(images: int = IMAGES, rounds: int = ROUNDS) -> None:
    """Measure and print the table."""
    kinds: dict[str, tuple[bool, Any]] = {
        "not published": (False, contextlib.nullcontext),
        "nobody looks on": (True, contextlib.nullcontext),
        "one looks on": (True, looking_on),
        "one hangs": (True, hanging),
        "table in the own process": (True, viewed),
    }
    measured: list[dict[str, list[float]]] = []
    worked = {name: Spent() for name in kinds}
    for _ in range(rounds):
        # In turn, so that a busy moment of the machine does not fall on one kind only.
        times = {}
        for name, (publish, beside) in kinds.items():
            with processor_time(worked[name]):
                times[name] = image_times(images, {"live.publish": publish}, beside)
        measured.append(times)
    print_times(measured, images)
    print("\n| processor time, ms an image | callbacks | drawing |\n|---|---|---|")
    for name, spent in worked.items():
        told = [1000 * seconds / (images * rounds) for seconds in (spent.called_s, spent.drawn_s)]
        print(f"| {name} | {told[0]:.2f} | {told[1]:.2f} |")


@dataclass
class Spent:
    """Processor time of live views, s.

    Parameters
    ----------
    called_s : float
        Of the threads that call a callback, while they do.
    drawn_s : float
        Of the threads that draw, from their beginning to their end.
    """

    called_s: float = 0.0
    drawn_s: float = 0.0


@contextlib.contextmanager
def processor_time(spent: Spent) -> Iterator[None]:
    """Add what live views take while entered; threads that draw must end before it is left."""
    from stedopt_bluesky.records.live import Publisher
    from stedopt_bluesky.reports.live import LiveView

    def timed(call: Callable[..., None], into: str) -> Callable[..., None]:
        def observe(*arguments: Any) -> None:
            begun = time.thread_time()
            call(*arguments)
            setattr(spent, into, getattr(spent, into) + time.thread_time() - begun)

        return observe

    with (
        patch.object(Publisher, "__call__", timed(Publisher.__call__, "called_s")),
        patch.object(LiveView, "__call__", timed(LiveView.__call__, "called_s")),
        patch.object(LiveView, "_draw", timed(LiveView._draw, "drawn_s")),
    ):
        yield


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    main(arguments.images, arguments.rounds)
