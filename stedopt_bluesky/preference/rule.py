"""Choose by a weighted utility of the objectives, or at random."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Choice, Objective, Options
from stedopt_bluesky.preference.ties import best_option, drawn


def utilities(
    values: npt.NDArray[np.float64], objectives: Sequence[Objective], weights: Mapping[str, float]
) -> npt.NDArray[np.float64]:
    """Weighted mean of the objectives, each scaled to 0 … 1 over its usual range.

    An objective scores 0 at the worse end of its range and 1 at the better one.
    Beyond the better end it gains nothing more: an image that is good enough is
    not worth more bleaching. Beyond the worse end it goes on falling.

    Parameters
    ----------
    values : ndarray, shape (..., M)
        Objectives, each in its unit.
    objectives : sequence of Objective, length M
        Their ranges and directions.
    weights : mapping of objective's name to weight
        Not negative, at least one above 0.

    Returns
    -------
    ndarray, shape (...)
        Utility, at most 1; NaN where an objective of positive weight is NaN.
    """
    total = np.zeros(values.shape[:-1])
    for column, objective in enumerate(objectives):
        weight = weights[objective.name]
        if weight == 0:
            continue
        low, high = objective.range
        score = (values[..., column] - low) / (high - low)
        if objective.direction == "minimise":
            score = 1 - score
        total += weight * np.minimum(score, 1)
    return total / sum(weights.values())


def on_offer(options: Options) -> npt.NDArray[np.bool_]:
    """Whether each option can be chosen at all, shape (G,): not where all its values are NaN."""
    return np.asarray(~np.isnan(options.values).all(axis=-1))


@dataclass(frozen=True)
class WeightedRule:
    """Choose the option of highest weighted utility.

    Options of equal utility: the one with the least time, then at random
    (as the published program resolves a click that hits several).

    Parameters
    ----------
    objectives : tuple of Objective
        In the order of the cloud's columns.
    weights : mapping of objective's name to weight
        Not negative.
    seed : int
        Of the draw among equals; the draw depends on nothing but it and the iteration.

    Raises
    ------
    ValueError
        When an objective has no weight, a weight is below 0 or no number, or all are 0.
    """

    objectives: tuple[Objective, ...]
    weights: Mapping[str, float]
    seed: int

    def __post_init__(self) -> None:
        names = [objective.name for objective in self.objectives]
        if set(names) != set(self.weights):
            raise ValueError(f"weights for {list(self.weights)}: one for each of {names} is needed")
        for name, weight in self.weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"weight of {name} = {weight:g}: at least 0, finite")
        if not any(self.weights.values()):
            raise ValueError("weights: at least one must be above 0")

    def __call__(self, options: Options) -> Choice:
        """Choose one of the options on offer; one whose utility is NaN is never chosen.

        Raises
        ------
        ValueError
            When no option has a utility.
        """
        # Where all objectives are NaN one of positive weight is, and so is the utility: what
        # is not on offer drops out here too.
        utility = utilities(options.values, self.objectives, self.weights)
        index = best_option(utility, options, self.objectives, self.seed)
        return Choice(index, "weighted_rule")


@dataclass(frozen=True)
class RandomChoice:
    """Choose any option on offer, each as likely.

    Parameters
    ----------
    seed : int
        The choice depends on nothing but it and the iteration.
    """

    seed: int

    def __call__(self, options: Options) -> Choice:
        """Choose one of the options on offer.

        Raises
        ------
        ValueError
            When none is.
        """
        candidates = np.flatnonzero(on_offer(options))
        if not candidates.size:
            raise ValueError(f"none of the {len(options.values)} options is on offer: all are NaN")
        return Choice(drawn(candidates, self.seed, options.iteration), "random_choice")
