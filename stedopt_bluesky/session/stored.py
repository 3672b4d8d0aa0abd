"""A stored run understood again: its configuration, and the regions that it left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.config import ConfigError, ExperimentConfig, parse_config

if TYPE_CHECKING:
    from stedopt_bluesky.records.resume import RunChain
    from stedopt_bluesky.records.run_record import RunRecord


def config_of(record: RunRecord) -> ExperimentConfig:
    """Configuration that a stored run was made from.

    Raises
    ------
    ConfigError
        When the start document holds none that this version understands.
    """
    try:
        data = record.start["stedopt"]["config"]
    except (KeyError, TypeError):
        raise ConfigError(
            f"run {record.uid} was not made by stedopt: it has no configuration"
        ) from None
    return parse_config(data, source=f"run {record.uid[:8]}")


def regions_left(chain: RunChain, config: ExperimentConfig) -> list[Region] | None:
    """Regions of a stored run that have not been imaged, laid over its own overview.

    Returns
    -------
    list of Region or None
        None when the run had not come to its overview.

    Raises
    ------
    ConfigError
        When the run imaged regions without an overview: they had been given by hand.
    """
    from stedopt_bluesky.plans.regions import lay_regions

    surveyed = chain.surveyed
    if surveyed is None:
        if chain.regions_used:
            raise ConfigError(
                f"run {chain.last.uid[:8]} was given its regions by hand: go on with it in Python, "
                "session.optimize(regions=...)"
            )
        return None
    overview = surveyed.images("overview_image")[-1]
    regions = lay_regions(
        overview,
        config.overview.pixel_size_nm,
        config.imaging.region_size_um,
        config.overview.minimum_foreground,
    )
    return regions[chain.regions_used :]
