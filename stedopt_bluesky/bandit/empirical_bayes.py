"""Kernel regression of one objective whose bandwidths and noise are learned from the images.

Two hypotheses are weighed against each other by their evidence: that the objective is as
smooth as the published rule of thumb says, and that it is rougher, with a bandwidth of its
own for each parameter. A function is drawn from either, as probable as it is: while little
is known both are tried, and a dozen images usually tell. (With a single parameter the second
one's median bandwidth is the longer one: there it is the freer hypothesis, not the rougher.)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.bandit.evidence import Evidence, Hypothesis
from stedopt_bluesky.bandit.fit import Design, Fit, Scale
from stedopt_bluesky.bandit.kernel_regression import (
    axis_ranges,
    checked_bandwidth,
    ordered_bounds,
)
from stedopt_bluesky.bandit.kronecker import gaussian_basis
from stedopt_bluesky.bandit.lattice import Lattice, Site
from stedopt_bluesky.bandit.observations import Observed
from stedopt_bluesky.parameters import ParameterSpace

FloatArray = npt.NDArray[np.float64]

# Hyper-parameters are fitted anew at each image at first, then when the observations have
# grown by 5 %, and no more beyond so many distinct sites: all is decided then.
EVERY_IMAGE_UP_TO = 16
GROWTH = 1.05
MOST_SITES = 256
# The constants below were chosen on the problems of tests/benchmarks/preference_regret.py
# with seeds 0 to 15; seeds 100 to 119, kept apart, give the same regrets. None of them is
# sharp: a factor of 1.5 changes the regrets by less than their scatter.
# Prior deviation of the smooth function and uncertainty of its mean, in widths of the
# objective's range: its values lie within the range.
SMOOTH_DEVIATION = 0.5
MEAN_DEVIATION = 0.5
# The rougher hypothesis: bandwidths about half of a parameter's range, on functions of a
# quarter of the objective's range, each within a factor of two mostly.
ROUGH_BANDWIDTH = 0.5
ROUGH_DEVIATION = 0.25
ROUGH_WIDTH = 0.7
ROUGH_PROBABILITY = 0.3
# The upper noise bound is a safe one: a fifth of it is expected, within a factor of four.
EXPECTED_PART = 0.2
NOISE_WIDTH = 0.7
# Less than a thousandth of the range is not expected: nothing is gained, and far below it
# fits are lost in rounding.
LEAST_EXPECTED = 1e-3
# Noise of a hundred times the range leaves nothing to learn, and numbers without bounds.
MOST_NOISE = 100.0
# Fitted bandwidths are rounded to about 1 %, far below what is known of them, so that an
# axis is seldom factorised anew.
BANDWIDTH_STEP = 0.01


class EmpiricalBayes:
    """Posterior of one objective with hyper-parameters learned from its observations, exact.

    Given the hyper-parameters the posterior is exact, over sites or features (see `fit`).
    The prior mean is uncertain and belongs to the model, so that many images of one good
    configuration do not raise what is expected elsewhere.

    Parameters
    ----------
    space : ParameterSpace
        Grid of G configurations of D parameters.
    noise_bounds : tuple of float
        Lower and upper bound of the noise's standard deviation, in the objective's unit. A
        fifth of the upper one is expected, not below the lower one nor a thousandth of the
        width; the observations decide.
    bandwidth : None, float or sequence of float, shape (D,)
        Of the smooth hypothesis, in the parameters' units; None for the rule of thumb.
    mean : float
        Prior mean, in the objective's unit: the middle of its usual range.
    width : float
        Width of the objective's usual range, in its unit.
    points : array_like, shape (P, D)
        Where earlier experiments observed: all that `observe_at` may be given.
    border : bool
        Whether an observation on a parameter's bound is repeated one range outside; the
        hyper-parameters are not learned from the repetition.

    Raises
    ------
    ValueError
        When noise bounds, bandwidth or width are not positive and finite, the bounds not
        ordered, or the number of bandwidths not D.
    """

    def __init__(
        self,
        space: ParameterSpace,
        noise_bounds: tuple[float, float] = (0.001, 0.3),
        bandwidth: float | Sequence[float] | None = None,
        *,
        mean: float = 0.5,
        width: float = 1.0,
        points: npt.ArrayLike = (),
        border: bool = False,
    ) -> None:
        self._observed = Observed(space, points, border)
        self._models = [
            _Model(hypothesis, self._observed)
            for hypothesis in hypotheses(
                space, self._observed.lattice, noise_bounds, bandwidth, mean=mean, width=width
            )
        ]
        self._fitted_total = 0.0
        self._settled = False

    @property
    def probabilities(self) -> FloatArray:
        """Of the smooth and of the rough hypothesis, shape (2,)."""
        logarithms = np.array([model.log_probability for model in self._models])
        weights: FloatArray = np.exp(logarithms - logarithms.max())
        return weights / float(weights.sum())

    @property
    def noise(self) -> float:
        """Noise's standard deviation under the more probable hypothesis."""
        return self._models[int(self.probabilities.argmax())].scale.noise

    def bandwidths(self) -> tuple[float, ...]:
        """Bandwidths under the more probable hypothesis, in the parameters' units."""
        return self._models[int(self.probabilities.argmax())].bandwidths

    def observe(self, index: int, value: float) -> None:
        """Learn one observation; hyper-parameters follow when it is time.

        Raises
        ------
        IndexError, ValueError
            As `KernelRegression.observe`; nothing has changed then.
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
        """Learn observations of earlier experiments, as `KernelRegression.observe_all`."""
        for point, value, weight in zip(points, values, weights, strict=True):
            self._take_in(self._observed.add_at(point, value, weight), weight)
        self._update()

    def posterior(self) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation on the grid of the hypotheses' mixture.

        Returns
        -------
        mean, std : ndarray, shape (G,)
            In the objective's unit; of the objective itself, without the noise.
        """
        means = np.stack([model.fit().mean() for model in self._models])
        variances = np.stack([model.fit().variance() for model in self._models])
        mean: FloatArray = self.probabilities @ means
        std: FloatArray = np.sqrt(self.probabilities @ (variances + (means - mean) ** 2))
        return mean, std

    def sample(self, rng: np.random.Generator, spread: float = 1.0) -> FloatArray:
        """Draw a hypothesis, then a function from its posterior.

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
        model = self._models[int(rng.random() >= self.probabilities[0])]
        return model.fit().sample(rng, spread)

    def _take_in(self, sites: list[Site], weight: float) -> None:
        rows = [self._observed.seen.row(site) for site in sites]
        for model in self._models:
            model.add(rows, weight)

    def _update(self) -> None:
        """Fit the hyper-parameters anew when it is time."""
        seen = self._observed.seen
        early = seen.number <= EVERY_IMAGE_UP_TO
        due = early or seen.total >= GROWTH * self._fitted_total
        if not due or self._settled or not len(seen):
            return
        self._fitted_total = seen.total
        self._settled = len(seen) >= MOST_SITES
        evidence = Evidence(self._observed.lattice, seen, MOST_SITES)
        for model in self._models:
            model.adapt(evidence)


class _Model:
    """One hypothesis with its most probable hyper-parameters and the fit at them."""

    def __init__(self, hypothesis: Hypothesis, observed: Observed) -> None:
        self._hypothesis = hypothesis
        self._observed = observed
        self._offsets = np.zeros(len(hypothesis.widths))
        self.log_probability = math.log(hypothesis.probability)
        self._design = self._made()
        self._fit: Fit | None = None

    @property
    def bandwidths(self) -> tuple[float, ...]:
        exact = self._hypothesis.bandwidths_at(self._offsets)
        if not self._hypothesis.bandwidth_width:
            return exact
        steps = np.round(np.log(exact) / BANDWIDTH_STEP)
        return tuple(float(v) for v in np.exp(BANDWIDTH_STEP * steps))

    @property
    def scale(self) -> Scale:
        return self._hypothesis.scale_at(self._offsets)

    def add(self, rows: list[int], weight: float) -> None:
        self._design.add(rows, weight)
        self._fit = None

    def adapt(self, evidence: Evidence) -> None:
        best = evidence.most_probable(self._hypothesis, self._offsets)
        self.log_probability = math.log(self._hypothesis.probability) + best.log_evidence
        before = self.bandwidths
        self._offsets = best.offsets
        if self.bandwidths != before:
            self._design = self._made()
        self._fit = None

    def fit(self) -> Fit:
        # Made when it is asked for: of the hypotheses, a decision draws from one alone.
        if self._fit is None:
            self._fit = self._design.fit(self.scale)
        return self._fit

    def _made(self) -> Design:
        basis = gaussian_basis(self._observed.lattice, self.bandwidths)
        return Design(basis, self._observed.seen)


def hypotheses(
    space: ParameterSpace,
    lattice: Lattice,
    noise_bounds: tuple[float, float],
    bandwidth: float | Sequence[float] | None,
    *,
    mean: float,
    width: float,
) -> tuple[Hypothesis, Hypothesis]:
    """The smooth and the rough hypothesis; see `EmpiricalBayes` for the parameters."""
    lower, upper = ordered_bounds(noise_bounds)
    if not 0 < width < math.inf:
        raise ValueError(f"width must be positive and finite, got {width}")
    if upper > MOST_NOISE * width:
        raise ValueError(
            f"upper noise bound {upper:g} must be at most {MOST_NOISE:g} widths of the range"
        )
    smooth = Hypothesis(
        bandwidths=checked_bandwidth(space, bandwidth, lattice),
        bandwidth_width=0.0,
        prior_deviation=SMOOTH_DEVIATION * width,
        prior_deviation_width=0.0,
        noise=max(EXPECTED_PART * upper, lower, LEAST_EXPECTED * width),
        noise_width=NOISE_WIDTH,
        mean=mean,
        mean_deviation=MEAN_DEVIATION * width,
        probability=1 - ROUGH_PROBABILITY,
    )
    rough = dataclasses.replace(
        smooth,
        bandwidths=tuple(ROUGH_BANDWIDTH * r for r in axis_ranges(space, lattice)),
        bandwidth_width=ROUGH_WIDTH,
        prior_deviation=ROUGH_DEVIATION * width,
        prior_deviation_width=ROUGH_WIDTH,
        probability=ROUGH_PROBABILITY,
    )
    return smooth, rough
