"""``stedopt run`` and ``stedopt resume``."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stedopt_bluesky.cli.output import console, fail
from stedopt_bluesky.config import (
    DEFAULT_PRESET,
    ConfigError,
    ExperimentConfig,
    load_config,
    preset,
)
from stedopt_bluesky.session import Observation, connect_application, open_session

if TYPE_CHECKING:
    from stedopt_bluesky.acquisition import Region
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.session import Session

INTERRUPTED = "interrupted by the user (Ctrl-C)"
TERMINATED = "terminated (SIGTERM)"

# Shells' exit codes of a program that a signal ended: 128 + the signal's number.
_EXIT_CODES = {INTERRUPTED: 130, TERMINATED: 143}


def begin(
    config_file: Path | None,
    preset_name: str | None,
    changes: Mapping[str, Any],
    *,
    catalog: Path,
    figure: Path | None,
    as_json: bool,
) -> None:
    """Run an experiment from a file, a preset or the default.

    Raises
    ------
    ConfigError, CatalogError, NoImspectorError
        Before anything is made.
    """
    if config_file and preset_name:
        raise ConfigError(f"preset = {preset_name!r}: not together with a file; say it in the file")
    base = load_config(config_file) if config_file else preset(preset_name or DEFAULT_PRESET)
    _perform(base.updated(changes), catalog, figure=figure, as_json=as_json)


def go_on(
    uid: str, images: int | None, *, catalog: Path, figure: Path | None, as_json: bool
) -> None:
    """Go on with a stored run.

    Raises
    ------
    ConfigError, CatalogError, NoImspectorError
        Before anything is made.
    """
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.resume import RESUMES, close_for_resume, read_chain
    from stedopt_bluesky.session import config_of, regions_left

    folder = CatalogFolder.open(catalog)
    chain = read_chain(folder, uid)
    close_for_resume(folder, chain.last.uid)
    count = chain.images_left if images is None else images
    if count < 1 and images is None:
        raise ConfigError(
            f"run {chain.last.uid[:8]} has all its images: say how many more, --images N"
        )
    config = config_of(chain.last).updated({"images": count})
    regions = regions_left(chain, config)
    if regions is not None and len(regions) < count:
        raise ConfigError(f"images = {count}: only {len(regions)} regions are left")
    _perform(
        config,
        catalog,
        figure=figure,
        as_json=as_json,
        history=chain.history,
        regions=regions,
        md={RESUMES: chain.last.uid},
    )


def _perform(
    config: ExperimentConfig,
    catalog: Path,
    *,
    figure: Path | None,
    as_json: bool,
    history: Iterable[Observation] = (),
    regions: Sequence[Region] | None = None,
    md: Mapping[str, Any] | None = None,
) -> None:
    with console.status(f"connecting to the microscope ({config.microscope.kind}) ..."):
        application = connect_application(config)
    from stedopt_bluesky.cli.showing import conclude
    from stedopt_bluesky.records.folder import CatalogFolder

    folder = CatalogFolder.create_or_open(catalog)
    # Bluesky prints to standard output; a script expects one JSON document there.
    with contextlib.redirect_stdout(sys.stderr):
        with open_session(config, application, folder, history=history) as session:
            uid, problem = _run(session, regions, md or {})
        _store(folder, uid)
    conclude(folder, uid, catalog=catalog, figure=figure, as_json=as_json, problem=problem)
    if problem:
        raise typer.Exit(_EXIT_CODES.get(problem, 1))


def _run(
    session: Session, regions: Sequence[Region] | None, md: Mapping[str, Any]
) -> tuple[str, str]:
    """Run the plan; return the run's uid and, when it did not go well, why."""
    from bluesky.utils import RunEngineInterrupted

    from stedopt_bluesky.reports.progress import RunProgress

    engine = session.run_engine
    started: list[str] = []
    progress = RunProgress(console)

    def observe(name: str, doc: dict[str, Any]) -> None:
        if name == "start":
            started.append(doc["uid"])
        progress(name, doc)

    problem = ""
    # What went wrong is said once, in plain words, not as Bluesky's traceback.
    logging.getLogger("bluesky").setLevel(logging.CRITICAL)
    with _terminate_as_interrupt(engine) as terminated:
        try:
            engine(session.optimize(regions=regions, md=md), observe)
        except RunEngineInterrupted:
            problem = TERMINATED if terminated.is_set() else INTERRUPTED
            engine.abort(reason=problem)
        except Exception as error:
            problem = str(error) or type(error).__name__
        finally:
            progress.close()
    if not started:
        fail(problem or "the run did not begin", code=1)
    return started[0], problem


@contextlib.contextmanager
def _terminate_as_interrupt(engine: Any) -> Iterator[threading.Event]:
    """Have SIGTERM pause the plan at once, as a second Ctrl-C does; it is then aborted."""
    from bluesky.utils import TransitionError

    terminated = threading.Event()

    def pause() -> None:
        with contextlib.suppress(TransitionError):
            engine.request_pause(defer=False)

    def handle(*_: object) -> None:
        terminated.set()
        threading.Thread(target=pause, daemon=True).start()

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield terminated
    finally:
        signal.signal(signal.SIGTERM, before)


def _store(folder: CatalogFolder, uid: str) -> None:
    """Bring the run from its journal into the catalogue's databases."""
    with console.status("storing the run in the catalogue ..."):
        try:
            from stedopt_bluesky.records.catalog import Catalog
            from stedopt_bluesky.records.journal import find_run

            with Catalog(folder) as stored:
                stored.ingest(find_run(folder, uid))
        except Exception as error:
            console.print(
                f"[yellow]warning:[/] the run is kept in its journal, but could not be brought "
                f"into the databases: {error}",
                soft_wrap=True,
            )
