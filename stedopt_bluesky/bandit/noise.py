"""Bounds on the noise's standard deviation, narrowed as observations come.

Durand, Maillard and Pineau, "Streaming kernel regression with provably adaptive mean,
variance, and regularization", JMLR 19(17), 2018, in the form of the optimisation program
released with Durand et al., Nat. Commun. 9:5247 (2018), called [O18] below.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# Probability that the bounds fail, δ in [O18].
FAILURE_PROBABILITY = 0.1
# Below so many observations ln(ln t) is not defined, so nothing is known of the noise.
FEWEST_OBSERVATIONS = 2
# [O18]'s floor under `a`: with few observations the upper bound is then huge and unused.
SMALLEST_SHRINKAGE = 1e-10


class NoiseBounds(NamedTuple):
    """Lower and upper bound of the noise's standard deviation, in the objective's unit."""

    lower: float
    upper: float


def update_noise_bounds(
    bounds: NoiseBounds,
    rms_residual: float,
    counts: FloatArray,
    variances: Callable[[float], FloatArray],
    norm_bound: float = 5.0,
    bias: Literal["upper", "lower"] = "upper",
) -> NoiseBounds:
    r"""Narrow the bounds after a fit.

    With ``t`` observations, ``λ = σ₊²/C²``, posterior variances ``k_i`` at λ and
    ``k_i*`` at ``λ* = σ₋²/C²``, ``δ = 0.1``:

    - ``c = ln(e/δ) [1 + ln(π² ln t / 6) / ln(1/δ)]``
    - ``σ₋ ← max{σ₋, [σ̂ - C √(λ (1 - 1/max_i(1 + k_i/λ)) / t)] / (1 + √(2c/t))}``
    - ``d = 2 ln(1/δ) + Σ_i ln(1 + k_i*/λ*)``, λ* of the new σ₋
    - ``a = max(1 - √(c/t) - √((c + 2d)/t), 1e-10)`` and ``b = C √(λ_b d) / (2t)``
    - ``σ₊ ← min{σ₊, (√b + √(b + σ̂ a))² / a²}``

    A bound that comes out as not a number stays. Once the lower bound's estimate passes
    the upper bound the assumed upper bound was wrong; the published update then leaves
    them crossed, here they meet at the upper bound.

    Parameters
    ----------
    bounds : NoiseBounds
        σ₋ and σ₊ before the update, ``0 < σ₋ ≤ σ₊``.
    rms_residual : float
        σ̂, root mean square of the t residuals of the fit at λ.
    counts : ndarray, shape (u,)
        How often each distinct configuration was observed (an observation of less weight
        counts as a part of one); their sum is t.
    variances : callable
        Maps a regularisation to the posterior variances, shape (u,), without the factor
        ``σ²/λ``, of the distinct observed configurations.
    norm_bound : float
        C, bound on the objective's norm in the kernel's space.
    bias : {"upper", "lower"}
        Which regularisation is λ_b: "upper" (default, [O18]) takes λ, "lower" takes λ*.
        b bounds how much of σ̂ is the fit's own shrinkage towards 0, ``C √λ`` for a fit at
        λ; since σ̂ comes from the fit at λ, λ is its place, and d at λ*, never smaller than
        at λ, keeps the bound on the safe side. With λ* the bound falls lower and sooner.
        Measured on 7 × 7 × 7 configurations, bounds from (0.001, 0.3), noise 0.05: first
        drop after 374-394 observations with "upper" and 248-273 with "lower"; at 500
        observations σ₊ is 0.20 and 0.15. Up to 100 observations both leave it at 0.3.

    Returns
    -------
    NoiseBounds
        ``σ₋`` not lower, ``σ₊`` not higher than before, and ``σ₋ ≤ σ₊``.
    """
    total = float(counts.sum())
    if total < FEWEST_OBSERVATIONS:
        return bounds
    lower, upper = bounds
    concentration = _concentration(total)
    ratios = _ratios(variances, upper, norm_bound)

    # C √λ = σ₊: the norm bound drops out of both bounds except through λ itself.
    shrunk = upper * math.sqrt((1 - 1 / (1 + ratios.max())) / total)
    estimate = (rms_residual - shrunk) / (1 + math.sqrt(2 * concentration / total))
    if estimate > lower:
        lower = min(estimate, upper)

    bias_deviation = upper if bias == "upper" else lower

    def candidate(ratios: FloatArray) -> float:
        information = float(counts @ np.log1p(ratios))
        return _upper_estimate(rms_residual, bias_deviation, information, concentration, total)

    # k_λ/λ falls with λ, so the information at λ* is not less than that at λ, and the
    # candidate not lower. When λ already fails to lower the bound, λ* needs no fit.
    if candidate(ratios) < upper:
        estimate = candidate(_ratios(variances, lower, norm_bound))
        if estimate < upper:
            upper = max(estimate, lower)
    return NoiseBounds(lower, upper)


def _ratios(
    variances: Callable[[float], FloatArray], deviation: float, norm_bound: float
) -> FloatArray:
    """``k_i/λ`` at the regularisation of a noise deviation."""
    regularisation = (deviation / norm_bound) ** 2
    return variances(regularisation) / regularisation


def _concentration(total: float) -> float:
    """``c``: grows like ln ln t, so that the bounds hold for all t at once."""
    log_inverse = math.log(1 / FAILURE_PROBABILITY)
    return (1 + log_inverse) * (1 + math.log(math.pi**2 * math.log(total) / 6) / log_inverse)


def _upper_estimate(
    rms_residual: float,
    bias_deviation: float,
    information: float,
    concentration: float,
    total: float,
) -> float:
    """``(√b + √(b + σ̂ a))² / a²``."""
    d = 2 * math.log(1 / FAILURE_PROBABILITY) + information
    a = 1 - math.sqrt(concentration / total) - math.sqrt((concentration + 2 * d) / total)
    a = max(a, SMALLEST_SHRINKAGE)
    b = bias_deviation * math.sqrt(d) / (2 * total)
    return ((math.sqrt(b) + math.sqrt(b + rms_residual * a)) / a) ** 2
