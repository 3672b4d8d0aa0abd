"""The view in which a person chooses: the cloud, the option in words, and what can be done."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stedopt_bluesky.acquisition import Choice, Options
from stedopt_bluesky.devices.expert import Expert, NoQuestionError
from stedopt_bluesky.preference.front import on_front
from stedopt_bluesky.preference.ties import one_of_equals
from stedopt_bluesky.reports.labels import axis_label
from stedopt_bluesky.web.page.cloud_figure import (
    View,
    at_same_place,
    cloud_figure,
    in_words,
    next_towards,
    selection,
)
from stedopt_bluesky.web.page.desk import Desk
from stedopt_bluesky.web.page.selects import name_list

# How often a browser looks for what is new, s.
LOOK_EVERY_S = 0.1
_NOTHING = "Nothing is asked. The plan images, or waits for the microscope."
# Rows of what was clicked, pointed at: the least that the browser has to send.
_ROW = "(event) => emit(event.points[0].customdata)"


class ChooseView:
    """The cloud of options in one browser.

    Parameters
    ----------
    desk : Desk
        What is asked.
    """

    def __init__(self, desk: Desk) -> None:
        from nicegui import ui

        self._desk = desk
        self._options: Options | None = None
        self._suggestion: Choice | None = None
        self._selected: int | None = None
        self._view = View.of([o.name for o in desk.objectives])
        self._answered: int | None = None

        ui.colors(primary="#0b57a4")  # white letters on it can be read
        self._heading = ui.label(_NOTHING).classes("text-xl").props("role=status aria-live=polite")
        self._left = ui.label("").classes("text-gray-700").mark("left").props("role=timer")
        names = {o.name: axis_label(o.name) for o in desk.objectives}
        with ui.row().classes("items-center") as self._axes:
            for attribute, label in (("x", "x axis"), ("y", "y axis"), ("colour", "colour")):
                select = ui.select(
                    names,
                    value=getattr(self._view, attribute),
                    label=label,
                    on_change=lambda event, a=attribute: self._show_as(**{a: event.value}),
                )
                name_list(select, label).classes("w-48").mark(f"axis-{attribute}")
            self._who = ui.input("who chooses", value=desk.name).classes("w-40").mark("who")
        self._plot = ui.plotly({"data": [], "layout": {}}).classes("w-full").style("height: 55vh")
        self._plot.props('role=group aria-label="the cloud of options"')
        self._plot.on("plotly_click", self._clicked, js_handler=_ROW)
        self._plot.on("plotly_hover", self._pointed_at, js_handler=_ROW, throttle=0.05)
        self._hovered = ui.label("").classes("min-h-6 text-gray-700").mark("hovered")
        self._chosen = ui.label("").classes("min-h-6 font-bold").mark("selected")
        self._chosen.props("role=status aria-live=polite")
        with ui.row():
            self._take = ui.button("Image it (Enter)", on_click=self.take).mark("take")
            self._adopt = ui.button("As suggested (s)", on_click=self.adopt).mark("adopt")
            self._undo = ui.button("Take back (u)", on_click=self.take_back).mark("undo")
        ui.label(
            "Click an option, or go along those that none is better than with ← and →, and to any "
            "other one with Shift and an arrow."
        ).classes("text-sm text-gray-700")
        # Enter on a button presses that; a letter means the same wherever nothing is written.
        ui.keyboard(on_key=self._enter)
        ui.keyboard(on_key=self._key, ignore=["input", "select", "textarea"])
        ui.timer(LOOK_EVERY_S, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what is asked now, when that is another question."""
        question = self._desk.expert.question
        options = None if question is None else question[0]
        if options is not self._options:
            self._options = options
            self._suggestion = None if question is None else question[1]
            self._selected = None
            self._draw()
        waits, taken = options is not None, self._taken_back_until() > 0
        self._take.set_enabled(waits and self._selected is not None)
        self._adopt.set_enabled(waits and self._suggestion is not None)
        self._undo.set_enabled(taken)
        self._left.set_text(left_in_words(self._desk.expert) if waits else "")
        if not waits:
            self._heading.set_text(self._desk.last if taken else _NOTHING)

    def take(self) -> None:
        """Answer with the option that is selected."""
        if self._options is not None and self._selected is not None:
            self._answer(self._options, self._selected)

    def adopt(self) -> None:
        """Answer with the option that is suggested."""
        if self._options is not None and self._suggestion is not None:
            self._answer(self._options, self._suggestion.index)

    def take_back(self) -> None:
        """Take the last answer back, while its image is not taken."""
        from nicegui import ui

        if self._answered is None:
            return
        try:
            self._desk.expert.take_back(self._answered)
        except NoQuestionError:
            ui.notify("Too late: the image is taken.")
        self._answered = None
        self.refresh()

    def _answer(self, options: Options, row: int) -> None:
        from nicegui import ui

        name = str(self._who.value or "").strip() or self._desk.name
        try:
            self._desk.expert.choose(options.iteration, row, name, shown=f"page, {self._view}")
        except NoQuestionError:
            ui.notify("Too late: this choice is made.", type="warning")
        except ValueError as error:
            ui.notify(str(error), type="warning")
        else:
            self._answered = options.iteration
            self._desk.last = f"{name} has chosen {in_words(options, self._desk.objectives, row)}"
        self.refresh()

    def _taken_back_until(self) -> float:
        """Seconds in which the answer of this browser can be taken back."""
        answered_s = self._desk.expert.answered_for_s()
        if self._answered is None or answered_s is None:
            return 0.0
        return max(0.0, self._desk.undo_s - answered_s)

    def _show_as(self, **change: str) -> None:
        self._view = View(
            **{"x": self._view.x, "y": self._view.y, "colour": self._view.colour, **change}
        )
        self._draw()

    def _select(self, row: int) -> None:
        if self._options is None:
            return
        self._selected = row
        # Not the whole cloud again: it may have ten thousand points.
        self._plot.run_plot_method("restyle", *selection(self._options, self._view, row))
        self._say_selected()

    def _select_at(self, row: int) -> None:
        """Select one of those that lie where this one does."""
        if self._options is not None:
            rows = at_same_place(self._options, self._view, row)
            self._select(one_of_equals(rows, self._options, self._desk.objectives, self._desk.seed))

    def _clicked(self, event: Any) -> None:
        if self._options is None or not isinstance(event.args, int):
            return
        self._select_at(event.args)

    def _pointed_at(self, event: Any) -> None:
        if self._options is not None and isinstance(event.args, int):
            self._hovered.set_text(self._in_words(event.args))

    def _along_front(self, step: int) -> None:
        options = self._options
        if options is None:
            return
        rows = on_front(options, self._desk.objectives)
        if not rows.size:
            return
        x = options.values[rows, list(options.objectives).index(self._view.x)]
        rows = rows[np.argsort(x, kind="stable")]
        there = np.flatnonzero(rows == self._selected)
        place = int(there[0]) + step if there.size else (0 if step > 0 else len(rows) - 1)
        self._select(int(rows[np.clip(place, 0, len(rows) - 1)]))

    def _towards(self, right: int, up: int) -> None:
        if self._options is None:
            return
        if self._selected is None:
            self._along_front(1)
            return
        row = next_towards(self._options, self._view, self._selected, right, up)
        if row is not None:
            self._select_at(row)

    def _enter(self, event: Any) -> None:
        if event.action.keydown and event.key.enter:
            self.take()

    def _key(self, event: Any) -> None:
        if not event.action.keydown:
            return
        if event.key == "s":
            self.adopt()
        elif event.key == "u":
            self.take_back()
        elif event.modifiers.shift and event.key.is_cursorkey:
            key = event.key
            self._towards(
                int(key.arrow_right) - int(key.arrow_left), int(key.arrow_up) - int(key.arrow_down)
            )
        elif event.key.arrow_right:
            self._along_front(1)
        elif event.key.arrow_left:
            self._along_front(-1)

    def _draw(self) -> None:
        options = self._options
        self._axes.set_visibility(options is not None)
        self._plot.set_visibility(options is not None)
        if options is None:
            self._hovered.set_text("")
            self._say_selected()
            return
        self._heading.set_text(f"Image {options.iteration + 1}: which option?")
        suggested = None if self._suggestion is None else self._suggestion.index
        self._plot.update_figure(
            cloud_figure(
                options,
                self._desk.objectives,
                self._view,
                suggested=suggested,
                selected=self._selected,
            )
        )
        self._say_selected()

    def _say_selected(self) -> None:
        selected = self._selected
        self._chosen.set_text("" if selected is None else f"Selected: {self._in_words(selected)}")

    def _in_words(self, row: int) -> str:
        if self._options is None:
            return ""
        expected = self._desk.expert.expected
        return in_words(self._options, self._desk.objectives, row, expected)


def left_in_words(expert: Expert) -> str:
    """Say how long there is to choose, and what then: ``"2:05 left, then the run ends"``."""
    if not math.isfinite(expert.left_s):
        return "It waits as long as you like."
    minutes, seconds = divmod(math.ceil(expert.left_s), 60)
    return f"{minutes}:{seconds:02d} left, then {expert.then}"
