"""The view in which a person rates: the images of a region, a score in percent, lines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Line, invalid_reason
from stedopt_bluesky.devices.expert_rater import PERCENT, ExpertRater, HandRating, ImagesToRate
from stedopt_bluesky.reports.labels import axis_label
from stedopt_bluesky.web.page.desk import Desk
from stedopt_bluesky.web.page.drawn_lines import line_in_words, lines_of, profile_figure
from stedopt_bluesky.web.page.images_figure import STED, images_figure
from stedopt_bluesky.web.page.pictures import NOTHING_DRAWN
from stedopt_bluesky.web.page.question_view import QuestionView

# Digits that come within this time, s, are of one number.
_ONE_NUMBER_S = 1.5
# The STED image is the second panel.
_STED_AXIS = "x2"
_REASONS = ("out of focus", "drift", "nothing to see", "wrong structure", "saturated", "artefact")
# Lines that are drawn: the least that the browser has to send. The pen gives the focus back, so
# that Enter does not mean the pen.
_SHAPES = (
    "() => { const at = document.activeElement; if (at && at.closest('.modebar')) at.blur();"
    "const layout = document.getElementById('c{id}').layout;"
    "emit([layout.meta, (layout.shapes || [])"
    ".filter(s => s.type === 'line' && s.name !== 'scale')"
    ".map(s => [s.xref, s.x0, s.y0, s.x1, s.y1])]); }"
)
_NUMBERS = "Type a number from 0 to 100, or go by ↑ and ↓, by ten with Shift. "
_PEN = "The pen beside the images draws a line on the STED image."
_OWN_KEYS = "(e) => { if (/^(Arrow|Page)/.test(e.key)) e.stopPropagation(); }"


class RateView(QuestionView[ImagesToRate]):
    """The images of a region in one browser.

    Parameters
    ----------
    desk : Desk
        What the page is about.
    rater : ExpertRater
        What is asked.
    who : callable
        Gives the name of who answers in this browser.
    """

    def __init__(self, desk: Desk, rater: ExpertRater, who: Callable[[], str]) -> None:
        self._rater = rater
        # Percent, by the objective's name; what is not there is not said yet.
        self._percent: dict[str, int] = {}
        self._rated = ""
        self._lines: tuple[Line, ...] = ()
        self._seen = False
        self._map: npt.NDArray[np.float64] | None = None
        self._typed, self._typed_s = "", 0.0
        self._drawing = 0
        super().__init__(desk, rater, who)

    # --- what is shown ------------------------------------------------------------------

    def build(self) -> Any:
        """Make images, slider and profile."""
        from nicegui import ui

        self._plot = ui.plotly(NOTHING_DRAWN).classes("w-full").style("height: 46vh")
        self._plot.on(
            "plotly_relayout", self._drawn, js_handler=_SHAPES.replace("{id}", str(self._plot.id))
        )
        with ui.row().classes("items-center w-full"):
            self._which = ui.toggle([], on_change=self._other).props("no-caps").mark("which")
            self._said = ui.label("").classes("text-lg font-bold").mark("percent")
            self._slider = (
                ui.slider(min=0, max=100, step=1, value=0, on_change=self._slid)
                .classes("w-64")
                .props("label aria-label='quality (%)'")
                .mark("slider")
            )
            # It goes by arrows itself while it has the focus.
            self._slider.on("keydown", js_handler=_OWN_KEYS)
            actions = ui.row()
        with ui.row().classes("items-center"):
            self._scale = ui.switch("one scale (o)", on_change=self._draw).mark("scale")
            self._network = ui.switch("the network's score (n)", on_change=self._see).mark(
                "network"
            )
            self._suggested = ui.label("").mark("suggested").props("aria-live=polite")
            ui.button("No lines", on_click=self._clear).props("flat").mark("no-lines")
        self._hint = ui.label("").classes("text-sm text-gray-700")
        self._profile = ui.plotly(NOTHING_DRAWN).classes("w-full").style("height: 24vh")
        self._widths = ui.label("").classes("whitespace-pre-line").mark("widths")
        return actions

    def buttons(self) -> None:
        """Rate, skip or discard; of images without a score, keep or discard."""
        from nicegui import ui

        scored = self._what is not None and bool(self._what.scored)
        words = "Rate it (Enter)" if scored else "Keep it (Enter)"
        ui.button(words, on_click=self.enter).mark("rate")
        if scored:
            ui.button("Skip (k)", on_click=self.skip).mark("skip")
        ui.button("Discard (d)", on_click=self.discard).mark("discard")
        with ui.dialog() as self._dialog, ui.card():
            ui.label("Why is nothing to be learnt from these images?")
            self._reason = ui.input("reason", autocomplete=list(_REASONS)).props("autofocus")
            self._reason.mark("reason").on("keydown.enter", self._discarded)
            with ui.row():
                ui.button("Discard them", on_click=self._discarded).mark("discard-them")
                ui.button("Keep them", on_click=self._dialog.close).props("flat")

    def heading(self, what: ImagesToRate) -> str:
        """Say which image is rated."""
        asked = "how good is it?" if what.scored else "is it kept, or discarded?"
        return f"Image {what.iteration + 1}: {asked}"

    def show(self, what: ImagesToRate, suggestion: Any) -> None:
        """Show other images; the network's score is hidden again."""
        self._percent, self._lines, self._typed = {}, (), ""
        self._seen, self._map = False, None
        self._network.set_value(False)
        self._suggested.set_text("")
        names = list(what.scored)
        self._which.set_options(
            {n: axis_label(n) for n in names}, value=names[0] if names else None
        )
        self._which.set_visibility(len(names) > 1)
        self._rated = names[0] if names else ""
        self._slider.set_visibility(bool(names))
        self._network.set_visibility(bool(names) and self.desk.quality is not None)
        self._slider.set_value(0)
        self._hint.set_text(f"{_NUMBERS if names else ''}{_PEN}")
        self._say()
        self._draw()
        self._draw_profile()

    # --- what a person says -------------------------------------------------------------

    def enter(self) -> None:
        """Go to the next image that has no score, or answer."""
        from nicegui import ui

        if self._what is None or self._dialog.value:
            return
        missing = [name for name in self._what.scored if name not in self._percent]
        if self._rated in missing:
            ui.notify("First a number, from 0 to 100; or skip it (k).")
        elif missing:
            self._which.set_value(missing[0])
        else:
            self._give("")

    def skip(self) -> None:
        """Answer with what has been said, which may be nothing."""
        if self._what is None or not self._what.scored:
            return
        self._percent.pop(self._rated, None)
        self._give("")

    def discard(self) -> None:
        """Ask why."""
        if self.waits:
            self._reason.set_value("")
            self._dialog.open()

    def key(self, key: Any, *, shift: bool = False) -> None:
        """Digits make a number; arrows change it; letters are on the buttons."""
        if self._dialog.value:
            return
        if key.number is not None:
            self._type(str(key.number))
        elif key.arrow_up or key.arrow_right:
            self._set(self._now + (10 if shift else 1))
        elif key.arrow_down or key.arrow_left:
            self._set(self._now - (10 if shift else 1))
        elif key.page_up:
            self._set(self._now + 10)
        elif key.page_down:
            self._set(self._now - 10)
        elif key == "k":
            self.skip()
        elif key == "d":
            self.discard()
        elif key == "o":
            self._scale.set_value(not self._scale.value)
        elif key == "n" and self.desk.quality is not None:
            self._network.set_value(not self._network.value)

    @property
    def _now(self) -> int:
        return self._percent.get(self._rated, 50)

    def _type(self, digit: str) -> None:
        now = time.monotonic()
        typed = self._typed + digit if now - self._typed_s < _ONE_NUMBER_S else digit
        self._typed_s = now
        if int(typed) > PERCENT:
            return
        self._typed = typed
        self._set(int(self._typed), typed=True)

    def _set(self, percent: int, *, typed: bool = False) -> None:
        if not self._rated:
            return
        if not typed:
            self._typed = ""
        self._percent[self._rated] = min(100, max(0, percent))
        self._slider.set_value(self._percent[self._rated])
        self._say()

    def _slid(self, event: Any) -> None:
        # Also when it is set by this view.
        if (
            self._rated
            and event.value is not None
            and (self._rated in self._percent or int(event.value) != 0)
        ):
            self._percent[self._rated] = int(event.value)
            self._say()

    def _other(self, event: Any) -> None:
        self._rated = str(event.value or "")
        self._typed = ""
        self._slider.set_value(self._percent.get(self._rated, 0))
        self._say()
        # What the network says is of one image.
        self._map = None
        self._network.set_value(False)
        self._suggested.set_text("")
        self._draw()

    def _say(self) -> None:
        percent = self._percent.get(self._rated)
        label = axis_label(self._rated) if self._rated else ""
        self._said.set_text(f"{label}: {'no number yet' if percent is None else f'{percent} %'}")
        self._said.set_visibility(bool(self._rated))

    def _discarded(self) -> None:
        from nicegui import ui

        reason = str(self._reason.value or "").strip()
        if not reason:
            ui.notify("A reason is needed: it is kept with the images.")
            self._reason.run_method("focus")
            return
        self._dialog.close()
        self._give(reason)

    def _give(self, discarded_because: str) -> None:
        shown = "one scale" if self._scale.value else "a scale each"
        said = ", ".join(f"{axis_label(n)} {p} %" for n, p in self._percent.items())
        words = f"discarded the images: {discarded_because}" if discarded_because else (
            f"rated {said}" if said else "skipped the images"
        )  # fmt: skip

        def rating(name: str) -> HandRating:
            scores = {n: percent / PERCENT for n, percent in self._percent.items()}
            return HandRating(
                {} if discarded_because else scores,
                name,
                discarded_because,
                self._lines,
                self._seen,
                f"page, {shown}",
            )

        self.answer(
            lambda asked, name: self._rater.rate(asked.iteration, rating(name)),
            lambda name: f"{name} has {words}",
        )

    # --- the pictures -------------------------------------------------------------------

    @property
    def _sted(self) -> Any:
        """The image that is rated, (Y, X)."""
        what = self._what
        assert what is not None  # noqa: S101  asked for while something is
        return what.scored.get(self._rated, what.images.sted[0])

    def _draw(self) -> None:
        what = self._what
        if what is None:
            return
        colour = self._rated.partition("_")[0]
        of_colour = what.images.channels.get(colour)
        before = "" if of_colour is None else f"{colour} "
        own = what.images if of_colour is None else of_colour
        images = {
            f"{before}confocal 1": own.confocal1,
            f"{before}{STED}": self._sted,
            f"{before}confocal 2": own.confocal2,
        }
        self._drawing += 1
        self._plot.update_figure(
            images_figure(
                images,
                what.images.pixel_size_nm,
                one_scale=bool(self._scale.value),
                lines=self._lines,
                score_map=self._map,
                drawing=self._drawing,
            )
        )

    async def _see(self, event: Any) -> None:
        """Show what the network says, or hide it again."""
        what, quality = self._what, self.desk.quality
        self._map = None
        self._suggested.set_text("")
        if event.value and quality is not None and what is not None:
            self._seen = True
            sted, rated_name = self._sted, self._rated
            found = await asyncio.to_thread(quality.rate, [sted])
            if self._what is not what or self._rated != rated_name or not self._network.value:
                return
            rated = found[0]
            self._map = np.where(rated.foreground, rated.map, np.nan)
            reason = invalid_reason(rated.score)
            said = reason or f"{rated.score * PERCENT:.0f} %"
            self._suggested.set_text(f"the network says: {said}")
        self._draw()

    def _drawn(self, event: Any) -> None:
        if self._what is None or not isinstance(event.args, list) or len(event.args) != 2:
            return
        drawing, shapes = event.args
        if drawing != self._drawing or not isinstance(shapes, list):
            return  # of other images
        if any(isinstance(shape, list) and shape[:1] != [_STED_AXIS] for shape in shapes):
            from nicegui import ui

            ui.notify("Lines are drawn on the STED image.")
            self._draw()
        height, width = self._sted.shape
        lines = lines_of(shapes, _STED_AXIS, (height, width), self._what.images.pixel_size_nm)
        if lines != self._lines:
            self._lines = lines
            self._draw_profile()

    def _clear(self) -> None:
        self._lines = ()
        self._draw()
        self._draw_profile()

    def _draw_profile(self) -> None:
        what = self._what
        self._profile.set_visibility(bool(self._lines))
        self._widths.set_text("")
        if what is None or not self._lines:
            return
        pixel_nm = what.images.pixel_size_nm
        self._profile.update_figure(profile_figure(self._sted, self._lines, pixel_nm))
        words = [line_in_words(self._sted, line, pixel_nm) for line in self._lines]
        self._widths.set_text("\n".join(f"line {n}: {w}" for n, w in enumerate(words, start=1)))
