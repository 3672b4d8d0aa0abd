"""Imaging time: known exactly from the configuration, so it is never modelled."""

from __future__ import annotations

import math

import numpy as np

from stedopt_bluesky.parameters import FloatArray, ParameterSpace

DWELLTIME = "dwelltime_us"
LINE_STEPS = "line_steps"


def _time_s(dwelltime_us: FloatArray, line_steps: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Multiply, after a check of every factor."""
    for name, values in ((DWELLTIME, dwelltime_us), (LINE_STEPS, line_steps)):
        wrong = values[~(np.isfinite(values) & (values > 0))]
        if wrong.size:
            raise ValueError(f"{name} must be positive and finite, got {wrong[0]:g}")
    return dwelltime_us * 1e-6 * line_steps * math.prod(shape)


def imaging_time_s(dwelltime_us: float, line_steps: float, shape: tuple[int, int]) -> float:
    """Time that the beam spends on the pixels of one STED image.

    ``dwelltime · line_steps · pixels``, without fly-back and overheads (Durand et al.,
    Nat. Commun. 9:5247, 2018).

    Parameters
    ----------
    dwelltime_us : float
        Pixel dwelltime, in µs.
    line_steps : float
        Repetitions of each line.
    shape : tuple of int
        Pixels along Y and X.

    Returns
    -------
    float
        Time in s; 0 for an image without pixels.

    Raises
    ------
    ValueError
        When the dwelltime or the line steps are not positive and finite.
    """
    return float(_time_s(np.array([dwelltime_us]), np.array([line_steps]), shape)[0])


def imaging_times_s(
    space: ParameterSpace,
    shape: tuple[int, int],
    *,
    dwelltime_us: float | None = None,
    line_steps: float = 1,
) -> FloatArray:
    """Imaging time of every configuration: the known column of the cloud of options.

    The same numbers, bit for bit, as `imaging_time_s` gives one by one.

    Parameters
    ----------
    space : ParameterSpace
        Grid of G configurations. Where it has a parameter ``dwelltime_us`` or ``line_steps``,
        that parameter is used.
    shape : tuple of int
        Pixels along Y and X of one STED image.
    dwelltime_us : float, optional
        Fixed dwelltime, in µs, for a space without that parameter.
    line_steps : float
        Fixed line repetitions for a space without that parameter.

    Returns
    -------
    ndarray, shape (G,)
        Times in s, in the order of the grid.

    Raises
    ------
    ValueError
        When no dwelltime is known, or a dwelltime or line step is not positive and finite.
    """
    columns = dict(zip(space.names, space.grid.T, strict=True))
    if DWELLTIME not in columns and dwelltime_us is None:
        raise ValueError(f"no {DWELLTIME}: it is neither in {space!r} nor given")
    dwelltimes = columns.get(DWELLTIME, np.full(space.size, dwelltime_us, dtype=np.float64))
    steps = columns.get(LINE_STEPS, np.full(space.size, line_steps, dtype=np.float64))
    return _time_s(dwelltimes, steps, shape)
