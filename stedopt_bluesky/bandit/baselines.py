"""Strategies that learn nothing, to compare the others with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.bandit.prescribing import PrescribingStrategy, checked_count
from stedopt_bluesky.bandit.strategy import checked_seed
from stedopt_bluesky.parameters import ParameterSpace


class RandomPolicy(PrescribingStrategy):
    """One configuration per image, each as likely.

    Iteration t draws from ``numpy.random.default_rng([seed, t])``: a decision depends on
    nothing else, so that any history can be ingested.

    Parameters
    ----------
    space, objectives, deterministic
        As for `PrescribingStrategy`.
    seed : int
        Not negative.

    Raises
    ------
    ValueError
        When a parameter is not acceptable.
    """

    def __init__(
        self,
        space: ParameterSpace,
        objectives: Sequence[Objective | str],
        seed: int,
        *,
        deterministic: Mapping[str, npt.ArrayLike] | None = None,
    ) -> None:
        super().__init__(space, objectives, deterministic)
        self.seed = checked_seed(seed)

    def prescribe(self) -> int:
        """Draw the configuration of this iteration."""
        rng = np.random.default_rng([self.seed, self.iteration])
        return int(rng.integers(self.space.size))

    def _learn(self, index: int, values: Sequence[float | None]) -> None:
        """Values change no later decision."""


class GridSearch(PrescribingStrategy):
    """Every configuration in the grid's order, several images each, then from the start again.

    The baseline of the paper's replay experiment, with its five images a point [Durand et
    al., Nat. Commun. 9:5247, 2018]. A grid of G configurations takes G × ``repeats`` images:
    what is seen of a large one in a short run is its first corner. A decision depends on the
    iteration alone, so that any history can be ingested.

    Parameters
    ----------
    space, objectives, deterministic
        As for `PrescribingStrategy`.
    repeats : int
        Images per configuration, at least 1.

    Raises
    ------
    ValueError
        When a parameter is not acceptable.
    """

    def __init__(
        self,
        space: ParameterSpace,
        objectives: Sequence[Objective | str],
        *,
        repeats: int = 5,
        deterministic: Mapping[str, npt.ArrayLike] | None = None,
    ) -> None:
        super().__init__(space, objectives, deterministic)
        self.repeats = checked_count("repeats", repeats)

    def prescribe(self) -> int:
        """Configuration whose turn it is."""
        return self.iteration // self.repeats % self.space.size

    def _learn(self, index: int, values: Sequence[float | None]) -> None:
        """Values change no later decision."""
