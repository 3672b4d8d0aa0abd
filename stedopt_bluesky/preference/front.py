"""The options that stand out of a cloud: those that no other one dominates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.bandit.pareto import non_dominated


def on_front(options: Options, objectives: Sequence[Objective]) -> npt.NDArray[np.intp]:
    """Rows of a cloud that no other option is better than in every objective.

    Parameters
    ----------
    options : Options
        The cloud; an option with a NaN is not among them.
    objectives : sequence of Objective, shape (M,)
        In the order of its columns.

    Returns
    -------
    ndarray of int
        In increasing order.
    """
    return np.flatnonzero(non_dominated(options.values, [o.direction for o in objectives]))
