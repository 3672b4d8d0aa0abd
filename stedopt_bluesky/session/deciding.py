"""Who rates the images and who chooses from the cloud, for a session."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stedopt_bluesky.acquisition import PriorObservation
from stedopt_bluesky.config import ExperimentConfig
from stedopt_bluesky.session.decisions import make_choose
from stedopt_bluesky.session.networks import Networks, open_networks
from stedopt_bluesky.session.prior import prior_observations

if TYPE_CHECKING:
    from stedopt_bluesky.plans.acquire import Rater
    from stedopt_bluesky.plans.asking import Chooser
    from stedopt_bluesky.records.folder import CatalogFolder


@dataclass(frozen=True)
class Deciding:
    """Who rates and who chooses, and from what that was made."""

    prior: tuple[PriorObservation, ...]
    networks: Networks
    rate: Rater
    choose: Chooser
    own_rate: Rater | None
    own_choose: Chooser | None


def decide(
    config: ExperimentConfig,
    folder: CatalogFolder | str | os.PathLike[str],
    prior: Sequence[PriorObservation] | None,
    networks: Networks | None,
    rate: Rater | None,
    choose: Chooser | None,
) -> Deciding:
    """Make who rates and who chooses, as the configuration says where it is not given."""
    from stedopt_bluesky.objectives import make_rater

    if prior is None:
        prior = prior_observations(config, folder)
    if networks is None:
        networks = open_networks(config, rates=rate is None, chooses=choose is None)
    return Deciding(
        prior=tuple(prior),
        networks=networks,
        rate=rate
        or make_rater(
            [objective.name for objective in config.objectives],
            networks.quality,
            [channel.name for channel in config.channels],
        ),
        choose=choose or make_choose(config, networks.preference),
        own_rate=rate,
        own_choose=choose,
    )


def same_networks(a: ExperimentConfig, b: ExperimentConfig) -> bool:
    """Whether two configurations name the same networks."""
    return a.quality == b.quality and a.choice == b.choice
