"""What is left of a run after each fault of the microscope, at random moments.

Run with ``python -m tests.benchmarks.faults`` (`--moments N`, default 20). Every trial is a run
of eight images in two fields on the twin, in which one fault comes at a random moment; then the
run is gone on with, as `stedopt resume` does, on a microscope that works. The faults of `FAULTS`
come at a random scan (of stage and autofocus: in the second field); `OTHERS` has what no script
before a twin can do: connections that are really closed, and files that may not grow.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine

import stedopt_bluesky.devices.microscope as microscope_module
from stedopt_bluesky.config import ExperimentConfig, preset
from stedopt_bluesky.config.keys import VARIABLE
from stedopt_bluesky.imspector.connect import connect, connect_patiently
from stedopt_bluesky.records import CatalogFolder
from stedopt_bluesky.records.journal import journal_paths
from stedopt_bluesky.records.resume import RESUMES, close_for_resume, read_chain
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.session import connect_application, open_session, places_left
from stedopt_bluesky.session.twin import about_twin, start_twin
from stedopt_bluesky.twin.faults import FAULTS, FaultyApplication, LateSpecPy, LosingServer
from stedopt_bluesky.twin.server import TwinServer
from tests.benchmarks.kept import readable

IMAGES = 8
# Pixels of a side of an image: 1.28 µm in steps of 20 nm.
SIDE = 64
SCANS_PER_IMAGE = 3
# So many images in the first field; each field begins with its overview.
FIRST_FIELD = 6
SECOND_OVERVIEW = 1 + SCANS_PER_IMAGE * FIRST_FIELD
SCANS = 2 + SCANS_PER_IMAGE * IMAGES
# Faults that a stage which has not moved does not have.
OF_THE_STAGE = ("autofocus lost", "stage not there")
# Half a second after the pixels a lost signal is given up here; ten seconds on a microscope.
MARGIN_S = 0.5
KEY = "key-of-the-fault-benchmark"
# What a file may grow to is drawn from this range: below it the run cannot begin (64 KiB are asked
# for in advance), above it a run comes to its end.
FILES_KIB = (65, 250)


@dataclass(frozen=True)
class Outcome:
    """What was left of one run.

    Parameters
    ----------
    whole : int
        Regions of which all scans had ended, and well, before the fault.
    kept : int
        Images whose Event and pixels are in the record.
    taken : int
        Events of images.
    dark : bool
        No laser emits when the run has ended.
    zeroed : bool
        Every laser was set to zero as well, or the run's error says that lasers may be on.
    status, reason : str
        Of the stop document.
    resumed : int
        Images that the run had after it was gone on with.
    """

    whole: int
    kept: int
    taken: int
    dark: bool
    zeroed: bool
    status: str
    reason: str
    resumed: int

    @property
    def expected(self) -> int:
        """Images that must be kept: all that an Event tells of, and no fewer than were whole."""
        return max(self.whole, self.taken)


def small(seed: int) -> ExperimentConfig:
    """A run of eight images of 64² pixels."""
    return preset("classical").updated(
        {
            "seed": seed,
            "images": IMAGES,
            "microscope.field_um": 45.0,
            "overview.size_um": 15.0,
            "overview.minimum_foreground": 0.05,
            "overview.most_regions": FIRST_FIELD,
            "stage.columns": 2,
            "imaging.region_size_um": 1.28,
        }
    )


def trial(fault: str, scan: int, catalog: Path, seed: int = 0) -> Outcome:
    """Run until the fault at a scan, look at what is left, and go on.

    Parameters
    ----------
    fault : str
        A key of `FAULTS`.
    scan : int
        The scan that it happens at, from 0; 0 is the overview.
    catalog : Path
        Folder of a catalogue, made when missing.
    seed : int
        Of the sample and of all draws.
    """
    config = small(seed)
    faulty = FaultyApplication(start_twin(config), fault, scan)
    return outcome(config, _left(config, faulty, faulty.twin, catalog, whole_before(scan)), catalog)


def whole_before(scan: int) -> int:
    """Number of images of which all scans come before a scan."""
    return max(0, scan - 1 - (scan > SECOND_OVERVIEW)) // SCANS_PER_IMAGE


@dataclass(frozen=True)
class Left:
    """What is known of a run when it has ended; see `Outcome`."""

    whole: int
    dark: bool
    zeroed: bool
    uid: str


def _left(
    config: ExperimentConfig, application: Any, twin: Any, catalog: Path, whole: int | None = None
) -> Left:
    """Run, and look at the lasers; without ``whole``, Events are counted as they come."""
    events: list[str] = []

    def count(name: str, doc: Any) -> None:
        if name == "event" and "microscope_acquisition_s" in doc["data"]:
            events.append(doc["uid"])

    told = ""
    try:
        with open_session(config, application, catalog, run_engine=_engine()) as session:
            session.run_engine(session.optimize(), count)
    except Exception as error:
        told = " ".join([str(error), *getattr(error, "__notes__", [])])
    return Left(
        whole=len(events) if whole is None else whole,
        dark=not any(twin.emitting.values()),
        zeroed=_all_zero(twin) or "lasers may be on" in told,
        uid=_newest(catalog).uid,
    )


def outcome(config: ExperimentConfig, left: Left, catalog: Path) -> Outcome:
    """Look at the record of a run that has ended, and go on with it."""
    folder = CatalogFolder.open(catalog)
    close_for_resume(folder, left.uid)
    record = _newest(catalog)
    stop = record.stop or {}
    return Outcome(
        whole=left.whole,
        kept=len(readable(record, SIDE)),
        taken=len(record.observations),
        dark=left.dark,
        zeroed=left.zeroed,
        status=stop.get("exit_status", ""),
        reason=stop.get("reason", ""),
        resumed=_gone_on(config, left.uid, catalog),
    )


@contextlib.contextmanager
def _with_key() -> Iterator[None]:
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = KEY
    try:
        yield
    finally:
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before


def lost(scan: int, after_s: float, catalog: Path, seed: int = 0, lost_s: float = 1.0) -> Outcome:
    """Have all connections to a served twin closed in a scan, in real time, and served again.

    Parameters
    ----------
    scan, after_s, lost_s
        When and how long, as `LosingServer` has them.
    catalog, seed
        As `trial` has them.
    """
    config = small(seed)
    twin = start_twin(config.updated({"microscope.real_time": True}))
    with (
        _with_key(),
        LosingServer(twin, KEY, scan, after_s, lost_s, about_twin(config)) as server,
    ):
        on_it = config.updated({"microscope.host": server.address})
        left = _left(on_it, connect_application(on_it), twin, catalog, whole_before(scan))
        return outcome(on_it, left, catalog)


def refused(times: int, catalog: Path, seed: int = 0) -> Outcome:
    """Have an Imspector refuse the first connections: SpecPy's words, and the twin behind it."""
    config = small(seed)
    twin = start_twin(config)
    before = sys.modules.get("specpy")
    sys.modules["specpy"] = LateSpecPy(twin, times)  # type: ignore[assignment]
    told: list[str] = []
    try:
        application: Any = connect_patiently(connect, 60.0, told.append)
    finally:
        sys.modules.pop("specpy")
        if before is not None:
            sys.modules["specpy"] = before
    if len(told) != 1:
        raise RuntimeError(f"said {told}")
    return outcome(config, _left(config, application, twin, catalog, IMAGES), catalog)


