"""Buttons that pause, resume, stop and abort a run as the RunEngine's methods do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from stedopt_bluesky.reports.live_run import plain_text
from stedopt_bluesky.session.run_control import ABORTED_BY, RefusedError, RunControl

# How often a browser looks what the run does, s.
LOOK_EVERY_S = 0.2
# A name in the record is not longer.
_LONGEST_NAME = 60
_IN_WORDS = {
    "not begun": "The run has not begun.",
    "running": "The run goes on.",
    "pausing": "It pauses when the image in progress is done.",
    "paused": "Paused, nothing is lit: it goes on when somebody resumes it.",
    "ending": "The run is being ended.",
    "ended": "The run has ended, the lasers are off.",
}
_STOP = (
    "Stop the run? It ends now and counts as a success. An image in progress is abandoned; "
    "pause first to have it finished. The run can be gone on with: stedopt resume."
)
_ABORT = (
    "Abort the run? It ends now and counts as aborted, with your name as the reason. An image in "
    "progress is abandoned. The run can be gone on with: stedopt resume."
)


class Controls:
    """The buttons in one browser.

    Parameters
    ----------
    control : RunControl
        Who is asked.
    who : callable
        Gives the name of whoever sits at the browser.
    """

    def __init__(self, control: RunControl, who: Callable[[], str]) -> None:
        from nicegui import ui

        self._control = control
        self._who = who
        stop = self._confirmed("Stop the run", _STOP, self.stop)
        abort = self._confirmed("Abort the run", _ABORT, self.abort)
        with ui.row().classes("items-center"):
            self._pause = ui.button("Pause", on_click=self.pause).mark("pause")
            self._resume = ui.button("Resume", on_click=self.resume).mark("resume")
            self._stop = ui.button("Stop …", on_click=stop.open).mark("stop")
            self._abort = ui.button("Abort …", on_click=abort.open, color="negative").mark("abort")
            self._state = ui.label("").mark("state").props("role=status aria-live=polite")
        self.dialogs = (stop, abort)
        ui.timer(LOOK_EVERY_S, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what the run does, and what can be asked for."""
        state, who = self._control.state, self._control.paused_by
        words = _IN_WORDS[state]
        self._state.set_text(
            f"{words} ({who})" if who and state in ("pausing", "paused") else words
        )
        under_way = state in ("running", "pausing", "paused")
        self._pause.set_enabled(state == "running")
        self._resume.set_enabled(state == "paused")
        self._stop.set_enabled(under_way)
        self._abort.set_enabled(under_way)
        if not under_way:
            for dialog in self.dialogs:
                dialog.close()

    async def pause(self) -> None:
        """Have the run pause when the image in progress is done."""
        await self._ask(self._control.pause, self._name())

    async def resume(self) -> None:
        """Have a paused run go on."""
        await self._ask(self._control.resume, self._name())

    async def stop(self) -> None:
        """Have the run end as a success."""
        await self._ask(self._control.stop)

    async def abort(self) -> None:
        """Have the run end as aborted."""
        await self._ask(self._control.abort, f"{ABORTED_BY} {self._name()}")

    def _name(self) -> str:
        return plain_text(self._who(), _LONGEST_NAME)

    async def _ask(self, request: Callable[..., None], *words: str) -> None:
        """Ask beside the page, which goes on: the engine may take its time to answer."""
        from nicegui import ui

        try:
            await asyncio.to_thread(request, *words)
        except RefusedError as error:
            if not self._state.is_deleted:
                ui.notify(f"Not done: {error}.", type="warning")
        if not self._state.is_deleted:
            self.refresh()

    def _confirmed(self, title: str, words: str, do: Callable[[], Any]) -> Any:
        """Make a dialog that asks whether that is meant; Escape and its first button leave it."""
        from nicegui import ui

        with ui.dialog() as dialog, ui.card():
            ui.label(words)

            async def confirm() -> None:
                dialog.close()
                await do()

            with ui.row():
                ui.button("No, go on", on_click=dialog.close).props("autofocus flat")
                ui.button(title, on_click=confirm, color="negative")
        return dialog
