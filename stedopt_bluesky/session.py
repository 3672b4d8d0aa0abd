"""The one place where things are wired: a configuration becomes a session to image with.

Heavy rooms (Bluesky, the twin, the catalogue) are imported when a session is
opened, not with this module: a microscope that does not answer is reported at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stedopt_bluesky import __version__
from stedopt_bluesky.acquisition import Choice, ImageSet, Objective, Options, Region
from stedopt_bluesky.config import ConfigError, ExperimentConfig, parse_config
from stedopt_bluesky.config.errors import allowed_text

if TYPE_CHECKING:
    from bluesky import RunEngine
    from bluesky.utils import MsgGenerator

    from stedopt_bluesky.bandit.strategy import Strategy
    from stedopt_bluesky.devices.station import Station
    from stedopt_bluesky.imspector.api import Application
    from stedopt_bluesky.imspector.instrument import Instrument
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.resume import RunChain
    from stedopt_bluesky.records.run_record import RunRecord
    from stedopt_bluesky.twin.samples import Sample

Observation = tuple[int, Mapping[str, float]]
# A sample that is a file is known by the file's name without its ending.
_IMAGE_SUFFIXES = (".tif", ".tiff", ".npy")


@dataclass(frozen=True)
class Session:
    """A microscope, a strategy and a journal, ready for ``RE(session.optimize())``.

    Made by :func:`open_session`.

    Parameters
    ----------
    config : ExperimentConfig
        What everything was made from.
    station : Station
        The devices.
    strategy : Strategy
        Draws options and learns.
    rate, choose : callable
        Who rates the images and who chooses from the cloud of options.
    run_engine : RunEngine
        The journal is its first subscriber.
    instrument : Instrument
        Imspector's measurement, and the last gate before it.
    folder : CatalogFolder
        Where journal and images go.
    metadata : mapping
        Goes into the start document of every run.
    """

    config: ExperimentConfig
    station: Station
    strategy: Strategy
    rate: Callable[[ImageSet], Mapping[str, float]]
    choose: Callable[[Options], Choice]
    run_engine: RunEngine
    instrument: Instrument
    folder: CatalogFolder
    metadata: Mapping[str, Any]
    _last: LastRun = dataclasses.field(repr=False)

    def optimize(
        self,
        images: int | None = None,
        *,
        regions: Sequence[Region] | None = None,
        md: Mapping[str, Any] | None = None,
    ) -> MsgGenerator[str]:
        """Make the plan of this session: ``RE(session.optimize(images=20))``.

        A session has one strategy: a second run begins with what the first one has learnt,
        and its start document says so (``resumes``), so that its decisions can be replayed.
        Without ``regions`` it takes an overview of its own.

        Parameters
        ----------
        images : int, optional
            Regions to image; the configuration's number when left out.
        regions : sequence of Region, optional
            Where; laid over an overview when left out.
        md : mapping, optional
            Added to the start document.
        """
        from stedopt_bluesky.plans import optimize_sted
        from stedopt_bluesky.records.resume import RESUMES

        config = self.config
        earlier = {RESUMES: self._last.uid} if self._last.uid else {}
        return optimize_sted(
            self.station,
            self.strategy,
            config.space,
            rate=self.rate,
            choose=self.choose,
            images=config.images if images is None else images,
            regions=regions,
            region_size_um=config.imaging.region_size_um,
            minimum_foreground=config.overview.minimum_foreground,
            md={**self.metadata, **earlier, **(md or {})},
        )


class LastRun:
    """Callback that remembers which optimisation of a session began last."""

    def __init__(self) -> None:
        self.uid = ""

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Observe one document."""
        if name == "start" and doc.get("plan_name") == "optimize_sted":
            self.uid = str(doc["uid"])


def objectives_of(config: ExperimentConfig) -> tuple[Objective, ...]:
    """Objectives of a configuration, in its order and with its noise bounds.

    Raises
    ------
    ConfigError
        When one is not known.
    """
    from stedopt_bluesky.objectives import OBJECTIVES

    chosen = []
    for i, entry in enumerate(config.objectives):
        if entry.name not in OBJECTIVES:
            raise ConfigError(
                f"objectives.{i}.name = {entry.name!r}: {allowed_text(entry.name, OBJECTIVES)}"
            )
        objective = OBJECTIVES[entry.name].objective
        low, high = objective.noise_bounds
        if entry.noise_upper_bound is not None:
            if entry.noise_upper_bound < low:
                raise ConfigError(
                    f"objectives.{i}.noise_upper_bound = {entry.noise_upper_bound:g}: "
                    f"at least {low:g} {objective.unit}"
                )
            high = entry.noise_upper_bound
        chosen.append(dataclasses.replace(objective, noise_bounds=(low, high)))
    return tuple(chosen)


