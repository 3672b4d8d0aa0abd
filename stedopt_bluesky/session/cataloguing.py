"""Which catalogue a configuration's runs go to, and how they get there."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.config.keys import CATALOG_VARIABLE, secret_from

if TYPE_CHECKING:
    from stedopt_bluesky.records.background import BackgroundIngestion
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.following import Target

log = logging.getLogger(__name__)


def catalog_key(uri: str, field: str) -> str:
    """Key with which a program may write to a catalogue's server, from the environment.

    Parameters
    ----------
    uri : str
        The server's address; ``""``: the folder's own catalogue, which needs none.
    field : str
        Where the address stands, for the error.

    Raises
    ------
    ConfigError
        One line that says what to set.
    """
    if not uri:
        return ""
    key = secret_from(os.environ, CATALOG_VARIABLE)
    if not key:
        raise ConfigError(
            f"{field} = {uri!r}: set {CATALOG_VARIABLE} to a key of that server with which a "
            "program may write"
        )
    return key


def check_catalog(config: ExperimentConfig) -> None:
    """Refuse a catalogue on a server whose key is not known.

    Raises
    ------
    ConfigError
        One line that says what to set.
    """
    catalog_key(config.catalog.uri, "catalog.uri")


def target_of(config: ExperimentConfig, folder: CatalogFolder) -> Target:
    """Return the catalogue that a configuration's runs go to.

    Raises
    ------
    ConfigError
        As :func:`check_catalog`.
    """
    from stedopt_bluesky.records.following import Target

    catalog = config.catalog
    key = catalog_key(catalog.uri, "catalog.uri")
    return Target(folder, catalog.uri, key, catalog.server_folder)


@contextlib.contextmanager
def fed(config: ExperimentConfig, folder: CatalogFolder) -> Iterator[BackgroundIngestion | None]:
    """Have the catalogue fed while entered; left, the rest is brought in without being waited for.

    Parameters
    ----------
    config : ExperimentConfig
        Says which catalogue, and whether it is fed or left to ``stedopt ingest``.
    folder : CatalogFolder
        Whose journals.

    Yields
    ------
    BackgroundIngestion or None
        The process that feeds it; None where there is none, which is logged as a warning where
        it could not be started.

    Raises
    ------
    ConfigError
        As :func:`check_catalog`.
    """
    from stedopt_bluesky.records.background import BackgroundIngestion

    with contextlib.ExitStack() as leaving:
        ingestion = None
        if config.catalog.background:
            try:
                ingestion = leaving.enter_context(BackgroundIngestion(target_of(config, folder)))
            except OSError as error:
                log.warning("the catalogue is not fed while images are taken: %s", error)
        yield ingestion
