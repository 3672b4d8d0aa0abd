"""Persons who choose, rate and say where is imaged, for a session."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stedopt_bluesky.config import ExperimentConfig
from stedopt_bluesky.session.decisions import known_objectives, make_choose
from stedopt_bluesky.session.places import sites_of

if TYPE_CHECKING:
    from stedopt_bluesky.devices.expert import Expert
    from stedopt_bluesky.devices.expert_rater import ExpertRater
    from stedopt_bluesky.devices.expert_surveyor import ExpertSurveyor
    from stedopt_bluesky.plans.asking import ExpertChoice, Patience
    from stedopt_bluesky.plans.placing_by_hand import ExpertSurvey
    from stedopt_bluesky.plans.rating_by_hand import ExpertRating
    from stedopt_bluesky.session.networks import Networks


@dataclass(frozen=True)
class Asked:
    """What a session asks a person for; None: that is decided otherwise.

    Parameters
    ----------
    choose : ExpertChoice or None
        Which option is imaged, for `open_session`.
    rate : ExpertRating or None
        How good images are, for `open_session`.
    lay : ExpertSurvey or None
        Which regions of a field are imaged, for `Session.optimize`.
    """

    choose: ExpertChoice | None = None
    rate: ExpertRating | None = None
    lay: ExpertSurvey | None = None


def make_asked(config: ExperimentConfig, networks: Networks) -> Asked:
    """Have a person asked for what section ``[expert]`` says, by devices that are made here."""
    from stedopt_bluesky.devices.expert import Expert
    from stedopt_bluesky.devices.expert_rater import ExpertRater
    from stedopt_bluesky.devices.expert_surveyor import ExpertSurveyor

    asks = config.expert.asks
    return Asked(
        make_expert_choice(config, Expert(name="expert"), networks) if "choice" in asks else None,
        make_expert_rating(config, ExpertRater(scored=scored_of(config), name="rating"), networks)
        if "rating" in asks
        else None,
        make_expert_survey(config, ExpertSurveyor(name="regions")) if "regions" in asks else None,
    )


def make_expert_choice(
    config: ExperimentConfig, expert: Expert, networks: Networks
) -> ExpertChoice:
    """Have a person choose, as section ``[expert]`` says; what ``[choice]`` says is suggested.

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
    patience = patience_of(config)
    return ExpertChoice(
        expert,
        otherwise=rule,
        timeout_s=patience.timeout_s,
        stops_if_late=patience.stops_if_late,
        suggest=rule,
        undo_s=patience.undo_s,
    )


def make_expert_rating(
    config: ExperimentConfig, rater: ExpertRater, networks: Networks
) -> ExpertRating:
    """Have a person rate, as section ``[expert]`` says; the quality network's scores are suggested.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment.
    rater : ExpertRater
        Whom the answers come from.
    networks : Networks
        Of the session; without a quality network nothing is suggested.
    """
    from stedopt_bluesky.objectives import make_rater
    from stedopt_bluesky.objectives.scored import score_as_given, scored_images
    from stedopt_bluesky.plans.rating_by_hand import ExpertRating

    names = [objective.name for objective in config.objectives]
    channels = [channel.name for channel in config.channels]
    quality = networks.quality
    return ExpertRating(
        rater,
        scored=lambda images: scored_images(names, images, channels),
        by_scores=lambda images, scores: make_rater(
            names, score_as_given(images, scores), channels
        ),
        suggest=quality,
        suggested_by="" if quality is None else quality.weights.info.name,
        patience=patience_of(config),
    )


def make_expert_survey(config: ExperimentConfig, surveyor: ExpertSurveyor) -> ExpertSurvey:
    """Have a person say which regions are imaged; what lays them otherwise is suggested."""
    from stedopt_bluesky.plans.placing_by_hand import ExpertSurvey

    return ExpertSurvey(surveyor, sites_of(config), patience_of(config))


def scored_of(config: ExperimentConfig) -> tuple[str, ...]:
    """Names of the objectives that need a score of an image."""
    known = known_objectives(config)
    return tuple(o.name for o in config.objectives if "score" in known[o.name].needs)


def patience_of(config: ExperimentConfig) -> Patience:
    """How long a person is waited for."""
    from stedopt_bluesky.plans.asking import Patience

    late = config.expert.if_late
    timeout_s = math.inf if late == "wait" else config.expert.timeout_s
    return Patience(timeout_s, late == "stop", config.expert.undo_s)
