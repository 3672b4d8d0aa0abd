"""RESCue on the twin: a pixel that gives no light early on is left before its time is over.

Staudt et al., Opt. Express 19:5644 (2011): what is not illuminated does not bleach. At each lower
threshold a pixel with fewer counts than it is left; one that has the counts of the upper threshold
needs no more. Excitation and depletion stop then, and the counts stay as they are.

Imspector's times are percent of the pixel's dwelltime: a configuration of 16.3.13800 has thresholds
of 1, 2, 5 and 10 counts at 21.9, 29.3, 53.1 and 86.8 for a signal level of 20 and a strength of 5,
and of pixels with 20 counts in their dwelltime Poisson's law leaves 1.25 % at each of these, 5 % in
all. What `automatic` makes of signal level and strength was read off that; it is not documented.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import pdtr, pdtrc

FloatArray = npt.NDArray[np.float64]

# Counts of the thresholds that Imspector sets by itself.
AUTOMATIC_COUNTS = (1, 2, 5, 10)
# Means of Poisson numbers for which the shares are computed, between which they are interpolated:
# so far apart in their square root, of which the noise is 1/2 everywhere; no more than so many.
_ROOT_STEP, _MOST_MEANS = 0.02, 2000
# Largest lower threshold: the shares of all counts below it are computed, for all means.
MOST_LOWER_COUNTS = 1000
# Where this many standard deviations are between mean and threshold, no pixel is left.
_SAFE_SIGMA = 12.0


@dataclass(frozen=True)
class LowerThreshold:
    """A pixel with fewer counts than this by then is left.

    Parameters
    ----------
    time : float
        Share of the dwelltime after which it is decided, 0 to 1.
    counts : int
        What the pixel needs by then.
    """

    time: float
    counts: int


@dataclass(frozen=True)
class RescueRule:
    """When a pixel is left.

    Parameters
    ----------
    lower : tuple of LowerThreshold
        In the order of their times.
    upper : int, optional
        Counts at which a pixel is left, as it needs no more; none: however many come.
    """

    lower: tuple[LowerThreshold, ...] = ()
    upper: int | None = None

    def left(self, photons: FloatArray) -> FloatArray:
        """Share of the pixels that is left at each lower threshold.

        Parameters
        ----------
        photons : ndarray, shape (N,)
            Expected in the whole dwelltime.

        Returns
        -------
        ndarray, shape (thresholds, N)
            From 0 to 1, and so is their sum.
        """
        return np.array([missed.sum(axis=0) for _, missed in self._missed(photons)])

    def dwelled(self, photons: FloatArray) -> FloatArray:
        """Mean share of the dwelltime that is spent on each pixel.

        Parameters
        ----------
        photons : ndarray
            Expected in the whole dwelltime.

        Returns
        -------
        ndarray
            From 0 to 1, in the shape of `photons`.
        """
        photons = np.maximum(photons, 1e-9)
        whole = self._further(photons, 1.0, 0) if self.upper else np.ones_like(photons)
        if not self.lower:
            return whole
        roots, saved, safe = _saved(self)
        at = np.sqrt(photons)
        return np.clip(whole - np.interp(at, roots, saved) * (at <= math.sqrt(safe)), 0.0, 1.0)

    def counts(
        self, photons: FloatArray, passes: int, rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Counts of pixels, of all passes together; in each pass it is decided anew.

        Parameters
        ----------
        photons : ndarray
            Expected in the whole dwelltime of all passes.
        passes : int
            How often a pixel is scanned.
        rng : numpy.random.Generator
            For the photon noise.

        Returns
        -------
        ndarray of int64
            In the shape of `photons`.
        """
        total = np.zeros(photons.shape, np.int64)
        for _ in range(passes):
            counts, stays, since = np.zeros_like(total), np.ones(total.shape, bool), 0.0
            # At the end of the dwelltime nothing is decided any more.
            for threshold in (*self.lower, LowerThreshold(1.0, 0)):
                counts[stays] += rng.poisson(photons[stays] / passes * (threshold.time - since))
                if self.upper:
                    stays &= counts < self.upper
                    np.minimum(counts, self.upper, out=counts)
                stays &= counts >= threshold.counts
                since = threshold.time
            total += counts
        return total

    def _missed(self, photons: FloatArray) -> Iterator[tuple[LowerThreshold, FloatArray]]:
        """Yield each threshold with the share that is left there, by counts, (counts, N)."""
        # Where a start would wait for them: only for RESCue.
        from scipy.signal import fftconvolve
        from scipy.stats import poisson

        # A pixel that has the most counts of a threshold is never left; one at the upper is gone.
        most = max((threshold.counts for threshold in self.lower), default=0)
        numbers = np.arange(min(most, self.upper or most))[:, np.newaxis]
        share, since = None, 0.0
        for threshold in self.lower:
            more = poisson.pmf(numbers, photons * (threshold.time - since))
            if share is not None:
                more = fftconvolve(share, more, axes=0)[: len(numbers)]
            share, since = np.maximum(more, 0.0), threshold.time
            missed = share[: threshold.counts].copy()
            share[: threshold.counts] = 0.0
            yield threshold, missed

    def _further(self, photons: FloatArray, time: float, counts: int) -> FloatArray:
        """Mean share of the dwelltime until the upper threshold, in a time, from counts on.

        By Wald's identity: the mean counts until then over those of the whole dwelltime.
        """
        assert self.upper is not None  # noqa: S101  only asked where there is one
        lacking, mean = self.upper - counts, photons * time
        below = time * pdtr(lacking - 2, mean) if lacking > 1 else 0.0
        return np.asarray(below + lacking * pdtrc(lacking - 1, mean) / photons)


