"""Kernel regression of one objective over the grid of configurations.

Durand et al., Nat. Commun. 9:5247 (2018), Methods: Gaussian kernel, posterior mean
``m(x) = k_N(x)ᵀ (K_N + λI)⁻¹ y`` and covariance
``(σ²/λ) [k(x, x') - k_N(x)ᵀ (K_N + λI)⁻¹ k_N(x')]`` with ``λ = σ₊²/C²``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.bandit.kronecker import KroneckerBasis, gaussian_basis
from stedopt_bluesky.bandit.linear_regression import WeightPosterior
from stedopt_bluesky.bandit.noise import NoiseBounds, update_noise_bounds
from stedopt_bluesky.bandit.observations import CollapsedObservations
from stedopt_bluesky.parameters import ParameterSpace

FloatArray = npt.NDArray[np.float64]

# λ = (σ/C)² must stay above the rounding error of a Gram matrix of some thousand images
# (about 1e-13 · N) for its Cholesky factor to exist: σ/C ≥ 1e-5 keeps λ ≥ 1e-10.
SMALLEST_NOISE_RATIO = 1e-5
# Numbers in a block of features when variances are wanted on the whole grid: 32 MiB.
BLOCK_NUMBERS = 2**22


def rule_of_thumb(space: ParameterSpace) -> tuple[float, ...]:
    """Bandwidth per parameter, ``ρ_i = range_i · D / 3``, in its unit [Durand et al. 2018].

    A parameter with a single value gets 1: any bandwidth makes its kernel factor 1.
    """
    return tuple((p.range * len(space.parameters) / 3) or 1.0 for p in space)


class KernelRegression:
    """Posterior of one objective, exact, in the Kronecker eigenbasis of the kernel.

    The grid's kernel has r features (some hundred, see `kronecker`), and the posterior is
    a Bayesian linear regression on them. An observation adds one outer product, a fit
    costs one r × r Cholesky factorisation and a sample over the grid one chain of mode
    products, whatever the number of images. The update of the noise bounds also visits
    each *distinct* observed configuration once.

    Observations are centred on their mean, which is added back (as the program released
    with the paper does). Before any data the posterior is the kernel prior: mean 0,
    variance C² (that program draws independent values there instead).

    The arithmetic holds no randomness and no order of threads of its own: the same calls
    give the same bits on one machine with one numpy, scipy and number of BLAS threads.
    Another number of threads may change the last bits when r is above some hundred; fix
    ``OPENBLAS_NUM_THREADS`` where bits are compared between machines.

    Parameters
    ----------
    space : ParameterSpace
        Grid of G configurations of D parameters.
    noise_bounds : tuple of float
        Lower and upper bound of the noise's standard deviation, in the objective's unit.
    norm_bound : float
        C, bound on the objective's norm in the kernel's space, in the objective's unit; the
        prior standard deviation.
    bandwidth : None, float or sequence of float, shape (D,)
        Kernel bandwidths in the parameters' units; None for the rule of thumb.

    Raises
    ------
    ValueError
        When noise bounds, norm bound or bandwidth are not positive and finite, the bounds
        not ordered, ``lower / norm_bound`` below 1e-5, the number of bandwidths not D, or
        the bandwidth so short that more than 4096 features are needed.
    """

    def __init__(
        self,
        space: ParameterSpace,
        noise_bounds: tuple[float, float] = (0.001, 0.3),
        norm_bound: float = 5.0,
        bandwidth: float | Sequence[float] | None = None,
    ) -> None:
        self._bounds = _checked_bounds(noise_bounds, norm_bound)
        self._norm_bound = float(norm_bound)
        self._basis: KroneckerBasis = gaussian_basis(
            [p.values for p in space], _checked_bandwidth(space, bandwidth)
        )
        self._size = space.size
        self._observations = CollapsedObservations(self._basis)
        self._weights = self._fit()

    @property
    def noise_bounds(self) -> tuple[float, float]:
        """Current (lower, upper) bound of the noise's standard deviation."""
        return self._bounds

    def observe(self, index: int, value: float) -> None:
        """Learn one observation, then update the noise bounds.

        Parameters
        ----------
        index : int
            Row of the grid that was imaged, 0 … G-1.
        value : float
            Finite value of the objective.

        Raises
        ------
        IndexError
            When ``index`` is not on the grid.
        ValueError
            When ``value`` is not finite. In both cases nothing has changed.
        """
        index, value = operator.index(index), float(value)
        if not 0 <= index < self._size:
            raise IndexError(f"configuration {index} is outside 0 … {self._size - 1}")
        if not math.isfinite(value):
            raise ValueError(f"an observation must be finite, got {value}")
        self._observations.add(index, value)
        self._weights = self._fit()
        bounds = self._updated_bounds()
        refit = bounds.upper != self._bounds.upper
        self._bounds = bounds
        if refit:
            self._weights = self._fit()

    def posterior(self) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and standard deviation on the grid.

        Returns
        -------
        mean, std : ndarray, shape (G,)
            In the objective's unit; of the objective itself, without the noise.
        """
        variances = np.empty(self._size)
        block = max(1, BLOCK_NUMBERS // self._basis.size)
        for start in range(0, self._size, block):
            indices = np.arange(start, min(start + block, self._size))
            variances[indices] = self._weights.variances(self._basis.features(indices))
        mean = self._observations.centre + self._basis.on_grid(self._weights.mean)
        return mean, self._norm_bound * np.sqrt(variances)

    def covariance(self) -> FloatArray:
        """Posterior covariance between all configurations, shape (G, G).

        On demand only: it takes 8 G² bytes, and no decision needs it.
        """
        features = self._basis.features(np.arange(self._size))
        return self._norm_bound**2 * self._weights.covariance(features)

    def sample(self, rng: np.random.Generator) -> FloatArray:
        """Draw one function from the posterior.

        Parameters
        ----------
        rng : numpy.random.Generator
            The only source of randomness.

        Returns
        -------
        ndarray, shape (G,)
            Values on the grid, in the objective's unit.
        """
        return self._observations.centre + self._basis.on_grid(
            self._weights.sample(rng, self._norm_bound)
        )

    def _fit(self) -> WeightPosterior:
        """Fit at the upper noise bound."""
        seen = self._observations
        return WeightPosterior.fit(seen.gram, seen.moment, self._regularisation)

    @property
    def _regularisation(self) -> float:
        return (self._bounds.upper / self._norm_bound) ** 2

    def _updated_bounds(self) -> NoiseBounds:
        """Noise bounds after the current fit."""
        seen = self._observations

        def variances(regularisation: float) -> FloatArray:
            if regularisation == self._weights.regularisation:
                return self._weights.variances(seen.features)
            refit = WeightPosterior.fit(seen.gram, seen.moment, regularisation)
            return refit.variances(seen.features)

        rms_residual = seen.rms_residual(self._weights.mean)
        return update_noise_bounds(
            self._bounds, rms_residual, seen.counts, variances, self._norm_bound
        )


def _checked_bounds(noise_bounds: tuple[float, float], norm_bound: float) -> NoiseBounds:
    if not (math.isfinite(norm_bound) and norm_bound > 0):
        raise ValueError(f"norm_bound must be positive and finite, got {norm_bound}")
    lower, upper = (float(bound) for bound in noise_bounds)
    if not 0 < lower <= upper < math.inf:
        raise ValueError(
            f"noise_bounds must be finite with 0 < lower <= upper, got ({lower}, {upper})"
        )
    if lower < SMALLEST_NOISE_RATIO * norm_bound:
        raise ValueError(
            f"lower noise bound {lower:g} must be at least {SMALLEST_NOISE_RATIO:g} of "
            f"norm_bound = {norm_bound:g}: below, the fit is lost in rounding"
        )
    return NoiseBounds(lower, upper)


def _checked_bandwidth(
    space: ParameterSpace, bandwidth: float | Sequence[float] | None
) -> tuple[float, ...]:
    if bandwidth is None:
        return rule_of_thumb(space)
    dimensions = len(space.parameters)
    values = np.atleast_1d(np.asarray(bandwidth, dtype=np.float64))
    if values.ndim != 1 or (np.ndim(bandwidth) > 0 and len(values) != dimensions):
        raise ValueError(f"bandwidth must be one number or {dimensions} of them, got {bandwidth}")
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError(f"bandwidth must be positive and finite, got {bandwidth}")
    return tuple(float(v) for v in np.broadcast_to(values, dimensions))
