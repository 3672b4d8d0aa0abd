"""Strategies to compare Kernel Thompson Sampling with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.bandit.strategy import (
    ObjectiveValues,
    checked_index,
    checked_objectives,
    checked_seed,
    checked_values,
)
from stedopt_bluesky.parameters import ParameterSpace


class RandomPolicy:
    """Uniformly random configurations: the baseline that learns nothing.

    Every value of the cloud, known objectives included, is an independent uniform draw
    from its objective's usual range. They predict nothing: their rows are exchangeable, so
    whatever chooses by the values alone, a network, a rule or a person, chooses each
    configuration with probability 1/G. Iteration t draws from
    ``numpy.random.default_rng([seed, t])``: a decision depends on nothing else.

    Parameters
    ----------
    space : ParameterSpace
        Grid of G configurations.
    objectives : sequence of Objective or str, shape (M,)
        A bare name stands for an objective of range (0, 1).
    seed : int
        Not negative.

    Raises
    ------
    ValueError
        When objectives or seed are not acceptable, or a range is empty: with equal values
        in all rows a chooser would not choose at random.
    """

    def __init__(
        self, space: ParameterSpace, objectives: Sequence[Objective | str], seed: int
    ) -> None:
        self.space = space
        self.objectives = checked_objectives(objectives)
        self.seed = checked_seed(seed)
        for objective in self.objectives:
            low, high = objective.range
            if not low < high:
                raise ValueError(f"{objective.name}: range must increase, got ({low}, {high})")
        self._iteration = 0

    @property
    def iteration(self) -> int:
        """Number of images ingested."""
        return self._iteration

    def suggest(self) -> Options:
        """Draw the cloud of options of this iteration, ``values`` read-only."""
        rng = np.random.default_rng([self.seed, self._iteration])
        low, high = np.transpose([objective.range for objective in self.objectives])
        values = rng.uniform(low, high, (self.space.size, len(self.objectives)))
        values.flags.writeable = False
        return Options(
            values=values,
            configurations=self.space.grid,
            iteration=self._iteration,
            objectives=tuple(objective.name for objective in self.objectives),
            parameters=self.space.names,
        )

    def ingest(self, index: int, values: ObjectiveValues) -> None:
        """Check and count an image; its values change no later decision.

        Raises
        ------
        IndexError, ValueError
            As `KernelTS.ingest`, so that a fault shows with the baseline too.
        """
        checked_index(index, self.space.size)
        checked_values(values, self.objectives)
        self._iteration += 1
