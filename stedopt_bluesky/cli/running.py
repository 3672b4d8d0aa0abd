"""``stedopt run`` and ``stedopt resume``."""

from __future__ import annotations

import contextlib
import io
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stedopt_bluesky.cli.interrupts import (
    EXIT_CODES,
    TERMINATED,
    Interrupts,
    make_engine,
    terminate_cleanly,
)
from stedopt_bluesky.cli.output import console, fail, program, warn, warnings_in_one_line
from stedopt_bluesky.config import (
    DEFAULT_PRESET,
    ConfigError,
    ExperimentConfig,
    load_config,
    preset,
)
from stedopt_bluesky.image_files import split_address
from stedopt_bluesky.session import (
    Observation,
    connect_application,
    open_networks,
    open_session,
    prior_observations,
)

if TYPE_CHECKING:
    from stedopt_bluesky.acquisition import PriorObservation
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.session import Networks, Session
    from stedopt_bluesky.session.places import Places


@dataclass(frozen=True)
class Task:
    """What is to be imaged, and where it goes.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment.
    catalog : Path
        Folder of the catalogue; made when there is none.
    figure : Path or None
        Where the picture goes; None: into the catalogue.
    as_json : bool
        Whether standard output gets one JSON document in place of tables.
    history : iterable of (index, objectives by name)
        What the strategy learns before it begins.
    places : Places or None
        Where; None: as the configuration says.
    md : mapping
        Added to the start document.
    prior : sequence of PriorObservation
        What earlier experiments measured, for the models to begin with.
    reduced_from : str
        Uid of the run from whose choices the grid was reduced, if it was.
    networks : Networks or None
        Those of the run that is gone on with; None: as the configuration names them.
    stage_origin_um : tuple of float or None
        Position of the stage that counts as zero, µm; None: where it stands.
    light_before : sequence of ((x, y), mJ)
        What regions got in earlier images, by place, µm.
    """

    config: ExperimentConfig
    catalog: Path
    figure: Path | None
    as_json: bool
    history: Iterable[Observation] = ()
    places: Places | None = None
    md: Mapping[str, Any] | None = None
    prior: Sequence[PriorObservation] = ()
    reduced_from: str = ""
    networks: Networks | None = None
    stage_origin_um: tuple[float, float] | None = None
    light_before: Sequence[tuple[tuple[float, float], float]] = ()


def begin(
    config_file: Path | None,
    preset_name: str | None,
    changes: Mapping[str, Any],
    *,
    catalog: Path,
    figure: Path | None,
    as_json: bool,
    regions: Path | None = None,
    reduce_to: str = "",
    reduce_share: float | None = None,
) -> None:
    """Run an experiment from a file, a preset or the default.

    Parameters
    ----------
    config_file, preset_name : optional
        Where the configuration comes from.
    changes : mapping of dotted field to value
        Changed in it.
    catalog, figure, as_json
        As :class:`Task` has them.
    regions : Path, optional
        CSV of the regions or rectangles to image; all of them unless ``changes`` tell how many.
    reduce_to : str
        Run, by uid, to whose most chosen region the grid is reduced; empty: it is not.
    reduce_share : float, optional
        Share of that run's choices that the region holds; a half when left out.

    Raises
    ------
    ConfigError, CatalogError, NoImspectorError
        Before anything is made.
    """
    if config_file and preset_name:
        raise ConfigError(f"preset = {preset_name!r}: not together with a file; say it in the file")
    base = load_config(config_file) if config_file else preset(preset_name or DEFAULT_PRESET)
    config = _with_absolute_paths(base.updated(changes))
    if regions is not None:
        config = _with_regions(config, regions, all_of_them="images" not in changes)
    if "prior.weight" in changes and not (config.prior.runs or config.prior.csv):
        raise ConfigError("prior.weight: only together with earlier runs or a CSV file")
    config, reduced_from = _reduced(config, catalog, reduce_to, reduce_share)
    prior = _prior(config, catalog)
    _perform(Task(config, catalog, figure, as_json, prior=prior, reduced_from=reduced_from))


