"""A stored run understood again: its configuration, its prior knowledge, the regions it left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stedopt_bluesky.acquisition import PriorObservation, Region
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
        data = dict(record.start["stedopt"]["config"])
    except (KeyError, TypeError):
        raise ConfigError(
            f"run {record.uid} was not made by stedopt: it has no configuration"
        ) from None
    # Runs of version 0.1 and before knew the published adaptation alone.
    data["bandit"] = {"adaptation": "published", **data.get("bandit", {})}
    return parse_config(data, source=f"run {record.uid[:8]}")


def prior_of(record: RunRecord) -> tuple[PriorObservation, ...]:
    """Prior knowledge that a stored run began with, as its start document holds it.

    Neither the table nor the earlier runs that it came from are looked at: whoever replays
    the run, or goes on with it, begins with just the same.

    Raises
    ------
    ConfigError
        When the start document holds what cannot be observations.
    """
    listed = (record.start.get("stedopt") or {}).get("prior_observations", [])
    try:
        return tuple(
            PriorObservation(
                {name: float(v) for name, v in entry["configuration"].items()},
                {name: float(v) for name, v in entry["values"].items()},
                float(entry["weight"]),
            )
            for entry in listed
        )
    except (KeyError, AttributeError, TypeError, ValueError):
        raise ConfigError(
            f"run {record.uid[:8]}: stedopt.prior_observations of its start document: "
            "expected a list of configuration, values and weight"
        ) from None


def reduced_from(record: RunRecord) -> str:
    """Uid of the run from whose choices a stored run's grid was reduced; empty if it was not."""
    return str((record.start.get("stedopt") or {}).get("reduced_from", ""))


def regions_left(chain: RunChain, config: ExperimentConfig) -> list[Region] | None:
    """Regions of a stored run that have not been imaged, laid over its own overview.

    Returns
    -------
    list of Region or None
        None when the run had not come to its overview, or had one without a difference between
        its pixels, of a detector that counted nothing: another one is to be taken.

    Raises
    ------
    ConfigError
        When the run imaged regions without an overview: they had been given by hand.
    """
    from stedopt_bluesky.session.sites import sites_of

    surveyed = chain.surveyed
    if surveyed is None:
        if chain.regions_used:
            raise ConfigError(
                f"run {chain.last.uid[:8]} was given its regions by hand: go on with it in Python, "
                "session.optimize(regions=...)"
            )
        return None
    overview = surveyed.images("overview_image")[-1]
    if overview.min() == overview.max() and not chain.regions_used:
        return None
    regions = sites_of(config)(overview, config.overview.pixel_size_nm)
    return list(regions[chain.regions_used :])
