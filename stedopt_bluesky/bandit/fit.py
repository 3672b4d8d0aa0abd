"""The fit of one objective at given hyper-parameters, in the cheaper of two exact forms.

Over the u distinct sites (Matheron's rule, `matheron`) a fit costs a u × u Cholesky
factorisation, over the r features (`linear_regression`) an r × r one. Both give the same
posterior; the first is taken while fewer sites than features are known, so that the cost
of an image never grows beyond that of the features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.bandit.kronecker import BLOCK_NUMBERS, IntArray, KroneckerBasis
from stedopt_bluesky.bandit.linear_regression import WeightPosterior
from stedopt_bluesky.bandit.matheron import SitePosterior, noise_of
from stedopt_bluesky.bandit.observations import FIRST_ROWS, CollapsedObservations

FloatArray = npt.NDArray[np.float64]

# Above so many features the sites' form is taken, however many sites: an r × r matrix of
# 6144 takes 288 MiB and some seconds to factorise.
MAX_FEATURES = 6144

# Steps up to which variances on the grid are computed over the features even where fits are
# over the sites: about half a second.
PRECISE_UP_TO = 2**29


@dataclass(frozen=True)
class Scale:
    """Everything of a fit's hyper-parameters but the kernel's bandwidths.

    Parameters
    ----------
    prior_deviation : float
        s, prior standard deviation of the function about its mean, in the objective's unit.
    noise : float
        σ, standard deviation of an observation's noise, in the objective's unit.
    mean : float
        Prior mean of the function.
    mean_deviation : float
        How uncertain the prior mean is; 0: it is taken as known.
    """

    prior_deviation: float
    noise: float
    mean: float
    mean_deviation: float = 0.0

    @property
    def regularisation(self) -> float:
        """``λ = σ²/s²``."""
        return (self.noise / self.prior_deviation) ** 2

    @property
    def mean_ratio(self) -> float:
        """``m``, deviation of the mean over that of the function."""
        return self.mean_deviation / self.prior_deviation


class Design:
    """What fits with the same bandwidths share, kept up to date as observations come.

    The kernel matrix between the sites as long as that form is cheaper, then the features'
    Gram matrix.

    Parameters
    ----------
    basis : KroneckerBasis
        r features.
    seen : CollapsedObservations
        May hold observations already; each later one is told by `add`.
    """

    def __init__(self, basis: KroneckerBasis, seen: CollapsedObservations) -> None:
        self.basis = basis
        self.seen = seen
        self._kernel = np.zeros((FIRST_ROWS, FIRST_ROWS))
        self._filled = 0
        # Of the constant 1 and the features, repeats counted.
        self._gram: FloatArray | None = None
        self._catch_up()

    @property
    def by_features(self) -> bool:
        """Whether fits are over the features."""
        return self._gram is not None

    def add(self, rows: Sequence[int], weight: float) -> None:
        """Take in that an observation of some weight was added at each of some sites.

        Parameters
        ----------
        rows : sequence of int
            Rows of ``seen.sites``: all that were touched since the last call.
        weight : float
            The observation's.
        """
        if self._gram is None:
            self._catch_up()
        else:
            features = self._with_constant(self.seen.sites[list(rows)])
            self._gram += weight * (features.T @ features)

    def _catch_up(self) -> None:
        count, size = len(self.seen), self.basis.size
        if _features_are_cheaper(count, size):
            self._gram = np.zeros((1 + size, 1 + size))
            for block, features in self._feature_blocks():
                self._gram += (self.seen.weights[block, None] * features).T @ features
            self._kernel = np.zeros((0, 0))
            return
        room = len(self._kernel)
        if count > room:
            larger = np.zeros((max(2 * room, count),) * 2)
            larger[:room, :room] = self._kernel
            self._kernel = larger
        if count > self._filled:
            new = self.basis.kernel(self.seen.sites[self._filled :], self.seen.sites)
            self._kernel[self._filled : count, :count] = new
            self._kernel[:count, self._filled : count] = new.T
            self._filled = count

    @property
    def kernel(self) -> FloatArray:
        """Kernel between the sites, shape (u, u); in the sites' form only."""
        return self._kernel[: self._filled, : self._filled]

    def fit(self, scale: Scale) -> Fit:
        """Fit all observations."""
        seen = self.seen
        residual = seen.means - scale.mean
        if self._gram is None:
            noise = noise_of(seen.weights, scale.noise, scale.prior_deviation)
            posterior = SitePosterior.fit(
                self.basis, seen.sites, self.kernel, noise, residual, scale.mean_ratio
            )
            return Fit(self, scale, posterior)
        moment = np.zeros(1 + self.basis.size)
        weighted = seen.weights * residual
        moment[0] = weighted.sum()
        moment[1:] = self.basis.project(seen.sites, weighted)
        # The constant's feature is m: 0 takes it out of the fit.
        ratios = np.ones(1 + self.basis.size)
        ratios[0] = scale.mean_ratio
        gram = self._gram * ratios[:, None] * ratios
        return Fit(
            self, scale, WeightPosterior.fit(gram, ratios * moment, scale.regularisation), ratios
        )

    def _with_constant(self, sites: IntArray) -> FloatArray:
        return np.column_stack([np.ones(len(sites)), self.basis.features(sites)])

    def _feature_blocks(self) -> list[tuple[slice, FloatArray]]:
        return [
            (block, self._with_constant(self.seen.sites[block]))
            for block in _blocks(len(self.seen), self.basis.size)
        ]