def go_on(
    uid: str, images: int | None, *, catalog: Path, figure: Path | None, as_json: bool
) -> None:
    """Go on with a stored run.

    Raises
    ------
    ConfigError, CatalogError, NoImspectorError
        Before anything is made; a run that its program left open may have been closed.
    """
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.resume import RESUMES, close_for_resume, read_chain
    from stedopt_bluesky.session import (
        check_complete,
        config_of,
        light_of,
        networks_of,
        places_left,
        prior_of,
        reduced_from,
        stage_origin_of,
    )

    folder = CatalogFolder.open(catalog)
    chain = read_chain(folder, uid)
    config, prior, reduced_to = (
        config_of(chain.last),
        prior_of(chain.last),
        reduced_from(chain.last),
    )
    networks = networks_of(chain.last, config, folder)
    check_complete(chain.last, config, networks)
    close_for_resume(folder, chain.last.uid)
    count = chain.images_left if images is None else images
    if count < 1 and images is None:
        raise ConfigError(
            f"run {chain.last.uid[:8]} has all its images: say how many more, --images N"
        )
    config = config.updated({"images": count})
    places = places_left(chain, config)
    places.check(count, chain.last.uid[:8])
    md = {RESUMES: chain.last.uid}
    _perform(
        Task(
            config,
            catalog,
            figure,
            as_json,
            chain.history,
            places,
            md,
            prior,
            reduced_to,
            networks,
            stage_origin_of(chain.last),
            light_of(chain),
        )
    )


def _with_absolute_paths(config: ExperimentConfig) -> ExperimentConfig:
    """Name files by their absolute paths: the sample's, so that a run is resumed from any folder.

    That of the prior knowledge is named so for whoever looks for it later.
    """
    changes: dict[str, Any] = {"sample.name": _absolute(config.sample.name)}
    labels = [label.model_dump() for label in config.microscope.labels]
    changes["microscope.labels"] = [{**x, "sample": _absolute(x["sample"])} for x in labels]
    table = config.prior.csv
    if table and not Path(table).is_absolute():
        changes["prior.csv"] = str(Path(table).resolve())
    for field, network in (
        ("quality.network", config.quality.network),
        ("choice.network", config.choice.network),
    ):
        if Path(network).suffix and Path(network).is_file():
            changes[field] = str(Path(network).resolve())
    return config.updated(changes)


def _with_regions(config: ExperimentConfig, path: Path, *, all_of_them: bool) -> ExperimentConfig:
    """Image the regions of a CSV file."""
    from stedopt_bluesky.config.regions_file import read_regions
    from stedopt_bluesky.session.places import places_of

    try:
        by_hand = {"regions": (), "rectangles": (), **read_regions(path)}
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not all_of_them:
        return config.updated(by_hand)
    places = places_of(config.updated({**by_hand, "images": 1})).regions
    return config.updated({**by_hand, "images": len(places or ())})


def _absolute(sample: str) -> str:
    """Path of a sample from the root; the name of a structure as it is."""
    path, image = split_address(sample)
    return str(path.resolve()) + (f"#{image}" if image else "") if path.is_file() else sample


def _reduced(
    config: ExperimentConfig, catalog: Path, uid: str, share: float | None
) -> tuple[ExperimentConfig, str]:
    """Reduce the grid to what a run chose most and say so; return that run's whole uid."""
    if not uid:
        if share is not None:
            raise ConfigError("reduce-share: only together with a run, --reduce-to UID")
        return config, ""
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.journal import find_run
    from stedopt_bluesky.records.run_record import RunRecord
    from stedopt_bluesky.session.reduced import reduced

    record = RunRecord.read(find_run(CatalogFolder.open(catalog), uid))
    smaller = reduced(config, record) if share is None else reduced(config, record, share=share)
    changes = ", ".join(
        f"{old.name} {old.values[0]:g}-{old.values[-1]:g} "
        f"to {new.values[0]:g}-{new.values[-1]:g} {new.unit}"
        for old, new in zip(config.space, smaller.space, strict=True)
    )
    console.print(f"reduced to what run {record.uid[:8]} chose most: {changes}", soft_wrap=True)
    return smaller, record.uid


def _prior(config: ExperimentConfig, catalog: Path) -> Sequence[PriorObservation]:
    """Read the prior knowledge that a configuration names, and say how much it is."""
    with warnings_in_one_line():
        prior = prior_observations(config, catalog)
    if prior:
        weight = f", each counted as {config.prior.weight:g}" if config.prior.weight != 1 else ""
        console.print(f"prior knowledge: {len(prior)} observations{weight}")
    return prior


