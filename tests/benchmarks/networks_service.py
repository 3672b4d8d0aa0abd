"""What an image costs over HTTP: JSON against binary, on loopback, in ms per image of 224² pixels.

Run with ``python -m tests.benchmarks.networks_service``. The service is `stedopt serve networks`
in a process of its own; the time is what its client waits.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from time import perf_counter

import httpx
import numpy as np

from stedopt_bluesky.networks.rater import QualityRater, use_threads
from tests.benchmarks.objective_speed import simulated_images

SIDE = 224
SEVERAL = 16
REPEATS = 30
KEY = "the-key-of-the-benchmark"
NPY = {"content-type": "application/x-npy"}


def median_ms(function: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median time of a call, in ms, after two that fill the caches."""
    times = []
    for _ in range(repeats + 2):
        start = perf_counter()
        function()
        times.append(perf_counter() - start)
    return 1e3 * statistics.median(times[2:])


def npy(array: np.ndarray) -> bytes:
    """Bytes of a .npy file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def published(image: np.ndarray) -> bytes:
    """JSON of an image as the published program's clients send it."""
    values = (image.astype(np.float64) + 32768) / 65535
    return json.dumps({"img": values.tolist(), "img-type": "float64"}).encode()


def counts(image: np.ndarray) -> bytes:
    """JSON of an image's counts."""
    return json.dumps({"img": image.tolist(), "img-type": "int16"}).encode()


def main() -> None:
    """Print the table."""
    image = simulated_images(SIDE).sted[0]
    several = np.stack([image] * SEVERAL)
    use_threads()
    rater = QualityRater.named("general")
    rows = [
        ("in the same process", "", median_ms(lambda: rater.rate([image]))),
        (
            f"in the same process, {SEVERAL} at once",
            "",
            median_ms(lambda: rater.rate(list(several)), REPEATS // 3) / SEVERAL,
        ),
    ]
    command = [sys.executable, "-m", "stedopt_bluesky.cli", "serve", "networks", "--port", "0"]
    environment = {**os.environ, "STEDOPT_API_KEY": KEY}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().strip()
        with httpx.Client(base_url=address, headers={"x-api-key": KEY}, timeout=60) as client:
            for label, path, body, headers, images in [
                ("JSON, numbers as published", "/", published(image), {}, 1),
                ("JSON, counts", "/", counts(image), {}, 1),
                ("binary", "/quality", npy(image), NPY, 1),
                (f"binary, {SEVERAL} at once", "/quality", npy(several), NPY, SEVERAL),
                (
                    "binary, score map back",
                    "/quality",
                    npy(image),
                    {**NPY, "accept": NPY["content-type"]},
                    1,
                ),
            ]:
                took = median_ms(
                    lambda p=path, b=body, h=headers: client.post(
                        p, content=b, headers=h
                    ).raise_for_status(),
                    REPEATS if images == 1 else REPEATS // 3,
                )
                rows.append((label, f"{len(body) / images / 1e3:.0f}", took / images))
        process.terminate()
    print("| request | kB per image | ms per image |\n|---|---|---|")
    for label, size, took in rows:
        print(f"| {label} | {size} | {took:.1f} |")


if __name__ == "__main__":
    main()