def served_late(after_s: float, catalog: Path, seed: int = 0) -> Outcome:
    """Have a run begin some time, s, before its twin is served."""
    config = small(seed)
    twin = start_twin(config)
    with TwinServer(twin, KEY) as gone:
        port = gone.port
    changes = {"microscope.host": gone.address, "microscope.connect_patience_s": 60.0}
    on_it = config.updated(changes)
    with contextlib.ExitStack() as closing:

        def serve() -> None:
            time.sleep(after_s)
            closing.enter_context(TwinServer(twin, KEY, port, about_twin(config)))

        closing.enter_context(_with_key())
        thread = threading.Thread(target=serve)
        thread.start()
        told: list[str] = []
        application = connect_application(on_it, told.append)
        thread.join()
        if len(told) != 1:
            raise RuntimeError(f"said {told}")
        return outcome(on_it, _left(on_it, application, twin, catalog, IMAGES), catalog)


def full(kibibytes: int, catalog: Path, seed: int = 0) -> Outcome:
    """Run in a process whose files may not grow beyond a size (RLIMIT_FSIZE), KiB."""
    config = small(seed)
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        1, mp_context=fresh, initializer=_limit_files, initargs=(kibibytes,)
    ) as process:
        left = process.submit(_left_of_a_full_disk, config, catalog).result()
    return outcome(config, left, catalog)


