"""A microscopist who chooses by a written rule, and not always the same: whom networks learn from.

The rule: quality first. Photobleaching of up to 40 % is a small cost, as that much is the price of
a good STED image; beyond it hurts more and more, because the next image of the same place must
still show something. Of options that are as good, the faster. A quality above 1 and a
photobleaching below 0, which sampled options have, are worth only a little more than 1 and 0.
Of two STED images of a region, in living cells, the quality of both counts, each a half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# What the expert looks at, in this order; the third may be another one, or left out.
OBJECTIVES = ("quality", "photobleaching", "imaging_time_s")
UNITS = ("", "", "s")
LAST = "quality_last"


@dataclass(frozen=True)
class SyntheticExpert:
    """The rule, in units of quality, and how far a choice strays from it.

    Parameters
    ----------
    bleaching_cost : float
        Of 0 to 100 % photobleaching, in proportion: an image of quality 0.8 with 40 % is as good
        as one of 0.7 without.
    tolerated : float
        Photobleaching from which it hurts more.
    bleaching_penalty : float
        Times the square of what is beyond: 70 % cost 0.18 more, 100 % 0.72.
    time_cost_per_s : float
        The longest usual image, of 5 s, is to be better by 0.1.
    beyond : float
        Share of its worth that a quality above 1 or a photobleaching below 0 has.
    hesitation : float
        Standard deviation of what the same option is worth from one choice to the next: nobody
        tells 0.80 from 0.81.
    mood : float
        Standard deviation of the logarithm of a day's factor of the cost of photobleaching.
    third : {"imaging_time_s", "quality_last"}
        What the third column is, where there is one.
    """

    bleaching_cost: float = 0.25
    tolerated: float = 0.4
    bleaching_penalty: float = 2.0
    time_cost_per_s: float = 0.02
    beyond: float = 0.1
    hesitation: float = 0.01
    mood: float = 0.15
    third: Literal["imaging_time_s", "quality_last"] = "imaging_time_s"

    def worth(self, options: FloatArray, factor: float = 1.0) -> FloatArray:
        """Worth of options by the rule alone.

        Parameters
        ----------
        options : ndarray, shape (G, 2) or (G, 3)
            Columns as `OBJECTIVES`, or with `third` in the place of the time.
        factor : float
            Of the cost of photobleaching.

        Returns
        -------
        ndarray, shape (G,)
            NaN where an objective is NaN.
        """
        quality, bleaching = options[:, 0], options[:, 1]
        worth = self._of_quality(quality)
        if self.third == LAST and options.shape[1] > 2:
            worth = (worth + self._of_quality(options[:, 2])) / 2
        bleached = np.maximum(bleaching, 0) + self.beyond * np.minimum(bleaching, 0)
        excess = np.maximum(bleaching - self.tolerated, 0)
        worth -= factor * (self.bleaching_cost * bleached + self.bleaching_penalty * excess**2)
        if self.third != LAST and options.shape[1] > 2:
            worth -= self.time_cost_per_s * options[:, 2]
        return worth

    def _of_quality(self, quality: FloatArray) -> FloatArray:
        return np.minimum(quality, 1) + self.beyond * np.maximum(quality - 1, 0)

    def day(self, rng: np.random.Generator) -> ExpertOfTheDay:
        """Draw the expert as he is today."""
        return ExpertOfTheDay(self, float(np.exp(rng.normal(0, self.mood))), rng)


@dataclass(frozen=True, eq=False)
class ExpertOfTheDay:
    """An expert in the mood of one run.

    Parameters
    ----------
    expert : SyntheticExpert
        The rule.
    factor : float
        Of the cost of photobleaching today.
    rng : numpy.random.Generator
        Of the hesitation.
    """

    expert: SyntheticExpert
    factor: float
    rng: np.random.Generator

    def __call__(self, options: FloatArray) -> int:
        """Choose a row of a cloud, shape (G, 2) or (G, 3)."""
        worth = self.expert.worth(options, self.factor)
        return int(np.nanargmax(worth + self.rng.normal(0, self.expert.hesitation, len(worth))))
