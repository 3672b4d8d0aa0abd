"""Tiled inside this process, without a port: its configuration, its databases, its start."""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import warnings
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.records.assets import tiled_address
from stedopt_bluesky.records.folder import CatalogFolder

if TYPE_CHECKING:
    from bluesky_tiled_plugins.clients.catalog_of_bluesky_runs import CatalogOfBlueskyRuns
    from tiled.client.context import Context
    from tiled.utils import OneShotCachedMap

# A key that nobody is told guards the server; 32 bytes is Tiled's own length for one.
API_KEY_BYTES = 32


def tiled_configuration(
    folder: CatalogFolder, api_key: str, database: str = "", *, streamed: bool = False
) -> dict[str, Any]:
    """Tiled's configuration of this catalogue, also for ``tiled serve config``.

    Parameters
    ----------
    folder : CatalogFolder
        The catalogue.
    api_key : str
        Whoever has it may read and write.
    database : str
        Address of a PostgreSQL database; ``""``: the folder's own, SQLite and DuckDB.
    streamed : bool
        Whether runs can be followed over a WebSocket; only where there is a port.
    """
    own_tables = f"duckdb:///{(folder.tiled / 'tables.duckdb').as_posix()}"
    # Tiled makes tables in a process of its own: 3 s even when they are there, and a password
    # would stand in its command line.
    make_tables = not database and not _database_file(folder).exists()
    return {
        "authentication": {"single_user_api_key": api_key, "allow_anonymous_access": False},
        "trees": [
            {
                "path": "/",
                "tree": "stedopt_bluesky.records.tiled_tree:runs",
                "args": {
                    "streamed": streamed,
                    "uri": database or _database(folder),
                    "init_if_not_exists": make_tables,
                    "specs": [{"name": "CatalogOfBlueskyRuns", "version": "3.0"}],
                    "writable_storage": [
                        tiled_address(folder.tiled / "data"),
                        database or own_tables,
                    ],
                    "readable_storage": [tiled_address(folder.arrays)],
                },
            }
        ],
        "specs": [
            {"spec": spec} for spec in ("CatalogOfBlueskyRuns", "BlueskyRun", "BlueskyEventStream")
        ],
        # What run.documents() is answered with.
        "media_types": {
            "BlueskyRun": {
                "application/json-seq": "bluesky_tiled_plugins.exporters:json_seq_exporter"
            }
        },
        # Files as they lie on the disk: Tiled 0.2.20 gives away any that was ever registered.
        "expose_raw_assets": False,
    }


def _database_file(folder: CatalogFolder) -> Path:
    return folder.tiled / "catalog.db"


def _database(folder: CatalogFolder) -> str:
    return f"sqlite:///{_database_file(folder).as_posix()}"


def _location_file(folder: CatalogFolder) -> Path:
    """File that says where the catalogue lay when Tiled's databases were made."""
    return folder.tiled / "location.txt"


def _filled_file(folder: CatalogFolder) -> Path:
    """File that says that all journals were brought in."""
    return folder.tiled / "filled"


def is_filled(folder: CatalogFolder) -> bool:
    """Whether there are databases, at this place, into which all journals were brought once."""
    return is_there(folder) and _filled_file(folder).exists()


