"""``stedopt show``, and what is shown at the end of a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from stedopt_bluesky.cli.options import ASKS_OPTION, Asks
from stedopt_bluesky.cli.output import console, print_json, program, stdout, warn
from stedopt_bluesky.config import ConfigError

if TYPE_CHECKING:
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.run_record import RunRecord
    from stedopt_bluesky.reports.summary import RunReport

# How many more images a complete run is offered to go on with.
_MORE_IMAGES = 20
_NOT_CONTINUED = "not possible: no regions are known that have not been imaged"


def check_figure(path: Path) -> None:
    """Refuse a place where no picture can be saved, before anything is done.

    Raises
    ------
    ConfigError
        When it is not the name of a PNG file.
    """
    if path.suffix.lower() != ".png":
        raise ConfigError(f"figure = {str(path)!r}: the name of a PNG file, *.png")
    if path.is_dir():
        raise ConfigError(f"figure = {str(path)!r}: is a folder; give the name of a PNG file")
    if file := next((p for p in path.parents if p.is_file()), None):
        raise ConfigError(f"figure = {str(path)!r}: {file} is a file, not a folder")


def show_run(uid: str, *, catalog: Path, figure: Path | None, as_json: bool) -> None:
    """Show a stored run.

    Raises
    ------
    CatalogError, ConfigError
        When it is not there, damaged, or not one of this program's.
    """
    from stedopt_bluesky.records.folder import CatalogFolder

    if figure:
        check_figure(figure)
    folder = CatalogFolder.open(catalog)
    record, report = report_for(folder, uid)
    if figure and not report.rows:
        raise ConfigError(f"figure = {str(figure)!r}: run {report.uid[:8]} has no image to draw")
    saved = _save_figure(record, report, figure) if figure else None
    _show(report, folder, catalog, saved, as_json=as_json)


def conclude(
    folder: CatalogFolder,
    uid: str,
    *,
    catalog: Path,
    figure: Path | None,
    as_json: bool,
    problem: str,
    draw: bool = True,
    asks: Asks = "",
    more: tuple[tuple[str, str], Mapping[str, Any]] | None = None,
) -> None:
    """Show what a run that has just ended came to; with its picture unless there is no time.

    ``asks`` tells where a person chose, who is asked again when it goes on; ``more`` is a further
    line, its label and text, and what ``--json`` says instead.
    """
    record, report = report_for(folder, uid)
    target = figure or folder.path / "figures" / f"{uid}.png"
    saved = _save_figure(record, report, target) if report.rows and draw else None
    if problem:
        console.print(f"[bold yellow]the run ended early:[/] {escape(problem)}", soft_wrap=True)
    _show(report, folder, catalog, saved, as_json=as_json, asks=asks, more=more)


def report_for(folder: CatalogFolder, uid: str) -> tuple[RunRecord, RunReport]:
    """Read a run and what it came to.

    Raises
    ------
    CatalogError, ConfigError
        When it is not there, damaged, or not one of this program's.
    """
    from stedopt_bluesky.records.journal import find_run
    from stedopt_bluesky.records.run_record import RunRecord
    from stedopt_bluesky.records.runs import summarize
    from stedopt_bluesky.reports.summary import report_of
    from stedopt_bluesky.session import config_of, objectives_of, weights_of

    path = find_run(folder, uid)
    record = RunRecord.read(path)
    config = config_of(record)
    summary = summarize(folder, path)
    report = report_of(
        record,
        objectives_of(config),
        weights_of(config),
        {parameter.name: parameter.unit for parameter in config.space},
        rule=config.choice.rule,
        exit_status=summary.exit_status,
        reason=summary.reason,
    )
    return record, report


def _save_figure(record: RunRecord, report: RunReport, path: Path) -> Path | None:
    """Draw the run; a picture that cannot be drawn or saved is no reason to lose the rest."""
    from stedopt_bluesky.records.folder import CatalogError
    from stedopt_bluesky.reports.figure import save_figure

    with console.status("drawing the picture ..."):
        try:
            save_figure(record, report, path)
        except (OSError, CatalogError) as error:
            warn(f"the picture {path} was not saved: {error}")
            return None
    return path


def _show(
    report: RunReport,
    folder: CatalogFolder,
    catalog: Path,
    figure: Path | None,
    *,
    as_json: bool,
    asks: Asks = "",
    more: tuple[tuple[str, str], Mapping[str, Any]] | None = None,
) -> None:
    commands = _commands(report, folder, catalog, asks)
    if as_json:
        print_json(
            {
                **report.as_json(),
                "catalog": str(catalog.resolve()),
                "figure": str(figure.resolve()) if figure else None,
                "commands": commands,
                **(more[1] if more else {}),
            }
        )
        return
    from stedopt_bluesky.reports.tables import images_tables

    for table in images_tables(report) if report.rows else ():
        stdout.print(table)
        stdout.print()
    ended = f"{report.exit_status}{f', {report.reason}' if report.reason else ''}"
    lines = [
        ("run", report.uid),
        ("ended", f"{len(report.rows)} of {report.images_planned} images, {ended}"),
        *([more[0]] if more else []),
        ("catalogue", str(catalog)),
        *([("picture", str(figure))] if figure else []),
        *((label, command or _why_not(report)) for label, command in commands.items()),
    ]
    for label, text in lines:
        stdout.print(f"[bold]{label:>10}[/]  {escape(text)}")


def _is_replay(report: RunReport) -> bool:
    from stedopt_bluesky.records.replay import REPLAYS

    return REPLAYS in report.start


def _why_not(report: RunReport) -> str:
    return "not possible: its images were recorded" if _is_replay(report) else _NOT_CONTINUED


def _commands(
    report: RunReport, folder: CatalogFolder, catalog: Path, asks: Asks
) -> dict[str, str | None]:
    """Exact commands to query, replay and continue a run; None where there is nothing to do."""
    where = f"--catalog {shlex.quote(str(catalog))}"
    uid, stedopt = report.uid[:8], program()
    options = _continue_options(report, folder)
    return {
        "query": f"{stedopt} show {uid} {where}",
        "replay": f"{stedopt} replay {uid} {where}",
        "continue": None
        if options is None
        else f"{stedopt} resume {uid}{options}{ASKS_OPTION[asks]} {where}",
    }


def _continue_options(report: RunReport, folder: CatalogFolder) -> str | None:
    """Options of ``stedopt resume`` with which it can go on; None when no region is left."""
    planned = report.images_planned - len(report.rows)
    if _is_replay(report):
        return None
    from stedopt_bluesky.records.resume import read_chain
    from stedopt_bluesky.session import config_of, places_left

    try:
        chain = read_chain(folder, report.uid)
        places = places_left(chain, config_of(chain.last))
    except ValueError:  # regions by hand, spines that cannot be used, an earlier run that is gone
        return None
    wanted = planned if planned > 0 else _MORE_IMAGES
    if places.fields_um or places.regions is None or len(places.regions) >= planned > 0:
        return ""
    count = min(wanted, len(places.regions))
    return f" --images {count}" if count else None
