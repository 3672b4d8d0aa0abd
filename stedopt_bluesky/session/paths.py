"""Files of a configuration by their absolute paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stedopt_bluesky.config import ExperimentConfig
from stedopt_bluesky.image_files import split_address


def with_absolute_paths(config: ExperimentConfig) -> ExperimentConfig:
    """Name files by their absolute paths: the sample's, so that a run is resumed from any folder.

    That of the prior knowledge is named so for whoever looks for it later.
    """
    changes: dict[str, Any] = {"sample.name": _absolute(config.sample.name)}
    labels = [label.model_dump() for label in config.microscope.labels]
    changes["microscope.labels"] = [{**x, "sample": _absolute(x["sample"])} for x in labels]
    table = config.prior.csv
    if table and not Path(table).is_absolute():
        changes["prior.csv"] = str(Path(table).resolve())
    for field, network in (
        ("quality.network", config.quality.network),
        ("choice.network", config.choice.network),
    ):
        if Path(network).suffix and Path(network).is_file():
            changes[field] = str(Path(network).resolve())
    return config.updated(changes)


def _absolute(sample: str) -> str:
    """Path of a sample from the root; the name of a structure as it is."""
    path, image = split_address(sample)
    return str(path.resolve()) + (f"#{image}" if image else "") if path.is_file() else sample