def is_there(folder: CatalogFolder) -> bool:
    """Whether there are databases that were made at this place."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        # The databases hold absolute paths: after a move they lead nowhere, or elsewhere.
        return _location_file(folder).read_text(encoding="utf-8") == str(folder.path)
    return False


@contextlib.contextmanager
def set_aside(folder: CatalogFolder) -> Iterator[None]:
    """Move the databases aside while entered: away when all goes well, back when it does not.

    Nobody may have them open. Killed meanwhile, they come back when the catalogue is next opened.
    """
    if not is_filled(folder):
        _put_back(folder)
    shutil.rmtree(folder.tiled_before, ignore_errors=True)
    if folder.tiled.exists():
        folder.tiled.rename(folder.tiled_before)
    try:
        yield
    except BaseException:
        _put_back(folder)
        raise
    shutil.rmtree(folder.tiled_before, ignore_errors=True)


def _put_back(folder: CatalogFolder) -> None:
    if folder.tiled_before.is_dir():
        shutil.rmtree(folder.tiled, ignore_errors=True)
        folder.tiled_before.rename(folder.tiled)


def prepare_storage(folder: CatalogFolder) -> None:
    """Make Tiled's databases, empty, unless there are some at this place.

    Those that were not filled to the end are kept: what a server has been fed with from
    elsewhere may be nowhere else, and whoever brings journals in puts anew what is there in part.
    """
    if is_filled(folder):
        return
    _put_back(folder)  # of a rebuilding that was killed
    if not is_there(folder):
        make_storage(folder)


def make_storage(folder: CatalogFolder) -> None:
    """Make Tiled's databases anew, empty; what is there is removed."""
    shutil.rmtree(folder.tiled, ignore_errors=True)
    (folder.tiled / "data").mkdir(parents=True)
    folder.arrays.mkdir(exist_ok=True)
    # Tiled without these functions makes the tables itself, only slower.
    with contextlib.suppress(ImportError):
        create_tables(_database(folder))
    _location_file(folder).write_text(str(folder.path), encoding="utf-8")


def create_tables(database: str) -> None:
    """Make the tables of a database that has none.

    In this process, in 0.2 s, what ``tiled catalog init`` does in 3 s in another.

    Parameters
    ----------
    database : str
        Its address, as SQLAlchemy has it.

    Raises
    ------
    Exception
        Whatever SQLAlchemy, its drivers and Tiled raise of one that cannot be used.
    """
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from sqlalchemy.ext.asyncio import create_async_engine
    from tiled.alembic_utils import UninitializedDatabase, stamp_head
    from tiled.catalog.alembic_constants import ALEMBIC_DIR, ALEMBIC_INI_TEMPLATE_PATH
    from tiled.catalog.core import check_catalog_database, initialize_database
    from tiled.utils import ensure_specified_sql_driver

    from stedopt_bluesky.records.tiled_tree import prepare_questions

    address = ensure_specified_sql_driver(database)

    async def initialize() -> bool:
        engine = create_async_engine(address)
        try:
            await check_catalog_database(engine)
        except UninitializedDatabase:
            await initialize_database(engine)
            await prepare_questions(engine)
            return True
        finally:
            await engine.dispose()
        return False

    def create() -> None:
        if asyncio.run(initialize()):
            stamp_head(ALEMBIC_INI_TEMPLATE_PATH, ALEMBIC_DIR, address)

    # In a thread: in a notebook an event loop is running in this one.
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(create).result()


def mark_filled(folder: CatalogFolder) -> None:
    """Say that the databases are filled, for this place: all journals are in."""
    _filled_file(folder).touch()


def serve(folder: CatalogFolder) -> tuple[Context, CatalogOfBlueskyRuns]:
    """Start Tiled in this process and connect to it, without a port."""
    from tiled.client import from_context
    from tiled.client.context import Context
    from tiled.server.app import build_app_from_config

    # Importing it has set this logger to tell its version at every start.
    logging.getLogger("tiled.server.app").setLevel(logging.WARNING)
    api_key = own_api_key()
    app = build_app_from_config(tiled_configuration(folder, api_key))
    with warnings.catch_warnings():
        # starlette wants another HTTP client than the one that Tiled 0.2.20 brings.
        warnings.filterwarnings("ignore", message=".*httpx.*starlette.testclient.*")
        context = Context.from_app(app, api_key=api_key)
    try:
        return context, from_context(context)
    except BaseException:
        context.close()
        raise


@cache
def own_api_key() -> str:
    """One key for all catalogues of this process: Tiled 0.2.20 has one set of settings only.

    A second server's key replaces the first one's, whose client is then turned away.
    """
    return secrets.token_hex(API_KEY_BYTES)


def own_structure_clients() -> OneShotCachedMap[str, type]:
    """Copy Tiled's table of the classes that show a node, to be changed without harm."""
    from tiled.client.container import DEFAULT_STRUCTURE_CLIENT_DISPATCH
    from tiled.utils import OneShotCachedMap

    shared = DEFAULT_STRUCTURE_CLIENT_DISPATCH["numpy"]
    return OneShotCachedMap({name: partial(shared.__getitem__, name) for name in shared})
