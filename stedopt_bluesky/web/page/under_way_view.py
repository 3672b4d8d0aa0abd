"""The run under way in a catalogue, whatever program makes it, in one browser."""

from __future__ import annotations

import asyncio

from stedopt_bluesky.reports.live_run import LiveRun
from stedopt_bluesky.web.page.listed_runs import run_address
from stedopt_bluesky.web.page.looker import Looker
from stedopt_bluesky.web.page.run_view import RunView

# How often a browser looks for what is new, s.
LOOK_EVERY_S = 0.3
_NONE = "No run is under way."


class UnderWayView:
    """The run under way; when it has ended, it stays until the next one begins.

    Parameters
    ----------
    looker : Looker
        Looks on at it.
    """

    def __init__(self, looker: Looker) -> None:
        from nicegui import ui

        self._looker = looker
        self._heading = ui.label("").classes("text-xl").props("role=status aria-live=polite")
        self._said = ui.label("").classes("text-gray-700").mark("said")
        self._link = ui.link("This run by itself", "/runs")
        self._link.set_visibility(False)
        self._view = ui.column().classes("w-full")
        self._is_shown = False
        ui.timer(LOOK_EVERY_S, self.refresh)

    async def refresh(self) -> None:
        """Show what is under way now."""
        under_way = await asyncio.to_thread(self._looker.is_under_way)
        run = self._looker.followed.run
        self._heading.set_text(state_in_words(run, under_way=under_way))
        self._said.set_text("" if under_way else self._looker.said)
        if run.uid and not self._view.is_deleted:
            self._link.set_visibility(True)
            self._link.props["href"] = run_address(run.uid)
            self._show()

    def _show(self) -> None:
        """Show the run's view, which goes on with the next run by itself."""
        if not self._is_shown:
            self._is_shown = True
            with self._view:
                RunView(self._looker.followed)


def state_in_words(run: LiveRun, *, under_way: bool) -> str:
    """Say whether a run is under way, and which one: ``"Run 57dc1234 is under way."``."""
    if not run.uid:
        return _NONE
    if run.exit_status:
        reason = f", {run.reason}" if run.reason else ""
        return f"{_NONE} The last one, {run.uid[:8]}, has ended: {run.exit_status}{reason}"
    if under_way:
        return f"Run {run.uid[:8]} is under way."
    return f"{_NONE} The last one, {run.uid[:8]}, has no end: its program died."
