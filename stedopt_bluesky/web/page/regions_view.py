"""The view in which a person says which regions of a field are imaged, or which spines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.devices.expert_surveyor import ExpertSurveyor, FieldToSurvey, Places
from stedopt_bluesky.reports.image_panels import brightest
from stedopt_bluesky.web.page.desk import Desk
from stedopt_bluesky.web.page.pictures import blended, picture
from stedopt_bluesky.web.page.question_view import QuestionView
from stedopt_bluesky.web.page.regions_figure import (
    added,
    filled,
    is_drag,
    pixels_of,
    region_under,
    regions_svg,
)

# Thresholds in units of the automatic one.
_LOWEST, _HIGHEST, _STEP = 0.2, 4.0, 0.05
_ZOOMS = (1, 2, 4)
_NAMED = (
    "() => document.querySelectorAll('#c{id} img')"
    ".forEach(image => { image.alt = 'overview of the field, and regions'; })"
)
_SEE = """{
  const frame = document.getElementById('c%s');
  frame.scrollLeft = %f * frame.scrollWidth - frame.clientWidth / 2;
  frame.scrollTop = %f * frame.scrollHeight - frame.clientHeight / 2;
  const list = document.getElementById('c%s');
  list.scrollTop = %f * list.scrollHeight - list.clientHeight / 2;
}"""
# Number of the row that was clicked.
_NUMBER = "(event, row) => emit(row.n)"


class RegionsView(QuestionView[FieldToSurvey]):
    """The overview of a field in one browser.

    Parameters
    ----------
    desk : Desk
        What the page is about.
    surveyor : ExpertSurveyor
        What is asked.
    who : callable
        Gives the name of who answers in this browser.
    """

    def __init__(self, desk: Desk, surveyor: ExpertSurveyor, who: Callable[[], str]) -> None:
        self._surveyor = surveyor
        self._regions: list[Region] = []
        self._selected: int | None = None
        self._pressed: tuple[float, float] | None = None
        self._foreground: npt.NDArray[np.bool_] | None = None
        # Threshold with which the last proposals were laid, and whether others are being laid.
        self._laid_with, self._proposing = 1.0, False
        super().__init__(desk, surveyor, who)

    # --- what is shown ------------------------------------------------------------------

    def build(self) -> Any:
        """Make overview, list and what changes them."""
        from nicegui import ui

        with ui.row().classes("w-full items-start"):
            # What scrolls can be scrolled by keys, too.
            self._frame = ui.element().classes("overflow-auto shrink-0")
            self._frame.props("tabindex=0 role=group aria-label='overview of the field'")
            with self._frame:
                self._image = (
                    ui.interactive_image(
                        on_mouse=self._mouse, events=["mousedown", "mousemove", "mouseup"]
                    )
                    .classes("overview")
                    .style(_height(1))
                    .mark("overview")
                )
                self._image.on("loaded", js_handler=_NAMED.replace("{id}", str(self._image.id)))
            with ui.column().style("flex: 1 1 22rem; min-width: 0"):
                self._count = ui.label("").classes("font-bold").mark("count")
                with ui.row():
                    actions = ui.row()
                    ui.button("Proposals again (r)", on_click=self._proposed).props("flat").mark(
                        "proposed"
                    )
                    ui.button("None", on_click=self._none).props("flat").mark("none")
                with ui.row().classes("items-center"):
                    ui.label("threshold of the foreground")
                    self._threshold = (
                        ui.slider(min=_LOWEST, max=_HIGHEST, step=_STEP, value=1.0)
                        .classes("w-48")
                        .props(
                            "label aria-label='threshold of the foreground, times the automatic'"
                        )
                        .mark("threshold")
                    )
                    self._threshold.on("change", self._propose)
                with ui.row().classes("items-center"):
                    self._shows = ui.switch("foreground (f)", on_change=self._draw).mark(
                        "foreground"
                    )
                    ui.label("zoom (z)")
                    self._zoom = ui.toggle(
                        {zoom: f"{zoom}×" for zoom in _ZOOMS}, value=1, on_change=self._zoomed
                    ).mark("zoom")
                with ui.row().classes("items-center"):
                    for words, do, mark in (
                        ("Earlier (,)", lambda: self._move(-1), "earlier"),
                        ("Later (.)", lambda: self._move(1), "later"),
                        ("Delete (x)", self._delete, "delete"),
                    ):
                        ui.button(words, on_click=do).props("flat").mark(mark)
                with ui.row().classes("items-center") as self._by_hand:
                    self._x = ui.number("x (µm)", format="%.2f").classes("w-24").mark("x")
                    self._y = ui.number("y (µm)", format="%.2f").classes("w-24").mark("y")
                    for number in (self._x, self._y):
                        number.on("keydown.enter", self._add)
                    ui.button("Add", on_click=self._add).props("flat").mark("add")
                self._hint = ui.label("").classes("text-sm text-gray-700")
                heads = {"at": "selected", "n": "region", "x": "x (µm)", "y": "y (µm)"}
                columns = [{"name": k, "label": v, "field": k} for k, v in heads.items()]
                self._rows = ui.element().classes("overflow-auto").style("max-height: 30vh")
                self._rows.props("tabindex=0 role=group aria-label='list of regions'")
                with self._rows:
                    self._table = ui.table(columns=columns, rows=[], row_key="n")
                self._table.props("dense hide-bottom")
                self._table.on("row-click", self._picked, js_handler=_NUMBER)
        return actions

    def buttons(self) -> None:
        """Image what is shown."""
        from nicegui import ui

        self._take = ui.button("Image these (Enter)", on_click=self.enter).mark("place")

    def heading(self, what: FieldToSurvey) -> str:
        """Say which field is asked about."""
        things = "spines" if what.spines else "regions"
        return f"Field {what.number}: which {things} are imaged?"

    def show(self, what: FieldToSurvey, suggestion: Any) -> None:
        """Show another field, with what is proposed."""
        self._regions = list(suggestion or ())
        self._selected = self._pressed = self._foreground = None
        self._laid_with, self._proposing = 1.0, False
        self._threshold.set_value(1.0)
        width_um, height_um = what.side_um
        # As large as all of the field is at 1×, whatever the zoom.
        width = f"min(90vw, {62 * width_um / height_um:.2f}vh + 1px)"
        self._frame.style(f"width: {width}; height: calc(62vh + 1px)")
        self._by_hand.set_visibility(not what.spines)
        self._hint.set_text(
            "Click a spine to select it; x deletes it. The threshold finds others."
            if what.spines
            else "Click: a region there, or the one that is there is selected. Drag: a rectangle "
            "is filled with regions. ↑ and ↓ go from one to the next."
        )
        self._draw()

    # --- what a person says -------------------------------------------------------------

    def enter(self) -> None:
        """Answer."""
        if self._proposing:
            return
        threshold, regions = self._laid_with, tuple(self._regions)
        self.answer(
            lambda field, name: self._surveyor.place(
                field.number, Places(regions, name, threshold, "page")
            ),
            lambda name: f"{name} has chosen {len(regions)} regions",
        )

    def key(self, key: Any, *, shift: bool = False) -> None:
        """Arrows go along the regions; letters are on the buttons."""
        if key == "r":
            self._proposed()
        elif key == "f":
            self._shows.set_value(not self._shows.value)
        elif key == "z":
            self._zoom.set_value(_ZOOMS[(_ZOOMS.index(self._zoom.value) + 1) % len(_ZOOMS)])
        elif key == ",":
            self._move(-1)
        elif key == ".":
            self._move(1)
        elif key == "x" or key.delete:
            self._delete()
        elif key.arrow_down or key.arrow_right:
            self._go(1)
        elif key.arrow_up or key.arrow_left:
            self._go(-1)

    def _proposed(self) -> None:
        if self.waits:
            self._threshold.set_value(1.0)
            self._laid_with, self._foreground = 1.0, None
            self._set(list(self._suggestion or ()))

    def _none(self) -> None:
        self._set([])

    async def _propose(self) -> None:
        """Lay regions anew, by the threshold."""
        from nicegui import ui

        what, threshold = self._what, float(self._threshold.value or 1.0)
        if what is None:
            return
        self._proposing = True
        try:
            mask, regions = await asyncio.to_thread(what.propose, threshold)
        except (ValueError, RuntimeError) as error:  # a spine of a list, say, that must not be
            self._proposing = False
            self._threshold.set_value(self._laid_with)
            ui.notify(str(error), type="warning")
            return
        if self._what is what and self._threshold.value == threshold:
            self._proposing = False
            self._laid_with, self._foreground = threshold, mask
            self._set(list(regions))

    def _add(self) -> None:
        from nicegui import ui

        what = self._what
        if what is None or what.spines:
            return
        if self._x.value is None or self._y.value is None:
            ui.notify("First x and y, in µm from the middle of the field.")
            return
        stage_x_um, stage_y_um = what.stage_um
        new = Region(float(self._x.value), float(self._y.value), what.size_um,
                     stage_x_um=stage_x_um, stage_y_um=stage_y_um)  # fmt: skip
        try:
            what.check_inside([new])
        except ValueError as error:
            ui.notify(str(error), type="warning")
            return
        self._set([*self._regions, new], len(self._regions))

    def _mouse(self, event: Any) -> None:
        what = self._what
        if what is None:
            return
        x, y = float(event.image_x), float(event.image_y)
        if event.type == "mousedown":
            self._pressed = (x, y)
        elif self._pressed is not None and event.type == "mousemove":
            if not what.spines and is_drag(*self._pressed, x, y):
                self._image.set_content(
                    regions_svg(what, self._regions, self._selected, (*self._pressed, x, y))
                )
        elif self._pressed is not None and event.type == "mouseup":
            pressed, self._pressed = self._pressed, None
            under = region_under(what, self._regions, x, y)
            if not what.spines and is_drag(*pressed, x, y):
                self._set(filled(what, self._regions, (*pressed, x, y)))
            elif under is not None:
                self._set(self._regions, under)
            elif not what.spines:
                self._set(added(what, self._regions, x, y), len(self._regions))

    def _see(self) -> None:
        """Bring what is selected into the middle of the picture, and of the list."""
        what, at = self._what, self._selected
        if what is None or at is None:
            return
        height, width = what.overview.shape
        region = self._regions[at]
        x, y = pixels_of(what, region.x_um, region.y_um)
        self._image.client.run_javascript(
            _SEE % (self._frame.id, x / width, y / height, self._rows.id, at / len(self._regions))
        )

    def _go(self, step: int) -> None:
        if self._regions:
            at = -1 if self._selected is None and step > 0 else self._selected or 0
            self._set(self._regions, (at + step) % len(self._regions))

    def _move(self, step: int) -> None:
        """Have the selected region imaged earlier, or later."""
        at = self._selected
        if at is not None and 0 <= at + step < len(self._regions):
            regions = list(self._regions)
            regions[at], regions[at + step] = regions[at + step], regions[at]
            self._set(regions, at + step)

    def _delete(self) -> None:
        at = self._selected
        if at is not None:
            regions = [r for i, r in enumerate(self._regions) if i != at]
            self._set(regions, min(at, len(regions) - 1) if regions else None)

    def _picked(self, event: Any) -> None:
        if isinstance(event.args, int) and 0 < event.args <= len(self._regions):
            self._set(self._regions, event.args - 1)

    def _set(self, regions: Sequence[Region], selected: int | None = None) -> None:
        self._regions, self._selected = list(regions), selected
        self._draw_regions()
        self._see()
        if self._shows.value:
            self._draw_overview()

    def _zoomed(self, event: Any) -> None:
        self._image.style(_height(int(event.value or 1)))
        self._see()

    # --- the pictures -------------------------------------------------------------------

    def _draw(self) -> None:
        self._draw_overview()
        self._draw_regions()

    def _draw_overview(self) -> None:
        what = self._what
        if what is None:
            return
        if not self._shows.value:
            self._image.set_source(picture(what.overview, brightest(what.overview)))
            return
        if self._foreground is None:
            self._foreground, _ = what.propose(self._laid_with)
        self._image.set_source(
            blended(what.overview, brightest(what.overview), self._foreground, (0, 160, 255))
        )

    def _draw_regions(self) -> None:
        what = self._what
        if what is None:
            return
        self._image.set_content(regions_svg(what, self._regions, self._selected))
        rows = [
            {
                "at": "▶" if n - 1 == self._selected else "",
                "n": n,
                "x": f"{r.x_um:.2f}",
                "y": f"{r.y_um:.2f}",
            }
            for n, r in enumerate(self._regions, start=1)
        ]
        self._table.rows = rows
        self._table.update()
        self._count.set_text(in_words(len(rows), what))
        self._take.set_text("Image these (Enter)" if rows else "Image nothing here (Enter)")


def _height(zoom: int) -> str:
    return f"height: {62 * zoom}vh; max-width: none; width: auto"


def in_words(count: int, field: FieldToSurvey) -> str:
    """Say how many regions there are, and what that means for the run."""
    things = "spine" if field.spines else "region"
    things += "" if count == 1 else "s"
    if count < field.wanted:
        return f"{count} {things}; {field.wanted} are still to be imaged"
    if count > field.wanted:
        return f"{count} {things}, of which the first {field.wanted} are imaged"
    return f"{count} {things}, as many as are still to be imaged"
