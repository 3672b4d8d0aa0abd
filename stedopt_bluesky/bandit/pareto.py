"""Pareto front of a set of options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Direction = Literal["maximise", "minimise"]


def non_dominated(values: npt.ArrayLike, directions: Sequence[Direction]) -> npt.NDArray[np.bool_]:
    """Mark the rows that no other row dominates.

    A row dominates another when it is at least as good in every objective and better in
    one. Equal rows do not dominate one another: they are marked together.

    Parameters
    ----------
    values : array_like, shape (N, M)
        Objectives of N options. A row with a NaN is never marked and dominates nothing;
        infinite values are compared as they are.
    directions : sequence of {"maximise", "minimise"}, shape (M,)
        What is better, for each column.

    Returns
    -------
    ndarray of bool, shape (N,)

    Raises
    ------
    ValueError
        When ``values`` is not a table with one column per direction, M is 0, or a
        direction is unknown.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(directions) or not directions:
        raise ValueError(
            f"values must have shape (N, {len(directions)}), one column per direction and at "
            f"least one, got {table.shape}"
        )
    if unknown := set(directions) - {"maximise", "minimise"}:
        raise ValueError(f"a direction is 'maximise' or 'minimise', got {sorted(unknown)}")
    costs = np.where([d == "maximise" for d in directions], -table, table)
    mask = np.zeros(len(costs), dtype=np.bool_)
    candidates = np.flatnonzero(~np.isnan(costs).any(axis=1))
    # In lexicographic order whatever dominates a row stands before it, so the first of
    # those left is never dominated; it then removes all that it dominates.
    candidates = candidates[np.lexsort(costs[candidates].T[::-1])]
    while candidates.size:
        best = costs[candidates[0]]
        left = costs[candidates]
        equal = (left == best).all(axis=1)
        mask[candidates[equal]] = True
        candidates = candidates[(left < best).any(axis=1)]
    return mask
