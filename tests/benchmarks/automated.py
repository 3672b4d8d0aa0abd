"""Fully automated runs against random ones and against an oracle that knows the twin's truth.

``python -m tests.benchmarks.automated [--structures NAME ...] [--seeds N] [--images N]``. All
three are runs of the preset ``demo`` by the same plan. A good image has a quality above 60 % and
less than 60 % of photobleaching (Durand et al. 2018, Fig. 6); the quality is the share of fine
detail that an image resolves of the known structure, which neither network sees, and beside it
the quality network's own score.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Choice, Options
from stedopt_bluesky.config import ExperimentConfig, preset
from stedopt_bluesky.experiments.rated_images import structured_places
from stedopt_bluesky.objectives import imaging_times_s, photobleaching_fraction
from stedopt_bluesky.records.folder import CatalogFolder
from stedopt_bluesky.records.journal import journal_paths
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.session import connect_application, open_networks, open_session
from stedopt_bluesky.twin.exposure import Exposure, Optics
from stedopt_bluesky.twin.fluorophores import FLUOROPHORES
from stedopt_bluesky.twin.photophysics import expose
from stedopt_bluesky.twin.reference import resolved_detail, structure_window
from stedopt_bluesky.twin.samples import Sample, make_sample

STRUCTURES = ("actin", "tubulin", "synapses")
# Puncta cover little: of the default of 10 % a field has too few regions for 100 images.
LEAST_FOREGROUND = {"synapses": 0.02}
SEEDS, IMAGES, ENDS = 5, 100, 20
GOOD_QUALITY, GOOD_BLEACHING = 0.6, 0.6
# Regions by which the oracle knows what a configuration is worth, of a sample of its own.
ORACLE_REGIONS, ORACLE_SEED, ORACLE_FIELD_M = 4, 1000, 30e-6
METHODS = ("networks", "random", "oracle")

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one run brought, image by image, each of shape (N,)."""

    truth: FloatArray
    score: FloatArray
    bleaching: FloatArray

    def good(self, quality: FloatArray) -> npt.NDArray[np.bool_]:
        """Which images are good."""
        return (quality > GOOD_QUALITY) & (self.bleaching < GOOD_BLEACHING)


class Oracle:
    """Chooses the configuration that the same preference network likes best of the true means."""

    def __init__(self, config: ExperimentConfig) -> None:
        scorer = open_networks(config, rates=False).preference
        assert scorer is not None
        columns = {
            **dict(zip(("quality", "photobleaching"), true_means(config).T, strict=True)),
            "imaging_time_s": imaging_times_s(
                config.space,
                (config.imaging.pixels,) * 2,
                dwelltime_us=config.imaging.dwelltime_us,
                line_steps=config.imaging.line_steps,
            ),
        }
        values = np.stack([columns[o.name] for o in scorer.objectives], axis=1)
        self.index = int(np.nanargmax(scorer.scores(values)))
        self.values = values[self.index]

    def __call__(self, _: Options) -> Choice:
        """Choose what is known to be best."""
        return Choice(self.index, "oracle")


def true_means(config: ExperimentConfig) -> FloatArray:
    """Mean quality and photobleaching of every configuration by the truth, shape (G, 2)."""
    imaging = config.imaging
    sample = make_sample(config.sample.name, ORACLE_SEED, ORACLE_FIELD_M)
    rng = np.random.default_rng(ORACLE_SEED)
    places = rng.choice(structured_places(sample, imaging.pixels), ORACLE_REGIONS)
    found = np.zeros((config.space.size, ORACLE_REGIONS, 2))
    for index in range(config.space.size):
        chosen = config.space.configuration(index)
        for k, (x_m, y_m) in enumerate(places):
            sample.survival[:] = 1
            found[index, k] = _true_values(config, sample, (x_m, y_m), chosen, rng)
    return found.mean(axis=1)


