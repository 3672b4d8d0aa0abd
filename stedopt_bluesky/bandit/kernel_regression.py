"""Kernel regression of one objective over the grid, with the published noise bounds.

Durand et al., Nat. Commun. 9:5247 (2018), Methods: Gaussian kernel, posterior mean
``m(x) = k_N(x)ᵀ (K_N + λI)⁻¹ y`` and covariance
``(σ²/λ) [k(x, x') - k_N(x)ᵀ (K_N + λI)⁻¹ k_N(x')]`` with ``λ = σ₊²/C²``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.bandit.fit import Design, Fit, Scale
from stedopt_bluesky.bandit.kronecker import gaussian_basis
from stedopt_bluesky.bandit.lattice import Lattice, Site
from stedopt_bluesky.bandit.noise import NoiseBounds, update_noise_bounds
from stedopt_bluesky.bandit.observations import Observed
from stedopt_bluesky.parameters import ParameterSpace

FloatArray = npt.NDArray[np.float64]

# λ = (σ/C)² must stay above the rounding error of a Gram matrix of some thousand images
# (about 1e-13 · N) for its Cholesky factor to exist: σ/C ≥ 1e-5 keeps λ ≥ 1e-10.
SMALLEST_NOISE_RATIO = 1e-5
# Beyond so many distinct sites the noise bounds, whose update visits each of them, are
# updated when the observations have grown by 1 %: ever rarer, so that what an image costs
# on average stays the same. Five times what the paper's longest runs come to.
EVERY_IMAGE_UP_TO = 512
GROWTH = 1.01
# Bandwidths in ranges of their parameters: shorter ones tell nothing of the neighbours,
# longer ones nothing apart.
SHORTEST, LONGEST = 1e-4, 1e4


def rule_of_thumb(space: ParameterSpace, lattice: Lattice | None = None) -> tuple[float, ...]:
    """Bandwidth per parameter, ``ρ_i = range_i · D / 3``, in its unit [Durand et al. 2018].

    See `axis_ranges` for the range of a parameter with a single value.
    """
    return tuple(r * len(space.parameters) / 3 for r in axis_ranges(space, lattice))


def axis_ranges(space: ParameterSpace, lattice: Lattice | None = None) -> tuple[float, ...]:
    """Range of each parameter, in its unit.

    A parameter with a single value has the range of its axis on the lattice, which earlier
    observations may have widened; 1 where there is none, when any bandwidth makes its
    kernel factor 1.
    """
    axes = lattice.axes if lattice else [np.asarray(p.values) for p in space]
    return tuple(p.range or float(np.ptp(axis)) or 1.0 for p, axis in zip(space, axes, strict=True))


class KernelRegression:
    """Posterior of one objective with the published bounds on its noise, exact.

    Each fit is made over the observed sites or over the kernel's features, whichever is
    cheaper (see `fit`), so that its cost does not grow beyond that of some hundred
    features, whatever the number of images. The update of the noise bounds visits each
    *distinct* observed configuration; beyond 512 of them it is made when the number of
    observations has grown by 1 %.

    Observations are centred on their mean, which is added back (as the program released
    with the paper does). Before any data the posterior is the kernel prior: mean 0,
    variance C² (that program draws independent values there instead).

    The arithmetic holds no randomness and no order of threads of its own: the same calls
    give the same bits on one machine with one numpy, scipy and number of BLAS threads.
    Another number of threads may change the last bits; fix ``OPENBLAS_NUM_THREADS`` where
    bits are compared between machines.

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
    points : array_like, shape (P, D)
        Where earlier experiments observed: all that `observe_at` may be given.
    border : bool
        Whether an observation on a parameter's bound is repeated one range outside, as the
        released program does. The noise is not estimated from the repetition.

    Raises
    ------
    ValueError
        When noise bounds, norm bound or bandwidth are not positive and finite, the bounds
        not ordered, ``lower / norm_bound`` below 1e-5, or the number of bandwidths not D.
    """

    def __init__(
        self,
        space: ParameterSpace,
        noise_bounds: tuple[float, float] = (0.001, 0.3),
        norm_bound: float = 5.0,
        bandwidth: float | Sequence[float] | None = None,
        *,
        points: npt.ArrayLike = (),
        border: bool = False,
    ) -> None:
        self._bounds = checked_bounds(noise_bounds, norm_bound)
        self._norm_bound = float(norm_bound)
        self._observed = Observed(space, points, border)
        self._design = Design(
            gaussian_basis(
                self._observed.lattice,
                checked_bandwidth(space, bandwidth, self._observed.lattice),
            ),
            self._observed.seen,
        )
        self._bounds_total = 0.0
        self._fit = self._fitted(self._bounds.upper)

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
        self._take_in(self._observed.add(index, value), 1.0)
        self._update()

    def observe_at(self, point: Sequence[float], value: float, weight: float = 1.0) -> None:
        """Learn one observation of an earlier experiment, as `observe_all`."""
        self.observe_all([point], [value], [weight])

    def observe_all(
        self,
        points: Sequence[Sequence[float]],
        values: Sequence[float],
        weights: Sequence[float],
    ) -> None:
        """Learn observations of earlier experiments, then update the noise bounds once.

        Parameters
        ----------
        points : sequence, shape (P, D)
            Points that the model was made to hold, or on the grid.
        values : sequence of float, shape (P,)
            Finite values of the objective.
        weights : sequence of float, shape (P,)
            For how many observations each counts: its noise has the variance ``σ²/weight``.

        Raises
        ------
        ValueError
            When a point is another, a value not finite or a weight not positive; those
            before it have been learned then.
        """
        for point, value, weight in zip(points, values, weights, strict=True):
            self._take_in(self._observed.add_at(point, value, weight), weight)
        self._update()

    def posterior(self) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and standard deviation on the grid.

        Returns
        -------
        mean, std : ndarray, shape (G,)
            In the objective's unit; of the objective itself, without the noise.
        """
        return self._fit.mean(), np.sqrt(self._fit.variance())

    def covariance(self) -> FloatArray:
        """Posterior covariance between all configurations, shape (G, G).

        On demand only: it takes 8 G² bytes, and no decision needs it.
        """
        return self._fit.covariance()

    def sample(self, rng: np.random.Generator, spread: float = 1.0) -> FloatArray:
        """Draw one function from the posterior.

        Parameters
        ----------
        rng : numpy.random.Generator
            The only source of randomness.
        spread : float
            Factor of the posterior deviation about the mean; 1 draws from the posterior.

        Returns
        -------
        ndarray, shape (G,)
            Values on the grid, in the objective's unit.
        """
        return self._fit.sample(rng, spread)

    def _take_in(self, sites: list[Site], weight: float) -> None:
        self._design.add([self._observed.seen.row(site) for site in sites], weight)

    def _update(self) -> None:
        """Fit all that was taken in, and update the noise bounds when it is time."""
        seen = self._observed.seen
        self._fit = self._fitted(self._bounds.upper)
        if len(seen) > EVERY_IMAGE_UP_TO and seen.total < GROWTH * self._bounds_total:
            return
        self._bounds_total = seen.total
        bounds = self._updated_bounds()
        refit = bounds.upper != self._bounds.upper
        self._bounds = bounds
        if refit:
            self._fit = self._fitted(bounds.upper)

    def _fitted(self, noise: float) -> Fit:
        return self._design.fit(Scale(self._norm_bound, noise, self._observed.seen.centre))

    def _updated_bounds(self) -> NoiseBounds:
        """Noise bounds after the current fit."""
        seen, own = self._observed.seen, self._observed.seen.own

        def variances(regularisation: float) -> FloatArray:
            noise = math.sqrt(regularisation) * self._norm_bound
            same = math.isclose(noise, self._bounds.upper, rel_tol=1e-12)
            fit = self._fit if same else self._fitted(noise)
            return fit.variances_at_sites()[own]

        weights = seen.weights[own]
        misfit = float(weights @ self._fit.residuals()[own] ** 2)
        rms_residual = math.sqrt((seen.sum_of_squares + misfit) / seen.total)
        return update_noise_bounds(self._bounds, rms_residual, weights, variances, self._norm_bound)


