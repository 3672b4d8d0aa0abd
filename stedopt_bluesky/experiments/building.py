"""Datasets for replay experiments: imaged on the digital twin, or gathered from stored runs."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.config import ConfigError, ExperimentConfig, preset
from stedopt_bluesky.experiments.dataset import ReplayDataset
from stedopt_bluesky.parameters import Parameter, ParameterSpace

if TYPE_CHECKING:
    from bluesky import RunEngine
    from bluesky.utils import MsgGenerator

    from stedopt_bluesky.records.run_record import RunRecord
    from stedopt_bluesky.session import Session

# The paper's powers (Durand et al. 2018, Methods, "Replay experiment"): evenly spaced.
POWERS = {"name": "excitation_power_uW", "low": 0.2, "high": 21.1, "points": 12}
# Images per power, in the paper.
QUEUE = 39
# Depletion power and dwelltime are fixed where the twin's actin has its best compromise between
# signal and photobleaching at four powers from 4.0 to 9.7 µW, the paper's relevant region:
# measured at 100, 150, 200 and 250 mW with 20, 30, 40, 50, 75 and 100 µs, 16 images a power.
DEPLETION_POWER_MW = 150.0
DWELLTIME_US = 50.0
# The utility weighs signal against photobleaching, as the paper's pair of objectives. The
# others are rated, but not weighed: the twin's resolution is that of the depletion power.
OBJECTIVES = (
    {"name": "snr", "weight": 1.0},
    {"name": "photobleaching", "weight": 1.0},
    {"name": "resolution_nm", "weight": 0.0},
    {"name": "frc", "weight": 0.0},
)
# Between regions nothing is imaged: the beam's tails, cut off at 4 σ of the confocal focus
# (0.37 µm), then neither bleach nor light up what another region shows.
GAP_UM = 0.75
# A queue of one image would be the same image in every trial.
LEAST_IMAGES = 2


@dataclass(frozen=True)
class TwinImages:
    """What is to be imaged on the twin.

    Parameters
    ----------
    config : ExperimentConfig
        Parameters, objectives and sample; see `twin_config`.
    queue : int
        Images per configuration, at least 2.
    """

    config: ExperimentConfig
    queue: int

    def __post_init__(self) -> None:
        if self.queue < LEAST_IMAGES:
            raise ConfigError(f"queue = {self.queue}: at least {LEAST_IMAGES} images a power")

    @property
    def images(self) -> int:
        """Images in all."""
        return self.queue * self.config.space.size

    @property
    def origin(self) -> dict[str, Any]:
        """What tells this dataset from others: all that its images depend on."""
        deciding = {"bandit", "choice", "prior", "operator"}
        return {
            "config": self.config.model_dump(mode="json", exclude_none=True, exclude=deciding),
            "queue": self.queue,
        }


def twin_config(sample: str, seed: int) -> ExperimentConfig:
    """Configuration of the paper's replay experiment on the twin.

    Parameters
    ----------
    sample : str
        One of the twin's, or the path of an image.
    seed : int
        Of the sample, the noise and the order of the regions.
    """
    return preset("classical").updated(
        {
            "sample.name": sample,
            "seed": seed,
            "imaging.depletion_power_mW": DEPLETION_POWER_MW,
            "imaging.dwelltime_us": DWELLTIME_US,
            "parameters": [POWERS],
            "objectives": list(OBJECTIVES),
            # Each configuration in turn: slow drifts meet all alike.
            "bandit.strategy": "grid_search",
            "bandit.repeats": 1,
        }
    )


def image_on_twin(task: TwinImages, advance: Callable[[int], None]) -> ReplayDataset:
    """Image fresh regions of one sample after another, by the plan of every other run.

    Regions are apart by `GAP_UM` and drawn in random order. A sample that has too few of
    them is followed by another one of the same kind, of the next seed.

    Parameters
    ----------
    task : TwinImages
        What is to be imaged.
    advance : callable
        Told the number of images that have just been taken: 1.

    Raises
    ------
    ConfigError
        When the sample is not one, or has too little foreground.
    """
    parts: list[_Part] = []
    taken = 0
    while taken < task.images:
        config = task.config.updated({"seed": task.config.seed + len(parts)})
        part = _image_one_sample(config, task.images - taken, advance)
        taken += len(part.configurations)
        parts.append(part)
    return _joined(parts, task.config.space, task.config, task.origin)


def gather_runs(records: Sequence[RunRecord]) -> ReplayDataset:
    """Group the images of stored runs by configuration.

    The grid is that of the parameters' values that were imaged.

    Parameters
    ----------
    records : sequence of RunRecord
        Runs of the same parameters and objectives; the first one's weights are taken.

    Raises
    ------
    ConfigError
        When the runs do not go together, or a configuration of the grid has fewer than 2
        images.
    """
    from stedopt_bluesky.session import config_of

    configs = [config_of(record) for record in records]
    first = configs[0]
    for record, config in zip(records, configs, strict=True):
        if config.imaging != first.imaging:
            raise ConfigError(
                f"from = {record.uid[:8]}: was imaged with other fixed settings ([imaging]) than "
                f"run {records[0].uid[:8]}"
            )
        for what, ours, theirs in (
            ("parameters", first.space.names, config.space.names),
            ("objectives", *(tuple(o.name for o in c.objectives) for c in (first, config))),
        ):
            if ours != theirs:
                raise ConfigError(
                    f"from = {record.uid[:8]}: has the {what} {', '.join(theirs)}; "
                    f"run {records[0].uid[:8]} has {', '.join(ours)}"
                )
    parts = [_part(r, c) for r, c in zip(records, configs, strict=True)]
    space = _imaged_space(parts, first)
    images = [len(part.values) for part in parts]
    origin = {"runs": dict(zip((record.uid for record in records), images, strict=True))}
    dataset = _joined(parts, space, first, origin)
    scarce = int(np.argmin(dataset.counts))
    if dataset.counts[scarce] < LEAST_IMAGES:
        raise ConfigError(_too_few(space, scarce, int(dataset.counts[scarce])))
    return dataset


@dataclass(frozen=True, eq=False)
class _Part:
    """Images of one run: what each was taken with, its objectives, and some STED images."""

    configurations: list[dict[str, float]]
    values: list[dict[str, float]]
    examples: Mapping[tuple[float, ...], Any]


def _image_one_sample(
    config: ExperimentConfig, wanted: int, advance: Callable[[int], None]
) -> _Part:
    """Image as many regions of a sample as are wanted and it has, all configurations alike."""
    from bluesky import RunEngine

    from stedopt_bluesky.records.journal import journal_paths
    from stedopt_bluesky.records.run_record import RunRecord
    from stedopt_bluesky.session import connect_application, open_session

    def observe(_: str, doc: Mapping[str, Any]) -> None:
        if "image_configuration_index" in doc["data"]:
            advance(1)

    engine = RunEngine({})
    engine.subscribe(observe, "event")
    with tempfile.TemporaryDirectory(prefix="stedopt-") as directory:
        catalog = Path(directory) / "catalog"
        application = connect_application(config)
        with open_session(config, application, catalog, run_engine=engine) as session:
            regions = _fresh_regions(session)
            images = min(wanted, len(regions) // config.space.size * config.space.size)
            if not images:
                raise ConfigError(
                    f"sample = {config.sample.name!r}: has {len(regions)} regions with "
                    f"structure, {config.space.size} are needed, one for each power"
                )
            run_quietly(engine, session.optimize(images, regions=regions[:images]))
            (journal,) = journal_paths(session.folder)
            return _part(RunRecord.read(journal), config)


def run_quietly(engine: RunEngine, plan: MsgGenerator[str]) -> None:
    """Run a plan; Ctrl-C closes its run and is passed on."""
    from bluesky.utils import RunEngineInterrupted

    # Bluesky's remarks on a pause are for a person at its prompt, and so is its traceback of what
    # is raised here anyhow; a worker process has no other handler of it.
    log = logging.getLogger("bluesky")
    level = log.level
    log.setLevel(logging.CRITICAL)
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            engine(plan)
        except RunEngineInterrupted:
            engine.abort(reason="interrupted by the user (Ctrl-C)")
            raise KeyboardInterrupt from None
        finally:
            log.setLevel(level)


def _fresh_regions(session: Session) -> list[Region]:
    """Regions of structure that lie apart, in random order."""
    from stedopt_bluesky.plans.regions import lay_regions

    config, overview = session.config, session.station.overview
    size_um = config.imaging.region_size_um
    overview.stage()
    try:
        overview.trigger().wait()
    finally:
        overview.unstage()
    if overview.image is None:  # unstaged meanwhile, by whoever ended the program
        raise ConfigError("the overview was abandoned")
    spaced = lay_regions(
        overview.image,
        config.overview.pixel_size_nm,
        size_um + GAP_UM,
        config.overview.minimum_foreground,
        margin_um=config.overview.margin_um,
        minimum_signal=config.overview.minimum_signal,
    )
    order = np.random.default_rng(config.seed).permutation(len(spaced))
    return [Region(spaced[i].x_um, spaced[i].y_um, size_um) for i in order]


def _part(record: RunRecord, config: ExperimentConfig) -> _Part:
    """Read a run: parameters, objectives, and one STED image of each configuration."""
    from stedopt_bluesky.records.folder import CatalogError

    indices = [index for index, _ in record.observations]
    configurations = [config.space.configuration(index) for index in indices]
    try:
        key = next((k for k in record.array_keys if k.endswith("_sted1")), None)
        images = record.arrays(key) if key else []
    except CatalogError:  # image files that were moved away: ratings are what is needed
        images = []
    examples = {tuple(c.values()): i for c, i in zip(configurations, images, strict=False)}
    return _Part(configurations, [values for _, values in record.observations], examples)


def _imaged_space(parts: Sequence[_Part], config: ExperimentConfig) -> ParameterSpace:
    """Grid of the parameters' values that were imaged."""
    imaged = [c for part in parts for c in part.configurations]
    if not imaged:
        raise ConfigError("from: the runs have no image")
    return ParameterSpace(
        [
            Parameter(p.name, p.unit, tuple(sorted({c[p.name] for c in imaged})))
            for p in config.space
        ]
    )