def make_strategy(config: ExperimentConfig, history: Iterable[Observation] = ()) -> Strategy:
    """Make the strategy of a configuration, taught the observations of earlier images.

    Parameters
    ----------
    config : ExperimentConfig
        Grid, objectives, seed and the bandit's settings.
    history : iterable of (index, objectives by name)
        In the order of imaging.
    """
    from stedopt_bluesky.bandit import KernelTS, RandomPolicy

    objectives = objectives_of(config)
    strategy: Strategy
    if config.bandit.strategy == "random":
        strategy = RandomPolicy(config.space, objectives, config.seed)
    else:
        strategy = KernelTS(
            config.space,
            objectives,
            config.seed,
            bandwidth=config.bandit.bandwidth,
            norm_bound=config.bandit.norm_bound,
            deterministic={
                o.name: _imaging_times(config) for o in objectives if o.name == "imaging_time_s"
            },
        )
    for index, values in history:
        strategy.ingest(index, values)
    return strategy


def _imaging_times(config: ExperimentConfig) -> Any:
    """Imaging time of every configuration, s, shape (G,)."""
    from stedopt_bluesky.objectives import imaging_times_s

    imaging = config.imaging
    return imaging_times_s(
        config.space,
        (imaging.pixels, imaging.pixels),
        dwelltime_us=imaging.dwelltime_us,
        line_steps=imaging.line_steps,
    )


def make_choose(config: ExperimentConfig) -> Callable[[Options], Choice]:
    """Make who chooses from the cloud of options."""
    from stedopt_bluesky.preference.rule import RandomChoice, WeightedRule

    if config.choice.rule == "random":
        return RandomChoice(config.seed)
    return WeightedRule(objectives_of(config), weights_of(config), config.seed)


def weights_of(config: ExperimentConfig) -> dict[str, float]:
    """Weights of the objectives in the rule that chooses."""
    return {o.name: o.weight for o in config.objectives}


def connect_application(config: ExperimentConfig) -> Application:
    """Connect to Imspector, or start the digital twin, as the configuration says.

    Raises
    ------
    NoImspectorError
        When Imspector does not answer; there is no silent fall back to the twin.
    ConfigError
        When the twin's sample or dye is not one.
    """
    if config.microscope.kind == "specpy":
        from stedopt_bluesky.imspector.connect import connect

        # Asked first: a microscope that does not answer is reported at once.
        application = connect(config.microscope.host)
        objectives_of(config)
        return application
    objectives_of(config)
    from stedopt_bluesky.twin.application import TwinApplication
    from stedopt_bluesky.twin.fluorophores import FLUOROPHORES

    dye = config.microscope.fluorophore
    if dye not in FLUOROPHORES:
        raise ConfigError(f"microscope.fluorophore = {dye!r}: {allowed_text(dye, FLUOROPHORES)}")
    return TwinApplication(
        _make_sample(config),
        seed=config.seed,
        fluorophore=FLUOROPHORES[dye],
        real_time=config.microscope.real_time,
    )


def _make_sample(config: ExperimentConfig) -> Sample:
    """Make the twin's sample: a generated structure, or one made of an image."""
    from stedopt_bluesky.twin.samples import (
        MAP_PIXEL_SIZE_M,
        MAX_MAP_PIXELS,
        SAMPLE_NAMES,
        make_sample,
        sample_from_image,
    )

    name, field_um = config.sample.name, config.microscope.field_um
    generated = name in SAMPLE_NAMES
    path = Path(name)
    if not generated and not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise ConfigError(
            f"sample.name = {name!r}: {what}; allowed are the structures "
            f"{', '.join(SAMPLE_NAMES)}, or the path of a 2-D image (TIFF or .npy)"
        )
    pixel_size_m = MAP_PIXEL_SIZE_M if generated else config.sample.pixel_size_nm * 1e-9
    low_um, high_um = pixel_size_m * 1e6, MAX_MAP_PIXELS * pixel_size_m * 1e6
    if not low_um <= field_um <= high_um * (1 + 1e-9):
        raise ConfigError(
            f"microscope.field_um = {field_um:g}: {low_um:g} to {high_um:g} µm with the "
            f"sample's pixels of {pixel_size_m * 1e9:g} nm"
        )
    try:
        if generated:
            return make_sample(name, config.seed, field_um * 1e-6)
        return sample_from_image(path, config.seed, field_um * 1e-6, pixel_size_m)
    except ValueError as error:
        raise ConfigError(f"sample.name = {name!r}: {error}") from None


