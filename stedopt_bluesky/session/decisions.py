"""What is optimised and who chooses: objectives and chooser of a configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from stedopt_bluesky.acquisition import Choice, Objective, Options
from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.config.errors import allowed_text

if TYPE_CHECKING:
    from stedopt_bluesky.networks.preference import PreferenceScorer
    from stedopt_bluesky.objectives import ObjectiveFunction

# Noise of ten times an objective's usual range leaves nothing to learn.
MOST_NOISE = 10


def objectives_of(config: ExperimentConfig) -> tuple[Objective, ...]:
    """Objectives of a configuration, in its order and with its noise bounds.

    Raises
    ------
    ConfigError
        When one is not known.
    """
    known = known_objectives(config)
    chosen = []
    for i, entry in enumerate(config.objectives):
        if entry.name not in known:
            raise ConfigError(
                f"objectives.{i}.name = {entry.name!r}: {allowed_text(entry.name, known)}"
            )
        _check_needs(config, i, known[entry.name].needs)
        objective = known[entry.name].objective
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


def needs_of(config: ExperimentConfig) -> frozenset[str]:
    """All that the objectives of a configuration need beside one set of images."""
    known = known_objectives(config)
    names = [o.name for o in config.objectives if o.name in known]
    return frozenset[str]().union(*(known[name].needs for name in names))


def known_objectives(config: ExperimentConfig) -> Mapping[str, ObjectiveFunction]:
    """All objectives that a configuration may name, those of its channels too."""
    from stedopt_bluesky.objectives import all_objectives

    return all_objectives([channel.name for channel in config.channels])


def _check_needs(config: ExperimentConfig, number: int, needs: frozenset[str]) -> None:
    """Refuse an objective of images that this experiment does not take."""
    name = config.objectives[number].name
    if "second_sted" in needs and config.imaging.sted_images < 2:
        raise ConfigError(
            f"objectives.{number}.name = {name!r}: needs imaging.sted_images of at least 2, "
            f"it is {config.imaging.sted_images}"
        )
    if "calcium" in needs and not config.uncaging.enabled:
        raise ConfigError(
            f"objectives.{number}.name = {name!r}: needs Ca²⁺ frames, which this experiment does "
            "not take (uncaging.enabled = false)"
        )


def make_choose(
    config: ExperimentConfig, preference: PreferenceScorer | None = None
) -> Callable[[Options], Choice]:
    """Make who chooses from the cloud of options.

    Parameters
    ----------
    config : ExperimentConfig
        Says who.
    preference : PreferenceScorer, optional
        The network of ``choice.rule = 'network'``; loaded as the configuration names it when
        left out.

    Raises
    ------
    ConfigError
        When that network cannot be used.
    """
    if config.choice.rule == "network":
        from stedopt_bluesky.preference.network import NetworkChoice
        from stedopt_bluesky.session.networks import open_networks

        scorer = preference or open_networks(config, rates=False).preference
        assert scorer is not None  # noqa: S101  the rule needs one, so it was opened
        return NetworkChoice(scorer, objectives_of(config), config.seed)
    from stedopt_bluesky.preference.hypervolume import HypervolumeRule
    from stedopt_bluesky.preference.local import LocalRule
    from stedopt_bluesky.preference.rule import RandomChoice, WeightedRule

    if config.choice.rule == "random":
        return RandomChoice(config.seed)
    if config.choice.rule == "hypervolume":
        return HypervolumeRule(objectives_of(config), config.seed)
    if config.choice.rule == "local":
        return LocalRule(objectives_of(config), weights_of(config), config.seed)
    return WeightedRule(objectives_of(config), weights_of(config), config.seed)


def weights_of(config: ExperimentConfig) -> dict[str, float]:
    """Weights of the objectives in the rule that chooses."""
    return {o.name: o.weight for o in config.objectives}