def _joined(
    parts: Sequence[_Part],
    space: ParameterSpace,
    config: ExperimentConfig,
    origin: Mapping[str, Any],
) -> ReplayDataset:
    from stedopt_bluesky.session import objectives_of, weights_of

    objectives = objectives_of(config)
    values = [v for part in parts for v in part.values]
    rows = [space.index(c) for part in parts for c in part.configurations]
    missing = set(range(space.size)) - set(rows)
    if missing:
        raise ConfigError(_too_few(space, min(missing), 0))
    found = {space.index(c): image for part in parts for c, image in part.examples.items()}
    shapes = {image.shape for image in found.values()}
    complete = len(found) == space.size and len(shapes) == 1
    examples = [found[g] for g in range(space.size)] if complete else np.empty((0, 0, 0))
    return ReplayDataset(
        space=space,
        objectives=objectives,
        weights=weights_of(config),
        configurations=np.array(rows, dtype=np.int64),
        ratings=np.array([[v[o.name] for o in objectives] for v in values]),
        examples=np.array(examples, dtype=np.int16),
        pixel_size_nm=config.imaging.pixel_size_nm,
        origin=origin,
    )


def _too_few(space: ParameterSpace, index: int, images: int) -> str:
    at = ", ".join(f"{name} = {value:g}" for name, value in space.configuration(index).items())
    return (
        f"from: {images} image{'s' if images != 1 else ''} at {at}: at least {LEAST_IMAGES} are "
        f"needed of each of the {space.size} configurations of the grid that was imaged; give "
        "more runs, or runs of fewer values (bandit.strategy = 'grid_search')"
    )
