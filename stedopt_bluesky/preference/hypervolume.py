"""Choose what adds most to the map of the Pareto front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Choice, Objective, Options
from stedopt_bluesky.bandit.pareto import (
    Direction,
    hypervolume,
    non_dominated,
    reference_point,
)

FloatArray = npt.NDArray[np.float64]

# Hypervolumes are sums of some hundred products of float64: an improvement of less than this
# part of the option's own box is rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class HypervolumeRule:
    """Choose the option of largest sampled hypervolume improvement.

    The improvement of an option is the hypervolume that it adds to that of the configurations
    imaged so far, all with the values of this cloud: one sample of what the objectives may
    be, so that what is uncertain gets its turn (Thompson sampling of the front). The
    reference point is the nadir of the cloud's front and 10 % of its extent further
    (`reference_point`). Objectives that are known, as the imaging time, take part.

    Only options that no other dominates are evaluated: whatever an option dominates, the one
    that dominates it dominates too, so its improvement is not smaller.

    When the whole front has been imaged nothing improves. Then one of the next layer is drawn,
    each as likely: those that only imaged options dominate, where the sample may be wrong.
    When all options have been imaged, one of the front. With a single objective: the option
    of its best value, imaged or not.

    Parameters
    ----------
    objectives : tuple of Objective
        In the order of the cloud's columns.
    seed : int
        Of the draw when nothing improves; the draw depends on nothing but it and the
        iteration.
    """

    objectives: tuple[Objective, ...]
    seed: int

    def __call__(self, options: Options) -> Choice:
        """Choose one of the options; one with an objective that is NaN is never chosen.

        Raises
        ------
        ValueError
            When every option has an objective that is NaN.
        """
        values = gains(options.values, self.objectives)
        directions = _maximised(len(self.objectives))
        front = np.flatnonzero(non_dominated(values, directions))
        if not front.size:
            raise ValueError(
                f"none of the {len(values)} options can be chosen: each has an objective that "
                "is not a number"
            )
        if len(self.objectives) == 1:
            return Choice(int(front[0]), "hypervolume_rule")
        imaged = values[list(options.imaged)]
        imaged = imaged[~np.isnan(imaged).any(axis=1)]
        best = largest_improvement(values[front], imaged, reference_point(values, directions))
        if best is not None:
            return Choice(int(front[best]), "hypervolume_rule")
        values[list(options.imaged)] = np.nan
        unseen = np.flatnonzero(non_dominated(values, directions))
        # 1 sets this stream apart from the strategy's own, default_rng([seed, iteration]).
        rng = np.random.default_rng([self.seed, options.iteration, 1])
        return Choice(int(rng.choice(unseen if unseen.size else front)), "hypervolume_rule")


def gains(values: FloatArray, objectives: tuple[Objective, ...]) -> FloatArray:
    """Objectives turned so that more is better, shape (..., M)."""
    signs = [1.0 if objective.direction == "maximise" else -1.0 for objective in objectives]
    return values * np.array(signs)


def largest_improvement(
    candidates: FloatArray, imaged: FloatArray, reference: FloatArray
) -> int | None:
    """Find the candidate that adds most hypervolume to what is imaged, exactly.

    Parameters
    ----------
    candidates : ndarray, shape (C, M)
        Values, all to be maximised.
    imaged : ndarray, shape (K, M)
        Values to improve on.
    reference : ndarray, shape (M,)
        Reference point.

    Returns
    -------
    int or None
        Its row, the first of equals; None when no candidate improves.
    """
    directions = _maximised(len(reference))
    imaged = imaged[non_dominated(imaged, directions)]
    # What a candidate shares with what is imaged is what the points min(candidate, imaged)
    # dominate: its own box less their hypervolume is its improvement.
    shared = np.minimum(candidates[:, None, :], imaged)
    boxes = _box_volumes(candidates, reference)
    overlaps = _box_volumes(shared, reference)
    # The shared part is at least its largest box. In the order of this upper bound most
    # candidates are passed over without their hypervolume.
    bounds = boxes - overlaps.max(axis=1, initial=0.0)
    best, largest = None, 0.0
    for row in np.argsort(-bounds, kind="stable"):
        if bounds[row] <= largest:
            break
        improvement = boxes[row] - hypervolume(shared[row], directions, reference)
        if improvement > max(largest, ROUNDING * boxes[row]):
            best, largest = int(row), improvement
    return best


def _box_volumes(corners: FloatArray, reference: FloatArray) -> FloatArray:
    """Volume between the reference point and each corner, 0 where it is not better, (...)."""
    volumes: FloatArray = np.clip(corners - reference, 0.0, None).prod(axis=-1)
    return volumes


def _maximised(count: int) -> list[Direction]:
    return ["maximise"] * count