def _perform(task: Task) -> None:
    from stedopt_bluesky.cli.showing import check_figure, conclude
    from stedopt_bluesky.records.folder import CatalogFolder

    CatalogFolder.check(task.catalog)
    if task.figure:
        check_figure(task.figure)
    uid = problem = ""
    with terminate_cleanly():
        try:
            kind = task.config.microscope.kind
            with console.status(f"connecting to the microscope ({kind}) ..."):
                application = connect_application(task.config, warn)
            uid, problem = _image(task, application)
            folder = CatalogFolder.open(task.catalog)
            # Who terminates a program may kill it seconds later: what can wait is left to the
            # next run, which stores what was not, and to `stedopt show --figure`.
            hurried = problem == TERMINATED
            if not hurried:
                _store(folder, uid)
            conclude(
                folder,
                uid,
                catalog=task.catalog,
                figure=task.figure,
                as_json=task.as_json,
                problem=problem,
                draw=not hurried,
            )
        except KeyboardInterrupt:
            _say_interrupted(task, uid, problem)
            raise
    if problem:
        raise typer.Exit(EXIT_CODES.get(problem, 1))


def _say_interrupted(task: Task, uid: str, problem: str) -> None:
    if not uid:
        warn("interrupted before the run began: nothing was imaged")
        return
    what = f"{uid[:8]} --catalog {shlex.quote(str(task.catalog))}"
    warn(f"interrupted while the run was being stored; it is kept: {program()} show {what}")
    if problem:
        console.print(f"go on with it: {program()} resume {what}", markup=False, soft_wrap=True)


def _image(task: Task, application: Any) -> tuple[str, str]:
    """Open a session and run its plan; return the run's uid and why it did not go well."""
    networks = task.networks
    if networks is None:
        with console.status("loading the networks ..."):
            networks = open_networks(task.config)
    engine = make_engine()
    uid = problem = ""
    # Bluesky prints to standard output, where a script expects one JSON document.
    with contextlib.redirect_stdout(sys.stderr), warnings_in_one_line():
        try:
            with open_session(
                task.config,
                application,
                task.catalog,
                history=task.history,
                prior=task.prior,
                reduced_from=task.reduced_from,
                networks=networks,
                stage_origin_um=task.stage_origin_um,
                light_before=task.light_before,
                run_engine=engine,
            ) as session:
                uid, problem = _run(session, task)
        except typer.Exit:  # a RuntimeError too; its reason has been told
            raise
        except RuntimeError as error:  # what Imspector refuses, in the vendor's words
            if not uid:
                fail(f"the microscope failed: {error}", code=1)
            # Also of a run that went well: somebody has to look at the lasers.
            problem = "; ".join(filter(None, (problem, f"the microscope failed: {error}")))
    return uid, problem


def _run(session: Session, task: Task) -> tuple[str, str]:
    from bluesky.utils import RunEngineInterrupted

    from stedopt_bluesky.reports.progress import RunProgress

    started: list[str] = []
    progress = RunProgress(console)

    def observe(name: str, doc: Any) -> None:
        if name == "start":
            started.append(doc["uid"])
        progress(name, doc)

    problem = ""
    places = task.places
    plan = session.optimize(
        regions=None if places is None else places.regions,
        fields_um=None if places is None else places.fields_um,
        md=task.md,
    )
    # Bluesky's remarks ("Pausing...") are for a person at its prompt.
    with (
        contextlib.redirect_stdout(io.StringIO()),
        Interrupts(session.run_engine, console.print) as interrupts,
    ):
        engine: Any = session.run_engine  # its hook is typed as None
        engine.waiting_hook = progress.waiting
        try:
            session.run_engine(plan, observe)
        except RunEngineInterrupted:
            # Nobody is there to resume it: the command to go on is printed instead.
            interrupts.reason = interrupts.reason or session.station.microscope.suspended
            interrupts.abort()
            problem = interrupts.reason
        except Exception as error:
            problem = str(error) or type(error).__name__
        finally:
            progress.close()
    if not started:
        fail(problem or "the run did not begin", code=1)
    return started[0], problem


def _store(folder: CatalogFolder, uid: str) -> None:
    """Bring the run from its journal into the catalogue's databases, and any that are not there."""
    from stedopt_bluesky.records.catalog import Catalog
    from stedopt_bluesky.records.folder import CatalogError
    from stedopt_bluesky.records.journal import find_run, journal_paths

    with (
        console.status("storing the run in the catalogue ..."),
        contextlib.redirect_stdout(sys.stderr),
    ):
        try:
            with Catalog(folder) as stored:
                stored.ingest(find_run(folder, uid))
                known = set(stored.client)
                for path in journal_paths(folder):
                    if path.stem not in known:
                        with contextlib.suppress(CatalogError):  # of another run
                            stored.ingest(path)
        except Exception as error:
            warn(
                "the run is kept in its journal, but could not be brought into the databases: "
                f"{error}"
            )
