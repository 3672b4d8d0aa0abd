"""Two runs side by side: what differs in how they were made, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.journal import find_run
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.records.runs import summarize
from stedopt_bluesky.reports.live_run import plain_text
from stedopt_bluesky.reports.two_runs import RunBeside, differences
from stedopt_bluesky.web.page.compare_figure import compare_figure, objective_label
from stedopt_bluesky.web.page.listed_runs import begun_text, run_address
from stedopt_bluesky.web.page.reading import Progress, in_thread
from stedopt_bluesky.web.page.text_table import Line, TextTable

_LONGEST = 1000


class CompareView:
    """Two runs in one browser; what cannot be read is told in a line.

    Parameters
    ----------
    folder : CatalogFolder
        Whose runs.
    first, second : str
        Their uids, or first characters.
    """

    def __init__(self, folder: CatalogFolder, first: str, second: str) -> None:
        from nicegui import ui

        self._folder = folder
        self._uids = (first, second)
        ui.label("Two runs").props("role=heading aria-level=1").classes("text-xl")
        self._said = ui.label("The runs are read ...").props("role=status aria-live=polite")
        self._place = ui.column().classes("w-full")
        ui.timer(0, self._read, once=True)

    async def _read(self) -> None:
        from nicegui import ui

        try:
            runs = await in_thread(self._both, self._show_progress)
        except CatalogError as error:
            self._said.set_text(plain_text(error, longest=_LONGEST))
            with self._place:
                ui.link("All runs", "/runs")
            return
        if self._place.is_deleted:  # the browser has gone
            return
        self._said.set_text("")
        with self._place:
            self._show([(plain_text(run.summary.uid[:8]), run) for run in runs])

    def _both(self, progress: Progress) -> list[RunBeside]:
        found = []
        for done, uid in enumerate(self._uids):
            progress(done, len(self._uids))
            found.append(read_beside(self._folder, uid))
        return found

    def _show_progress(self, done: int, total: int) -> None:
        self._said.set_text(f"The runs are read: {done} of {total}")

    def _show(self, runs: Sequence[tuple[str, RunBeside]]) -> None:
        from nicegui import ui

        with ui.row():
            for name, run in runs:
                ui.link(f"Run {name}", run_address(run.summary.uid))
        objectives = list(dict.fromkeys(o for _, run in runs for o in run.objectives))
        names = [name for name, _ in runs]
        _table("What came of it", names, _came_of(runs, objectives))
        different = differences(runs[0][1], runs[1][1])
        if different:
            _table("What differs in how they were made", names, different)
        else:
            ui.label("Both were made with the same configuration.")
        for objective in objectives:
            label = objective_label(plain_text(objective))
            ui.label(label).props("role=heading aria-level=2").classes("text-lg")
            plot = ui.plotly(compare_figure(objective, runs)).classes("w-full")
            plot.style("height: 18rem").props["aria-label"] = f"{label} of each image"
            plot.props("role=img")


def read_beside(folder: CatalogFolder, uid: str) -> RunBeside:
    """Read a run to be shown beside another one.

    Raises
    ------
    CatalogError
        When there is no such run, or it is damaged.
    """
    path = find_run(folder, uid)
    record, summary = RunRecord.read(path), summarize(folder, path)
    try:
        return RunBeside.of(record, summary)
    # Valid documents, that are none of an optimisation: of other programs, or damaged.
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CatalogError(f"run {record.uid[:8]} cannot be compared: {error!r}") from error


def _came_of(
    runs: Sequence[tuple[str, RunBeside]], objectives: Sequence[str]
) -> list[tuple[str, ...]]:
    both = [run for _, run in runs]
    rows = [
        ("begun", *(begun_text(run.summary.time) for run in both)),
        ("ended", *(_ended(run) for run in both)),
        ("images", *(_images(run) for run in both)),
        ("light of the excitation (µJ)", *(f"{run.light_dose[0]:.4g}" for run in both)),
        ("light of the depletion (mJ)", *(f"{run.light_dose[1]:.4g}" for run in both)),
    ]
    for objective in objectives:
        label = f"{objective_label(plain_text(objective))}, median of the last ten images"
        rows.append((label, *(_number(run.last_median(objective)) for run in both)))
    return rows


def _ended(run: RunBeside) -> str:
    return plain_text(", ".join(filter(None, (run.summary.exit_status, run.summary.reason))))


def _images(run: RunBeside) -> str:
    planned = run.images_planned
    return f"{run.images}" if planned is None else f"{run.images} of {planned}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _table(title: str, names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    """Two columns of texts beside their names."""
    TextTable(title).show(["", *names], {row[0]: Line(row) for row in rows})
