"""Which view is shown at which address."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import Request
from nicegui import ui

from stedopt_bluesky.reports.live_run import plain_text
from stedopt_bluesky.web.page.compare_view import CompareView
from stedopt_bluesky.web.page.controls import Controls
from stedopt_bluesky.web.page.now_view import NowView
from stedopt_bluesky.web.page.one_run_view import OneRunView
from stedopt_bluesky.web.page.run_view import RunView
from stedopt_bluesky.web.page.runs_view import RunsView
from stedopt_bluesky.web.page.shell import shell
from stedopt_bluesky.web.page.under_way_view import UnderWayView

if TYPE_CHECKING:
    from stedopt_bluesky.web.page.desk import Desk

_NO_RUN = "No run is under way."
_NO_CATALOGUE = "This page has no catalogue."


def register(shown: Callable[[], Desk | None]) -> None:
    """Make the page's addresses known.

    Parameters
    ----------
    shown : callable
        Gives what the page is about; None: nothing at present.
    """

    @ui.page("/")
    def now() -> None:
        desk = shown()
        with shell("Now", "Now"):
            if desk is None:
                ui.label(_NO_RUN)
            elif desk.looker is not None:
                UnderWayView(desk.looker)
            else:
                view = NowView(desk)
                if desk.controls is not None:
                    view.dialogs = Controls(desk.controls, view.name).dialogs
                if desk.followed is not None:
                    RunView(desk.followed)

    @ui.page("/runs")
    def runs(request: Request) -> None:
        desk = shown()
        with shell("Runs", "Runs"):
            if desk is None or desk.folder is None:
                ui.label(_NO_CATALOGUE)
            else:
                RunsView(desk.folder, request.query_params)

    @ui.page("/runs/{uid}")
    def one_run(uid: str) -> None:
        desk = shown()
        with shell(f"Run {plain_text(uid[:8])}"):
            if desk is None or desk.folder is None:
                ui.label(_NO_CATALOGUE)
            else:
                OneRunView(desk.folder, uid)

    @ui.page("/compare/{first}/{second}")
    def compare(first: str, second: str) -> None:
        desk = shown()
        with shell(f"Runs {plain_text(first[:8])} and {plain_text(second[:8])}"):
            if desk is None or desk.folder is None:
                ui.label(_NO_CATALOGUE)
            else:
                CompareView(desk.folder, first, second)
