"""What the plan asks now, in one browser: which option, how good images are, where is imaged."""

from __future__ import annotations

from typing import Any

from stedopt_bluesky.web.page.choose_view import ChooseView
from stedopt_bluesky.web.page.desk import Desk
from stedopt_bluesky.web.page.question_view import QuestionView
from stedopt_bluesky.web.page.rate_view import RateView
from stedopt_bluesky.web.page.regions_view import RegionsView

# How often a browser looks for what is new, s.
LOOK_EVERY_S = 0.1
_NOTHING = "Nothing is asked. The plan images, or waits for the microscope."
# Arrows mean something here; where nothing has the focus, the browser would scroll by them.
_ARROWS = """<script>
document.addEventListener('keydown', (event) => {
  if (event.target === document.body && event.key.startsWith('Arrow')) event.preventDefault();
});
</script>"""


class NowView:
    """The questions of a desk in one browser: the one that waits is shown.

    Parameters
    ----------
    desk : Desk
        What the page is about.
    """

    def __init__(self, desk: Desk) -> None:
        from nicegui import ui

        self._desk = desk
        if desk.expert is not None or desk.rater is not None or desk.surveyor is not None:
            ui.add_body_html(_ARROWS)
        self._heading = ui.label(_NOTHING).classes("text-xl").props("role=status aria-live=polite")
        self._left = ui.label("").classes("text-gray-700").mark("left").props("role=timer")
        with ui.row().classes("items-center"):
            self._who = ui.input("who answers", value=desk.name).classes("w-40").mark("who")
            self._undo = ui.button("Take back (u)", on_click=self.take_back).mark("undo")
        self._views: list[QuestionView[Any]] = []
        if desk.surveyor is not None:
            self._views.append(RegionsView(desk, desk.surveyor, self.name))
        if desk.expert is not None:
            self._views.append(ChooseView(desk, desk.expert, self.name))
        if desk.rater is not None:
            self._views.append(RateView(desk, desk.rater, self.name))
        # Enter on a button presses that; a letter means the same wherever nothing is written.
        ui.keyboard(on_key=self._enter)
        ui.keyboard(on_key=self._key, ignore=["input", "select", "textarea"])
        ui.timer(LOOK_EVERY_S, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what is asked now."""
        for view in self._views:
            view.refresh()
        taken = any(view.can_take_back for view in self._views)
        self._undo.set_enabled(taken)
        waiting = self._waiting()
        if waiting is None:
            self._heading.set_text(self._desk.last if taken else _NOTHING)
            self._left.set_text("")
        else:
            self._heading.set_text(waiting.says)
            self._left.set_text(waiting.left)

    def take_back(self) -> None:
        """Take the last answer of this browser back."""
        for view in self._views:
            if view.can_take_back:
                view.take_back()
        self.refresh()

    def _waiting(self) -> QuestionView[Any] | None:
        return next((view for view in self._views if view.waits), None)

    def name(self) -> str:
        """Give the name of who answers in this browser."""
        return str(self._who.value or "").strip() or self._desk.name

    def _enter(self, event: Any) -> None:
        view = self._waiting()
        if event.action.keydown and event.key.enter and view is not None:
            view.enter()

    def _key(self, event: Any) -> None:
        if not event.action.keydown or event.modifiers.ctrl or event.modifiers.meta:
            return
        if event.key == "u":
            self.take_back()
        elif (view := self._waiting()) is not None and not event.key.enter:
            view.key(event.key, shift=event.modifiers.shift)
