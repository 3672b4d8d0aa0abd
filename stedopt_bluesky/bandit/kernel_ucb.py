"""Kernel UCB: optimism in the face of uncertainty, for one objective."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.bandit.prescribing import PrescribingStrategy
from stedopt_bluesky.bandit.thompson import KernelTS
from stedopt_bluesky.parameters import ParameterSpace

FloatArray = npt.NDArray[np.float64]

# Upper bounds that differ by less than this part of the largest standard deviation are equal:
# the truncated eigenbasis leaves errors of about 1e-9, and no image could tell them apart.
TIE = 1e-6


class KernelUCB(PrescribingStrategy):
    """Image where the objective may be best: the posterior mean plus β standard deviations.

    The posterior is that of `KernelTS`. The multiplier β = ``exploration`` is a constant, a
    setting and not a proven bound: 2 is the 97.7 % quantile of each configuration by itself.
    The bound that holds for all configurations and images at once [Durand, Maillard & Pineau,
    J. Mach. Learn. Res. 19(17), 2018], written for λ = σ²/C² and standard deviations s, is

        β_t = 1 + √(2 ln(1/δ) + Σ_i ln(1 + s_i²/σ²)),

    the sum over the images so far, s_i of the i-th before it was taken. It is not used: it
    grew from 3 to 11 in 80 images of Branin's function at δ = 0.1 and doubled the regret
    there (9.7 against 5.0 ± 0.3 with 2, ten seeds, grid and noise as in the benchmarks); and
    it assumes a known kernel, which an adapted bandwidth is not.

    Iteration t breaks ties by ``numpy.random.default_rng([seed, t])``, the first image's
    among all configurations: a decision is a pure function of (history, seed).

    Parameters
    ----------
    space : ParameterSpace
        Grid of G configurations.
    objectives : sequence of Objective or str, shape (M,)
        Exactly one that is modelled; the known values of others stand in the option, the
        decision leaves them alone.
    seed : int
        Not negative.
    exploration : float
        β, at least 0 and finite; 0 images where the mean is best.
    deterministic : mapping of str to ndarray, each of shape (G,), optional
        As for `KernelTS`.
    **settings
        Further settings of `KernelTS`: bandwidth, norm bound and what else it takes.

    Raises
    ------
    ValueError
        When not exactly one objective is modelled, or a setting is not acceptable.
    """

    def __init__(
        self,
        space: ParameterSpace,
        objectives: Sequence[Objective | str],
        seed: int,
        *,
        exploration: float = 2.0,
        deterministic: Mapping[str, npt.ArrayLike] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(space, objectives, deterministic)
        modelled = [i for i, objective in enumerate(self.objectives) if objective.modelled]
        if len(modelled) != 1:
            names = ", ".join(self.objectives[i].name for i in modelled) or "none"
            raise ValueError(f"kernel UCB needs exactly one modelled objective, got {names}")
        if not 0 <= exploration < math.inf:
            raise ValueError(f"exploration = {exploration}: at least 0, finite")
        self.exploration = float(exploration)
        self._column = modelled[0]
        self._model = KernelTS(
            space, self.objectives, seed, deterministic=deterministic, **settings
        )
        self._posterior: tuple[FloatArray, FloatArray] | None = None

    @property
    def seed(self) -> int:
        """Seed of the draw among equals."""
        return self._model.seed

    def posterior(self) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and standard deviation, each of shape (G, M), as `KernelTS`."""
        if self._posterior is None:
            self._posterior = self._model.posterior()
        return self._posterior

    def prescribe(self) -> int:
        """Configuration of the best optimistic value, at random among equals."""
        mean, std = (columns[:, self._column] for columns in self.posterior())
        sign = -1 if self.objectives[self._column].direction == "minimise" else 1
        optimistic = sign * mean + self.exploration * std
        best = np.flatnonzero(optimistic >= optimistic.max() - TIE * std.max())
        return int(np.random.default_rng([self.seed, self.iteration]).choice(best))

    def expected(self, index: int) -> Mapping[str, float]:
        """Posterior mean of configuration ``index``, and the known values."""
        mean, _ = self.posterior()
        name = self.objectives[self._column].name
        return {**super().expected(index), name: float(mean[index, self._column])}

    def _learn(self, index: int, values: Sequence[float | None]) -> None:
        self._model.ingest(index, values)
        self._posterior = None
