"""What every strategy agrees on: the protocol, and the checks of what it is told.

A strategy proposes a cloud of options and learns the outcome of the one that was imaged.
It never sees a document, an image or a device.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.parameters import ParameterSpace, as_number

FloatArray = npt.NDArray[np.float64]

# One value per objective, in their order or by their names; None or NaN = invalid.
ObjectiveValues = Sequence[float | None] | Mapping[str, float | None] | npt.NDArray[np.floating]

# Squares of larger values leave float64's range.
LARGEST = 1e100


@runtime_checkable
class Strategy(Protocol):
    """Suggests options, and ingests what was measured with the one that was chosen."""

    def suggest(self) -> Options:
        """Draw the cloud of options; twice without `ingest` gives the same cloud."""
        ...

    def ingest(self, index: int, values: ObjectiveValues) -> None:
        """Learn the objectives of one image, taken with configuration ``index``."""
        ...


def single_option(
    space: ParameterSpace,
    objectives: Sequence[Objective],
    iteration: int,
    index: int,
    values: Mapping[str, float] | None = None,
) -> Options:
    """Cloud that offers one configuration alone: what a prescribing strategy suggests.

    Whoever chooses, a rule, a network or a person, can choose nothing else.

    Parameters
    ----------
    space : ParameterSpace
        Grid of G configurations.
    objectives : sequence of Objective, shape (M,)
        In the order of the cloud's columns.
    iteration : int
        Number of images ingested.
    index : int
        Row of the grid that is offered.
    values : mapping of objective's name to value, optional
        What is known or predicted of it, in the objectives' units; the middle of the usual
        range stands for what is left out.

    Returns
    -------
    Options
        ``values`` of shape (G, M), read-only, NaN in all rows but ``index``.
    """
    cloud = np.full((space.size, len(objectives)), np.nan)
    known = values or {}
    cloud[index] = [known.get(o.name, sum(o.range) / 2) for o in objectives]
    cloud.flags.writeable = False
    return Options(
        values=cloud,
        configurations=space.grid,
        iteration=iteration,
        objectives=tuple(objective.name for objective in objectives),
        parameters=space.names,
    )


def checked_objectives(objectives: Sequence[Objective | str]) -> tuple[Objective, ...]:
    """Objectives, with bare names made into objectives of default noise bounds.

    Parameters
    ----------
    objectives : sequence of Objective or str
        At least one, names all different.

    Raises
    ------
    ValueError
        When there is none, a name is empty, or two share one.
    """
    if isinstance(objectives, str):
        raise ValueError(f"objectives must be a sequence, got the single name {objectives!r}")
    checked = tuple(
        Objective(o, "", "maximise", (0.0, 1.0)) if isinstance(o, str) else o for o in objectives
    )
    names = [objective.name for objective in checked]
    if not names or not all(names) or len(set(names)) != len(names):
        raise ValueError(f"objectives need different names, at least one, got {names}")
    return checked


def checked_seed(seed: int, name: str = "seed") -> int:
    """Seed, or number of a draw, as a plain integer.

    Raises
    ------
    ValueError
        When it is negative.
    """
    if (checked := operator.index(seed)) < 0:
        raise ValueError(f"{name} must not be negative, got {seed}")
    return checked


def checked_index(index: int, size: int) -> int:
    """Row of a grid as a plain integer.

    Raises
    ------
    IndexError
        When it is not in 0 … size-1; negative rows are not counted from the end.
    """
    if not 0 <= (checked := operator.index(index)) < size:
        raise IndexError(f"configuration {index} is outside 0 … {size - 1}")
    return checked


def checked_values(
    values: ObjectiveValues, objectives: Sequence[Objective]
) -> tuple[float | None, ...]:
    """One value per objective, in their order; None where there is nothing to learn.

    Parameters
    ----------
    values : sequence of float or None, shape (M,), or mapping of name to them
        NaN and None mean that the objective could not be measured. A mapping may leave
        out objectives that are not modelled.
    objectives : sequence of Objective, shape (M,)
        Those that are not modelled get None, whatever was given.

    Raises
    ------
    ValueError
        When the length or the names are wrong, or a value is infinite or no number.
    """
    names = [objective.name for objective in objectives]
    if isinstance(values, Mapping):
        modelled = {objective.name for objective in objectives if objective.modelled}
        if not modelled <= set(values) <= set(names):
            raise ValueError(f"expected values of {names}, got {list(values)}")
        values = [values.get(name) for name in names]
    if len(values) != len(names):
        raise ValueError(f"expected {len(names)} values, of {names}, got {len(values)}")
    return tuple(
        _checked_value(value, objective.name) if objective.modelled else None
        for value, objective in zip(values, objectives, strict=True)
    )


def checked_known(
    deterministic: Mapping[str, npt.ArrayLike],
    objectives: Sequence[Objective],
    size: int,
    *,
    complete: bool = False,
) -> dict[str, FloatArray]:
    """Values of objectives that are not modelled, copied, each of shape (size,).

    Raises
    ------
    ValueError
        When an objective is unknown or modelled, or has not ``size`` finite values; when
        one that is not modelled is missing and they are needed ``complete``.
    """
    names = [objective.name for objective in objectives if not objective.modelled]
    if complete and set(names) - set(deterministic):
        raise ValueError(
            f"deterministic must give the objectives that are not modelled, {names}, "
            f"got {list(deterministic)}"
        )
    known = {}
    for name, values in deterministic.items():
        if name not in names:
            raise ValueError(
                f"deterministic must name objectives that are not modelled, {names}, got {name!r}"
            )
        column = np.array(values, dtype=np.float64)
        if column.shape != (size,):
            raise ValueError(
                f"{name} needs one value per configuration, ({size},), got {column.shape}"
            )
        if not np.isfinite(column).all():
            raise ValueError(f"{name} must be finite for every configuration")
        known[name] = column
    return known


def _checked_value(value: float | None, name: str) -> float | None:
    if value is None:
        return None
    number = as_number(value)
    if number is None:
        raise ValueError(f"{name} must be a number, NaN or None, got {value!r}")
    if abs(number) > LARGEST:
        raise ValueError(
            f"{name} must not be infinite or beyond {LARGEST:g}, got {number:g}; NaN or None "
            "says that it is invalid"
        )
    return None if math.isnan(number) else number
