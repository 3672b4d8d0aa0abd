"""Values as a line of bars, one character each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BARS = "▁▂▃▄▅▆▇█"
# For terminals that have none of these letters.
ASCII_BARS = "_.-=+*%#"
# Where there is no valid value.
_GAP = " "


def sparkline(values: npt.ArrayLike, width: int, bars: str = BARS) -> str:
    """Draw values from their least to their greatest; more than fit are averaged in groups.

    Parameters
    ----------
    values : array_like, shape (N,)
        Those that are not finite leave a gap.
    width : int
        Most characters.
    bars : str
        From the lowest to the highest.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size > width:
        groups = np.array_split(array, width)
        array = np.array(
            [g[np.isfinite(g)].mean() if np.isfinite(g).any() else np.nan for g in groups]
        )
    finite = array[np.isfinite(array)]
    if not finite.size:
        return _GAP * array.size
    low, high = finite.min(), finite.max()
    # In halves, so that the span of the greatest numbers does not overflow.
    span = high / 2 - low / 2
    middle = len(bars) // 2
    drawn = []
    for value in array:
        if not np.isfinite(value):
            drawn.append(_GAP)
        elif span == 0:
            drawn.append(bars[middle])
        else:
            drawn.append(bars[round((value / 2 - low / 2) / span * (len(bars) - 1))])
    return "".join(drawn)
