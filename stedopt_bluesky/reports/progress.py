"""Progress of a run in the terminal, with the time left; a callback of documents."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class RunProgress:
    """Shows a bar that moves with every image; observes documents and nothing else.

    Parameters
    ----------
    console : Console
        Where; on standard error, so that scripts can read standard output.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[last]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._primary: set[str] = set()
        self._task = self._progress.add_task("overview", total=None, last="")

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Observe one document."""
        if name == "start":
            self._progress.start()
            self._progress.update(self._task, total=doc["images_planned"])
        elif name == "descriptor" and doc["name"] == "primary":
            self._primary.add(doc["uid"])
        elif name == "event" and doc["descriptor"] in self._primary:
            objectives = ", ".join(
                f"{key.removeprefix('objective_')} {value:.3g}"
                for key, value in doc["data"].items()
                if key.startswith("objective_")
            )
            self._progress.update(self._task, advance=1, description="imaging", last=objectives)
        elif name == "stop":
            self.close()

    def close(self) -> None:
        """Leave the bar as it is and give the terminal back; safe to call twice."""
        self._progress.stop()
