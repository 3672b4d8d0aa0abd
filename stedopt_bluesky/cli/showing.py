"""``stedopt show`` and ``stedopt replay``, and what is shown at the end of a run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stedopt_bluesky.cli.output import console, print_json, stdout
from stedopt_bluesky.config import PARAMETER_UNITS

if TYPE_CHECKING:
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.run_record import RunRecord
    from stedopt_bluesky.reports.summary import RunReport


def show_run(uid: str, *, catalog: Path, figure: Path | None, as_json: bool) -> None:
    """Show a stored run.

    Raises
    ------
    CatalogError, ConfigError
        When it is not there, damaged, or not one of this program's.
    """
    from stedopt_bluesky.records.folder import CatalogFolder

    folder = CatalogFolder.open(catalog)
    record, report = _report(folder, uid)
    saved = _save_figure(record, report, figure) if figure else None
    _show(report, catalog, saved, as_json=as_json)


def conclude(
    folder: CatalogFolder,
    uid: str,
    *,
    catalog: Path,
    figure: Path | None,
    as_json: bool,
    problem: str,
) -> None:
    """Show what a run that has just ended came to."""
    record, report = _report(folder, uid)
    target = figure or folder.path / "figures" / f"{uid}.png"
    saved = _save_figure(record, report, target) if report.rows else None
    if problem:
        console.print(f"[bold yellow]the run ended early:[/] {problem}", soft_wrap=True)
    _show(report, catalog, saved, as_json=as_json)


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
    from stedopt_bluesky.session import config_of, make_choose, make_strategy

    chain = read_chain(CatalogFolder.open(catalog), uid)
    record = chain.last
    config = config_of(record)
    with console.status("re-emitting the documents ..."):
        documents = _Checked()
        emit(record, documents)
    with console.status("making the decisions anew ..."):
        decisions = rerun_decisions(
            record,
            lambda _: make_strategy(config, chain.history_before_last),
            make_choose(config),
            compare_clouds=True,
        )
    differing = [d for d in decisions if not d.same]
    if as_json:
        print_json(
            {
                "uid": record.uid,
                "documents": documents.count,
                "decisions": len(decisions),
                "differing": len(differing),
                "differences": [vars(d) for d in differing],
            }
        )
    else:
        stdout.print(
            f"{documents.count} documents re-emitted, all valid\n"
            f"{len(decisions)} decisions made anew, {len(differing)} differ"
        )
        for d in differing:
            stdout.print(
                f"  iteration {d.iteration}: recorded option {d.recorded_index} "
                f"({d.recorded_by}), now {d.index} ({d.chosen_by})"
            )
    if differing:
        raise typer.Exit(1)


class _Checked:
    """Callback that validates documents against event-model's schemas and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        from event_model import DocumentNames, schema_validators

        schema_validators[DocumentNames[name]].validate(doc)
        self.count += 1


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
        {name: PARAMETER_UNITS[name] for name in config.space.names},
        exit_status=summary.exit_status,
        reason=summary.reason,
    )
    return record, report


def _save_figure(record: RunRecord, report: RunReport, path: Path) -> Path:
    from stedopt_bluesky.reports.figure import save_figure

    with console.status("drawing the picture ..."):
        save_figure(record, report, path)
    return path


def _show(report: RunReport, catalog: Path, figure: Path | None, *, as_json: bool) -> None:
    commands = _commands(report, catalog)
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

    if report.rows:
        stdout.print(*images_tables(report))
    ended = f"{report.exit_status}{f', {report.reason}' if report.reason else ''}"
    lines = [
        ("run", report.uid),
        ("ended", f"{len(report.rows)} of {report.images_planned} images, {ended}"),
        ("catalogue", str(catalog)),
        *([("picture", str(figure))] if figure else []),
        *commands.items(),
    ]
    for label, text in lines:
        stdout.print(f"[bold]{label:>10}[/]  ", end="")
        stdout.print(text, markup=False)


def _commands(report: RunReport, catalog: Path) -> dict[str, str]:
    """Exact commands to query, replay and continue a run."""
    uid, where = report.uid[:8], f"--catalog {shlex.quote(str(catalog))}"
    left = report.images_planned - len(report.rows)
    more = "" if left > 0 else " --images 20"
    return {
        "query": f"stedopt show {uid} {where}",
        "replay": f"stedopt replay {uid} {where}",
        "continue": f"stedopt resume {uid}{more} {where}",
    }
