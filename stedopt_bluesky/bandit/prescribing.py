"""Strategies that prescribe the next configuration, instead of offering a cloud to choose from."""

from __future__ import annotations

import abc
import dataclasses
import operator
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Options
from stedopt_bluesky.bandit.learning import LearningStrategy
from stedopt_bluesky.bandit.strategy import (
    single_option,
)

FloatArray = npt.NDArray[np.float64]


class PrescribingStrategy(LearningStrategy):
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
