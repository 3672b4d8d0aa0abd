"""One run of the catalogue, past or under way, in one browser."""

from __future__ import annotations

from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.journal import find_run, is_live
from stedopt_bluesky.records.query import RUNNING
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.records.runs import RunSummary, summarize
from stedopt_bluesky.reports.live_run import plain_text
from stedopt_bluesky.web.page.followed import Followed
from stedopt_bluesky.web.page.listed_runs import begun_text
from stedopt_bluesky.web.page.looker import Looker
from stedopt_bluesky.web.page.reading import Progress, in_thread
from stedopt_bluesky.web.page.run_view import RunView

_LONGEST = 1000


class OneRunView:
    """A run; one that cannot be read is told in a line.

    Parameters
    ----------
    folder : CatalogFolder
        Whose run.
    uid : str
        Its uid, or first characters.
    """

    def __init__(self, folder: CatalogFolder, uid: str) -> None:
        from nicegui import ui

        self._folder = folder
        self._uid = uid
        title = f"Run {plain_text(uid[:8])}"
        ui.label(title).props("role=heading aria-level=1").classes("text-xl")
        self._said = ui.label("The run is read ...").props("role=status aria-live=polite")
        self._place = ui.column().classes("w-full")
        ui.timer(0, self._read, once=True)

    async def _read(self) -> None:
        from nicegui import context, ui

        try:
            summary, followed = await in_thread(self._found, lambda done, total: None)
        except CatalogError as error:
            self._said.set_text(plain_text(error, longest=_LONGEST))
            with self._place:
                ui.link("All runs", "/runs")
            return
        if self._place.is_deleted:  # the browser has gone
            return
        self._said.set_text(summary_in_words(summary))
        if followed is None:
            looker = Looker(self._folder, summary.uid)
            looker.__enter__()
            context.client.on_delete(looker.end)
            followed = looker.followed
            with self._place:
                ui.label("").bind_text_from(looker, "said").classes("text-gray-700")
        with self._place:
            RunView(followed)

    def _found(self, progress: Progress) -> tuple[RunSummary, Followed | None]:
        """Read the run; of one under way, what it is alone."""
        path = find_run(self._folder, self._uid)
        if is_live(self._folder, path):
            return summarize(self._folder, path), None
        record, summary = RunRecord.read(path), summarize(self._folder, path)
        try:
            return summary, Followed.of_record(record, self._folder)
        # Valid documents, that are none of an optimisation: of other programs, or damaged.
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise CatalogError(f"run {record.uid[:8]} cannot be shown: {error!r}") from error


def summary_in_words(run: RunSummary) -> str:
    """Say what a run is of, when it began and how it ended."""
    told = {
        "sample": run.sample, "structure": run.structure, "preset": run.preset, "by": run.operator,
    }  # fmt: skip
    words = [f"{name} {text}" for name, text in told.items() if text]
    words.append(f"begun {begun_text(run.time)}")
    # Of one under way the view tells how far it is.
    if run.exit_status != RUNNING:
        words.append(run.exit_status + (f": {run.reason}" if run.reason else ""))
    return ", ".join(plain_text(word) for word in words)
