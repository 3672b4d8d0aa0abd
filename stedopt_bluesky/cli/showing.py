"""``stedopt show`` and ``stedopt replay``, and what is shown at the end of a run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from stedopt_bluesky.cli.output import console, print_json, program, stdout, warn
from stedopt_bluesky.config import ConfigError

if TYPE_CHECKING:
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.replay import DecisionComparison
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
    record, report = _report(folder, uid)
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
) -> None:
    """Show what a run that has just ended came to; with its picture unless there is no time."""
    record, report = _report(folder, uid)
    target = figure or folder.path / "figures" / f"{uid}.png"
    saved = _save_figure(record, report, target) if report.rows and draw else None
    if problem:
        console.print(f"[bold yellow]the run ended early:[/] {escape(problem)}", soft_wrap=True)
    _show(report, folder, catalog, saved, as_json=as_json)


def replay_run(uid: str, *, catalog: Path, as_json: bool) -> None:
    """Re-emit a run's documents, checked against their schemas, and make its decisions anew.

    Raises
    ------
    CatalogError, ConfigError
        When the run is not there, damaged, or not one of this program's.
    """
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.replay import emit, rerun_decisions
    from stedopt_bluesky.records.resume import read_chain
    from stedopt_bluesky.session import (
        config_of,
        make_choose,
        make_strategy,
        networks_of,
        prior_of,
    )

    folder = CatalogFolder.open(catalog)
    chain = read_chain(folder, uid)
    record = chain.last
    config, prior = config_of(record), prior_of(record)
    preference = networks_of(record, config, folder).preference
    with console.status("re-emitting the documents ..."):
        documents = _Checked()
        emit(record, documents)
    with console.status("making the decisions anew ..."):
        decisions = rerun_decisions(
            record,
            lambda _: make_strategy(config, chain.history_before_last, prior),
            make_choose(config, preference),
            compare_clouds=True,
        )
    differing = [d for d in decisions if not d.same]
    if as_json:
        print_json(
            {
                "uid": record.uid,
                "documents": documents.count,
                "invalid_documents": documents.invalid,
                "decisions": len(decisions),
                "differing": len(differing),
                "differences": [vars(d) for d in differing],
            }
        )
    else:
        validity = f"{len(documents.invalid)} not valid" if documents.invalid else "all valid"
        lines = [
            f"{documents.count} documents re-emitted, {validity}",
            *(f"  {problem}" for problem in documents.invalid),
            f"{len(decisions)} decisions made anew, {len(differing)} differ",
            *(f"  {_difference(d)}" for d in differing),
        ]
        stdout.print("\n".join(lines), markup=False)
    if differing or documents.invalid:
        raise typer.Exit(1)


def _difference(decision: DecisionComparison) -> str:
    """Say in what a decision made anew differs from the recorded one."""
    recorded = f"option {decision.recorded_index} ({decision.recorded_by})"
    if decision.index == decision.recorded_index:
        return f"iteration {decision.iteration}: {recorded} again, but from another cloud"
    return (
        f"iteration {decision.iteration}: recorded {recorded}, "
        f"now option {decision.index} ({decision.chosen_by})"
    )


class _Checked:
    """Callback that validates documents against event-model's schemas and counts them."""

    def __init__(self) -> None:
        self.count = 0
        self.invalid: list[str] = []

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        from stedopt_bluesky.records.schemas import why_invalid

        self.count += 1
        if reason := why_invalid(name, doc):
            self.invalid.append(f"document {self.count}, {name}: {reason}")


def _report(folder: CatalogFolder, uid: str) -> tuple[RunRecord, RunReport]:
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
    report: RunReport, folder: CatalogFolder, catalog: Path, figure: Path | None, *, as_json: bool
) -> None:
    commands = _commands(report, folder, catalog)
    if as_json:
        print_json(
            {
                **report.as_json(),
                "catalog": str(catalog.resolve()),
                "figure": str(figure.resolve()) if figure else None,
                "commands": commands,
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
        ("catalogue", str(catalog)),
        *([("picture", str(figure))] if figure else []),
        *((label, command or _NOT_CONTINUED) for label, command in commands.items()),
    ]
    for label, text in lines:
        stdout.print(f"[bold]{label:>10}[/]  {escape(text)}")


def _commands(report: RunReport, folder: CatalogFolder, catalog: Path) -> dict[str, str | None]:
    """Exact commands to query, replay and continue a run; None where there is nothing to do."""
    where = f"--catalog {shlex.quote(str(catalog))}"
    uid, stedopt = report.uid[:8], program()
    options = _continue_options(report, folder)
    return {
        "query": f"{stedopt} show {uid} {where}",
        "replay": f"{stedopt} replay {uid} {where}",
        "continue": None if options is None else f"{stedopt} resume {uid}{options} {where}",
    }


def _continue_options(report: RunReport, folder: CatalogFolder) -> str | None:
    """Options of ``stedopt resume`` with which it can go on; None when no region is left."""
    planned = report.images_planned - len(report.rows)
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
