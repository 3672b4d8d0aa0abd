"""Multi-objective Kernel Thompson Sampling (Durand et al., Nat. Commun. 9:5247, 2018).

One kernel regression per objective. A cloud of options is one function drawn per
objective, joined over the grid; somebody else chooses from it; every model learns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective, PriorObservation
from stedopt_bluesky.bandit.blas_threads import one_blas_thread
from stedopt_bluesky.bandit.empirical_bayes import EmpiricalBayes
from stedopt_bluesky.bandit.kernel_regression import KernelRegression
from stedopt_bluesky.bandit.learning import SamplingStrategy, range_width
from stedopt_bluesky.parameters import ParameterSpace

FloatArray = npt.NDArray[np.float64]
Adaptation = Literal["published", "empirical_bayes"]
# C of the published program.
NORM_BOUND = 5.0
# Factor of the posterior deviation where none is given.
EXPLORATION = {"published": 1.0, "empirical_bayes": 0.8}
# Weights of prior observations: within them, fits keep their digits.
LEAST_WEIGHT, MOST_WEIGHT = 1e-6, 1e6
# Prior values so many widths of the usual range off are a slip, of the unit perhaps.
FARTHEST_PRIOR = 1000.0
# Point, values by objective in widths of their ranges, weight.
_Earlier = tuple[tuple[float, ...], dict[str, float], float]


class KernelTS(SamplingStrategy):
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
        Kernel bandwidths in the parameters' units; None for the rule of thumb. With
        empirical Bayes those of the smooth hypothesis.
    norm_bound : float, optional
        C, the prior standard deviation of every modelled objective, in widths of its
        usual range: the published C = 5 was set for objectives from 0 to 1, for which
        nothing changes, and holds so for others, as a resolution in nm; it is the
        default. Published adaptation only.
    deterministic : mapping of str to ndarray, each of shape (G,)
        Values of the objectives that are not modelled (``Objective.modelled`` False),
        such as the imaging time, on the grid, in their units.
    adaptation : {"published", "empirical_bayes"}
        How noise and bandwidths are adapted: `KernelRegression` or `EmpiricalBayes`.
    exploration : float, optional
        Factor of the posterior deviation in the options: 1 draws from the posterior, less
        draws nearer to its mean. Left out: 1 with the published adaptation, 0.8 with
        empirical Bayes (measured: less regret on six problems of seven; with 0.6 some runs
        stay at a poor optimum).
    border_observations : bool
        Whether an observation on a parameter's bound is repeated one range outside.
    prior : sequence of PriorObservation
        Observations of earlier experiments, learned before the first decision.

    Raises
    ------
    ValueError
        When objectives, seed, noise bounds, bandwidth, norm bound, exploration or a prior
        observation are not acceptable, or ``deterministic`` does not hold G finite values
        for just the objectives not modelled.
    """

    def __init__(
        self,
        space: ParameterSpace,
        objectives: Sequence[Objective | str],
        seed: int,
        bandwidth: float | Sequence[float] | None = None,
        norm_bound: float | None = None,
        deterministic: Mapping[str, npt.ArrayLike] | None = None,
        *,
        adaptation: Adaptation = "empirical_bayes",
        exploration: float | None = None,
        border_observations: bool = False,
        prior: Sequence[PriorObservation] = (),
    ) -> None:
        super().__init__(space, objectives, seed, deterministic)
        self._exploration = _checked_exploration(exploration, adaptation)
        earlier = [_checked_prior(p, space, self.objectives) for p in prior]
        points = np.array([point for point, _, _ in earlier]).reshape(-1, len(space.parameters))
        self._models = {
            objective.name: _make_model(
                space,
                objective,
                adaptation,
                norm_bound=norm_bound,
                bandwidth=bandwidth,
                points=points,
                border=border_observations,
            )
            for objective in self.objectives
            if objective.modelled
        }
        self._learn_prior(earlier)

    @property
    def models(self) -> Mapping[str, KernelRegression | EmpiricalBayes]:
        """Regression of each modelled objective by its name, in widths of its usual range."""
        return dict(self._models)

    def _learn(self, index: int, values: Sequence[float | None]) -> None:
        for objective, value in zip(self.objectives, values, strict=True):
            if value is not None:
                self._models[objective.name].observe(index, value / range_width(objective))

    def _sample(self, objective: Objective, rng: np.random.Generator) -> FloatArray:
        sample = self._models[objective.name].sample(rng, self._exploration)
        return range_width(objective) * sample

    def _moments(self, objective: Objective) -> tuple[FloatArray, FloatArray]:
        mean, std = self._models[objective.name].posterior()
        return range_width(objective) * mean, range_width(objective) * std

    @one_blas_thread
    def _learn_prior(self, earlier: Sequence[_Earlier]) -> None:
        for name, model in self._models.items():
            of_it = [(point, values[name], w) for point, values, w in earlier if name in values]
            if of_it:
                points, values, weights = zip(*of_it, strict=True)
                model.observe_all(points, values, weights)


