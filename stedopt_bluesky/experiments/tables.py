"""Tables of experiments for the terminal, narrow enough for 80 columns."""

from __future__ import annotations

import math

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from stedopt_bluesky.experiments.comparison import ComparisonReport
from stedopt_bluesky.experiments.replay import ReplayReport
from stedopt_bluesky.experiments.uncaging_report import UncagingReport
from stedopt_bluesky.reports.labels import ARROWS, axis_label


def replay_tables(report: ReplayReport) -> tuple[Table, Table]:
    """Tables of a replay experiment: its strategies, and where they took their images."""
    return _strategies(report), _configurations(report)


def comparison_tables(report: ComparisonReport) -> tuple[Table, Table]:
    """Tables of a comparison: its groups, and the objectives' first against last images."""
    return _groups(report), _objectives(report)


def uncaging_tables(report: UncagingReport) -> tuple[Table]:
    """Table of an uncaging experiment: shares of responses, first against last images."""
    count = report.count
    table = _table(
        f"Responses of the first and the last {count} images of {report.experiment.runs} runs",
        "strategy",
        "response",
        f"first {count}",
        "95 % interval",
        f"last {count}",
        "95 % interval",
        "p",
    )
    for name, result in report.strategies.items():
        label = name
        for outcome, shares in result.outcomes.items():
            cells = []
            for share in (shares.first, shares.last):
                known = not math.isnan(share.low)
                interval = f"{share.low:.0%} … {share.high:.0%}" if known else "-"
                cells += [f"{share.mean:.1%}", interval]
            table.add_row(label, outcome, *cells, _number(shares.p_value))
            label = ""
    if len(report.strategies) > 1:
        label = "last images"
        for outcome, p_value in report.between.items():
            table.add_row(label, outcome, *[""] * 4, _number(p_value))
            label = ""
    return (table,)


def _strategies(report: ReplayReport) -> Table:
    table = _table(
        f"{report.trials} trials × {report.experiment.images} images",
        "strategy",
        "failures",
        "95 % interval",
        "growth",
        "in relevant\nregion",
        "error of\nestimate",
    )
    for result in report.results:
        errors = result.errors[~np.isnan(result.errors)]
        table.add_row(
            result.name,
            f"{result.regret[-1]:.1f}",
            _interval(result.regret_low[-1], result.regret_high[-1]),
            _exponent(result.exponent),
            f"{result.relevant_share:.0%}",
            f"{errors.mean():.3g}" if errors.size else "-",
        )
    return table


def _configurations(report: ReplayReport) -> Table:
    experiment, truth = report.experiment, report.truth
    table = _table(
        "Images of a trial at each configuration (*: relevant region)",
        *(axis_label(name).replace(" ", "\n") for name in experiment.space.names),
        "",
        f"mean\n{ARROWS[experiment.objective.direction]}",
        "failing",
        *(result.name.replace("_", "\n") for result in report.results),
    )
    for g, configuration in enumerate(experiment.space.grid):
        table.add_row(
            *(f"{value:.3g}" for value in configuration),
            "*" if g in truth.relevant else "",
            _number(truth.means[g]),
            f"{truth.failure_rates[g]:.0%}",
            *(f"{result.chosen[g]:.1f}" for result in report.results),
        )
    return table


def _groups(report: ComparisonReport) -> Table:
    table = _table(
        f"Groups of runs, {report.images} images each",
        "group",
        "runs",
        "failures",
        "95 % interval",
        "growth",
        "hyper-\nvolume ↑",
    )
    for group in report.groups:
        table.add_row(
            group.name,
            str(len(group.uids)),
            f"{group.regret[-1]:.1f}",
            _interval(group.regret_low[-1], group.regret_high[-1]),
            _exponent(group.exponent),
            f"{sum(group.hypervolumes) / len(group.hypervolumes):.3g}",
        )
    return table


def _objectives(report: ComparisonReport) -> Table:
    """Medians and p-values; the last row of an objective compares the groups."""
    table = _table(
        f"First against last {report.count} images (medians; Kruskal-Wallis)",
        "objective",
        "group",
        "first",
        "last",
        "p",
    )
    for objective in report.objectives:
        label = f"{axis_label(objective.name)} {ARROWS[objective.direction]}"
        for group in report.groups:
            result = group.objectives[objective.name]
            table.add_row(
                label,
                group.name,
                _number(result.first_median),
                _number(result.last_median),
                _number(result.p_value),
            )
            label = ""
        if len(report.groups) > 1:
            table.add_row(
                "", "all, last images", "", "", _number(report.between[objective.name][1])
            )
    return table


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column(first, overflow="fold")
    for heading in others:
        table.add_column(heading, justify="right", overflow="fold")
    return table


def _interval(low: float, high: float) -> str:
    return "-" if math.isnan(low) else f"{low:.1f} … {high:.1f}"


def _exponent(value: float) -> str:
    return "-" if math.isnan(value) else f"t^{value:z.2f}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"
