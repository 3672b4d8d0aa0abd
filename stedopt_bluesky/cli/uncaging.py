"""``stedopt experiment uncaging``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from stedopt_bluesky.cli.experimenting import interruptible, print_lines, saved_picture
from stedopt_bluesky.cli.output import console, fail, print_json, stdout, warnings_in_one_line
from stedopt_bluesky.cli.showing import check_figure
from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.config.errors import allowed_text
from stedopt_bluesky.errors import in_one_line
from stedopt_bluesky.experiments.parallel import WorkersError, cores, run_each
from stedopt_bluesky.experiments.progress import ExperimentProgress
from stedopt_bluesky.experiments.tables import uncaging_tables
from stedopt_bluesky.experiments.uncaging import STRATEGIES, UncagingExperiment, run_once
from stedopt_bluesky.experiments.uncaging_report import UncagingReport, report_uncaging

_FIGURE = Path("stedopt-uncaging.png")


@dataclass(frozen=True)
class UncagingRequest:
    """What ``stedopt experiment uncaging`` was asked for; see its ``--help``."""

    images: int
    cells: int
    runs: int
    seed: int
    strategies: tuple[str, ...]
    workers: int | None
    figure: Path | None


def uncage(request: UncagingRequest, *, as_json: bool) -> None:
    """Run an uncaging experiment, show what it came to, and draw it.

    Raises
    ------
    ConfigError
        When something in the request is wrong.
    """
    strategies = _check(request)
    experiment = UncagingExperiment(request.images, request.cells, request.runs, request.seed)
    target = request.figure or _FIGURE
    with interruptible():
        begin = time.monotonic()
        report = _report(experiment, strategies, request.workers or cores())
        took_s = time.monotonic() - begin
        from stedopt_bluesky.experiments.uncaging_figure import save_uncaging_figure

        saved = saved_picture(target, lambda: save_uncaging_figure(report, target))
    if as_json:
        print_json({**report.as_json(), "figure": saved, "runs_s": took_s})
        return
    for table in uncaging_tables(report):
        stdout.print(table)
        stdout.print()
    print_lines(("runs", f"{took_s:.0f} s"), *([("picture", saved)] if saved else []))


def _check(request: UncagingRequest) -> tuple[str, ...]:
    """Refuse what can be refused before anything is imaged; return the strategies' names."""
    for name, least in (("images", 2), ("cells", 1), ("runs", 1), ("workers", 1), ("seed", 0)):
        value = getattr(request, name)
        if value is not None and value < least:
            raise ConfigError(f"{name} = {value}: at least {least}")
    if request.figure:
        check_figure(request.figure)
    strategies = request.strategies or STRATEGIES
    for name in strategies:
        if name not in STRATEGIES:
            raise ConfigError(f"strategy = {name!r}: {allowed_text(name, STRATEGIES)}")
    # Whatever else the numbers break is said before a process is started.
    UncagingExperiment(request.images, request.cells, 1, request.seed).config(strategies[0], 0)
    return tuple(dict.fromkeys(strategies))


def _report(
    experiment: UncagingExperiment, strategies: tuple[str, ...], workers: int
) -> UncagingReport:
    """Do all runs; both strategies of a coverslip one after the other."""
    jobs = [(name, number) for number in range(experiment.runs) for name in strategies]
    with (
        warnings_in_one_line(),
        ExperimentProgress(console, "images", len(jobs) * experiment.images) as progress,
    ):
        try:
            runs = run_each(run_once, experiment, jobs, workers, progress)
        except WorkersError as error:
            fail(str(error), code=1)
        except RuntimeError as error:  # a coverslip with too few spines, say
            fail(in_one_line(error), code=1)
    done = dict(zip(jobs, runs, strict=True))
    return report_uncaging(
        experiment,
        {name: [done[name, number] for number in range(experiment.runs)] for name in strategies},
    )
