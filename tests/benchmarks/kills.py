"""What is left when `stedopt run` is killed: how long lasers stay on, what the record holds.

Run with ``python -m tests.benchmarks.kills`` (`--moments N`, default 20). Every trial is a run of
three images on a served twin, in real time, which gets one signal at a random moment between the
opening of its measurement and the end; then `stedopt resume` goes on with it. SIGSTOP stands for
a program that hangs: it is woken up when the watchdog must have acted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stedopt_bluesky.config import preset
from stedopt_bluesky.records import CatalogFolder, RunRecord
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.journal import journal_paths
from stedopt_bluesky.session.twin import about_twin
from stedopt_bluesky.twin import TwinApplication, make_sample
from stedopt_bluesky.twin.server import TwinServer

IMAGES = 3
KEY = "key-of-the-kill-benchmark"
SIDE = 64
# Most of an image's time is light: 0.6 s for each confocal image of 64² pixels.
TOML = """
preset = "classical"
images = {images}
seed = 1
[microscope]
host = "{host}"
field_um = 30.0
interlock_path = "Interlock/closed"
[overview]
size_um = 30.0
[imaging]
region_size_um = 1.28
confocal_dwelltime_us = 150.0
"""
_FIELD_M = 30e-6
# A program that hangs is found after 10 s without a beat; what is done then takes no second.
_STOPPED_S = 13.0
# Runs with SIGSTOP take so much longer that fewer are enough.
_MOST_STOPS = 5
# A bound against hanging.
_LONG_S = 120.0


@dataclass(frozen=True)
class Outcome:
    """What was left of one killed run.

    Parameters
    ----------
    emitting : bool
        Whether a laser emitted when the signal was sent.
    light_s : float
        From the signal to the end of the last emission, s; 0 when there was none after it.
    zero_s : float
        From the signal until every laser of every configuration was seen at zero, s.
    kept, taken : int
        Images of which every pixel can be read, and Events of images.
    images : int or None
        Images after `stedopt resume`; None: the run had not begun.
    words : str
        What was said on standard error.
    code : int
        How the program ended.
    """

    emitting: bool
    light_s: float
    zero_s: float
    kept: int
    taken: int
    images: int | None
    words: str
    code: int


@dataclass
class Watched:
    """A twin, and when any of its lasers was last not at zero."""

    twin: TwinApplication
    last_on_s: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Look every few ms until told to end."""
        while not self.done.wait(0.004):
            if any(self.twin.emitting.values()) or not all_zero(self.twin):
                self.last_on_s = time.monotonic()


def all_zero(twin: Any) -> bool:
    """Whether every laser of every configuration of everything open is set to zero and off."""
    lasers = [
        laser
        for name in twin.measurement_names()
        for measurement in [twin.measurement(name)]
        for number in range(measurement.number_of_configurations())
        for tree in [measurement.configuration(number).parameters("ExpControl/measurement")]
        for of in (tree, *tree["channels"])
        for laser in of["lasers"]
    ]
    return not any(laser["active"] or laser["power"]["calibrated"] for laser in lasers)


@contextlib.contextmanager
def watched_twin(*, real_time: bool = True) -> Iterator[tuple[Watched, TwinServer]]:
    """Serve a twin from this process, and watch its lasers."""
    twin = TwinApplication(make_sample("actin", 1, _FIELD_M), seed=1, real_time=real_time)
    served = preset("classical").updated({"sample.name": "actin", "microscope.field_um": 30.0})
    with TwinServer(twin, KEY, about=about_twin(served)) as server:
        watched = Watched(twin)
        thread = threading.Thread(target=watched.look)
        thread.start()
        try:
            yield watched, server
        finally:
            watched.done.set()
            thread.join()


def stedopt(*arguments: object) -> subprocess.Popen[str]:
    """Start a command of ours."""
    return subprocess.Popen(
        [sys.executable, "-m", "stedopt_bluesky.cli", *map(str, arguments), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "STEDOPT_API_KEY": KEY},
    )


def start_run(server: TwinServer, folder: Path, images: int = IMAGES) -> subprocess.Popen[str]:
    """Start a run, and wait until it has opened its measurement."""
    toml = folder / "run.toml"
    toml.write_text(TOML.format(host=server.address, images=images))
    return stedopt("run", toml, "--catalog", folder / "catalog")


def wait_for(condition: Any, process: subprocess.Popen[str]) -> None:
    """Wait until another process has brought something about."""
    until = time.monotonic() + _LONG_S
    while not condition():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the run has ended too early: {process.communicate()}")
        time.sleep(0.002)


def newest(catalog: Path) -> Path | None:
    """Journal that was written last."""
    with contextlib.suppress(Exception):
        paths = journal_paths(CatalogFolder.open(catalog))
        return max(paths, key=lambda path: path.stat().st_mtime_ns)
    return None


