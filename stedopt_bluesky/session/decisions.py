"""Who decides: strategy, objectives and chooser of a configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.acquisition import Choice, Objective, Options
from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.config.errors import allowed_text

if TYPE_CHECKING:
    from stedopt_bluesky.bandit.strategy import Strategy

Observation = tuple[int, Mapping[str, float]]


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
            high = entry.noise_upper_bound
        chosen.append(dataclasses.replace(objective, noise_bounds=(low, high)))
    return tuple(chosen)


def make_strategy(config: ExperimentConfig, history: Iterable[Observation] = ()) -> Strategy:
    """Make the strategy of a configuration, taught the observations of earlier images.

    Parameters
    ----------
    config : ExperimentConfig
        Grid, objectives, seed and the bandit's settings.
    history : iterable of (index, objectives by name)
        In the order of imaging.
    """
    from stedopt_bluesky.bandit import KernelTS, RandomPolicy

    objectives = objectives_of(config)
    strategy: Strategy
    if config.bandit.strategy == "random":
        strategy = RandomPolicy(config.space, objectives, config.seed)
    else:
        strategy = KernelTS(
            config.space,
            objectives,
            config.seed,
            bandwidth=config.bandit.bandwidth,
            norm_bound=config.bandit.norm_bound,
            deterministic={
                o.name: _imaging_times(config) for o in objectives if o.name == "imaging_time_s"
            },
        )
    for index, values in history:
        strategy.ingest(index, values)
    return strategy


def _imaging_times(config: ExperimentConfig) -> Any:
    """Imaging time of every configuration, s, shape (G,)."""
    from stedopt_bluesky.objectives import imaging_times_s

    imaging = config.imaging
    return imaging_times_s(
        config.space,
        (imaging.pixels, imaging.pixels),
        dwelltime_us=imaging.dwelltime_us,
        line_steps=imaging.line_steps,
    )


def make_choose(config: ExperimentConfig) -> Callable[[Options], Choice]:
    """Make who chooses from the cloud of options."""
    from stedopt_bluesky.preference.rule import RandomChoice, WeightedRule

    if config.choice.rule == "random":
        return RandomChoice(config.seed)
    return WeightedRule(objectives_of(config), weights_of(config), config.seed)


def weights_of(config: ExperimentConfig) -> dict[str, float]:
    """Weights of the objectives in the rule that chooses."""
    return {o.name: o.weight for o in config.objectives}
