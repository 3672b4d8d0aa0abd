"""What is optimised and who chooses: objectives and chooser of a configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from stedopt_bluesky.acquisition import Choice, Objective, Options
from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.config.errors import allowed_text

# Noise of ten times an objective's usual range leaves nothing to learn.
MOST_NOISE = 10


def objectives_of(config: ExperimentConfig) -> tuple[Objective, ...]:
    """Objectives of a configuration, in its order and with its noise bounds.

    Raises
    ------
    ConfigError
        When one is not known.
    """
    from stedopt_bluesky.objectives import OBJECTIVES

    chosen = []
    for i, entry in enumerate(config.objectives):
        if entry.name not in OBJECTIVES:
            raise ConfigError(
                f"objectives.{i}.name = {entry.name!r}: {allowed_text(entry.name, OBJECTIVES)}"
            )
        objective = OBJECTIVES[entry.name].objective
        low, high = objective.noise_bounds
        if entry.noise_upper_bound is not None:
            if entry.noise_upper_bound < low:
                raise ConfigError(
                    f"objectives.{i}.noise_upper_bound = {entry.noise_upper_bound:g}: "
                    f"at least {low:g} {objective.unit}"
                )
            width = objective.range[1] - objective.range[0]
            if entry.noise_upper_bound > MOST_NOISE * width:
                raise ConfigError(
                    f"objectives.{i}.noise_upper_bound = {entry.noise_upper_bound:g}: "
                    f"at most {MOST_NOISE * width:g} {objective.unit}".rstrip()
                )
            high = entry.noise_upper_bound
        chosen.append(dataclasses.replace(objective, noise_bounds=(low, high)))
    return tuple(chosen)


def make_choose(config: ExperimentConfig) -> Callable[[Options], Choice]:
    """Make who chooses from the cloud of options."""
    from stedopt_bluesky.preference.hypervolume import HypervolumeRule
    from stedopt_bluesky.preference.rule import RandomChoice, WeightedRule

    if config.choice.rule == "random":
        return RandomChoice(config.seed)
    if config.choice.rule == "hypervolume":
        return HypervolumeRule(objectives_of(config), config.seed)
    return WeightedRule(objectives_of(config), weights_of(config), config.seed)


def weights_of(config: ExperimentConfig) -> dict[str, float]:
    """Weights of the objectives in the rule that chooses."""
    return {o.name: o.weight for o in config.objectives}
