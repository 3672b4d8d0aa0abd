"""Thompson sampling by BoTorch's Gaussian processes: the peer to compare Kernel TS with.

One exact Gaussian process per objective with BoTorch's defaults (Balandat et al., NeurIPS
2020): parameters scaled to the unit cube, observations standardised, per-axis bandwidths
under a prior that knows the number of parameters (Hvarfner et al., ICML 2024), noise and
bandwidths fitted anew for each decision. It needs ``pip install 'stedopt-bluesky[botorch]'``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.bandit.learning import SamplingStrategy, range_width
from stedopt_bluesky.parameters import ParameterSpace

FloatArray = npt.NDArray[np.float64]


class BoTorchTS(SamplingStrategy):
    """Thompson sampling with an exact, refitted Gaussian process per objective.

    A decision is a pure function of (history, seed, iteration, draw), whatever torch's
    global generator and number of threads are: it leaves both as it found them. With other
    versions of torch, gpytorch or botorch the fit may end elsewhere.

    A decision holds G × G numbers and takes G³ steps, besides a fit of the bandwidths:
    tenths of a second at 768 configurations, out of reach at 10⁵.

    Before any data the cloud is drawn from the prior: mean in the middle of the objective's
    usual range, standard deviation one width of it, the bandwidths at their prior's mode.

    Parameters
    ----------
    space : ParameterSpace
        Grid of G configurations.
    objectives : sequence of Objective or str, shape (M,)
        A bare name stands for a modelled objective of range (0, 1).
    seed : int
        Not negative.
    deterministic : mapping of str to ndarray, each of shape (G,)
        Values of the objectives that are not modelled (``Objective.modelled`` False),
        such as the imaging time, on the grid, in their units.

    Raises
    ------
    ImportError
        When botorch is not installed.
    ValueError
        When objectives or seed are not acceptable, a usual range is empty, or
        ``deterministic`` does not hold G finite values for just the objectives not modelled.
    """

    def __init__(
        self,
        space: ParameterSpace,
        objectives: Sequence[Objective | str],
        seed: int,
        *,
        deterministic: Mapping[str, npt.ArrayLike] | None = None,
    ) -> None:
        if importlib.util.find_spec("botorch") is None:
            raise ImportError(
                "BoTorchTS needs botorch, which is not installed: "
                "pip install 'stedopt-bluesky[botorch]'"
            )
        super().__init__(space, objectives, seed, deterministic)
        self._history: list[tuple[int, tuple[float | None, ...]]] = []
        self._posteriors: dict[str, Any] = {}

    def _learn(self, index: int, values: Sequence[float | None]) -> None:
        self._history.append((index, tuple(values)))
        self._posteriors = {}

    def _sample(self, objective: Objective, rng: np.random.Generator) -> FloatArray:
        import torch

        with self._torch():
            normal = torch.from_numpy(rng.standard_normal((1, self.space.size)))
            posterior = self._fitted()[objective.name]
            sample = posterior.rsample_from_base_samples(torch.Size([1]), normal)
            return _in_unit(objective, sample.reshape(-1).numpy())

    def _moments(self, objective: Objective) -> tuple[FloatArray, FloatArray]:
        with self._torch():
            fitted = self._fitted()[objective.name]
            mean = _in_unit(objective, fitted.mean.reshape(-1).numpy())
            return mean, fitted.variance.sqrt().reshape(-1).numpy() * range_width(objective)

    def _fitted(self) -> dict[str, Any]:
        """Posterior on the grid of each modelled objective, in widths of its usual range."""
        if not self._posteriors:
            grid = _unit_cube(self.space)
            for column, objective in enumerate(self.objectives):
                if objective.modelled:
                    seen = [(i, v) for i, vs in self._history if (v := vs[column]) is not None]
                    rows = np.array([i for i, _ in seen], dtype=np.int64)
                    scaled = np.array([_in_widths(objective, v) for _, v in seen])
                    self._posteriors[objective.name] = grid_posterior(grid, rows, scaled)
        return self._posteriors

    @contextlib.contextmanager
    def _torch(self) -> Iterator[None]:
        """Torch's state for one decision: a generator and a number of threads of its own."""
        import torch
        from linear_operator.settings import max_cholesky_size
        from linear_operator.utils.warnings import NumericalWarning

        # A failed fit starts again at hyper-parameters that torch's generator draws.
        state = np.random.SeedSequence([self.seed, self.iteration]).generate_state(1, np.uint64)
        threads = torch.get_num_threads()
        largest = max(self.space.size, len(self._history)) + 1
        with (
            torch.random.fork_rng(devices=[]),
            warnings.catch_warnings(),
            max_cholesky_size(largest),  # above its 800, samples would be approximate
        ):
            # A smooth kernel on a fine grid is singular in rounding: jitter is expected.
            warnings.simplefilter("ignore", NumericalWarning)
            torch.manual_seed(int(state[0]))
            torch.set_num_threads(1)  # sums in one order, whatever the process is set to
            try:
                yield
            finally:
                torch.set_num_threads(threads)


def grid_posterior(grid: FloatArray, rows: npt.NDArray[np.int64], values: FloatArray) -> Any:
    """Posterior of one objective on a grid, with BoTorch's defaults.

    Parameters
    ----------
    grid : ndarray, shape (G, D)
        Configurations in the unit cube.
    rows : ndarray of int, shape (N,)
        Rows of the grid that were imaged; none for the prior of mean 0 and variance 1.
    values : ndarray, shape (N,)
        What was observed there.

    Returns
    -------
    botorch.posteriors.GPyTorchPosterior
        Of the noise-free objective at the G configurations.
    """
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Standardize
    from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
    from botorch.posteriors import GPyTorchPosterior
    from gpytorch.distributions import MultivariateNormal
    from gpytorch.mlls import ExactMarginalLogLikelihood

    x = torch.tensor(grid)
    if not len(rows):
        kernel = get_covar_module_with_dim_scaled_prior(ard_num_dims=grid.shape[1]).to(x)
        with torch.no_grad():
            return GPyTorchPosterior(MultivariateNormal(torch.zeros_like(x[:, 0]), kernel(x)))
    model = SingleTaskGP(x[rows], torch.tensor(values)[:, None], outcome_transform=Standardize(1))
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    with torch.no_grad():
        return model.posterior(x)


def _unit_cube(space: ParameterSpace) -> FloatArray:
    """Grid scaled to 0 … 1 along each axis; 0 for a parameter of one value."""
    ranges = np.array([parameter.range or 1.0 for parameter in space])
    cube: FloatArray = (space.grid - space.grid[0]) / ranges
    return cube


def _in_widths(objective: Objective, value: float) -> float:
    """Distance from the middle of the usual range, in its widths: as the prior stands."""
    return (value - sum(objective.range) / 2) / range_width(objective)


def _in_unit(objective: Objective, widths: FloatArray) -> FloatArray:
    return sum(objective.range) / 2 + range_width(objective) * widths
