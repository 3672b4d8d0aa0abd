"""What is left of a run after each fault of the microscope, at random moments.

Run with ``python -m tests.benchmarks.faults`` (`--moments N`, default 20). Every trial is a run
of eight images in two fields on the twin, in which one scripted fault comes at a random scan (of
stage and autofocus: in the second field); then the run is gone on with, as `stedopt resume` does,
on a microscope that works.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bluesky import RunEngine

import stedopt_bluesky.devices.microscope as microscope_module
from stedopt_bluesky.config import ExperimentConfig, preset
from stedopt_bluesky.records import CatalogFolder
from stedopt_bluesky.records.journal import journal_paths
from stedopt_bluesky.records.resume import RESUMES, close_for_resume, read_chain
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.session import connect_application, open_session, places_left
from stedopt_bluesky.twin.faults import FAULTS, FaultyApplication

IMAGES = 8
SCANS_PER_IMAGE = 3
# So many images in the first field; each field begins with its overview.
FIRST_FIELD = 6
SECOND_OVERVIEW = 1 + SCANS_PER_IMAGE * FIRST_FIELD
SCANS = 2 + SCANS_PER_IMAGE * IMAGES
# Faults that a stage which has not moved does not have.
OF_THE_STAGE = ("autofocus lost", "stage not there")
# Two seconds after the pixels a lost signal is given up here; ten on a microscope.
MARGIN_S = 0.5


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
    faulty = FaultyApplication(connect_application(config), fault, scan)
    stops: list[dict[str, str]] = []
    told = ""
    try:
        with open_session(config, faulty, catalog, run_engine=_engine()) as session:
            session.run_engine.subscribe(lambda _, doc: stops.append(doc), "stop")
            session.run_engine(session.optimize())
    except Exception as error:
        told = str(error)
    twin = faulty.twin
    (stop,) = stops
    record = _newest(catalog)
    return Outcome(
        whole=max(0, scan - 1 - (scan > SECOND_OVERVIEW)) // SCANS_PER_IMAGE,
        kept=_readable(record),
        taken=len(record.observations),
        dark=not any(twin.emitting.values()),
        zeroed=_all_zero(twin) or "lasers may be on" in told,
        status=stop["exit_status"],
        reason=stop.get("reason", ""),
        resumed=_gone_on(config, record.uid, catalog),
    )


def _engine() -> RunEngine:
    return RunEngine({}, context_managers=[])


def _newest(catalog: Path) -> RunRecord:
    folder = CatalogFolder.open(catalog)
    return RunRecord.read(max(journal_paths(folder), key=lambda path: path.stat().st_mtime_ns))


def _readable(record: RunRecord) -> int:
    """Images of which every pixel can be read."""
    if "primary" not in record.streams:
        return 0
    keys = ("microscope_confocal1", "microscope_sted1", "microscope_confocal2")
    return min(sum(image.shape == (64, 64) for image in record.arrays(key)) for key in keys)


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


def main(moments: int = 20) -> None:
    """Print the table of so many random moments per fault."""
    microscope_module._DEADLINE_MARGIN_S = MARGIN_S
    print("| fault | runs | images kept / taken | dark | zeroed or told | gone on | reason, once |")
    print("|---|---|---|---|---|---|---|")
    for fault in FAULTS:
        rng = np.random.default_rng(0)
        outcomes = []
        for moment in range(moments):
            with tempfile.TemporaryDirectory() as folder:
                first = SECOND_OVERVIEW if fault in OF_THE_STAGE else 0
                scan = int(rng.integers(first, SCANS))
                outcomes.append(trial(fault, scan, Path(folder) / "catalog", seed=moment))
        sums = [
            f"{sum(o.kept for o in outcomes)} / {sum(o.taken for o in outcomes)}",
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