def _scaled_bounds(objective: Objective) -> tuple[float, float]:
    lower, upper = objective.noise_bounds
    return lower / range_width(objective), upper / range_width(objective)


def _checked_exploration(exploration: float | None, adaptation: Adaptation) -> float:
    if exploration is None:
        return EXPLORATION.get(adaptation, 1.0)
    if not 0 < exploration < math.inf:
        raise ValueError(f"exploration must be positive and finite, got {exploration}")
    return float(exploration)


def _make_model(
    space: ParameterSpace,
    objective: Objective,
    adaptation: Adaptation,
    *,
    norm_bound: float | None,
    bandwidth: float | Sequence[float] | None,
    points: FloatArray,
    border: bool,
) -> KernelRegression | EmpiricalBayes:
    """Model of one objective, in widths of its usual range."""
    if adaptation == "empirical_bayes":
        if norm_bound is not None:
            raise ValueError(
                f"norm_bound = {norm_bound}: only with adaptation = 'published'; "
                "empirical_bayes finds its own"
            )
        return EmpiricalBayes(
            space,
            _scaled_bounds(objective),
            bandwidth,
            mean=sum(objective.range) / 2 / range_width(objective),
            points=points,
            border=border,
        )
    if adaptation != "published":
        raise ValueError(f"adaptation = {adaptation!r}: allowed are published, empirical_bayes")
    return KernelRegression(
        space,
        _scaled_bounds(objective),
        NORM_BOUND if norm_bound is None else norm_bound,
        bandwidth,
        points=points,
        border=border,
    )


def _checked_prior(
    observation: PriorObservation, space: ParameterSpace, objectives: Sequence[Objective]
) -> _Earlier:
    """Point, values in widths of their objectives' ranges, and weight of an observation."""
    if set(observation.configuration) != set(space.names):
        raise ValueError(
            f"a prior observation needs the parameters {space.names}, "
            f"got {tuple(observation.configuration)}"
        )
    point = tuple(float(observation.configuration[name]) for name in space.names)
    if not np.isfinite(point).all():
        raise ValueError(f"a prior observation's configuration must be finite, got {point}")
    scales = {o.name: range_width(o) for o in objectives if o.modelled}
    if not set(observation.values) <= set(scales):
        raise ValueError(
            f"a prior observation may have the objectives {tuple(scales)}, "
            f"got {tuple(observation.values)}"
        )
    if not LEAST_WEIGHT <= observation.weight <= MOST_WEIGHT:
        raise ValueError(
            f"a prior observation's weight must be {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}, "
            f"got {observation.weight}"
        )
    values = {name: float(value) / scales[name] for name, value in observation.values.items()}
    if not np.isfinite(list(values.values())).all():
        raise ValueError(f"a prior observation's values must be finite, got {observation.values}")
    middles = {o.name: sum(o.range) / 2 / scales[o.name] for o in objectives if o.modelled}
    for name, value in values.items():
        if abs(value - middles[name]) > FARTHEST_PRIOR:
            raise ValueError(
                f"a prior observation's {name} = {observation.values[name]:g}: "
                f"more than {FARTHEST_PRIOR:g} widths of its usual range off its middle"
            )
    return point, values, float(observation.weight)
