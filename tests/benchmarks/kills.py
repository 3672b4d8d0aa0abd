"""What is left when `stedopt run` is killed: how long lasers stay on, what the record holds.

Run with ``python -m tests.benchmarks.kills`` (`--moments N`, default 20). Every trial is a run of
three images on a served twin, in real time, which gets one signal at a random moment between its
first light and its end; then `stedopt resume` goes on with it. SIGSTOP stands for a program that
hangs: it is woken up when the watchdog must have acted. (Killed before any light: some of
``endurance_kills``.)
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
from stedopt_bluesky.records.journal import journal_paths
from stedopt_bluesky.session.twin import about_twin
from stedopt_bluesky.twin import TwinApplication, make_sample
from stedopt_bluesky.twin.server import TwinServer
from tests.benchmarks.kept import readable
from tests.waiting import wait_for

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
    images : int
        Images after `stedopt resume`.
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
    images: int
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


def run_to_light(
    watched: Watched, server: TwinServer, folder: Path, *, fed: bool = True
) -> tuple[subprocess.Popen[str], float]:
    """Start a run, wait until a laser emits, and return it with that moment, `time.monotonic`, s.

    Before its first light a program imports, connects and sets up: how long that takes is the
    machine's, and nothing that a signal then interrupts is in the record.
    """
    toml = folder / "run.toml"
    text = TOML.format(host=server.address, images=IMAGES)
    toml.write_text(f"{text}[catalog]\nbackground = {str(fed).lower()}\n")
    process = stedopt("run", toml, "--catalog", folder / "catalog")
    twin = watched.twin
    # The log has a scan when it has ended: also one that was too short to be seen.
    wait_for(
        lambda: any(twin.emitting.values()) or twin.emission_log,
        _LONG_S,
        what="light",
        process=process,
    )
    begins = [record.start_s for record in twin.emission_log]
    return process, min([time.monotonic(), *begins])


def trial(number: int, after_s: float, folder: Path, *, fed: bool = True) -> Outcome:
    """Run, send a signal some time after the first light, look, and go on.

    Parameters
    ----------
    number : int
        The signal.
    after_s : float
        When, s.
    folder : Path
        An empty folder.
    fed : bool
        Whether a process feeds the catalogue beside the runs, as it does unless told not to.
    """
    with watched_twin() as (watched, server):
        process, first_s = run_to_light(watched, server, folder, fed=fed)
        time.sleep(max(0.0, first_s + after_s - time.monotonic()))
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
    """Count images, go on as a person would, and count again.

    Raises
    ------
    CatalogError
        When the run's start document cannot be read: it is on disk before any light.
    """
    (path,) = journal_paths(CatalogFolder.open(catalog))
    record = RunRecord.read(path)
    taken = len(record.observations)
    images = taken
    if taken < IMAGES:
        goes_on = stedopt("resume", record.uid, "--catalog", catalog)
        out, words = goes_on.communicate(timeout=_LONG_S)
        if goes_on.returncode != 0:
            raise RuntimeError(f"resume: {words}")
        images += len(json.loads(out)["images"])
    return {"kept": len(readable(record, SIDE)), "taken": taken, "images": images}


def duration_s(folder: Path) -> float:
    """Time from the first light to the last one's end, when nobody interferes, s."""
    with watched_twin() as (watched, server):
        process, first_s = run_to_light(watched, server, folder)
        process.communicate(timeout=_LONG_S)
        return max(record.end_s for record in watched.twin.emission_log) - first_s


def main(moments: int = 20) -> None:
    """Print the table of so many random moments per signal."""
    with tempfile.TemporaryDirectory() as folder:
        whole_s = duration_s(Path(folder))
    print(f"a run takes {whole_s:.1f} s from its first light to the end of its last one")
    print(
        "| signal | runs | in light | light ends after, ms | all zero after, ms "
        "| images kept / taken | gone on |"
    )
    print("|---|---|---|---|---|---|---|")
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP):
        rng = np.random.default_rng(0)
        outcomes = []
        runs = min(moments, _MOST_STOPS) if number == signal.SIGSTOP else moments
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as folder:
                outcomes.append(trial(number, rng.uniform(0, whole_s), Path(folder)))
        print(
            f"| {signal.Signals(number).name} | {runs} | {sum(o.emitting for o in outcomes)} "
            f"| {_ms([o.light_s for o in outcomes if o.emitting])} "
            f"| {_ms([o.zero_s for o in outcomes])} "
            f"| {sum(o.kept for o in outcomes)} / {sum(o.taken for o in outcomes)} "
            f"| {sum(o.images == IMAGES for o in outcomes)}/{runs} |",
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
