"""``stedopt ingest``: the catalogue fed from the journals, once or beside the instrument."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import FrameType

import typer

from stedopt_bluesky.cli.output import console, print_json, stdout, warn
from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.config.keys import CATALOG_VARIABLE, ApiKeyError, secret_from


def ingest(catalog: Path, *, to: str, server_folder: str, follow_on: bool, as_json: bool) -> None:
    """Bring runs from their journals into a Tiled catalogue.

    Raises
    ------
    ConfigError, CatalogError
        When the catalogue is none, or the server's key is not known or refused.
    """
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.following import GRACE_S, Target, Told, follow

    folder = CatalogFolder.open(catalog)
    try:
        key = secret_from(os.environ, CATALOG_VARIABLE) or ""
    except ApiKeyError as error:
        raise ConfigError(str(error)) from None
    if to and not key:
        raise ConfigError(
            f"to = {to!r}: set {CATALOG_VARIABLE} to a key of that server with which a program may "
            "write"
        )
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
            warn(f"run {told.uid[:8]} cannot be taken in: {told.why}")
        elif told.what == "down":
            warn(f"{told.why}; trying again")
        else:
            console.print("the catalogue is there again", markup=False)

    def end(_number: int, _frame: FrameType | None) -> None:
        finish.set()

    if follow_on:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        console.print(
            f"following the journals of {folder.path}; Ctrl-C ends it", markup=False, soft_wrap=True
        )
    else:
        finish.set()
    with console.status("bringing the runs in ..."):
        done = follow(Target(folder, to, key if to else "", server_folder), finish, tell)
    if not done:
        warn(f"the catalogue was not there for {GRACE_S:g} s: nothing is lost, try again later")
    if as_json:
        print_json({"runs": runs, "refused": refused, "complete": done and not refused})
    elif not follow_on:
        stdout.print(f"{len(runs)} runs brought in", markup=False)
    if refused or not done:
        raise typer.Exit(1)
