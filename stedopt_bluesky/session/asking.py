"""A person who chooses, for a session."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stedopt_bluesky.config import ExperimentConfig
from stedopt_bluesky.session.decisions import make_choose

if TYPE_CHECKING:
    from stedopt_bluesky.devices.expert import Expert
    from stedopt_bluesky.plans.asking import ExpertChoice
    from stedopt_bluesky.session.networks import Networks


def make_expert_choice(
    config: ExperimentConfig, expert: Expert, networks: Networks
) -> ExpertChoice:
    """Have a person asked, as section ``[expert]`` says; what ``[choice]`` says is suggested.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment.
    expert : Expert
        Whom the answers come from.
    networks : Networks
        Of the session; the preference network, where the rule needs one.
    """
    from stedopt_bluesky.plans.asking import ExpertChoice

    rule = make_choose(config, networks.preference)
    late = config.expert.if_late
    return ExpertChoice(
        expert,
        otherwise=rule,
        timeout_s=math.inf if late == "wait" else config.expert.timeout_s,
        stops_if_late=late == "stop",
        suggest=rule,
        undo_s=config.expert.undo_s,
    )
