"""Progress of a run in the terminal, with the time left; a callback of documents."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from stedopt_bluesky.reports.labels import axis_label

_OBJECTIVE = "objective_"
# Where there is no terminal, a line in ten seconds tells that it goes on and fills no log.
_PLAIN_EVERY_S = 10.0


class RunProgress:
    """Shows a bar that moves with every image; observes documents and nothing else.

    Below the bar stand the objectives of the last image. Both lines fit into 80 columns.

    Parameters
    ----------
    console : Console
        Where; on standard error, so that scripts can read standard output.
    """

    def __init__(self, console: Console) -> None:
        self._progress = _WithLastImage(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            redirect_stdout=False,
        )
        self._console = console
        self._said = time.monotonic()
        self._primary: set[str] = set()
        self._images = 0
        self._closed = False
        self._task = self._progress.add_task("overview", total=None)

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Observe one document."""
        if name == "start":
            self._progress.start()
            self._progress.update(self._task, total=doc["images_planned"])
        elif name == "descriptor" and doc["name"] == "primary":
            self._primary.add(doc["uid"])
        elif name == "event" and doc["descriptor"] in self._primary:
            self._progress.last_image = _in_words(doc["data"])
            self._images += 1
            self._progress.update(self._task, completed=self._images, description="imaging ")
            self._say_plainly()
        elif name == "stop":
            self.close()

    def waiting(self, statuses: Iterable[Any] | None) -> None:
        """Watch what a plan waits for; to be the RunEngine's ``waiting_hook``."""
        for status in statuses or ():
            if hasattr(status, "watch"):
                status.watch(self._within_image)

    def _within_image(self, *, name: str = "", fraction: float | None = None, **_: Any) -> None:
        """Move the bar within an image, by the share of the way that is left."""
        if fraction is not None and name == "microscope":
            self._progress.update(self._task, completed=self._images + 1 - fraction)

    def _say_plainly(self) -> None:
        """Write a line now and then where a bar cannot be drawn: in a log, under nohup."""
        task = self._progress.tasks[0]
        now = time.monotonic()
        if self._console.is_terminal or task.finished or now - self._said < _PLAIN_EVERY_S:
            return
        self._said = now
        left = "" if task.time_remaining is None else f", {task.time_remaining:.0f} s left"
        done = f"{task.completed:.0f} of {task.total:.0f} images{left}"
        self._console.print(f"{done}: {self._progress.last_image}", soft_wrap=True)

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Leave the terminal to others while entered."""
        shown = self._progress.live.is_started
        if shown:
            self._progress.stop()
        yield
        if shown and not self._closed:
            self._progress.start()

    def close(self) -> None:
        """Leave the bar as it is and give the terminal back; safe to call twice."""
        self._closed = True
        self._progress.stop()


class _WithLastImage(Progress):
    """Progress with a line below the bar."""

    last_image = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.last_image:
            yield Text(self.last_image, style="dim", no_wrap=True, overflow="ellipsis")


def _in_words(data: dict[str, Any]) -> str:
    """Objectives of an image: ``"snr 0.77 · resolution 67.8 nm"``."""
    shown = []
    for key, value in data.items():
        if key.startswith(_OBJECTIVE):
            name, _, unit = axis_label(key.removeprefix(_OBJECTIVE)).partition(" (")
            text = "invalid" if math.isnan(value) else f"{value:.3g} {unit.rstrip(')')}".rstrip()
            shown.append(f"{name} {text}")
    return " · ".join(shown)