@contextlib.contextmanager
def open_session(
    config: ExperimentConfig,
    application: Application,
    folder: CatalogFolder | str | os.PathLike[str],
    *,
    history: Iterable[Observation] = (),
    run_engine: RunEngine | None = None,
) -> Iterator[Session]:
    """Wire a session; on leaving, whatever happened, the lasers are off.

    Parameters
    ----------
    config : ExperimentConfig
        What is wired.
    application : Application
        From :func:`connect_application`.
    folder : CatalogFolder or path
        Where journal and images go. The catalogue at a path is made when there is none,
        last of all: a session that cannot be opened leaves nothing behind.
    history : iterable of (index, objectives by name)
        Observations of earlier runs, for the strategy to start from.
    run_engine : RunEngine, optional
        An existing one; a new one when left out.

    Yields
    ------
    Session

    Raises
    ------
    ConfigError
        When the microscope cannot be set up as the configuration says.
    CatalogError
        When the folder cannot be a catalogue.
    """
    from bluesky import RunEngine

    from stedopt_bluesky.objectives import make_rater
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.journal import Journal

    strategy, choose = make_strategy(config, history), make_choose(config)
    rate = make_rater([o.name for o in config.objectives])
    instrument = _make_instrument(config, application)
    with contextlib.ExitStack() as closing:
        closing.callback(instrument.close)
        if not isinstance(folder, CatalogFolder):
            folder = CatalogFolder.create_or_open(folder)
        station = make_station(config, instrument, folder.arrays)
        engine = run_engine or RunEngine({})
        journal, last = Journal(folder), LastRun()
        closing.callback(journal.close)
        for callback in (journal, last):
            closing.callback(engine.unsubscribe, engine.subscribe(callback))
        yield Session(
            config=config,
            station=station,
            strategy=strategy,
            rate=rate,
            choose=choose,
            run_engine=engine,
            instrument=instrument,
            folder=folder,
            metadata=_metadata(config, application, instrument),
            _last=last,
        )


def config_of(record: RunRecord) -> ExperimentConfig:
    """Configuration that a stored run was made from.

    Raises
    ------
    ConfigError
        When the start document holds none that this version understands.
    """
    try:
        data = record.start["stedopt"]["config"]
    except (KeyError, TypeError):
        raise ConfigError(
            f"run {record.uid} was not made by stedopt: it has no configuration"
        ) from None
    return parse_config(data, source=f"run {record.uid[:8]}")


def regions_left(chain: RunChain, config: ExperimentConfig) -> list[Region] | None:
    """Regions of a stored run that have not been imaged, laid over its own overview.

    Returns
    -------
    list of Region or None
        None when the run had not come to its overview.

    Raises
    ------
    ConfigError
        When the run imaged regions without an overview: they had been given by hand.
    """
    from stedopt_bluesky.plans.regions import lay_regions

    surveyed = chain.surveyed
    if surveyed is None:
        if chain.regions_used:
            raise ConfigError(
                f"run {chain.last.uid[:8]} was given its regions by hand: go on with it in Python, "
                "session.optimize(regions=...)"
            )
        return None
    overview = surveyed.images("overview_image")[-1]
    regions = lay_regions(
        overview,
        config.overview.pixel_size_nm,
        config.imaging.region_size_um,
        config.overview.minimum_foreground,
    )
    return regions[chain.regions_used :]


def _make_instrument(config: ExperimentConfig, application: Application) -> Instrument:
    from stedopt_bluesky.devices.microscope import CONFOCAL, STED
    from stedopt_bluesky.devices.overview import OVERVIEW
    from stedopt_bluesky.imspector.calibration import PowerCalibration
    from stedopt_bluesky.imspector.instrument import Instrument, LaserLine

    excitation, depletion = config.excitation, config.depletion
    if excitation.laser == depletion.laser:
        raise ConfigError(
            f"depletion.laser = {depletion.laser}: this is the excitation laser's number too"
        )
    lines = [
        LaserLine(
            "excitation",
            excitation.laser,
            PowerCalibration(excitation.calibration_percent, excitation.calibration_power_uW, "µW"),
            excitation.power_limit_uW,
        ),
        LaserLine(
            "depletion",
            depletion.laser,
            PowerCalibration(depletion.calibration_percent, depletion.calibration_power_mW, "mW"),
            depletion.power_limit_mW,
        ),
    ]
    instrument = Instrument(application, lines, (CONFOCAL, STED, OVERVIEW))
    for line in lines:
        try:
            instrument.set_power(STED, line.name, 0.0)
        except RuntimeError as error:
            instrument.close()
            raise ConfigError(
                f"{line.name}.laser = {line.number}: Imspector has no such laser ({error})"
            ) from None
    return instrument


