"""The view in which a person chooses: the cloud, the option in words, and what can be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stedopt_bluesky.acquisition import Options
from stedopt_bluesky.devices.expert import Expert
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
from stedopt_bluesky.web.page.pictures import NOTHING_DRAWN
from stedopt_bluesky.web.page.question_view import QuestionView
from stedopt_bluesky.web.page.selects import name_list

# Rows of what was clicked, pointed at: the least that the browser has to send.
_ROW = "(event) => emit(event.points[0].customdata)"


class ChooseView(QuestionView[Options]):
    """The cloud of options in one browser.

    Parameters
    ----------
    desk : Desk
        What the page is about.
    expert : Expert
        What is asked.
    who : callable
        Gives the name of who answers in this browser.
    """

    def __init__(self, desk: Desk, expert: Expert, who: Callable[[], str]) -> None:
        self._expert = expert
        self._selected: int | None = None
        self._view = View.of([o.name for o in desk.objectives])
        super().__init__(desk, expert, who)

    def build(self) -> Any:
        """Make axes, cloud and words."""
        from nicegui import ui

        names = {o.name: axis_label(o.name) for o in self.desk.objectives}
        with ui.row().classes("items-center"):
            for attribute, label in (("x", "x axis"), ("y", "y axis"), ("colour", "colour")):
                select = ui.select(
                    names,
                    value=getattr(self._view, attribute),
                    label=label,
                    on_change=lambda event, a=attribute: self._show_as(**{a: event.value}),
                )
                name_list(select, label).classes("w-48").mark(f"axis-{attribute}")
        self._plot = ui.plotly(NOTHING_DRAWN).classes("w-full").style("height: 50vh")
        self._plot.props('role=group aria-label="the cloud of options"')
        self._plot.on("plotly_click", self._clicked, js_handler=_ROW)
        self._plot.on("plotly_hover", self._pointed_at, js_handler=_ROW, throttle=0.05)
        self._hovered = ui.label("").classes("min-h-6 text-gray-700").mark("hovered")
        self._chosen = ui.label("").classes("min-h-6 font-bold").mark("selected")
        self._chosen.props("role=status aria-live=polite")
        actions = ui.row()
        ui.label(
            "Click an option, or go along those that none is better than with ← and →, and to any "
            "other one with Shift and an arrow."
        ).classes("text-sm text-gray-700")
        return actions

    def buttons(self) -> None:
        """Take what is selected, or what is suggested."""
        from nicegui import ui

        self._take = ui.button("Image it (Enter)", on_click=self.enter).mark("take")
        self._adopt = ui.button("As suggested (s)", on_click=self.adopt).mark("adopt")

    def heading(self, what: Options) -> str:
        """Say which image is chosen for."""
        return f"Image {what.iteration + 1}: which option?"

    def show(self, what: Options, suggestion: Any) -> None:
        """Draw another cloud."""
        self._selected = None
        self._draw()

    def look(self) -> None:
        """See which buttons do something."""
        if not self.waits:
            return
        self._take.set_enabled(self._selected is not None)
        self._adopt.set_enabled(self._suggestion is not None)

    def enter(self) -> None:
        """Answer with the option that is selected."""
        if self._selected is not None:
            self._choose(self._selected)

    def adopt(self) -> None:
        """Answer with the option that is suggested."""
        if self._suggestion is not None:
            self._choose(self._suggestion.index)

    def key(self, key: Any, *, shift: bool = False) -> None:
        """Adopt the suggestion by ``s``, go along the front by arrows, anywhere with Shift."""
        if key == "s":
            self.adopt()
        elif shift and key.is_cursorkey:
            self._towards(
                int(key.arrow_right) - int(key.arrow_left), int(key.arrow_up) - int(key.arrow_down)
            )
        elif key.arrow_right:
            self._along_front(1)
        elif key.arrow_left:
            self._along_front(-1)

    def _choose(self, row: int) -> None:
        options = self._what
        if options is None:
            return
        words = in_words(options, self.desk.objectives, row)
        self.answer(
            lambda asked, name: self._expert.choose(
                asked.iteration, row, name, shown=f"page, {self._view}"
            ),
            lambda name: f"{name} has chosen {words}",
        )

    def _show_as(self, **change: str) -> None:
        self._view = View(
            **{"x": self._view.x, "y": self._view.y, "colour": self._view.colour, **change}
        )
        self._draw()

    def _select(self, row: int) -> None:
        if self._what is None:
            return
        self._selected = row
        # Not the whole cloud again: it may have ten thousand points.
        self._plot.run_plot_method("restyle", *selection(self._what, self._view, row))
        self._say_selected()
        self.look()

    def _select_at(self, row: int) -> None:
        """Select one of those that lie where this one does."""
        if self._what is not None:
            rows = at_same_place(self._what, self._view, row)
            self._select(one_of_equals(rows, self._what, self.desk.objectives, self.desk.seed))

    def _clicked(self, event: Any) -> None:
        if self._what is None or not isinstance(event.args, int):
            return
        self._select_at(event.args)

    def _pointed_at(self, event: Any) -> None:
        if self._what is not None and isinstance(event.args, int):
            self._hovered.set_text(self._in_words(event.args))

    def _along_front(self, step: int) -> None:
        options = self._what
        if options is None:
            return
        rows = on_front(options, self.desk.objectives)
        if not rows.size:
            return
        x = options.values[rows, list(options.objectives).index(self._view.x)]
        rows = rows[np.argsort(x, kind="stable")]
        there = np.flatnonzero(rows == self._selected)
        place = int(there[0]) + step if there.size else (0 if step > 0 else len(rows) - 1)
        self._select(int(rows[np.clip(place, 0, len(rows) - 1)]))

    def _towards(self, right: int, up: int) -> None:
        if self._what is None:
            return
        if self._selected is None:
            self._along_front(1)
            return
        row = next_towards(self._what, self._view, self._selected, right, up)
        if row is not None:
            self._select_at(row)

    def _draw(self) -> None:
        if self._what is None:
            return
        suggested = None if self._suggestion is None else self._suggestion.index
        self._plot.update_figure(
            cloud_figure(
                self._what,
                self.desk.objectives,
                self._view,
                suggested=suggested,
                selected=self._selected,
            )
        )
        self._hovered.set_text("")
        self._say_selected()

    def _say_selected(self) -> None:
        selected = self._selected
        self._chosen.set_text("" if selected is None else f"Selected: {self._in_words(selected)}")

    def _in_words(self, row: int) -> str:
        if self._what is None:
            return ""
        expected = self._expert.expected
        return in_words(self._what, self.desk.objectives, row, expected)
