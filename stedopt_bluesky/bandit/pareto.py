"""Pareto front of a set of options, and the hypervolume that it dominates.

All functions take observed or predicted objectives alike. The sweeps are those of moocore
(https://multi-objective.github.io/moocore/): O(N log N) for up to three objectives.
"""

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
    import moocore

    costs = _costs(values, directions)
    mask = np.zeros(len(costs), dtype=np.bool_)
    complete = np.flatnonzero(~np.isnan(costs).any(axis=1))
    costs = costs[complete]
    if not np.isfinite(costs).all():
        # moocore's sweep bounds its own lists by infinities. Dominance asks for the order
        # alone, so ranks may stand for the values.
        ranks = [np.unique(column, return_inverse=True)[1] for column in costs.T]
        costs = np.stack(ranks, axis=1).astype(np.float64)
    # "Weakly" keeps every one of equal rows, not the first alone.
    mask[complete] = moocore.is_nondominated(costs, keep_weakly=True)
    return mask


def hypervolume(
    values: npt.ArrayLike, directions: Sequence[Direction], reference: npt.ArrayLike
) -> float:
    """Volume of objective space that the rows dominate and the reference point bounds.

    Parameters
    ----------
    values : array_like, shape (N, M)
        Objectives of N options, dominated ones too. A row with a NaN is ignored (as in
        `non_dominated`); one that is not better than the reference in every objective
        contributes nothing.
    directions : sequence of {"maximise", "minimise"}, shape (M,)
        What is better, for each column.
    reference : array_like, shape (M,)
        Reference point, each value in its objective's unit; it is on the worse side.

    Returns
    -------
    float
        In the product of the objectives' units; 0 when no row is better than the
        reference, infinite when one that is has an infinite value. With one objective,
        the distance from the reference to the best value.

    Raises
    ------
    ValueError
        As `non_dominated`; when the reference is not M finite numbers.
    """
    import moocore

    costs = _costs(values, directions)
    bound = np.asarray(reference, dtype=np.float64)
    if bound.shape != (len(directions),) or not np.isfinite(bound).all():
        raise ValueError(
            f"reference must be {len(directions)} finite numbers, one per direction, "
            f"got {np.array2string(bound)}"
        )
    bound = bound * _signs(directions)
    better = costs[(costs < bound).all(axis=1)]  # a comparison with NaN is False
    if not np.isfinite(better).all():
        return float("inf")
    return float(moocore.hypervolume(better, ref=bound))


def reference_point(
    values: npt.ArrayLike, directions: Sequence[Direction], margin: float = 0.1
) -> FloatArray:
    """Reference point for `hypervolume`: the front's nadir, made worse by a margin.

    The nadir is the worst value of each objective among the rows that are not dominated.
    The margin lets the ends of the front count too (Ishibuchi et al., Evol. Comput. 26:411,
    2018).

    Parameters
    ----------
    values : array_like, shape (N, M)
        Objectives of N options. A row with a NaN is ignored.
    directions : sequence of {"maximise", "minimise"}, shape (M,)
        What is better, for each column.
    margin : float
        Part of the front's range by which each objective is made worse, at least 0. Where
        the front has no range (it is a single point, say), the range of all rows without
        a NaN stands for it; where that is 0 too, the size of the value itself; and 1 where
        the value is 0.

    Returns
    -------
    ndarray, shape (M,)
        Each value in its objective's unit.

    Raises
    ------
    ValueError
        As `non_dominated`; when no row is free of NaN, one of those that count is infinite,
        or the margin is not a finite number of at least 0.
    """
    if not 0 <= margin < np.inf:
        raise ValueError(f"margin must be finite and at least 0, got {margin}")
    costs = _costs(values, directions)
    complete = costs[~np.isnan(costs).any(axis=1)]
    if not (len(complete) and np.isfinite(complete).all()):
        raise ValueError(
            f"a reference point needs finite rows, got {len(complete)} of {len(costs)} without NaN"
            + (", one of them infinite" if len(complete) else "")
        )
    front = costs[non_dominated(values, directions)]
    nadir = front.max(axis=0)
    extent = np.ptp(front, axis=0)
    for substitute in (np.ptp(complete, axis=0), np.abs(nadir), np.ones_like(nadir)):
        extent = np.where(extent > 0, extent, substitute)
    worse: FloatArray = (nadir + margin * extent) * _signs(directions)
    return worse


def _signs(directions: Sequence[Direction]) -> FloatArray:
    """Turn objectives into costs, and costs into objectives: -1 where more is better."""
    return np.where([d == "maximise" for d in directions], -1.0, 1.0)


def _costs(values: npt.ArrayLike, directions: Sequence[Direction]) -> FloatArray:
    """Checked table of objectives, all to be minimised, shape (N, M)."""
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(directions) or not directions:
        raise ValueError(
            f"values must have shape (N, {len(directions)}), one column per direction and at "
            f"least one, got {table.shape}"
        )
    if unknown := set(directions) - {"maximise", "minimise"}:
        raise ValueError(f"a direction is 'maximise' or 'minimise', got {sorted(unknown)}")
    costs: FloatArray = table * _signs(directions)
    return costs
