"""A run from the connection to the last line on the terminal: image, store, show."""

from __future__ import annotations

import contextlib
import io
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stedopt_bluesky.cli.asked import answered, asked_of
from stedopt_bluesky.cli.interrupts import (
    MICROSCOPE_FAILED,
    TERMINATED,
    Interrupts,
    exit_code,
    make_engine,
    terminate_cleanly,
)
from stedopt_bluesky.cli.options import ASKS_OPTION, Asks
from stedopt_bluesky.cli.output import console, fail, program, warn, warnings_in_one_line
from stedopt_bluesky.config import ExperimentConfig
from stedopt_bluesky.session import (
    Observation,
    check_catalog,
    connect_application,
    fed,
    open_networks,
    open_session,
)

if TYPE_CHECKING:
    from stedopt_bluesky.acquisition import PriorObservation
    from stedopt_bluesky.devices.replayed import Given
    from stedopt_bluesky.imspector.api import Application
    from stedopt_bluesky.records.background import BackgroundIngestion
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.session import Networks, Session
    from stedopt_bluesky.session.asking import Asked
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
    light_before : sequence of ((x, y), side, mJ)
        What regions got in earlier images, by place and side of what was lit, µm.
    application : Application or None
        What is imaged with; None: what the configuration says is connected to.
    given : callable or None
        Tells which recorded images the application has answered with, if it has.
    asks : {"", "page", "terminal"}
        Where a person chooses each option, if one does.
    then : callable or None
        From the run's uid to what else is said of it: a line's label and text, and plain data
        for ``--json``.
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
    light_before: Sequence[tuple[tuple[float, float], float, float]] = ()
    application: Application | None = None
    given: Callable[[], Given] | None = None
    asks: Asks = ""
    then: Callable[[str], tuple[tuple[str, str], Mapping[str, Any]]] | None = None


def perform(task: Task) -> None:
    """Run a task, store what came of it and show it, with what to do next.

    The exit code is that of the reason why the run ended early, if it did.

    Raises
    ------
    ConfigError, CatalogError, NoImspectorError
        Before anything is made.
    """
    from stedopt_bluesky.cli.showing import check_figure, conclude
    from stedopt_bluesky.records.folder import CatalogFolder

    CatalogFolder.check(task.catalog)
    if task.figure:
        check_figure(task.figure)
    check_catalog(task.config)
    uid = problem = ""
    with terminate_cleanly(), contextlib.ExitStack() as feeding:
        try:
            application = task.application or _connected(task.config)
            uid, problem, ingestion = _image(task, application, feeding)
            folder = CatalogFolder.open(task.catalog)
            # Who terminates a program may kill it seconds later: what can wait is left to the
            # next run, which stores what was not, and to `stedopt show --figure`.
            hurried = problem == TERMINATED
            if not hurried:
                _store(task.config, folder, uid, ingestion)
            conclude(
                folder,
                uid,
                catalog=task.catalog,
                figure=task.figure,
                as_json=task.as_json,
                problem=problem,
                draw=not hurried,
                asks=task.asks,
                more=task.then(uid) if task.then else None,
            )
        except KeyboardInterrupt:
            _say_interrupted(task, uid, problem)
            raise
    if problem:
        raise typer.Exit(exit_code(problem))


def _connected(config: ExperimentConfig) -> Application:
    with console.status(f"connecting to the microscope ({config.microscope.kind}) ..."):
        return connect_application(config, warn)


def _say_interrupted(task: Task, uid: str, problem: str) -> None:
    if not uid:
        warn("interrupted before the run began: nothing was imaged")
        return
    what = f"{uid[:8]} --catalog {shlex.quote(str(task.catalog))}"
    warn(f"interrupted while the run was being stored; it is kept: {program()} show {what}")
    if problem:
        resume = f"{program()} resume{ASKS_OPTION[task.asks]} {what}"
        console.print(f"go on with it: {resume}", markup=False, soft_wrap=True)


def _image(
    task: Task, application: Any, feeding: contextlib.ExitStack
) -> tuple[str, str, BackgroundIngestion | None]:
    """Open a session and run its plan.

    Returns the run's uid, why it did not go well, and what feeds the catalogue until the end of
    ``feeding``.
    """
    networks = task.networks
    if networks is None:
        with console.status("loading the networks ..."):
            networks = open_networks(task.config)
    asked = asked_of(task.config, networks, task.asks)
    engine = make_engine()
    uid = problem = ""
    ingestion = None
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
                given=task.given,
                rate=asked.rate,
                choose=asked.choose,
            ) as session:
                ingestion = feeding.enter_context(fed(session.config, session.folder))
                uid, problem = _run(session, task, asked)
        except typer.Exit:  # a RuntimeError too; its reason has been told
            raise
        except RuntimeError as error:  # what Imspector refuses, in the vendor's words
            if not uid:
                fail(f"{MICROSCOPE_FAILED}: {error}", code=1)
            # Also of a run that went well: somebody has to look at the lasers.
            problem = "; ".join(filter(None, (problem, f"{MICROSCOPE_FAILED}: {error}")))
    return uid, problem, ingestion


def _run(session: Session, task: Task, asked: Asked) -> tuple[str, str]:
    from stedopt_bluesky.reports.progress import RunProgress
    from stedopt_bluesky.session.run_control import RunControl

    started: list[str] = []
    progress = RunProgress(console)
    microscope = session.station.microscope
    # Nobody at the terminal resumes a run that is suspended: the command to go on is printed.
    control = RunControl(session.run_engine, lambda: microscope.suspended, console.print)
    watched = None
    if task.asks == "page":
        from stedopt_bluesky.web.page.watched import Watched

        watched = Watched.of(session, control)

    def observe(name: str, doc: Any) -> None:
        if name == "start":
            started.append(doc["uid"])
        progress(name, doc)
        if watched is not None:
            watched(name, doc)

    problem = ""
    places = task.places
    plan = session.optimize(
        regions=None if places is None else places.regions,
        fields_um=None if places is None else places.fields_um,
        lay=asked.lay,
        md=task.md,
    )
    # Bluesky's remarks ("Pausing...") are for a person at its prompt.
    with (
        contextlib.redirect_stdout(io.StringIO()),
        Interrupts(control, console.print),
        answered(asked, session, task.asks, progress.hidden, watched),
    ):
        engine: Any = session.run_engine  # its hook is typed as None
        engine.waiting_hook = progress.waiting
        try:
            problem = control.run(plan, observe)
        except Exception as error:
            problem = str(error) or type(error).__name__
        finally:
            progress.close()
    if not started:
        fail(problem or "the run did not begin", code=1)
    return started[0], problem


def _store(
    config: ExperimentConfig,
    folder: CatalogFolder,
    uid: str,
    ingestion: BackgroundIngestion | None,
) -> None:
    """Wait until the run is in the catalogue, and say so where it cannot be brought in."""
    if ingestion is None:
        return
    with console.status("storing the run in the catalogue ..."):
        why = ingestion.finish() or ingestion.refused.get(uid, "")
    if why:
        warn(
            "the run is kept in its journal, but could not be brought into the catalogue: "
            f"{why}; later: {program()} ingest --catalog {shlex.quote(str(folder.path))}"
            + (f" --to {config.catalog.uri}" if config.catalog.uri else "")
        )
