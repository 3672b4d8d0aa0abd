"""What every strategy does alike: check what it is told, count the images, draw the cloud."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.bandit.blas_threads import one_blas_thread
from stedopt_bluesky.bandit.strategy import (
    ObjectiveValues,
    checked_index,
    checked_known,
    checked_objectives,
    checked_seed,
    checked_values,
)
from stedopt_bluesky.parameters import ParameterSpace

FloatArray = npt.NDArray[np.float64]


class LearningStrategy(abc.ABC):
    """A strategy that ingests images, one after another.

    Parameters
    ----------
    space : ParameterSpace
        Grid of G configurations.
    objectives : sequence of Objective or str, shape (M,)
        A bare name stands for a modelled objective of range (0, 1).
    deterministic : mapping of str to ndarray, each of shape (G,), optional
        Values of objectives that are not modelled, on the grid, in their units.
    complete : bool
        Whether ``deterministic`` has to give all of them.

    Raises
    ------
    ValueError
        When the objectives are not acceptable, or ``deterministic`` names another one than
        those not modelled or does not hold G finite values for it.
    """

    def __init__(
        self,
        space: ParameterSpace,
        objectives: Sequence[Objective | str],
        deterministic: Mapping[str, npt.ArrayLike] | None = None,
        *,
        complete: bool = False,
    ) -> None:
        self.space = space
        self.objectives = checked_objectives(objectives)
        self._known = checked_known(
            deterministic or {}, self.objectives, space.size, complete=complete
        )
        self._imaged: dict[int, None] = {}
        self._iteration = 0

    @property
    def iteration(self) -> int:
        """Number of images ingested."""
        return self._iteration

    @one_blas_thread
    def ingest(self, index: int, values: ObjectiveValues) -> None:
        """Learn the objectives of one image.

        Parameters
        ----------
        index : int
            Row of the grid that was imaged, 0 … G-1.
        values : sequence of float or None, shape (M,), or mapping of name to them
            In the objectives' units. NaN or None: that objective is invalid and not
            learned from, but the image counts. Objectives that are not modelled are
            ignored, and a mapping may leave them out.

        Raises
        ------
        IndexError
            When ``index`` is not on the grid.
        ValueError
            When length or names are wrong or a value is infinite, or the strategy cannot
            learn of this configuration. In all cases nothing has changed.
        """
        index = checked_index(index, self.space.size)
        self._learn(index, checked_values(values, self.objectives))
        self._imaged.setdefault(index)
        self._iteration += 1

    @abc.abstractmethod
    def _learn(self, index: int, values: Sequence[float | None]) -> None:
        """Learn checked values, one per objective, None where there is nothing to learn."""


class SamplingStrategy(LearningStrategy):
    """A strategy whose cloud is one function drawn for each objective.

    Iteration t draws from ``numpy.random.default_rng([seed, t])``, whatever was drawn
    before: a decision is a pure function of (history, seed, iteration).

    Parameters
    ----------
    space, objectives, deterministic
        As for `LearningStrategy`; ``deterministic`` has to be complete.
    seed : int
        Not negative.

    Raises
    ------
    ValueError
        As `LearningStrategy`, and when the seed is negative or a usual range is empty.
    """

    def __init__(
        self,
        space: ParameterSpace,
        objectives: Sequence[Objective | str],
        seed: int,
        deterministic: Mapping[str, npt.ArrayLike] | None = None,
    ) -> None:
        super().__init__(space, objectives, deterministic, complete=True)
        self.seed = checked_seed(seed)
        for objective in self.objectives:
            range_width(objective)

    @one_blas_thread
    def suggest(self, draw: int = 0) -> Options:
        """Draw the cloud of options of this iteration.

        Parameters
        ----------
        draw : int
            Number of the cloud, for several images to be chosen before any is ingested:
            each draw is independent of the others given the history.

        Returns
        -------
        Options
            ``values`` of shape (G, M), read-only: one posterior sample per modelled
            objective, and the known values of the others.
        """
        draw = checked_seed(draw, "draw")
        rng = np.random.default_rng([self.seed, self._iteration, *([draw] if draw else [])])
        # One column after another: whoever chooses goes through them so.
        values = np.empty((self.space.size, len(self.objectives)), order="F")
        for column, objective in enumerate(self.objectives):
            values[:, column] = (
                self._sample(objective, rng) if objective.modelled else self._known[objective.name]
            )
        values.flags.writeable = False
        return Options(
            values=values,
            configurations=self.space.grid,
            iteration=self._iteration,
            objectives=tuple(objective.name for objective in self.objectives),
            parameters=self.space.names,
            imaged=tuple(self._imaged),
        )

    @one_blas_thread
    def posterior(self) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and standard deviation of all objectives, without the noise.

        Returns
        -------
        mean, std : ndarray, shape (G, M)
            Each column in its objective's unit; std is 0 where the values are known.
        """
        mean = np.zeros((self.space.size, len(self.objectives)))
        std = np.zeros_like(mean)
        for column, objective in enumerate(self.objectives):
            if objective.modelled:
                mean[:, column], std[:, column] = self._moments(objective)
            else:
                mean[:, column] = self._known[objective.name]
        return mean, std

    @abc.abstractmethod
    def _sample(self, objective: Objective, rng: np.random.Generator) -> FloatArray:
        """Draw a function of a modelled objective, in its unit, shape (G,)."""

    @abc.abstractmethod
    def _moments(self, objective: Objective) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of a modelled objective, in its unit, each (G,)."""


def range_width(objective: Objective) -> float:
    """Width of an objective's usual range, in its unit.

    Raises
    ------
    ValueError
        When it is not positive.
    """
    low, high = objective.range
    if not low < high:
        raise ValueError(f"{objective.name}: range must increase, got ({low}, {high})")
    return high - low
