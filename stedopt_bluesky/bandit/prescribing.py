"""Strategies that prescribe the next configuration, instead of offering a cloud to choose from."""

from __future__ import annotations

import abc
import dataclasses
import operator
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.bandit.strategy import (
    ObjectiveValues,
    checked_index,
    checked_known,
    checked_objectives,
    checked_values,
    single_option,
)
from stedopt_bluesky.parameters import ParameterSpace

FloatArray = npt.NDArray[np.float64]


class PrescribingStrategy(abc.ABC):
    """A strategy whose cloud offers one configuration, which can only be accepted.

    Parameters
    ----------
    space : ParameterSpace
        Grid of G configurations.
    objectives : sequence of Objective or str, shape (M,)
        A bare name stands for a modelled objective of range (0, 1).
    deterministic : mapping of str to ndarray, each of shape (G,), optional
        Values of objectives that are not modelled, on the grid, in their units; they stand
        in the option. Those left out, and all that is not known, stand there as the middle
        of their usual range.

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
    ) -> None:
        self.space = space
        self.objectives = checked_objectives(objectives)
        self._known = checked_known(deterministic or {}, self.objectives, space.size)
        self._imaged: dict[int, None] = {}
        self._iteration = 0

    @property
    def iteration(self) -> int:
        """Number of images ingested."""
        return self._iteration

    @abc.abstractmethod
    def prescribe(self) -> int:
        """Row of the grid to image next; twice without `ingest` gives the same."""

    def expected(self, index: int) -> Mapping[str, float]:
        """What is known or predicted of configuration ``index``, by objective, in their units."""
        return {name: float(values[index]) for name, values in self._known.items()}

    def suggest(self) -> Options:
        """Offer the prescribed configuration alone.

        Returns
        -------
        Options
            ``values`` of shape (G, M), read-only, NaN in all rows but the prescribed one.
        """
        index = self.prescribe()
        option = single_option(
            self.space, self.objectives, self._iteration, index, self.expected(index)
        )
        return dataclasses.replace(option, imaged=tuple(self._imaged))

    def ingest(self, index: int, values: ObjectiveValues) -> None:
        """Learn the objectives of one image.

        Parameters
        ----------
        index : int
            Row of the grid that was imaged, 0 … G-1.
        values : sequence of float or None, shape (M,), or mapping of name to them
            In the objectives' units; NaN or None where one could not be measured.

        Raises
        ------
        IndexError
            When ``index`` is not on the grid.
        ValueError
            When length or names are wrong or a value is infinite, or the strategy cannot
            learn of a configuration that it did not prescribe. In all cases nothing has
            changed.
        """
        index = checked_index(index, self.space.size)
        self._learn(index, checked_values(values, self.objectives))
        self._imaged.setdefault(index)
        self._iteration += 1

    @abc.abstractmethod
    def _learn(self, index: int, values: Sequence[float | None]) -> None:
        """Learn checked values, one per objective, None where there is nothing to learn."""


def checked_count(name: str, value: int, minimum: int = 1) -> int:
    """Return a count as a plain integer.

    Raises
    ------
    ValueError
        When it is below the minimum.
    """
    if (checked := operator.index(value)) < minimum:
        raise ValueError(f"{name} = {value}: at least {minimum}")
    return checked