def _limit_files(kibibytes: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kibibytes * 1024, kibibytes * 1024))


def _left_of_a_full_disk(config: ExperimentConfig, catalog: Path) -> Left:
    twin = start_twin(config)
    return _left(config, twin, twin, catalog)


def _engine() -> RunEngine:
    return RunEngine({}, context_managers=[])


def _newest(catalog: Path) -> RunRecord:
    folder = CatalogFolder.open(catalog)
    return RunRecord.read(max(journal_paths(folder), key=lambda path: path.stat().st_mtime_ns))


def _all_zero(twin: object) -> bool:
    measurements = [twin.measurement(name) for name in twin.measurement_names()]  # type: ignore[attr-defined]
    return not any(
        laser["power"]["calibrated"]
        for measurement in measurements
        for i in range(measurement.number_of_configurations())
        for channel in measurement.configuration(i).parameters("ExpControl/measurement/channels")
        for laser in channel["lasers"]
    )


def _gone_on(config: ExperimentConfig, uid: str, catalog: Path) -> int:
    """Images of the run and of the one that goes on with it."""
    folder = CatalogFolder.open(catalog)
    chain = read_chain(folder, uid)
    close_for_resume(folder, chain.last.uid)
    if chain.images_left:
        config = config.updated({"images": chain.images_left})
        places = places_left(chain, config)
        application = connect_application(config)
        with open_session(
            config, application, folder, history=chain.history, run_engine=_engine()
        ) as session:
            session.run_engine(
                session.optimize(
                    regions=places.regions, fields_um=places.fields_um, md={RESUMES: uid}
                )
            )
        chain = read_chain(folder, _newest(catalog).uid)
    return len(chain.history)


Trial = Callable[[np.random.Generator, Path, int], Outcome]

# By name: one trial at a random moment.
OTHERS: dict[str, Trial] = {
    "connection refused at first": lambda rng, catalog, seed: refused(
        int(rng.integers(1, 10)), catalog, seed
    ),
    "connection refused at first, served twin": lambda rng, catalog, seed: served_late(
        rng.uniform(0.1, 2.0), catalog, seed
    ),
    "connection lost, served twin": lambda rng, catalog, seed: lost(
        int(rng.integers(SCANS)), rng.uniform(0, 0.1), catalog, seed
    ),
    "disk full (no file may grow)": lambda rng, catalog, seed: full(
        int(rng.integers(*FILES_KIB)), catalog, seed
    ),
}


def _scripted(fault: str) -> Trial:
    first = SECOND_OVERVIEW if fault in OF_THE_STAGE else 0
    return lambda rng, catalog, seed: trial(fault, int(rng.integers(first, SCANS)), catalog, seed)


def main(moments: int = 20) -> None:
    """Print the table of so many random moments per fault."""
    microscope_module._DEADLINE_MARGIN_S = MARGIN_S
    print(
        "| fault | moments | images kept / expected | lasers off | at zero, or told "
        "| resumable | reason, once |"
    )
    print("|---|---|---|---|---|---|---|")
    for fault, one in {**{fault: _scripted(fault) for fault in FAULTS}, **OTHERS}.items():
        rng = np.random.default_rng(0)
        outcomes = []
        for moment in range(moments):
            with tempfile.TemporaryDirectory() as folder:
                outcomes.append(one(rng, Path(folder) / "catalog", moment))
        sums = [
            f"{sum(o.kept for o in outcomes)} / {sum(o.expected for o in outcomes)}",
            *(f"{sum(marks)}/{moments}" for marks in (
                [o.dark for o in outcomes],
                [o.zeroed for o in outcomes],
                [o.resumed == IMAGES for o in outcomes],
            )),
        ]  # fmt: skip
        reason = next((o.reason for o in outcomes if o.reason), "(the run went on)")
        print(f"| {fault} | {moments} | {' | '.join(sums)} | {reason[:90]} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20, help="random scans per fault")
    main(parser.parse_args().moments)
