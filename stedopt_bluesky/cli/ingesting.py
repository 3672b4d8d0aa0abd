"""``stedopt ingest``: the catalogue fed from the journals, once or beside the instrument."""

from __future__ import annotations

import contextlib
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stedopt_bluesky.cli.interrupts import calling
from stedopt_bluesky.cli.output import console, print_json, stdout, warn
from stedopt_bluesky.session import catalog_key

if TYPE_CHECKING:
    from stedopt_bluesky.records.following import Told


def ingest(catalog: Path, *, to: str, server_folder: str, follow_on: bool, as_json: bool) -> None:
    """Bring runs from their journals into a Tiled catalogue.

    Raises
    ------
    ConfigError, CatalogError
        When the catalogue is none, or the server's key is not known or refused.
    """
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.following import GRACE_S, Target, follow

    folder = CatalogFolder.open(catalog)
    target = Target(folder, to, catalog_key(to, "to"), server_folder)
    finish = threading.Event()
    runs: list[str] = []
    refused: dict[str, str] = {}

    def tell(told: Told) -> None:
        if told.what == "in":
            runs.append(told.uid)
            refused.pop(told.uid, None)
            if follow_on and not as_json:
                stdout.print(f"run {told.uid[:8]} is in", markup=False)
        elif told.what == "refused":
            refused[told.uid] = told.why
        tell_of_trouble(told)

    with contextlib.ExitStack() as closing:
        if follow_on:
            closing.enter_context(calling(lambda _: finish.set(), signal.SIGINT, signal.SIGTERM))
            console.print(
                f"following the journals of {folder.path}; Ctrl-C ends it",
                markup=False,
                soft_wrap=True,
            )
        else:
            finish.set()
        closing.enter_context(console.status("bringing the runs in ..."))
        done = follow(target, finish, tell)
    if not done:
        warn(f"the catalogue was not there for {GRACE_S:g} s: nothing is lost, try again later")
    if as_json:
        print_json({"runs": runs, "refused": refused, "complete": done and not refused})
    elif not follow_on:
        stdout.print(f"{len(runs)} runs brought in", markup=False)
    if follow_on and refused:
        uids = ", ".join(sorted(uid[:8] for uid in refused))
        warn(f"{len(refused)} runs could not be taken in: {uids}")
    # Of those that are followed each was told, and the end was asked for: it is no failure.
    if not done or (refused and not follow_on):
        raise typer.Exit(1)


def tell_of_trouble(told: Told) -> None:
    """Warn where a run, or all of them, cannot be brought in, and say when they can again."""
    if told.what == "refused":
        what = f"run {told.uid[:8]} cannot be taken in" if told.uid else "the catalogue is not fed"
        warn(f"{what}: {told.why}")
    elif told.what == "down":
        warn(f"the catalogue is not fed: {told.why}; trying again")
    elif told.what == "up":
        console.print("the catalogue is there again", markup=False)