def _true_values(
    config: ExperimentConfig,
    sample: Sample,
    place: tuple[float, float],
    chosen: dict[str, float],
    rng: np.random.Generator,
) -> tuple[float, float]:
    imaging, dye = config.imaging, FLUOROPHORES[config.microscope.fluorophore]
    pixel_m, shape = imaging.pixel_size_nm * 1e-9, (imaging.pixels,) * 2

    def scan(excitation_uW: float, depletion_mW: float, dwelltime_us: float) -> np.ndarray:
        exposure = Exposure(
            *place, pixel_m, shape, dwelltime_us * 1e-6, imaging.line_steps,
            excitation_uW * 1e-6, depletion_mW * 1e-3,
        )  # fmt: skip
        return expose(sample, exposure, dye, Optics(), rng)

    structure = structure_window(sample, *place, shape, pixel_m)
    confocal = (imaging.confocal_excitation_power_uW, 0.0, imaging.confocal_dwelltime_us)
    before = scan(*confocal)
    sted = scan(*(chosen[name] for name in config.space.names))
    after = scan(*confocal)
    return resolved_detail(sted, structure, pixel_m), photobleaching_fraction(before, after)


def run_once(config: ExperimentConfig, oracle: Oracle | None) -> Outcome:
    """Run a configuration, and rate its images by the truth."""
    with tempfile.TemporaryDirectory() as directory:
        folder = CatalogFolder.create_or_open(Path(directory) / "catalog")
        with open_session(config, connect_application(config), folder, choose=oracle) as session:
            session.run_engine(session.optimize())
        (journal,) = journal_paths(folder)
        record = RunRecord.read(journal)
        table, images = record.table("primary"), record.images("microscope_sted1")
    sample = make_sample(config.sample.name, config.seed, config.microscope.field_um * 1e-6)
    pixel_m = config.imaging.pixel_size_nm * 1e-9
    truth = [
        resolved_detail(
            image, structure_window(sample, x * 1e-6, y * 1e-6, image.shape, pixel_m), pixel_m
        )
        for image, x, y in zip(images, table["region_x_um"], table["region_y_um"], strict=True)
    ]
    return Outcome(np.array(truth), table["objective_quality"], table["objective_photobleaching"])


def main(structures: Sequence[str] = STRUCTURES, seeds: int = SEEDS, images: int = IMAGES) -> None:
    """Print the table."""
    print(f"Preset demo, {images} images, seeds 0-{seeds - 1}. Share of good images (quality above")
    print(f"{GOOD_QUALITY:.0%}, photobleaching below {GOOD_BLEACHING:.0%}), quality by the truth")
    print("(in brackets by the quality network).\n")
    print(f"| structure | chosen by | first {ENDS} | last {ENDS} | all | quality, last {ENDS} "
          f"| photobleaching, last {ENDS} |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for structure in structures:
        changes = {"sample.name": structure, "images": images}
        if structure in LEAST_FOREGROUND:
            changes["overview.minimum_foreground"] = LEAST_FOREGROUND[structure]
        base = preset("demo").updated(changes)
        oracle = Oracle(base)
        for method in METHODS:
            outcomes = []
            for seed in range(seeds):
                strategy = "random" if method == "random" else "kernel_ts"
                config = base.updated({"seed": seed, "bandit.strategy": strategy})
                outcomes.append(run_once(config, oracle if method == "oracle" else None))
            _print_row(structure, method, outcomes)
        best = base.space.configuration(oracle.index)
        told = ", ".join(f"{name} {value:.3g}" for name, value in best.items())
        print(f"| | the oracle's: {told} | | | | | |", flush=True)


def _print_row(structure: str, method: str, outcomes: Sequence[Outcome]) -> None:
    def share(part: slice) -> str:
        by = {
            name: np.mean([o.good(getattr(o, name))[part].mean() for o in outcomes])
            for name in ("truth", "score")
        }
        return f"{by['truth']:.0%} ({by['score']:.0%})"

    last = slice(-ENDS, None)
    quality = np.nanmean([o.truth[last] for o in outcomes])
    score = np.nanmean([o.score[last] for o in outcomes])
    bleaching = np.nanmean([o.bleaching[last] for o in outcomes])
    print(
        f"| {structure} | {method} | {share(slice(ENDS))} | {share(last)} | {share(slice(None))} "
        f"| {quality:.2f} ({score:.2f}) | {bleaching:.2f} |",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--structures", nargs="+", default=STRUCTURES)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--images", type=int, default=IMAGES)
    arguments = parser.parse_args()
    started = time.monotonic()
    main(arguments.structures, arguments.seeds, arguments.images)
    print(f"\n{time.monotonic() - started:.0f} s")
