"""The networks of a catalogue's runs: each file once, under its SHA-256."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from stedopt_bluesky.networks.weights import SUFFIX, Weights
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder

_SHA256 = re.compile(r"[0-9a-f]{64}")


def keep_network(folder: CatalogFolder, weights: Weights) -> Path:
    """Copy a network's file into the catalogue, unless it is there.

    Raises
    ------
    CatalogError
        When it cannot be written.
    """
    path = _path(folder, weights.sha256)
    if path.is_file():
        return path
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(weights.path, part)
        part.replace(path)
    except OSError as error:
        raise CatalogError(
            f"the network {weights.path} cannot be kept in {path}: {error}"
        ) from error
    return path


def kept_network(folder: CatalogFolder, sha256: str) -> Path | None:
    """File of a network that a run of this catalogue used; None when it is not kept here."""
    path = network_path(folder, sha256)
    return path if path is not None and path.is_file() else None


def network_path(folder: CatalogFolder, sha256: str) -> Path | None:
    """Where a network is kept, or would be; None when this is no SHA-256."""
    # It comes from a document: never a path.
    return _path(folder, sha256) if _SHA256.fullmatch(sha256) else None


def _path(folder: CatalogFolder, sha256: str) -> Path:
    return folder.networks / f"{sha256}{SUFFIX}"
