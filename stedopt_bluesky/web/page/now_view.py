"""What the plan asks now, in one browser: which option, how good images are, where is imaged."""

from __future__ import annotations

from typing import Any

from stedopt_bluesky.reports.live_table import progress
from stedopt_bluesky.web.page.choose_view import ChooseView
from stedopt_bluesky.web.page.desk import Desk
from stedopt_bluesky.web.page.question_view import QuestionView
from stedopt_bluesky.web.page.rate_view import RateView
from stedopt_bluesky.web.page.regions_view import RegionsView

# How often a browser looks for what is new, s.
LOOK_EVERY_S = 0.1
_NOTHING = "Nothing is asked. The plan images, or waits for the microscope."
_OVER = "The lasers are off, and this page is served no more; stedopt serve page has all runs."
_PAUSED = "Nothing is asked. The run is paused."
# Arrows mean something here; where nothing has the focus, the browser would scroll by them. What
# was pressed with the mouse gives the focus back: Enter is to mean the answer.
_KEYS = """<script>
document.addEventListener('keydown', (event) => {
  if (event.target === document.body && event.key.startsWith('Arrow')) event.preventDefault();
});
document.addEventListener('click', (event) => {
  if (event.detail > 0) setTimeout(() => {
    const at = document.activeElement;
    if (at && !at.matches('input, textarea') && !at.closest('.q-dialog')) at.blur();
  });
}, true);
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
            ui.add_body_html(_KEYS)
        with ui.row().classes("items-center w-full"):
            self._heading = ui.label(_NOTHING).classes("text-xl")
            self._heading.props("role=status aria-live=polite")
            self._left = ui.label("").classes("text-gray-700").mark("left").props("role=timer")
            ui.space()
            self._who = ui.input("who answers", value=desk.name).classes("w-40").mark("who")
            self._undo = ui.button("Take back (u)", on_click=self.take_back).mark("undo")
            self._undo.set_visibility(desk.undo_s > 0)
        self._views: list[QuestionView[Any]] = []
        if desk.surveyor is not None:
            self._views.append(RegionsView(desk, desk.surveyor, self.name))
        if desk.expert is not None:
            self._views.append(ChooseView(desk, desk.expert, self.name))
        if desk.rater is not None:
            self._views.append(RateView(desk, desk.rater, self.name))
        # While one of them is open, keys are its own.
        self.dialogs: tuple[Any, ...] = ()
        self._keyboards = ui.element()
        self._keys_for: Any = self  # of no question yet
        ui.timer(LOOK_EVERY_S, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what is asked now."""
        for view in self._views:
            view.refresh()
        taken = any(view.can_take_back for view in self._views)
        self._undo.set_enabled(taken)
        waiting = self._waiting()
        self._listen(None if waiting is None else waiting.waiting)
        if waiting is None:
            said = next((view.said for view in self._views if view.can_take_back), "")
            self._heading.set_text(said or self._nothing())
            self._left.set_text("")
        else:
            self._heading.set_text(waiting.says)
            self._left.set_text(waiting.left)

    def _listen(self, asked: Any) -> None:
        """Take keys for what is asked; those that a late browser sends for what was are lost."""
        from nicegui import ui

        if asked is self._keys_for:
            return
        self._keys_for = asked
        self._keyboards.clear()
        with self._keyboards:
            # Enter on a button presses that; a letter means the same wherever nothing is written.
            ui.keyboard(on_key=self._enter)
            ui.keyboard(on_key=self._key, ignore=["input", "select", "textarea"])

    def take_back(self) -> None:
        """Take the last answer of this browser back."""
        for view in self._views:
            if view.can_take_back:
                view.take_back()
        self.refresh()

    def _nothing(self) -> str:
        """What is said while nothing is asked."""
        state = "" if self._desk.controls is None else self._desk.controls.state
        followed = self._desk.followed
        if state == "ended" and followed is not None:
            return f"The run is over: {progress(followed.run)}. {_OVER}"
        return _PAUSED if state == "paused" else _NOTHING

    def _waiting(self) -> QuestionView[Any] | None:
        return next((view for view in self._views if view.waits), None)

    def name(self) -> str:
        """Give the name of who answers in this browser."""
        return str(self._who.value or "").strip() or self._desk.name

    def _is_for_us(self, event: Any) -> bool:
        return bool(event.action.keydown) and not any(dialog.value for dialog in self.dialogs)

    def _enter(self, event: Any) -> None:
        view = self._waiting()
        if self._is_for_us(event) and event.key.enter and view is not None:
            view.enter()

    def _key(self, event: Any) -> None:
        if not self._is_for_us(event) or event.modifiers.ctrl or event.modifiers.meta:
            return
        if event.key == "u":
            self.take_back()
        elif (view := self._waiting()) is not None and not event.key.enter:
            view.key(event.key, shift=event.modifiers.shift)
