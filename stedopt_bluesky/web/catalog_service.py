"""The catalogue for other programs and computers: Tiled, with keys to read and to write."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping

from stedopt_bluesky.records import locks
from stedopt_bluesky.records.catalog import lock_databases
from stedopt_bluesky.records.folder import CatalogFolder
from stedopt_bluesky.records.tiled_server import (
    create_tables,
    own_api_key,
    prepare_storage,
    tiled_configuration,
)
from stedopt_bluesky.web.registrations import Registrations
from stedopt_bluesky.web.roles import App, Role, Roles

# A program that is about to close the databases is waited for, s.
_WAIT_S = 2.0


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
        folder's own databases, which the caller has (see :func:`served_alone`). Whoever feeds
        them says when they are filled.
    """
    from tiled.server.app import build_app_from_config

    logging.getLogger("tiled.server.app").setLevel(logging.WARNING)
    own_key = own_api_key()
    if database:
        create_tables(database)
    else:
        prepare_storage(folder)
    app = build_app_from_config(tiled_configuration(folder, own_key, database, streamed=True))
    return Roles(Registrations(app, folder.arrays), keys, own_key)


@contextlib.contextmanager
def served_alone(folder: CatalogFolder) -> Iterator[None]:
    """Have a folder's own databases for oneself.

    Raises
    ------
    CatalogError
        When another process has them.
    """
    lock = lock_databases(folder, _WAIT_S)
    try:
        yield
    finally:
        locks.let_go(lock)