@functools.lru_cache(maxsize=64)
def _saved(rule: RescueRule) -> tuple[FloatArray, FloatArray, float]:
    """What the lower thresholds of a rule save of the dwelltime, by the root of the mean counts.

    Returns
    -------
    roots, saved : ndarray, shape (N,)
        Root of the photons expected in the whole dwelltime; share of it that is saved.
    safe : float
        Photons from which on nothing is.
    """
    first = min(threshold.time for threshold in rule.lower)
    most = max(threshold.counts for threshold in rule.lower)
    safe = (most + _SAFE_SIGMA * math.sqrt(most) + _SAFE_SIGMA**2) / first
    end = math.sqrt(safe)
    roots = np.linspace(0.0, end, 2 + min(_MOST_MEANS, int(end / _ROOT_STEP)))
    means = np.maximum(roots**2, 1e-9)
    # Who is left does not see the light of the rest of the dwelltime.
    saved = np.zeros_like(means)
    for threshold, missed in rule._missed(means):
        if not rule.upper:
            saved += missed.sum(axis=0) * (1 - threshold.time)
            continue
        for counts, share in enumerate(missed):
            saved += share * rule._further(means, 1 - threshold.time, counts)
    return roots, saved, safe


@functools.lru_cache(maxsize=64)
def automatic(signal_level: float, strength: float) -> tuple[LowerThreshold, ...]:
    """Lower thresholds that Imspector sets by itself; see the module.

    Parameters
    ----------
    signal_level : float
        Counts of a pixel on a structure in its whole dwelltime.
    strength : float
        How many of such pixels may be left, in percent: equally many at each threshold.

    Returns
    -------
    tuple of LowerThreshold
        Those that come within the dwelltime.
    """
    from scipy.optimize import brentq

    level = np.array([signal_level])
    share = min(strength, 100.0) / 100 / len(AUTOMATIC_COUNTS)
    thresholds: tuple[LowerThreshold, ...] = ()
    for counts in AUTOMATIC_COUNTS:

        def too_many(
            time: float,
            counts: int = counts,
            before: tuple[LowerThreshold, ...] = thresholds,
        ) -> float:
            rule = RescueRule((*before, LowerThreshold(time, counts)))
            return float(rule.left(level)[-1, 0]) - share

        first = thresholds[-1].time if thresholds else 0.0
        if too_many(1.0) > 0:
            break
        time = first if too_many(first) <= 0 else float(brentq(too_many, first, 1.0))
        thresholds = (*thresholds, LowerThreshold(time, counts))
    return thresholds


def rescue_of(channel: Mapping[str, Any]) -> RescueRule | None:
    """Rule of a channel's parameters; None where it is off."""
    rescue = channel["rescue"]
    if not rescue["rescue_mode"]:
        return None
    lower: tuple[LowerThreshold, ...] = ()
    if not rescue["LTh_auto"]:
        told = zip(rescue["LTh_times"], rescue["LTh_thresholds"], strict=True)
        used = list(told)[: rescue["LTh_num_times"]]
        # What is decided when the time is over saves nothing.
        given = [LowerThreshold(t / 100, c) for t, c in used if 0 < t < 100 and c > 0]
        lower = tuple(sorted(given, key=lambda threshold: threshold.time))
    elif rescue["signal_level"] > 0 and rescue["strength"] > 0:
        lower = automatic(float(rescue["signal_level"]), float(rescue["strength"]))
    upper = None if rescue["UTh_auto"] or rescue["UTh_threshold"] < 1 else rescue["UTh_threshold"]
    return RescueRule(lower, upper) if lower or upper else None
