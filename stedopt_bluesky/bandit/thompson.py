"""Multi-objective Kernel Thompson Sampling (Durand et al., Nat. Commun. 9:5247, 2018).

One kernel regression per objective. A cloud of options is one function drawn per
objective, joined over the grid; somebody else chooses from it; every model learns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.bandit.blas_threads import one_blas_thread
from stedopt_bluesky.bandit.kernel_regression import KernelRegression
from stedopt_bluesky.bandit.strategy import (
    ObjectiveValues,
    checked_index,
    checked_objectives,
    checked_seed,
    checked_values,
)
from stedopt_bluesky.parameters import ParameterSpace

FloatArray = npt.NDArray[np.float64]


class KernelTS:
    """Kernel Thompson Sampling over a grid, for one or more objectives.

    A decision is a pure function of (history, seed, iteration): iteration t draws from
    ``numpy.random.default_rng([seed, t])``, so that a replayed or resumed run, which
    ingests the same history again, draws the same options bit for bit (with the same numpy
    and scipy on the same kind of machine; it works with one BLAS thread).

    Parameters
    ----------
    space : ParameterSpace
        Grid of G configurations.
    objectives : sequence of Objective or str, shape (M,)
        A bare name stands for a modelled objective with noise bounds (0.001, 0.3).
    seed : int
        Not negative.
    bandwidth : None, float or sequence of float, shape (D,)
        Kernel bandwidths in the parameters' units; None for the rule of thumb.
    norm_bound : float
        C, the prior standard deviation of every modelled objective, in widths of its
        usual range: the published C = 5 was set for objectives from 0 to 1, for which
        nothing changes, and holds so for others, as a resolution in nm.
    deterministic : mapping of str to ndarray, each of shape (G,)
        Values of the objectives that are not modelled (``Objective.modelled`` False),
        such as the imaging time, on the grid, in their units.

    Raises
    ------
    ValueError
        When objectives, seed, noise bounds, bandwidth or norm bound are not acceptable, or
        ``deterministic`` does not hold G finite values for just the objectives not modelled.
    """

    def __init__(
        self,
        space: ParameterSpace,
        objectives: Sequence[Objective | str],
        seed: int,
        bandwidth: float | Sequence[float] | None = None,
        norm_bound: float = 5.0,
        deterministic: Mapping[str, npt.ArrayLike] | None = None,
    ) -> None:
        self.space = space
        self.objectives = checked_objectives(objectives)
        self.seed = checked_seed(seed)
        self._known = _checked_columns(deterministic or {}, self.objectives, space.size)
        self._models = {
            objective.name: KernelRegression(
                space, _scaled_bounds(objective), norm_bound, bandwidth
            )
            for objective in self.objectives
            if objective.modelled
        }
        self._iteration = 0

    @property
    def iteration(self) -> int:
        """Number of images ingested."""
        return self._iteration

    @property
    def models(self) -> Mapping[str, KernelRegression]:
        """Regression of each modelled objective by its name, in widths of its usual range."""
        return dict(self._models)

    @one_blas_thread
    def suggest(self) -> Options:
        """Draw the cloud of options of this iteration.

        Returns
        -------
        Options
            ``values`` of shape (G, M), read-only: one posterior sample per modelled
            objective, and the known values of the others.
        """
        rng = np.random.default_rng([self.seed, self._iteration])
        values = np.empty((self.space.size, len(self.objectives)))
        for column, objective in enumerate(self.objectives):
            model = self._models.get(objective.name)
            known = self._known.get(objective.name)
            values[:, column] = known if model is None else _scale(objective) * model.sample(rng)
        values.flags.writeable = False
        return Options(
            values=values,
            configurations=self.space.grid,
            iteration=self._iteration,
            objectives=tuple(objective.name for objective in self.objectives),
            parameters=self.space.names,
        )

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
            When length or names are wrong or a value is infinite. In both cases nothing
            has changed.
        """
        index = checked_index(index, self.space.size)
        for objective, value in zip(
            self.objectives, checked_values(values, self.objectives), strict=True
        ):
            if value is not None:
                self._models[objective.name].observe(index, value / _scale(objective))
        self._iteration += 1

    @one_blas_thread
    def posterior(self) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and standard deviation of all objectives.

        Returns
        -------
        mean, std : ndarray, shape (G, M)
            Each column in its objective's unit; std is 0 where the values are known.
        """
        mean = np.zeros((self.space.size, len(self.objectives)))
        std = np.zeros_like(mean)
        for column, objective in enumerate(self.objectives):
            if objective.modelled:
                posterior = self._models[objective.name].posterior()
                mean[:, column], std[:, column] = (_scale(objective) * p for p in posterior)
            else:
                mean[:, column] = self._known[objective.name]
        return mean, std


def _scale(objective: Objective) -> float:
    """Width of an objective's usual range, in its unit."""
    low, high = objective.range
    if not low < high:
        raise ValueError(f"{objective.name}: range must increase, got ({low}, {high})")
    return high - low


def _scaled_bounds(objective: Objective) -> tuple[float, float]:
    lower, upper = objective.noise_bounds
    return lower / _scale(objective), upper / _scale(objective)


def _checked_columns(
    deterministic: Mapping[str, npt.ArrayLike], objectives: Sequence[Objective], size: int
) -> dict[str, FloatArray]:
    """Known objectives' values, copied."""
    known = [objective.name for objective in objectives if not objective.modelled]
    if set(known) != set(deterministic):
        raise ValueError(
            f"deterministic must give the objectives that are not modelled, {known}, "
            f"got {list(deterministic)}"
        )
    columns = {name: np.array(deterministic[name], dtype=np.float64) for name in known}
    for name, column in columns.items():
        if column.shape != (size,):
            raise ValueError(
                f"{name} needs one value per configuration, ({size},), got {column.shape}"
            )
        if not np.isfinite(column).all():
            raise ValueError(f"{name} must be finite for every configuration")
    return columns
