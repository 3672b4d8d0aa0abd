"""``stedopt live``: look on at a run from another terminal, or another computer."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from stedopt_bluesky.cli.interrupts import calling
from stedopt_bluesky.cli.options import DEFAULT_CATALOG, Catalog
from stedopt_bluesky.cli.output import clear_errors, console, nobody_reads

if TYPE_CHECKING:
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.looking_on import Seen
    from stedopt_bluesky.records.stored_elsewhere import StoredElsewhere

Say = Callable[[str], None]


def live(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[UID|ADDRESS]",
            show_default=False,
            help="A run, or 127.0.0.1:PORT where one is published; left out: the run under way in "
            "the catalogue, or the next one.",
        ),
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with the next run, until Ctrl-C.")
    ] = False,
    catalog_uri: Annotated[
        str,
        typer.Option(
            metavar="URI",
            help="With an ADDRESS: a Tiled server that has what was missed, http://HOST:PORT; with "
            "STEDOPT_READ_KEY or STEDOPT_CATALOG_KEY set.",
        ),
    ] = "",
    catalog: Catalog = DEFAULT_CATALOG,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document a line for each document of the run.")
    ] = False,
) -> None:
    r"""Watch a run from another terminal: its last images and how the objectives go.

    It ends with the run. What was missed is read from the run's journal, or from
    a Tiled server. Exit code 130 after Ctrl-C before the run's end, which does
    nothing to the run.

    From another computer: [bold]ssh -L 5577:127.0.0.1:5577 MICROSCOPE[/], with the port that
    section \[live] of the run's configuration says, and
    [bold]stedopt live 127.0.0.1:5577[/].

    Examples: [bold]stedopt live[/], [bold]stedopt live 57dc[/],
    [bold]stedopt live --json > documents.jsonl[/]
    """
    with clear_errors():
        _look_on(what, catalog, catalog_uri, follow=follow, as_json=as_json)


def _look_on(what: str, catalog: Path, catalog_uri: str, *, follow: bool, as_json: bool) -> None:
    from stedopt_bluesky.config import ConfigError
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.live import LiveError, live_address
    from stedopt_bluesky.records.looking_on import look_on

    address = what if ":" in what else ""
    folder: CatalogFolder | None = None
    if address:
        try:
            live_address(address)
        except LiveError as error:
            raise ConfigError(str(error)) from None
        # Of a run on another computer there is none here.
        folder = CatalogFolder.open(catalog) if catalog.exists() else None
    else:
        folder = CatalogFolder.open(catalog)
        if catalog_uri:
            raise ConfigError(
                f"catalog-uri = {catalog_uri!r}: only together with an address, 127.0.0.1:PORT"
            )
    stop = threading.Event()
    ended_by: list[int] = []

    def end(number: int) -> None:
        ended_by.append(number)
        stop.set()

    show = _Json() if as_json else _View()
    seen = look_on(
        folder,
        address=address,
        uid="" if address else what,
        elsewhere=_elsewhere(catalog_uri, show.say) if catalog_uri else None,
        follow=follow,
        stop=stop,
        say=show.say,
    )
    with calling(end, signal.SIGINT, signal.SIGTERM):
        show.all_of(seen)
    if ended_by and not follow:
        raise typer.Exit(128 + ended_by[0])


def _elsewhere(uri: str, say: Say) -> StoredElsewhere:
    from stedopt_bluesky.config import ConfigError
    from stedopt_bluesky.config.keys import CATALOG_VARIABLE, READ_VARIABLE, secret_from
    from stedopt_bluesky.config.sections import server_address
    from stedopt_bluesky.records.stored_elsewhere import StoredElsewhere

    try:
        server_address(uri)
    except ValueError as error:
        raise ConfigError(f"catalog-uri: {error}") from None
    key = secret_from(os.environ, READ_VARIABLE) or secret_from(os.environ, CATALOG_VARIABLE)
    if not key:
        raise ConfigError(
            f"catalog-uri = {uri!r}: set {READ_VARIABLE} to a key of that server with which a "
            "program may read"
        )
    return StoredElsewhere(uri, key, say)


class _Json:
    """A line of JSON for each document."""

    def say(self, line: str) -> None:
        _say(line)

    def all_of(self, documents: Iterator[Seen]) -> None:
        from stedopt_bluesky.devices.parameter_tree import without_nan

        try:
            for seen in documents:
                line = {
                    "name": seen.name,
                    "doc": seen.doc,
                    "missed": seen.missed,
                    "run": seen.run,
                    "source": seen.source,
                }
                sys.stdout.write(json.dumps(without_nan(line), allow_nan=False) + "\n")
                sys.stdout.flush()
        except BrokenPipeError:
            nobody_reads()


class _View:
    """A table on a terminal, else a line for each image."""

    def __init__(self) -> None:
        from stedopt_bluesky.reports.live import LinesScreen, LiveView, TerminalScreen

        out = Console(highlight=False)
        self._view = LiveView(
            TerminalScreen(out) if out.is_terminal else LinesScreen(out), until_stop=False
        )
        self._is_table = out.is_terminal
        self._run = ""

    def say(self, line: str) -> None:
        # Below a table that is drawn already; else there is no table yet, or none at all.
        if self._is_table and self._run:
            self._view.note(line)
        else:
            _say(line)

    def all_of(self, documents: Iterator[Seen]) -> None:
        with self._view as view:
            for seen in documents:
                if self._run and seen.run != self._run:
                    view.finish()
                self._run = seen.run or self._run
                view(seen.name, seen.doc)
                if view.problem is not None:
                    break
        if isinstance(view.problem, BrokenPipeError):
            nobody_reads()
        elif view.problem is not None:
            raise view.problem


def _say(line: str) -> None:
    from stedopt_bluesky.reports.live_run import plain_text

    console.print(Text(plain_text(line, longest=1000)), soft_wrap=True)
