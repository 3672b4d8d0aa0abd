"""Choose a local Ca²⁺ response: of a size between none and widespread, and strong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Choice, Objective, Options
from stedopt_bluesky.objectives.calcium import LOCAL_BELOW
from stedopt_bluesky.preference.rule import utilities
from stedopt_bluesky.preference.ties import best_option

FloatArray = npt.NDArray[np.float64]

SIZE, STRENGTH = "response_size_ratio", "df_over_f_peak"
# The size that is farthest from none and from widespread.
WANTED_SIZE = LOCAL_BELOW / 2


def local_utilities(
    values: FloatArray, objectives: Sequence[Objective], weights: Mapping[str, float]
) -> FloatArray:
    """Desirability of responses: the product of those of size, strength and the other objectives.

    That of the size is a "target" one (Derringer & Suich, J. Qual. Technol. 12:214, 1980): 1 in
    the middle of what is called local, 0 for no response and from 0.6 of the cell on. That of
    the strength goes from 0 to 1 over its usual range. Where other objectives have a weight,
    their weighted mean, from 0 to 1, is a factor too.

    Parameters
    ----------
    values : ndarray, shape (..., M)
        Objectives, each in its unit.
    objectives : sequence of Objective, length M
        With the size and the strength of the response among them.
    weights : mapping of objective's name to weight
        Those of size and strength are not looked at.

    Returns
    -------
    ndarray, shape (...)
        0 to 1; NaN where an objective that counts is NaN.
    """
    size, strength = _size_and_strength(values, objectives)
    size = np.clip(1 - np.abs(size - WANTED_SIZE) / WANTED_SIZE, 0, 1)
    others = {o.name: 0.0 if o.name in (SIZE, STRENGTH) else weights[o.name] for o in objectives}
    product: FloatArray = size * strength
    if any(others.values()):
        product = product * np.clip(utilities(values, objectives, others), 0, 1)
    return product


def image_utilities(values: FloatArray, objectives: Sequence[Objective]) -> FloatArray:
    """Strength of responses that are local, 0 to 1; 0 of all others.

    An option's values are means of responses that are silent, local or widespread; one image's
    is a single response, and either local or not.

    Parameters
    ----------
    values : ndarray, shape (..., M)
        Objectives, each in its unit.
    objectives : sequence of Objective, length M
        With the size and the strength of the response among them.

    Returns
    -------
    ndarray, shape (...)
        NaN where size or strength is NaN.
    """
    size, strength = _size_and_strength(values, objectives)
    local: FloatArray = np.where(
        np.isnan(size), np.nan, strength * ((size > 0) & (size < LOCAL_BELOW))
    )
    return local


def _size_and_strength(
    values: FloatArray, objectives: Sequence[Objective]
) -> tuple[FloatArray, FloatArray]:
    """Size of responses as it is, and strength over its usual range, 0 to 1; shape (...)."""
    columns = {objective.name: i for i, objective in enumerate(objectives)}
    low, high = objectives[columns[STRENGTH]].range
    strength = np.clip((values[..., columns[STRENGTH]] - low) / (high - low), 0, 1)
    return values[..., columns[SIZE]], strength


@dataclass(frozen=True)
class LocalRule:
    """Choose the option of the most desirable response.

    Where none is desirable at all, as at first: the one whose size is nearest to the wanted one.

    Parameters
    ----------
    objectives : tuple of Objective
        In the order of the cloud's columns.
    weights : mapping of objective's name to weight
        Of the objectives beside the response's size and strength.
    seed : int
        Of the draw among equals; the draw depends on nothing but it and the iteration.

    Raises
    ------
    ValueError
        When size or strength of the response is not among the objectives.
    """

    objectives: tuple[Objective, ...]
    weights: Mapping[str, float]
    seed: int

    def __post_init__(self) -> None:
        names = [objective.name for objective in self.objectives]
        for needed in (SIZE, STRENGTH):
            if needed not in names:
                raise ValueError(f"the rule 'local' needs the objective {needed}")

    def __call__(self, options: Options) -> Choice:
        """Choose one of the options on offer; one whose utility is NaN is never chosen.

        Raises
        ------
        ValueError
            When no option has a utility.
        """
        utility = local_utilities(options.values, self.objectives, self.weights)
        if not (utility > 0).any():
            names = [objective.name for objective in self.objectives]
            off = np.abs(options.values[:, names.index(SIZE)] - WANTED_SIZE)
            utility = np.where(np.isnan(utility), np.nan, -off)
        index = best_option(utility, options, self.objectives, self.seed)
        return Choice(index, "local_rule")
