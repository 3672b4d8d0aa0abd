"""How probable observations are under hyper-parameters, and the most probable ones.

Empirical Bayes (MacKay, "Comparison of approximate methods for handling hyperparameters",
Neural Comput. 11:1035, 1999; Rasmussen and Williams, "Gaussian Processes for Machine
Learning", MIT Press 2006, chapter 5): bandwidths, prior deviation and noise are put where
the observations' marginal likelihood times their prior is largest, and the evidence of the
whole hypothesis follows by Laplace's approximation with the Fisher information.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack
from scipy.optimize import minimize

from stedopt_bluesky.bandit.fit import Scale
from stedopt_bluesky.bandit.lattice import Lattice
from stedopt_bluesky.bandit.observations import CollapsedObservations

FloatArray = npt.NDArray[np.float64]

# How many prior standard deviations the most probable hyper-parameters may lie off: all
# that is plausible, and exponents stay finite.
FARTHEST = 3.0
# Starting from the last ones, the optimum has moved little: measured, more iterations do
# not lower the regret.
ITERATIONS = 12


@dataclass(frozen=True)
class Hypothesis:
    """Prior of the hyper-parameters: independent log-normal distributions.

    Parameters
    ----------
    bandwidths : tuple of float, shape (D,)
        Medians, in the parameters' units.
    bandwidth_width : float
        Standard deviation of a bandwidth's logarithm; 0: they are fixed.
    prior_deviation, prior_deviation_width : float
        The same for s, in the objective's unit.
    noise, noise_width : float
        The same for σ.
    mean, mean_deviation : float
        Normal prior of the function's mean, in the objective's unit.
    probability : float
        Of the hypothesis, before anything is observed.
    """

    bandwidths: tuple[float, ...]
    bandwidth_width: float
    prior_deviation: float
    prior_deviation_width: float
    noise: float
    noise_width: float
    mean: float
    mean_deviation: float
    probability: float

    @property
    def centre(self) -> FloatArray:
        """Medians' logarithms: bandwidths, s, σ; shape (D+2,)."""
        return np.log([*self.bandwidths, self.prior_deviation, self.noise])

    @property
    def widths(self) -> FloatArray:
        """Standard deviations of the logarithms, shape (D+2,)."""
        dimensions = len(self.bandwidths)
        return np.array(
            [*[self.bandwidth_width] * dimensions, self.prior_deviation_width, self.noise_width]
        )

    def bandwidths_at(self, offsets: FloatArray) -> tuple[float, ...]:
        """Bandwidths at some prior standard deviations off the medians."""
        logarithms = (self.centre + self.widths * offsets)[:-2]
        return tuple(float(v) for v in np.exp(logarithms))

    def scale_at(self, offsets: FloatArray) -> Scale:
        """Prior deviation, noise and mean at some prior standard deviations off the medians."""
        deviation, noise = np.exp((self.centre + self.widths * offsets)[-2:])
        return Scale(float(deviation), float(noise), self.mean, self.mean_deviation)


@dataclass(frozen=True, eq=False)
class MostProbable:
    """Most probable hyper-parameters of a hypothesis.

    Parameters
    ----------
    offsets : ndarray, shape (D+2,)
        In prior standard deviations from the medians' logarithms.
    log_evidence : float
        Logarithm of the observations' probability under the hypothesis, up to a constant
        that all hypotheses share.
    """

    offsets: FloatArray
    log_evidence: float