class Fit:
    """Posterior of one objective at given hyper-parameters.

    Made by `Design.fit`. It is of the observations at that time and looks at them again when
    it is asked: after a further observation another one has to be made.
    """

    def __init__(
        self,
        design: Design,
        scale: Scale,
        posterior: SitePosterior | WeightPosterior,
        ratios: FloatArray | None = None,
    ) -> None:
        self.scale = scale
        self._basis = design.basis
        self._seen = design.seen
        self._posterior = posterior
        self._ratios = np.ones(1 + design.basis.size) if ratios is None else ratios

    def mean(self) -> FloatArray:
        """Posterior mean on the grid, in the objective's unit, shape (G,)."""
        posterior = self._posterior
        if isinstance(posterior, SitePosterior):
            return self._on_grid(posterior.mean())
        return self._on_grid(self._ratios * posterior.mean)

    def sample(self, rng: np.random.Generator, spread: float = 1.0) -> FloatArray:
        """Draw one function on the grid, in the objective's unit, shape (G,).

        Parameters
        ----------
        rng : numpy.random.Generator
            The only source of randomness.
        spread : float
            Factor of the posterior deviation about the mean; 1 draws from the posterior.
        """
        deviation = self.scale.prior_deviation
        weights = self._posterior.sample(rng, deviation, spread)
        if isinstance(self._posterior, WeightPosterior):
            weights = self._ratios * weights
        return self._on_grid(weights)

    def variance(self) -> FloatArray:
        """Posterior variance on the grid, in the objective's unit squared, shape (G,)."""
        variances = np.empty(math.prod(self._basis.shape))
        posterior = self._precise()
        by_sites = isinstance(posterior, SitePosterior)
        for block in _blocks(len(variances), len(self._seen) if by_sites else self._basis.size):
            rows = np.arange(len(variances))[block]
            variances[block] = (
                posterior.grid_variances(rows)
                if isinstance(posterior, SitePosterior)
                else posterior.variances(self._features(rows))
            )
        return self.scale.prior_deviation**2 * np.maximum(variances, 0)

    def covariance(self) -> FloatArray:
        """Posterior covariance between all configurations, shape (G, G), on demand only."""
        rows = np.arange(math.prod(self._basis.shape))
        posterior = self._precise()
        if isinstance(posterior, SitePosterior):
            covariance = posterior.grid_covariance(rows)
        else:
            covariance = posterior.covariance(self._features(rows))
        return self.scale.prior_deviation**2 * covariance

    def variances_at_sites(self) -> FloatArray:
        """Posterior variances at the observed sites, over the prior variance, shape (u,)."""
        posterior = self._posterior
        if isinstance(posterior, SitePosterior):
            return posterior.variances()
        variances = np.empty(len(self._seen))
        for block in _blocks(len(variances), self._basis.size):
            features = np.column_stack(
                [np.ones(len(variances[block])), self._basis.features(self._seen.sites[block])]
            )
            variances[block] = posterior.variances(features * self._ratios)
        return variances

    def residuals(self) -> FloatArray:
        """Observed means minus posterior mean at the observed sites, shape (u,)."""
        posterior = self._posterior
        if isinstance(posterior, SitePosterior):
            return posterior.residuals()
        weights = self._ratios * posterior.mean
        there = self.scale.mean + weights[0] + self._basis.at(self._seen.sites, weights[1:])
        residuals: FloatArray = self._seen.means - there
        return residuals

    def _on_grid(self, weights: FloatArray) -> FloatArray:
        values = self._basis.on_grid(weights[1:])
        values += self.scale.mean + float(weights[0])
        return values

    def _features(self, rows: npt.NDArray[np.intp]) -> FloatArray:
        features = np.column_stack([np.ones(len(rows)), self._basis.rows(rows)])
        return features * self._mean_ratios

    @property
    def _mean_ratios(self) -> FloatArray:
        ratios = np.ones(1 + self._basis.size)
        ratios[0] = self.scale.mean_ratio
        return ratios

    def _precise(self) -> SitePosterior | WeightPosterior:
        """Posterior in the form that takes no difference of nearly equal variances.

        As long as it is cheap: the sites' variances have the rounding error of the prior's,
        1e-16 of it, which shows where next to nothing is left of it.
        """
        numbers = math.prod(self._basis.shape) * self._basis.size**2
        if isinstance(self._posterior, WeightPosterior) or numbers > PRECISE_UP_TO:
            return self._posterior
        features = self._mean_ratios * np.column_stack(
            [np.ones(len(self._seen)), self._basis.features(self._seen.sites)]
        )
        weighted = self._seen.weights[:, None] * features
        moment = (self._seen.means - self.scale.mean) @ weighted
        return WeightPosterior.fit(weighted.T @ features, moment, self.scale.regularisation)


def _features_are_cheaper(sites: int, features: int) -> bool:
    return features < sites and features <= MAX_FEATURES


def _blocks(count: int, size: int) -> list[slice]:
    """Cut some sites so that a block's features take at most 32 MiB."""
    step = max(1, BLOCK_NUMBERS // (1 + size))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]