def checked_bounds(noise_bounds: tuple[float, float], deviation: float) -> NoiseBounds:
    """Bounds of the noise, checked against each other and against the prior deviation.

    Raises
    ------
    ValueError
        When they are not positive, finite and ordered, or the lower one is so small beside
        the prior deviation that the fit would be lost in rounding.
    """
    if not (math.isfinite(deviation) and deviation > 0):
        raise ValueError(f"norm_bound must be positive and finite, got {deviation}")
    lower, upper = ordered_bounds(noise_bounds)
    if lower < SMALLEST_NOISE_RATIO * deviation:
        raise ValueError(
            f"lower noise bound {lower:g} must be at least {SMALLEST_NOISE_RATIO:g} of "
            f"norm_bound = {deviation:g}: below, the fit is lost in rounding"
        )
    return NoiseBounds(lower, upper)


def ordered_bounds(noise_bounds: tuple[float, float]) -> NoiseBounds:
    """Bounds of the noise, checked against each other.

    Raises
    ------
    ValueError
        When they are not positive, finite and ordered.
    """
    lower, upper = (float(bound) for bound in noise_bounds)
    if not 0 < lower <= upper < math.inf:
        raise ValueError(
            f"noise_bounds must be finite with 0 < lower <= upper, got ({lower}, {upper})"
        )
    return NoiseBounds(lower, upper)


def checked_bandwidth(
    space: ParameterSpace,
    bandwidth: float | Sequence[float] | None,
    lattice: Lattice | None = None,
) -> tuple[float, ...]:
    """Bandwidth per parameter, in its unit; the rule of thumb where none is given.

    Raises
    ------
    ValueError
        When it is not one positive, finite number, or one for each parameter.
    """
    if bandwidth is None:
        return rule_of_thumb(space, lattice)
    dimensions = len(space.parameters)
    values = np.atleast_1d(np.asarray(bandwidth, dtype=np.float64))
    if values.ndim != 1 or (np.ndim(bandwidth) > 0 and len(values) != dimensions):
        raise ValueError(f"bandwidth must be one number or {dimensions} of them, got {bandwidth}")
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError(f"bandwidth must be positive and finite, got {bandwidth}")
    checked = tuple(float(v) for v in np.broadcast_to(values, dimensions))
    for parameter, value, span in zip(space, checked, axis_ranges(space, lattice), strict=True):
        if not SHORTEST * span <= value <= LONGEST * span:
            raise ValueError(
                f"bandwidth of {parameter.name} = {value:g}: {SHORTEST * span:g} to "
                f"{LONGEST * span:g} {parameter.unit}".rstrip()
            )
    return checked