class Evidence:
    """Marginal likelihood of collapsed observations as a function of hyper-parameters.

    Repeats enter by the spread about their site's mean, which tells the noise alone.
    Mirror images are left out.

    Parameters
    ----------
    lattice : Lattice
        Coordinates of the sites.
    seen : CollapsedObservations
        u distinct sites, at least one.
    most : int, optional
        Of more sites, so many are taken, evenly in the order of observation; repeats count
        at all of them.
    """

    def __init__(
        self, lattice: Lattice, seen: CollapsedObservations, most: int | None = None
    ) -> None:
        own = np.flatnonzero(seen.own)
        self._repeats = seen.number - len(own)
        if most is not None and len(own) > most:
            own = own[np.linspace(0, len(own) - 1, most).astype(np.intp)]
        sites = seen.sites[own]
        self._squares = np.stack(
            [
                (axis[column][:, None] - axis[column]) ** 2
                for axis, column in zip(lattice.axes, sites.T, strict=True)
            ]
        )
        self._weights = seen.weights[own]
        self._means = seen.means[own]
        self._spread = seen.sum_of_squares

    def most_probable(self, hypothesis: Hypothesis, start: FloatArray) -> MostProbable:
        """Climb from some offsets to the most probable ones.

        Parameters
        ----------
        hypothesis : Hypothesis
            The prior.
        start : ndarray, shape (D+2,)
            Offsets to start from, in prior standard deviations.
        """
        free = np.flatnonzero(hypothesis.widths)
        offsets = start.copy()

        def loss(part: FloatArray) -> tuple[float, FloatArray]:
            offsets[free] = part
            value, gradient = self._loss(hypothesis, offsets, free)
            return value + 0.5 * float(part @ part), gradient + part

        found = minimize(
            loss,
            start[free],
            jac=True,
            method="L-BFGS-B",
            bounds=[(-FARTHEST, FARTHEST)] * len(free),
            options={"maxiter": ITERATIONS},
        )
        offsets[free] = found.x
        information = self._information(hypothesis, offsets, free)
        _, volume = np.linalg.slogdet(np.eye(len(free)) + information)
        return MostProbable(offsets, -float(found.fun) - 0.5 * float(volume))

    def log_likelihood(self, hypothesis: Hypothesis, offsets: FloatArray) -> float:
        """Logarithm of the marginal likelihood, up to a constant without hyper-parameters."""
        return -self._loss(hypothesis, offsets, np.arange(0))[0]

    def _loss(
        self, hypothesis: Hypothesis, offsets: FloatArray, free: npt.NDArray[np.intp]
    ) -> tuple[float, FloatArray]:
        """Negative log marginal likelihood, and its gradient in the free offsets."""
        kernel, scale = self._kernel(hypothesis, offsets)
        variance = scale.noise**2
        inverse, half_log_determinant = self._inverse(kernel, scale)
        misfit = self._means - scale.mean
        solved = inverse @ misfit
        value = 0.5 * float(misfit @ solved) + half_log_determinant
        value += self._repeats * math.log(scale.noise) + 0.5 * self._spread / variance
        if not len(free):
            return value, np.zeros(0)
        # Half of the derivative of the likelihood by the matrix.
        slope = 0.5 * (inverse - np.outer(solved, solved))
        weighted = slope * kernel
        dimensions = len(self._squares)
        gradient = np.empty(dimensions + 2)
        if free[0] < dimensions:
            per_axis = self._squares.reshape(dimensions, -1) @ weighted.ravel()
            gradient[:-2] = per_axis / np.square(hypothesis.bandwidths_at(offsets))
        gradient[-2] = 2 * weighted.sum()
        gradient[-1] = 2 * variance * float(np.diag(slope) @ (1 / self._weights))
        gradient[-1] += self._repeats - self._spread / variance
        return value, (gradient * hypothesis.widths)[free]

    def _kernel(self, hypothesis: Hypothesis, offsets: FloatArray) -> tuple[FloatArray, Scale]:
        """``s² k`` between the sites, and the scale."""
        scale = hypothesis.scale_at(offsets)
        precisions = 1 / np.square(hypothesis.bandwidths_at(offsets))
        exponent = np.tensordot(precisions, self._squares, axes=1)
        return scale.prior_deviation**2 * np.exp(-0.5 * exponent), scale

    def _inverse(self, kernel: FloatArray, scale: Scale) -> tuple[FloatArray, float]:
        """Inverse of the observations' covariance, and half of its log determinant.

        Raises
        ------
        numpy.linalg.LinAlgError
            When it is lost in rounding, which the hypotheses' least noise keeps away.
        """
        matrix = kernel + scale.mean_deviation**2
        matrix[np.diag_indices_from(matrix)] += scale.noise**2 / self._weights
        factor, failed = lapack.dpotrf(matrix, lower=1, clean=0, overwrite_a=1)
        if failed:
            raise np.linalg.LinAlgError("the observations' covariance is not positive definite")
        lower, _ = lapack.dpotri(factor, lower=1)
        inverse: FloatArray = np.tril(lower) + np.tril(lower, -1).T
        return inverse, float(np.log(np.diag(factor)).sum())

    def _information(
        self, hypothesis: Hypothesis, offsets: FloatArray, free: npt.NDArray[np.intp]
    ) -> FloatArray:
        """Fisher information ``½ tr(A⁻¹ ∂A A⁻¹ ∂A')`` of the free offsets."""
        kernel, scale = self._kernel(hypothesis, offsets)
        inverse, _ = self._inverse(kernel, scale)
        bandwidths = hypothesis.bandwidths_at(offsets)
        solved = []
        for i in free:
            if i < len(bandwidths):
                derivative = kernel * self._squares[i] / bandwidths[i] ** 2
            elif i == len(bandwidths):
                derivative = 2 * kernel
            else:
                derivative = np.diag(2 * scale.noise**2 / self._weights)
            solved.append((inverse @ derivative) * hypothesis.widths[i])
        information = np.array([[0.5 * np.sum(a * b.T) for b in solved] for a in solved])
        # Repeats about their means: 2 per value in ln σ.
        if free[-1] == len(bandwidths) + 1:
            information[-1, -1] += 2 * self._repeats * hypothesis.widths[-1] ** 2
        return information
