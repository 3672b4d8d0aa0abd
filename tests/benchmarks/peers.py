"""The peers, as methods of the same loop: scikit-learn and BoTorch on the whole grid.

Each is used as its documentation shows, with the defaults of its models, on one thread.
All start with a few images at random configurations, as their models need observations.
Posterior sampling has the preference choose from its samples, as Kernel TS has. The
acquisition functions are evaluated at every configuration of the grid; they are told the
reference point of the problem.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.benchmarks.problems import Problem, utility

FloatArray = npt.NDArray[np.float64]

# The least that BoTorch's standardisation of the outcomes can work with: each further one
# would cost the regret of a random image.
RANDOM_IMAGES = 2
# Rows of the grid at which an acquisition function is evaluated at once: some 100 MB.
CHUNK = 256


class Peer(ABC):
    """What all peers share: images so far, and the first ones at random.

    Parameters
    ----------
    problem : Problem
        Gives grid and reference point, nothing else.
    seed : int
        Of all its random numbers.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        axes = problem.space.grid
        low, high = axes.min(axis=0), axes.max(axis=0)
        self.grid = (axes - low) / (high - low)
        self.reference = problem.reference
        self.rng = np.random.default_rng([seed, 2])
        self.indices: list[int] = []
        self.values: list[FloatArray] = []

    def learn(self, index: int, values: FloatArray) -> None:
        """Keep an image."""
        self.indices.append(index)
        self.values.append(values)

    def decide(self) -> int:
        """First at random, then by the model."""
        if len(self.indices) < RANDOM_IMAGES:
            return int(self.rng.integers(len(self.grid)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about convergence, one per fit
            return self.by_model()

    @abstractmethod
    def by_model(self) -> int:
        """Fit the model to the images and decide."""


class ScikitLearnSampling(Peer):
    """Thompson sampling with dense Gaussian processes of scikit-learn, fitted bandwidths."""

    def by_model(self) -> int:
        """Fit, draw one function over the grid per objective, let the preference choose."""
        columns = np.transpose(self.values)
        return int(utility(np.stack([self._sample(y) for y in columns], axis=1)).argmax())

    def _sample(self, y: FloatArray) -> FloatArray:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

        x = self.grid[self.indices]
        kernel = ConstantKernel() * RBF(np.ones(x.shape[1])) + WhiteKernel(0.01)
        fitted = GaussianProcessRegressor(kernel, normalize_y=True).fit(x, y).kernel_
        # The function is wanted, not an image: its kernel without the white one, whose
        # variance goes to the observations.
        latent = GaussianProcessRegressor(
            fitted.k1, alpha=fitted.k2.noise_level, optimizer=None, normalize_y=True
        )
        state = int(self.rng.integers(2**31))
        return latent.fit(x, y).sample_y(self.grid, random_state=state)[:, 0]


class BoTorchPeer(Peer):
    """A `SingleTaskGP` per objective with BoTorch's own priors and fit."""

    def __init__(self, problem: Problem, seed: int) -> None:
        import torch

        super().__init__(problem, seed)
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self.x = torch.as_tensor(self.grid)

    def fitted(self) -> Any:
        """Models of all objectives, fitted to the images."""
        import torch
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import ModelListGP, SingleTaskGP
        from gpytorch.mlls import SumMarginalLogLikelihood

        x, y = self.x[self.indices], torch.as_tensor(np.array(self.values))
        model = ModelListGP(*(SingleTaskGP(x, y[:, [j]]) for j in range(y.shape[1])))
        fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
        return model

    def best(self, acquisition: Any) -> int:
        """Row of the grid of largest acquisition."""
        import torch

        with torch.no_grad():
            chunks = [acquisition(part[:, None, :]) for part in self.x.split(CHUNK)]
        return int(torch.cat(chunks).argmax())


class BoTorchSampling(BoTorchPeer):
    """Thompson sampling: a joint posterior sample over the grid, the preference chooses."""

    def by_model(self) -> int:
        """Fit, sample, choose."""
        import torch

        model = self.fitted()
        with torch.no_grad():
            columns = [m.posterior(self.x).rsample(torch.Size([1]))[0] for m in model.models]
        return int(utility(torch.cat(columns, dim=1).numpy()).argmax())


class NoisyHypervolumeImprovement(BoTorchPeer):
    """qLogNEHVI: log of the noisy expected hypervolume improvement."""

    def by_model(self) -> int:
        """Fit and take the configuration of largest acquisition."""
        from botorch.acquisition.multi_objective.logei import (
            qLogNoisyExpectedHypervolumeImprovement,
        )

        acquisition = qLogNoisyExpectedHypervolumeImprovement(
            self.fitted(), self.reference, self.x[self.indices], prune_baseline=True
        )
        return self.best(acquisition)


class NoisyImprovement(BoTorchPeer):
    """qLogNEI: log of the noisy expected improvement, for one objective."""

    def by_model(self) -> int:
        """Fit and take the configuration of largest acquisition."""
        from botorch.acquisition.logei import qLogNoisyExpectedImprovement

        acquisition = qLogNoisyExpectedImprovement(
            self.fitted().models[0], self.x[self.indices], prune_baseline=True
        )
        return self.best(acquisition)
