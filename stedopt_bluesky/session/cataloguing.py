"""Which catalogue a configuration's runs go to, and how they get there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.config.keys import CATALOG_VARIABLE, ApiKeyError, secret_from

if TYPE_CHECKING:
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.following import Target


def check_catalog(config: ExperimentConfig) -> None:
    """Refuse a catalogue on a server whose key is not known.

    Raises
    ------
    ConfigError
        One line that says what to set.
    """
    if config.catalog.uri and not _key():
        raise ConfigError(
            f"catalog.uri = {config.catalog.uri!r}: set {CATALOG_VARIABLE} to a key of that server "
            "with which a program may write"
        )


def target_of(config: ExperimentConfig, folder: CatalogFolder) -> Target:
    """Return the catalogue that a configuration's runs go to.

    Raises
    ------
    ConfigError
        As :func:`check_catalog`.
    """
    from stedopt_bluesky.records.following import Target

    check_catalog(config)
    catalog = config.catalog
    key = _key() if catalog.uri else ""
    return Target(folder, catalog.uri, key, catalog.server_folder)


def _key() -> str:
    try:
        return secret_from(os.environ, CATALOG_VARIABLE) or ""
    except ApiKeyError as error:
        raise ConfigError(str(error)) from None
