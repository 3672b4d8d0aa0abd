"""A run under way as it is shown: heading, last images, a line of bars for each objective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from stedopt_bluesky.reports.labels import axis_label, heading
from stedopt_bluesky.reports.live_run import LiveRun, plain_text
from stedopt_bluesky.reports.sparkline import ASCII_BARS, BARS, sparkline

LAST_IMAGES = 10
# What a bar of an objective leaves of the line: its name and its values.
_BESIDE_BARS = 46


class LiveTable:
    """Renderable of a run; `rich` prints it on whatever console there is.

    Parameters
    ----------
    run : LiveRun
        What is known of it.
    notes : sequence of str
        What else is to be said, the newest last.
    """

    def __init__(self, run: LiveRun, notes: Sequence[str] = ()) -> None:
        self._run = run
        self._notes = notes

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield what rich draws."""
        run = self._run
        parts: list[RenderableType] = [_heading(run)]
        if run.numbers(1):
            width = max(8, options.max_width - _BESIDE_BARS)
            parts += [Text(), _images(run), Text()]
            parts.append(_trends(run, width, ASCII_BARS if options.ascii_only else BARS))
        for note in self._notes:
            parts.append(Text(plain_text(note), style="dim", no_wrap=True, overflow="ellipsis"))
        yield Group(*parts)


def _heading(run: LiveRun) -> Text:
    who = [run.told(key) for key in ("sample", "preset", "operator")]
    text = Text.assemble(("run ", "bold"), run.uid[:8] or "not known yet")
    text.append("".join(f" · {word}" for word in who if word))
    text.append(f"\n{progress(run)}")
    if run.numbers(1):
        excitation, depletion = run.light_dose
        text.append(f"\nlight: depletion {depletion:.3g} mJ, excitation {excitation:.3g} µJ")
        if run.missing:
            text.append(f"; {run.missing} images have not come")
    return text


def progress(run: LiveRun) -> str:
    """How far a run is: ``"image 12 of 60, 0:03:10 left"``, or how it ended."""
    planned = "" if run.images_planned is None else f" of {run.images_planned}"
    text = f"image {run.images}{planned}"
    if run.exit_status:
        return f"{text}: {': '.join(filter(None, ('ended', run.exit_status, run.reason)))}"
    if run.left_s is None:
        return text
    # A clock that is wrong may make it any number.
    return f"{text}, {timedelta(seconds=round(min(run.left_s, 1e9)))} left"


def _images(run: LiveRun) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in ("image", *run.parameters, *run.objectives):
        # Folded, where all at once leave too little room: no digit is cut off.
        table.add_column(Text(heading(plain_text(name))), justify="right", overflow="fold")
    for number in run.numbers(LAST_IMAGES):
        parameters = (f"{run.value(number, name):.3g}" for name in run.parameters)
        objectives = (shown(run.objective(number, name)) for name in run.objectives)
        table.add_row(str(number), *parameters, *objectives)
    return table


def _trends(run: LiveRun, width: int, bars: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(no_wrap=True, max_width=24)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    for name in run.objectives:
        values = run.objective_column(name)
        finite = values[np.isfinite(values)]
        span = f"{finite.min():.3g} to {finite.max():.3g}" if finite.size else "invalid"
        label = Text(axis_label(plain_text(name)), overflow="ellipsis")
        table.add_row(label, Text(sparkline(values, width, bars)), span)
    return table


def shown(value: float) -> str:
    """Objective of an image in a table."""
    return "invalid" if math.isnan(value) else f"{value:.3g}"


def one_line(run: LiveRun, number: int) -> str:
    """Image in one line, for logs: its number, parameters and objectives with their units."""
    planned = "" if run.images_planned is None else f" of {run.images_planned}"
    words = [f"image {number}{planned}:"]
    values = [(name, f"{run.value(number, name):.3g}") for name in run.parameters]
    values += [(name, shown(run.objective(number, name))) for name in run.objectives]
    told = []
    for name, value in values:
        label, _, unit = axis_label(plain_text(name)).partition(" (")
        unit = "" if value == "invalid" else unit.rstrip(")")
        told.append(f"{label} {value} {unit}".rstrip())
    return " ".join(words) + " " + " · ".join(told)
