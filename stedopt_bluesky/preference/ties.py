"""The option of highest utility; of several liked alike the one with the least time, then any."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective, Options


def best_option(
    utility: npt.NDArray[np.float64],
    options: Options,
    objectives: Sequence[Objective],
    seed: int,
) -> int:
    """Pick the row of highest utility; see `one_of_equals` for several.

    Parameters
    ----------
    utility : ndarray, shape (G,)
        Of each option; one whose utility is NaN is never picked.
    options, objectives, seed
        As `one_of_equals` has them.

    Raises
    ------
    ValueError
        When no option has a utility.
    """
    if np.isnan(utility).all():
        raise ValueError(
            f"none of the {len(utility)} options can be chosen: each has an objective "
            "that counts and is not a number"
        )
    best = np.flatnonzero(utility == np.nanmax(utility))
    return one_of_equals(best, options, objectives, seed)


def one_of_equals(
    equals: npt.NDArray[np.intp],
    options: Options,
    objectives: Sequence[Objective],
    seed: int,
) -> int:
    """Pick one of the rows of a cloud, as the published program resolves a click that hits several.

    Parameters
    ----------
    equals : ndarray of int
        Rows that are liked alike, at least one.
    options : Options
        The cloud.
    objectives : sequence of Objective
        In the order of its columns.
    seed : int
        Of the draw among those of the least imaging time.
    """
    for column, objective in enumerate(objectives):
        if objective.name == "imaging_time_s":
            # Among equals an option of unknown time comes last.
            time = np.nan_to_num(options.values[equals, column], nan=math.inf)
            equals = equals[time == np.min(time)]
    return drawn(equals, seed, options.iteration)


def drawn(candidates: npt.NDArray[np.intp], seed: int, iteration: int) -> int:
    """Draw one of the candidates; the draw depends on nothing but the seed and the iteration."""
    # 1 sets this stream apart from the strategy's own, default_rng([seed, iteration]).
    return int(np.random.default_rng([seed, iteration, 1]).choice(candidates))
