"""Where a configuration's regions are laid: over the foreground, or at spines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stedopt_bluesky.config import ExperimentConfig
from stedopt_bluesky.config.spines_file import read_spines

if TYPE_CHECKING:
    from stedopt_bluesky.plans.regions import ForegroundTiles
    from stedopt_bluesky.plans.spines import SpineSites


def tiles_of(config: ExperimentConfig) -> ForegroundTiles:
    """Make what lays square regions over the overview's foreground."""
    from stedopt_bluesky.plans.regions import ForegroundTiles

    return ForegroundTiles(config.imaging.region_size_um, config.overview.minimum_foreground)


def spines_of(config: ExperimentConfig) -> SpineSites:
    """Make what finds the spines of an overview.

    Raises
    ------
    ConfigError
        When the list of spines cannot be used.
    """
    from stedopt_bluesky.plans.spines import SpineSites

    size_um, path = config.imaging.region_size_um, config.uncaging.spines
    given = tuple(read_spines(path, size_um)) if path else ()
    distances = [p.values[-1] for p in config.space if p.name == "uncaging_distance_um"]
    return SpineSites(size_um, max(distances or [config.uncaging.distance_um]), given)


def sites_of(config: ExperimentConfig) -> ForegroundTiles | SpineSites:
    """Make what lays the regions of a configuration over an overview."""
    return spines_of(config) if config.uncaging.enabled else tiles_of(config)
