"""The view in which a run is watched: how far it is, and what it has come to."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.errors import in_one_line
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.run_record import DocumentKeys
from stedopt_bluesky.reports.live_run import LiveRun
from stedopt_bluesky.reports.live_table import one_line, progress
from stedopt_bluesky.web.page.followed import Followed
from stedopt_bluesky.web.page.images_figure import images_figure
from stedopt_bluesky.web.page.panel import Panel
from stedopt_bluesky.web.page.run_images import scales_of, titles_of
from stedopt_bluesky.web.page.run_plots import (
    objectives_plot,
    parameters_plot,
    posterior_plot,
    regret_plot,
)

logger = logging.getLogger(__name__)

# How often a browser looks for what is new, s.
LOOK_EVERY_S, IMAGES_EVERY_S = 0.3, 0.1
# A drawing is followed by the next one after this many times as long as it took; and of so many
# images once a second at most.
_REST, _IMAGES_PER_S = 4.0, 2000
# Images of a row, one row for each channel, and its height.
_COLUMNS, _ROW_PX = 3, 330
_NO_IMAGE = "There is no image yet."
_KEYS = DocumentKeys()


class NothingToShowError(ValueError):
    """There is nothing to be drawn, for a reason that is told."""


@dataclass
class _Part:
    """A panel and how it is filled: made beside the page, then shown on it."""

    panel: Panel
    element: Any
    make: Callable[[LiveRun], Any]
    show: Callable[[Any], None]
    # What it depends on: drawn anew when that is another.
    depends: Callable[[LiveRun], Hashable]
    drawn: Hashable = None
    rest_until: float = 0.0


class RunView:
    """A run in one browser, under way or past.

    Parameters
    ----------
    followed : Followed
        The run.
    """

    def __init__(self, followed: Followed) -> None:
        from nicegui import ui

        self._followed = followed
        self._number: int | None = None  # of the image that is looked at; None: the newest
        with ui.column().classes("w-full gap-2") as self._root:
            self._progress = ui.label("").classes("text-lg").mark("progress")
            self._bar = ui.linear_progress(0.0, show_value=False).props('aria-label="images taken"')
            self._light = ui.label("").classes("text-gray-700").mark("light")
            self._parts = [
                self._pictures(),
                self._figure("Objectives over images", self._objectives, opened=True),
                self._figure("Parameters chosen", self._parameters),
                self._figure("Cumulative regret", self._regret),
                self._figure("What the models expect", self._posterior),
            ]
        self._say(followed.run)
        ui.timer(LOOK_EVERY_S, self.refresh)
        for part in self._parts:
            soon = part is self._parts[0]
            ui.timer(IMAGES_EVERY_S if soon else LOOK_EVERY_S, partial(self._refresh, part))

    def refresh(self) -> None:
        """Say how far the run is."""
        self._say(self._followed.run)

    async def _refresh(self, part: _Part) -> None:
        """Draw a part anew where that is another by now; each beside the others and the page."""
        run = self._followed.run
        depends = part.depends(run)
        if not part.panel.opened or part.drawn == depends:
            return
        began_s = time.monotonic()
        if part.drawn is not None and began_s < part.rest_until:
            return
        await self._draw(part, run)
        part.drawn = depends
        took_s = time.monotonic() - began_s
        rest_s = max(_REST * took_s, len(run.numbers()) / _IMAGES_PER_S)
        part.rest_until = time.monotonic() + rest_s

    async def _draw(self, part: _Part, run: LiveRun) -> None:
        if part.drawn is None:
            part.panel.say("One moment …")
        drawing, problem = await asyncio.to_thread(_made, part.make, run)
        if self._root.is_deleted:  # the browser is gone
            return
        part.panel.say(problem)
        part.element.set_visibility(not problem)
        if not problem:
            part.show(drawing)

    def _say(self, run: LiveRun) -> None:
        self._progress.set_text(progress(run) if run.start else "The run has not begun.")
        self._light.set_text(light_in_words(run))
        self._bar.set_value(run.images / run.images_planned if run.images_planned else 0.0)

    # --- figures ------------------------------------------------------------------------

    def _figure(self, title: str, make: Callable[[LiveRun], Any], *, opened: bool = False) -> _Part:
        from nicegui import ui

        with Panel(title, opened=opened) as panel:
            place = ui.column().classes("w-full")
        plots: list[Any] = []

        def show(figure: Any) -> None:
            if plots:
                plots[0].update_figure(figure)
                return
            # Not before there is something to be drawn: an empty one takes the browser its time.
            with place:
                plots.append(ui.plotly(figure).classes("w-full"))

        return _Part(panel, place, make, show, lambda run: (run.serial, len(run.numbers())))

    def _objectives(self, run: LiveRun) -> Any:
        experiment = self._experiment(run)
        values, utility = experiment.values(run), experiment.utility(run)
        return objectives_plot(run.numbers(), experiment.objectives, values, utility)

    def _parameters(self, run: LiveRun) -> Any:
        names = self._experiment(run).config.space.names
        values = np.column_stack([run.column(name) for name in names])
        return parameters_plot(run.numbers(), names, values)

    def _regret(self, run: LiveRun) -> Any:
        return regret_plot(run.numbers(), self._experiment(run).utility(run))

    def _posterior(self, run: LiveRun) -> Any:
        experiment = self._experiment(run)
        posterior = self._followed.posterior()
        if posterior is None:
            raise NothingToShowError("The strategy of this run has no models.")
        utility = experiment.utility(run)
        best = 0 if np.isnan(utility).all() else int(np.nanargmax(utility))
        at = int(run.value(run.numbers()[best], _KEYS.image_configuration_index))
        return posterior_plot(posterior, experiment.objectives, at)

    def _experiment(self, run: LiveRun) -> Any:
        """What the run was made from.

        Raises
        ------
        NothingToShowError
            When it has no image.
        ConfigError
            When it is not understood.
        """
        if not run.numbers(1) or (experiment := self._followed.experiment) is None:
            raise NothingToShowError(_NO_IMAGE)
        return experiment

    # --- pictures -----------------------------------------------------------------------

    def _pictures(self) -> _Part:
        from nicegui import ui

        with Panel("Images", opened=True) as panel:
            with ui.row().classes("items-center"):
                ui.button(icon="chevron_left", on_click=lambda: self._step(-1)).props(
                    'flat dense aria-label="the image before"'
                ).mark("image-before")
                ui.button(icon="chevron_right", on_click=lambda: self._step(1)).props(
                    'flat dense aria-label="the image after"'
                ).mark("image-after")
            with ui.column().classes("w-full gap-1") as shown:
                caption = ui.label("").mark("caption")
                place = ui.column().classes("w-full").mark("pictures")
            shown.set_visibility(False)
        plots: list[Any] = []

        def show(made: tuple[str, Any, int]) -> None:
            caption.set_text(made[0])
            if plots:
                plots[0].update_figure(made[1])
            else:
                with place:
                    plots.append(ui.plotly(made[1]).classes("w-full"))
            plots[0].style(f"height: {made[2] * _ROW_PX}px; max-width: 1100px")

        return _Part(
            panel,
            shown,
            self._pictured,
            show,
            lambda run: (run.serial, self._number or run.images),
        )

    def _pictured(self, run: LiveRun) -> tuple[str, Any, int]:
        """Caption and figure of the image that is looked at, and how many rows it has."""
        experiment = self._experiment(run)
        number = self._number or run.images
        images = self._followed.images(number)
        if not images or number not in run.numbers():
            raise NothingToShowError(f"Image {number} is not at hand here; it is stored.")
        titles = titles_of(images)
        side = next(iter(images.values())).shape[1]
        figure = images_figure(
            {titles[name]: image for name, image in images.items()},
            1000 * experiment.size_um(run, number) / side,
            scales={titles[name]: high for name, high in scales_of(images).items()},
            columns=_COLUMNS,
            drawable=False,
        )
        why = run.invalid_because(number)
        words = one_line(run, number) + (f" ({why})" if why else "")
        return words, figure, -(-len(images) // _COLUMNS)

    def _step(self, step: int) -> None:
        """Look at another image; the newest one is followed."""
        newest = self._followed.run.images
        number = max(1, (self._number or newest) + step)
        self._number = None if number >= newest else number
        self._parts[0].rest_until = 0.0  # who asks does not wait


def _made(make: Callable[[LiveRun], Any], run: LiveRun) -> tuple[Any, str]:
    """Make what is shown, or say why not."""
    try:
        return make(run), ""
    except (NothingToShowError, ConfigError, CatalogError) as error:
        return None, str(error)
    except Exception as error:
        logger.exception("a part of the page cannot be drawn")
        return None, in_one_line(error)


def light_in_words(run: LiveRun) -> str:
    """Light on the sample by the images that have come, with units."""
    excitation_uJ, depletion_mJ = run.light_dose
    return (
        f"Light on the sample: depletion {depletion_mJ:.3g} mJ, excitation {excitation_uJ:.3g} µJ"
    )
