"""What a twin in another process costs: ms per image, calls per image, time to open a session.

Run with ``python -m tests.benchmarks.served_twin`` (`--images N`, default 40).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine

from stedopt_bluesky.config import ExperimentConfig, preset
from stedopt_bluesky.session import connect_application, open_session
from stedopt_bluesky.twin.line import Line

KEY = "key-of-the-benchmark"


def config_of(images: int, host: str, interlock: bool) -> ExperimentConfig:
    """Images of 224² pixels, rated by the classical measures."""
    return preset("classical").updated(
        {
            "images": images,
            "seed": 1,
            "bandit.strategy": "random",
            "microscope.host": host,
            "microscope.interlock_path": "Interlock/closed" if interlock else "",
        }
    )


def timed(config: ExperimentConfig, folder: Path) -> tuple[float, float]:
    """Time to open a session, s, and median time of `Microscope.trigger` to its end, ms."""
    application = connect_application(config)
    begin = time.perf_counter()
    took: list[float] = []
    with open_session(
        config, application, folder, run_engine=RunEngine({}, context_managers=[])
    ) as session:
        opened_s = time.perf_counter() - begin

        def keep(name: str, doc: Any) -> None:
            if name == "event" and "microscope_acquisition_s" in doc["data"]:
                took.append(doc["data"]["microscope_acquisition_s"])

        session.run_engine(session.optimize(), keep)
    return opened_s, float(np.median(took)) * 1e3


def main(images: int = 40) -> None:
    """Print the table for runs of so many images."""
    os.environ["STEDOPT_API_KEY"] = KEY
    command = [sys.executable, "-m", "stedopt_bluesky.cli", "serve", "twin"]
    server = subprocess.Popen(
        [*command, "--preset", "classical", "--seed", "1", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    calls = [0]
    call = Line.call

    def counting(*arguments: Any, **more: Any) -> Any:
        calls[0] += 1
        return call(*arguments, **more)

    Line.call = counting  # type: ignore[method-assign]
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        print("| twin | a session opens, s | three scans of an image, ms | calls per image |")
        print("|---|---|---|---|")
        for name, host, interlock in (
            ("own process", "", False),
            ("served", address, False),
            ("served, with an interlock", address, True),
        ):
            calls[0] = 0
            with tempfile.TemporaryDirectory() as folder:
                opened_s, image_ms = timed(
                    config_of(images, host, interlock), Path(folder) / "catalog"
                )
            print(f"| {name} | {opened_s:.2f} | {image_ms:.1f} | {calls[0] / images:.0f} |")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=40)
    main(parser.parse_args().images)
