"""The list of runs: found by what is written above it, opened by links, two of them compared."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.query import RunQuery
from stedopt_bluesky.reports.live_run import plain_text
from stedopt_bluesky.web.page.listed_runs import (
    Listed,
    comparison_address,
    list_page,
    run_address,
)
from stedopt_bluesky.web.page.reading import in_thread
from stedopt_bluesky.web.page.run_filter import (
    FIELDS,
    STATUSES,
    TEXT_FIELDS,
    page_of,
    query_of,
)
from stedopt_bluesky.web.page.text_table import Choice, Line, TextTable

# How often it is looked for what is new, s; and at most so much of the time.
LOOK_EVERY_S = 3.0
_SHARE = 0.05
# Runs that are compared.
_COMPARED = 2
_LONGEST = 1000


class RunsView:
    """The list in one browser.

    Parameters
    ----------
    folder : CatalogFolder
        Whose runs.
    asked : mapping of str to str
        What the address asks for: texts of the fields, and ``page``.
    """

    def __init__(self, folder: CatalogFolder, asked: Mapping[str, str]) -> None:
        from nicegui import ui

        self._folder = folder
        self._page = page_of(asked.get("page", ""))
        self._chosen: dict[str, str] = {}
        self._listed: Listed | None = None
        self._query = RunQuery()
        self._reading = 0
        self._fields: dict[str, Any] = {}

        ui.label("Runs").props("role=heading aria-level=1").classes("text-xl")
        with ui.row().classes("items-start").props('role=search aria-label="Which runs"'):
            for name in TEXT_FIELDS:
                self._fields[name] = self._field(name, name).props(f"list=offered-{name}")
            self._fields["status"] = (
                ui.select(
                    {"": "any", **{status: status for status in STATUSES}},
                    value=asked["status"] if asked.get("status") in STATUSES else "",
                    label="ended",
                    on_change=self._changed,
                )
                .classes("w-36")
                .mark("status")
            )
            self._fields["where"] = self._field("where", "where, as snr >= 0.5").classes("w-72")
        for name in (*TEXT_FIELDS, "where"):
            self._fields[name].set_value(asked.get(name, ""))
        self._offered = {name: self._datalist(name) for name in TEXT_FIELDS}
        self._said = ui.label("").props("role=status aria-live=polite").mark("said")
        with ui.row().classes("items-center min-h-10"):
            self._to_compare = ui.label("").mark("chosen")
            self._compare = ui.link("Compare", "#").mark("compare")
            self._none = ui.button("Choose none", on_click=self._choose_none).props("flat")
        self._table = TextTable("Runs, newest first", self._choose)
        with ui.row().classes("items-center"):
            self._newer = ui.button("Newer", on_click=partial(self._turn, -1))
            self._older = ui.button("Older", on_click=partial(self._turn, 1))
            self._where = ui.label("")
        self._show_chosen()
        self._timer = ui.timer(LOOK_EVERY_S, self._look, immediate=False)
        ui.timer(0, self._changed, once=True)

    def _field(self, name: str, label: str) -> Any:
        from nicegui import ui

        field = ui.input(label, on_change=self._changed).props("debounce=300 clearable")
        return field.classes("w-40").mark(name)

    def _datalist(self, name: str) -> Any:
        from nicegui import ui

        return ui.element("datalist").props(f"id=offered-{name}")

    def _written(self) -> dict[str, str]:
        return {name: str(self._fields[name].value or "") for name in FIELDS}

    async def _changed(self) -> None:
        """Show the runs that the fields ask for, unless they cannot be understood."""
        from nicegui import ui

        written = self._written()
        query, errors = query_of(written)
        for name, field in self._fields.items():
            wrong = errors.get(name)
            field.error = wrong and plain_text(wrong, longest=_LONGEST)
        if errors and self._listed is not None:
            return  # what was found last stays, until what is wrong is corrected
        if query != self._query:
            # The first time it is what the address asks for, with its page.
            self._page = 1 if self._listed is not None else self._page
            self._query = query
        await self._read()
        told = {name: text for name, text in written.items() if text.strip()}
        if self._page > 1:
            told["page"] = str(self._page)
        ui.navigate.history.replace("/runs" + (f"?{urlencode(told)}" if told else ""))

    async def _look(self) -> None:
        """Look for what is new, less often where that takes long."""
        begun = time.monotonic()
        await self._read()
        self._timer.interval = max(LOOK_EVERY_S, (time.monotonic() - begun) / _SHARE)

    async def _turn(self, pages: int) -> None:
        self._page += pages
        await self._changed()

    async def _read(self) -> None:
        self._reading += 1
        this = self._reading
        try:
            listed = await in_thread(
                partial(list_page, self._folder, self._query, self._page), self._show_progress
            )
        except CatalogError as error:
            self._said.set_text(plain_text(error, longest=_LONGEST))
            return
        # Else something else is asked for meanwhile, or the browser has gone.
        if this == self._reading and not self._said.is_deleted:
            self._show(listed)

    def _show_progress(self, done: int, total: int) -> None:
        self._said.set_text(f"{done} of {total} journals are read")

    def _show(self, listed: Listed) -> None:
        self._page = listed.page
        runs = f"{listed.total} run{'' if listed.total == 1 else 's'}"
        self._said.set_text(runs if listed.total else "No run matches.")
        self._where.set_text(f"page {listed.page} of {listed.pages}")
        self._newer.set_enabled(listed.page > 1)
        self._older.set_enabled(listed.page < listed.pages)
        before, self._listed = self._listed, listed
        self._show_rows()
        if before is None or before.offered != listed.offered:
            self._offer(listed.offered)

    def _offer(self, offered: Mapping[str, list[str]]) -> None:
        from nicegui import ui

        for name, texts in offered.items():
            self._offered[name].clear()
            with self._offered[name]:
                for text in texts:
                    ui.element("option").props["value"] = text

    def _show_rows(self) -> None:
        if self._listed is None:
            return
        full = len(self._chosen) >= _COMPARED
        lines: dict[Hashable, Line] = {}
        for place, row in enumerate(self._listed.rows):
            chosen = row.uid in self._chosen
            choice = Choice(f"compare run {row.texts[0]}", chosen, chosen or not full)
            # A journal that was copied is there twice, with one uid.
            key = row.uid if row.uid not in lines else (row.uid, place)
            lines[key] = Line(row.texts, run_address(row.uid), choice)
        self._table.show(["compare", *self._listed.columns], lines)

    def _choose(self, key: Any) -> None:
        if self._listed is None:
            return
        shown = {row.uid: row.texts[0] for row in self._listed.rows}
        if key in self._chosen:
            del self._chosen[key]
        elif key in shown and len(self._chosen) < _COMPARED:
            self._chosen[key] = shown[key]
        self._show_rows()
        self._show_chosen()

    def _choose_none(self) -> None:
        self._chosen.clear()
        self._show_rows()
        self._show_chosen()

    def _show_chosen(self) -> None:
        names = " and ".join(self._chosen.values())
        both = len(self._chosen) == _COMPARED
        self._to_compare.set_text(
            f"Chosen: {names}" if names else "Choose two runs to compare them."
        )
        self._none.set_visibility(bool(names))
        self._compare.set_visibility(both)
        if both:
            self._compare.set_text(f"Compare {names}")
            self._compare.props["href"] = comparison_address(*self._chosen)