def trial(number: int, after_s: float, folder: Path) -> Outcome:
    """Run, send a signal some time after the measurement was opened, look, and go on.

    Parameters
    ----------
    number : int
        The signal.
    after_s : float
        When, s.
    folder : Path
        An empty folder.
    """
    with watched_twin() as (watched, server):
        process = start_run(server, folder)
        wait_for(watched.twin.measurement_names, process)
        time.sleep(after_s)
        emitting = any(watched.twin.emitting.values())
        begin = time.monotonic()
        process.send_signal(number)
        if number == signal.SIGSTOP:
            time.sleep(_STOPPED_S)
            # Looked at before it goes on: it may have been dark all the time, and image again.
            left = _lasers_since(watched, begin)
            process.send_signal(signal.SIGCONT)
        # Its watchdog has the same standard error: it has ended too.
        _, words = process.communicate(timeout=_LONG_S)
        if number != signal.SIGSTOP:
            left = _lasers_since(watched, begin)
        light_s, zero_s = left
        return Outcome(
            emitting=emitting,
            light_s=light_s,
            zero_s=zero_s,
            words=words,
            code=process.returncode,
            **_looked_at(folder / "catalog"),
        )


def _lasers_since(watched: Watched, begin: float) -> tuple[float, float]:
    """How long there was light, and a laser above zero, after a moment, s; inf: there still is."""
    if not all_zero(watched.twin) or any(watched.twin.emitting.values()):
        return float("inf"), float("inf")
    ends = [record.end_s for record in watched.twin.emission_log]
    return max([begin, *ends]) - begin, max(begin, watched.last_on_s) - begin


def _looked_at(catalog: Path) -> dict[str, Any]:
    """Count images, go on as a person would, and count again."""
    path, record = newest(catalog), None
    if path is not None:
        with contextlib.suppress(CatalogError):  # killed before its start document was whole
            record = RunRecord.read(path)
    if record is None:  # it had not begun: the same command is given once more
        return {"kept": 0, "taken": 0, "images": None}
    taken = len(record.observations)
    images = taken
    if taken < IMAGES:
        goes_on = stedopt("resume", record.uid, "--catalog", catalog)
        out, words = goes_on.communicate(timeout=_LONG_S)
        if goes_on.returncode != 0:
            raise RuntimeError(f"resume: {words}")
        images += len(json.loads(out)["images"])
    return {"kept": _readable(record), "taken": taken, "images": images}


def _readable(record: RunRecord) -> int:
    """Images of which every pixel can be read."""
    if "primary" not in record.streams:
        return 0
    keys = ("microscope_confocal1", "microscope_sted1", "microscope_confocal2")
    shape = (SIDE, SIDE)
    return min(sum(image.shape == shape for image in record.arrays(key)) for key in keys)


def duration_s(folder: Path) -> float:
    """Time from the opening of the measurement to its end, when nobody interferes, s."""
    with watched_twin() as (watched, server):
        process = start_run(server, folder)
        wait_for(watched.twin.measurement_names, process)
        begin = time.monotonic()
        while watched.twin.measurement_names():
            time.sleep(0.01)
        whole_s = time.monotonic() - begin
        process.communicate(timeout=_LONG_S)
        return whole_s


def main(moments: int = 20) -> None:
    """Print the table of so many random moments per signal."""
    with tempfile.TemporaryDirectory() as folder:
        whole_s = duration_s(Path(folder))
    print(f"a run takes {whole_s:.1f} s from the opening of its measurement to its end")
    print(
        "| signal | runs | in light | light ends after, ms | all zero after, ms "
        "| images kept / taken | not begun | gone on |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP):
        rng = np.random.default_rng(0)
        outcomes = []
        runs = min(moments, _MOST_STOPS) if number == signal.SIGSTOP else moments
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as folder:
                outcomes.append(trial(number, rng.uniform(0, whole_s), Path(folder)))
        begun = [o for o in outcomes if o.images is not None]
        print(
            f"| {signal.Signals(number).name} | {runs} | {sum(o.emitting for o in outcomes)} "
            f"| {_ms([o.light_s for o in outcomes if o.emitting])} "
            f"| {_ms([o.zero_s for o in outcomes])} "
            f"| {sum(o.kept for o in begun)} / {sum(o.taken for o in begun)} "
            f"| {runs - len(begun)} "
            f"| {sum(o.images == IMAGES for o in begun)}/{len(begun)} |",
            flush=True,
        )


def _ms(seconds: list[float]) -> str:
    """Median and maximum, ms."""
    if not seconds:
        return ""
    return f"{np.median(seconds) * 1e3:.0f}, at most {max(seconds) * 1e3:.0f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20, help="random moments per signal")
    main(parser.parse_args().moments)
