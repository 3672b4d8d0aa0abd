"""The catalogue for other programs and computers: Tiled, with keys to read and to write."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from stedopt_bluesky.records import locks
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.tiled_server import (
    mark_filled,
    own_api_key,
    prepare_database,
    prepare_storage,
    tiled_configuration,
)
from stedopt_bluesky.web.registrations import Registrations
from stedopt_bluesky.web.roles import App, Role, Roles

if TYPE_CHECKING:
    from filelock import BaseFileLock


def catalog_app(folder: CatalogFolder, keys: Mapping[str, Role], database: str = "") -> App:
    """Make the application that serves a catalogue.

    Parameters
    ----------
    folder : CatalogFolder
        Whose runs.
    keys : mapping of str to Role
        The keys and what each allows.
    database : str
        Address of a PostgreSQL database, ``postgresql://USER:PASSWORD@HOST/NAME``; ``""``: the
        folder's own databases, which the caller has (see :func:`served_alone`).
    """
    from tiled.server.app import build_app_from_config

    logging.getLogger("tiled.server.app").setLevel(logging.WARNING)
    own_key = own_api_key()
    if database:
        prepare_database(database)
    elif prepare_storage(folder):
        # Whoever serves it has it filled, too.
        mark_filled(folder)
    app = build_app_from_config(tiled_configuration(folder, own_key, database))
    return Roles(Registrations(app, folder.arrays), keys, own_key)


@contextlib.contextmanager
def served_alone(folder: CatalogFolder, uri: str) -> Iterator[None]:
    """Have a folder's own databases for oneself, and tell other programs who has them.

    Raises
    ------
    CatalogError
        When another process has them.
    """
    lock: BaseFileLock | None = locks.hold(folder.locks / "catalog.lock", 2.0)
    if lock is None:
        raise CatalogError(f"the catalogue {folder.path} is open elsewhere; close it there first")
    note = folder.fed_elsewhere
    try:
        note.unlink(missing_ok=True)  # of a folder from elsewhere, it may be a link
        note.write_text(json.dumps({"uri": uri}), encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        locks.let_go(lock)
