"""Progress of an experiment in the terminal, with the time left."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

# Where there is no terminal, a line in ten seconds tells that it goes on and fills no log.
_PLAIN_EVERY_S = 10.0


class ExperimentProgress:
    """A bar while entered; call it with the number of things that have just been done.

    Parameters
    ----------
    console : Console
        Where; on standard error, so that scripts can read standard output.
    what : str
        What is counted, in the plural.
    total : int
        How many.
    """

    def __init__(self, console: Console, what: str, total: int) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            redirect_stdout=False,
            # A log gets the plain lines instead.
            disable=not console.is_terminal,
        )
        self._console = console
        self._what = what
        self._said = time.monotonic()
        self._task = self._progress.add_task(what, total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, count: int) -> None:
        """Count what has just been done."""
        self._progress.update(self._task, advance=count)
        task = self._progress.tasks[0]
        now = time.monotonic()
        if self._console.is_terminal or task.finished or now - self._said < _PLAIN_EVERY_S:
            return
        self._said = now
        left = "" if task.time_remaining is None else f", {task.time_remaining:.0f} s left"
        self._console.print(f"{task.completed:.0f} of {task.total:.0f} {self._what}{left}")
