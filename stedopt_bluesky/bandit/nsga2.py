"""NSGA-II on the grid of configurations (Deb et al., IEEE Trans. Evol. Comput. 6:182, 2002).

The evolutionary baseline of the paper, with its settings: 10 individuals a generation, three
images each, simulated binary crossover and polynomial mutation. The algorithm is pymoo's
(Blank & Deb, IEEE Access 8:89497, 2020), asked and told one generation at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.bandit.prescribing import PrescribingStrategy, checked_count
from stedopt_bluesky.bandit.strategy import checked_seed
from stedopt_bluesky.parameters import ParameterSpace

FloatArray = npt.NDArray[np.float64]

# Settings of the paper: distribution index η of crossover and mutation, and the probability
# that a pair is crossed. A coordinate is mutated with probability 1/D.
DISTRIBUTION_INDEX = 20
CROSSOVER_PROBABILITY = 0.9


class NSGA2(PrescribingStrategy):
    """Non-dominated Sorting Genetic Algorithm II, one individual's image at a time.

    An individual is a point of [0, 1]^D, its position along each axis from the first value
    (0) to the last (1). What is imaged is the configuration of the nearest values by number,
    so that log-spaced values are as far apart as evenly spaced ones; the individual keeps its
    real coordinates, as rounded ones would not leave their cell by a small mutation. The
    images of one individual follow one another and their valid values are averaged; when none
    is valid, the worse end of the objective's usual range stands for it. Objectives that are
    not modelled have their known values.

    A decision is a pure function of (history, seed). The generation that begins at iteration t
    is drawn from ``numpy.random.default_rng([seed, t])``, set as pymoo's own generator before
    every generation; pymoo before 0.6.1.6 drew from numpy's global state and cannot be used.
    The same bits need the same pymoo.

    Parameters
    ----------
    space : ParameterSpace
        Grid of G configurations of D parameters.
    objectives : sequence of Objective or str, shape (M,)
        A bare name stands for an objective to be maximised.
    seed : int
        Not negative.
    population : int
        Individuals of a generation, at least 2.
    repeats : int
        Images of an individual, at least 1.
    deterministic : mapping of str to ndarray, each of shape (G,)
        Values of the objectives that are not modelled, on the grid, in their units.

    Raises
    ------
    ValueError
        When a parameter is not acceptable, or an objective that is not modelled is not in
        ``deterministic``.
    """

    def __init__(
        self,
        space: ParameterSpace,
        objectives: Sequence[Objective | str],
        seed: int,
        *,
        population: int = 10,
        repeats: int = 3,
        deterministic: Mapping[str, npt.ArrayLike] | None = None,
    ) -> None:
        super().__init__(space, objectives, deterministic)
        self.seed = checked_seed(seed)
        self.population = checked_count("population", population, minimum=2)
        self.repeats = checked_count("repeats", repeats)
        for objective in self.objectives:
            if not (objective.modelled or objective.name in self._known):
                raise ValueError(
                    f"deterministic must give {objective.name!r}, which is not modelled"
                )
        self._algorithm = _pymoo_algorithm(
            len(space.parameters), len(self.objectives), self.population
        )
        self._offspring: Any = None  # pymoo's individuals of this generation, once drawn
        self._rows: tuple[int, ...] = ()
        self._measured: list[Sequence[float | None]] = []

    @property
    def generation(self) -> int:
        """Number of generations whose images have all been ingested."""
        return self._iteration // (self.population * self.repeats)

    @property
    def parents(self) -> tuple[int, ...]:
        """Rows of the individuals that survived the last generation; none before the first."""
        if self.generation == 0:
            return ()
        return _nearest_rows(self._algorithm.pop.get("X"), self.space.shape)

    def prescribe(self) -> int:
        """Configuration of the individual whose turn it is."""
        if self._offspring is None:
            self._algorithm.random_state = np.random.default_rng([self.seed, self._iteration])
            self._offspring = self._algorithm.ask()
            self._rows = _nearest_rows(self._offspring.get("X"), self.space.shape)
        return self._rows[len(self._measured) // self.repeats]

    def _learn(self, index: int, values: Sequence[float | None]) -> None:
        """Take in one image of the individual whose turn it is.

        Raises
        ------
        ValueError
            When the configuration is not the prescribed one: a generation is made of its own
            individuals, what another strategy imaged has no place in it.
        """
        if index != (prescribed := self.prescribe()):
            raise ValueError(
                f"configuration {index}: image {self._iteration} of NSGA-II is of "
                f"configuration {prescribed}"
            )
        self._measured.append(values)
        if len(self._measured) == len(self._rows) * self.repeats:
            self._select()

    def _select(self) -> None:
        """Let the generation that has been imaged compete with its parents."""
        from pymoo.problems.static import StaticProblem

        algorithm, offspring = self._algorithm, self._offspring
        scored = StaticProblem(algorithm.problem, F=self._scores())
        algorithm.evaluator.eval(scored, offspring)
        algorithm.tell(infills=offspring)
        self._offspring, self._measured = None, []

    def _scores(self) -> FloatArray:
        """Objectives of this generation's individuals, to be minimised, shape (P, M)."""
        scores = np.empty((len(self._rows), len(self.objectives)))
        for column, objective in enumerate(self.objectives):
            sign = 1 if objective.direction == "minimise" else -1
            for i, row in enumerate(self._rows):
                images = self._measured[i * self.repeats : (i + 1) * self.repeats]
                known = self._known.get(objective.name)
                valid = [v for image in images if (v := image[column]) is not None]
                value = _mean_or_worst(valid, objective) if known is None else known[row]
                scores[i, column] = sign * value
        return scores


def _mean_or_worst(values: Sequence[float], objective: Objective) -> float:
    """Mean of the valid values; the worse end of the usual range where there is none."""
    if values:
        return sum(values) / len(values)
    low, high = objective.range
    return high if objective.direction == "minimise" else low


def _nearest_rows(positions: FloatArray, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Rows of the grid nearest to positions in [0, 1]^D, of shape (P, D)."""
    steps = np.array(shape) - 1
    nearest = np.rint(positions * steps).astype(np.intp)
    return tuple(int(row) for row in np.ravel_multi_index(tuple(nearest.T), shape))


def _pymoo_algorithm(dimensions: int, objectives: int, population: int) -> Any:
    """NSGA-II with the paper's operators, set up for real coordinates in [0, 1]."""
    from pymoo.algorithms.moo import nsga2
    from pymoo.config import Config
    from pymoo.core.problem import Problem
    from pymoo.core.termination import NoTermination
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM

    # Without its compiled modules pymoo would print an advertisement to standard output,
    # which belongs to `--json`.
    Config.warnings["not_compiled"] = False
    algorithm = nsga2.NSGA2(
        pop_size=population,
        crossover=SBX(eta=DISTRIBUTION_INDEX, prob=CROSSOVER_PROBABILITY),
        mutation=PM(eta=DISTRIBUTION_INDEX, prob=1.0, prob_var=1 / dimensions),
    )
    problem = Problem(n_var=dimensions, n_obj=objectives, xl=0.0, xu=1.0)
    return algorithm.setup(problem, termination=NoTermination())