def make_station(config: ExperimentConfig, instrument: Instrument, arrays: Path) -> Station:
    """Make the devices of a configuration and set what is not optimised.

    Parameters
    ----------
    config : ExperimentConfig
        Limits and settings.
    instrument : Instrument
        What the devices drive.
    arrays : Path
        Folder of image files.
    """
    from stedopt_bluesky.devices.decision import Decision
    from stedopt_bluesky.devices.label import ImageLabel
    from stedopt_bluesky.devices.laser import Laser
    from stedopt_bluesky.devices.microscope import CONFOCAL, STED, ConfocalSettings, Microscope
    from stedopt_bluesky.devices.overview import Overview, OverviewSettings
    from stedopt_bluesky.devices.rating import Rating
    from stedopt_bluesky.devices.scanner import Scanner
    from stedopt_bluesky.devices.station import Station

    imaging, overview = config.imaging, config.overview
    laser = partial(Laser, instrument=instrument, configuration=STED)
    excitation = laser(line="excitation", data_key="excitation_power_uW", name="excitation")
    depletion = laser(line="depletion", data_key="depletion_power_mW", name="depletion")
    scanner = Scanner(
        instrument=instrument,
        sted=STED,
        configurations=(CONFOCAL, STED),
        reach_um=overview.size_um / 2,
        name="scanner",
    )
    settings: list[tuple[Any, float]] = [
        (scanner.size_um, imaging.region_size_um),
        (scanner.pixel_size_nm, imaging.pixel_size_nm),
        (scanner.dwelltime_us, imaging.dwelltime_us),
        (scanner.line_steps, imaging.line_steps),
        (excitation.power, imaging.excitation_power_uW),
        (depletion.power, imaging.depletion_power_mW),
    ]
    for setting, value in settings:
        setting.put(value)
    return Station(
        excitation=excitation,
        depletion=depletion,
        scanner=scanner,
        microscope=Microscope(
            instrument=instrument,
            excitation=excitation,
            depletion=depletion,
            scanner=scanner,
            confocal=ConfocalSettings(
                imaging.confocal_excitation_power_uW, imaging.confocal_dwelltime_us
            ),
            sted_images=imaging.sted_images,
            folder=arrays,
            name="microscope",
        ),
        overview=Overview(
            instrument=instrument,
            excitation="excitation",
            settings=OverviewSettings(
                overview.size_um,
                overview.pixel_size_nm,
                overview.excitation_power_uW,
                overview.dwelltime_us,
            ),
            folder=arrays,
            name="overview",
        ),
        decision=Decision(
            configurations=config.space.size,
            objectives=len(config.objectives),
            folder=arrays,
            name="decision",
        ),
        label=ImageLabel(name="image"),
        rating=Rating(objectives=objectives_of(config), name="objective"),
    )


def _metadata(
    config: ExperimentConfig, application: Application, instrument: Instrument
) -> dict[str, Any]:
    """Compose what the start document says of a run: everything needed to understand it alone."""
    sample, path = config.sample, Path(config.sample.name)
    name = path.stem if path.suffix.lower() in _IMAGE_SUFFIXES else sample.name
    return {
        "sample": name,
        "structure": sample.structure or name,
        "preset": config.preset,
        "operator": config.operator,
        "seed": config.seed,
        "microscope": config.microscope.kind,
        "stedopt": {
            "version": __version__,
            "config": config.model_dump(mode="json", exclude_none=True),
        },
        "imspector": {
            "version": application.version(),
            "parameters": _without_nan(instrument.parameters()["sted"]),
        },
    }


def _without_nan(tree: Any) -> Any:
    """Replace what JSON has no word for by None."""
    if isinstance(tree, dict):
        return {key: _without_nan(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_without_nan(value) for value in tree]
    if isinstance(tree, float) and not math.isfinite(tree):
        return None
    return tree
