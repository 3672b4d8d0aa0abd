"""Imaging time: known exactly from the configuration, so it is never modelled."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.parameters import FloatArray, ParameterSpace, pixels_along

DWELLTIME = "dwelltime_us"
LINE_STEPS = "line_steps"
FRAMES = "frames"
PIXEL_SIZE = "pixel_size_nm"
REGION_SIZE = "region_size_um"


def _time_s(
    dwelltime_us: FloatArray,
    line_steps: FloatArray,
    pixels: npt.NDArray[np.int64],
    frames: FloatArray,
) -> FloatArray:
    """Multiply, after a check of every factor."""
    for name, values in ((DWELLTIME, dwelltime_us), (LINE_STEPS, line_steps), (FRAMES, frames)):
        wrong = values[~(np.isfinite(values) & (values > 0))]
        if wrong.size:
            raise ValueError(f"{name} must be positive and finite, got {wrong[0]:g}")
    return dwelltime_us * 1e-6 * line_steps * pixels * frames


def imaging_time_s(
    dwelltime_us: float, line_steps: float, shape: tuple[int, int], frames: float = 1
) -> float:
    """Time that the beam spends on the pixels of one STED image.

    ``dwelltime · line_steps · pixels · frames``, without fly-back and overheads (Durand et
    al., Nat. Commun. 9:5247, 2018; its images have one frame).

    Parameters
    ----------
    dwelltime_us : float
        Pixel dwelltime, in µs.
    line_steps : float
        Repetitions of each line.
    shape : tuple of int
        Pixels along Y and X.
    frames : float
        Frames that are summed.

    Returns
    -------
    float
        Time in s; 0 for an image without pixels.

    Raises
    ------
    ValueError
        When the dwelltime, the line steps or the frames are not positive and finite.
    """
    factors = [np.array([factor]) for factor in (dwelltime_us, line_steps, frames)]
    return float(_time_s(factors[0], factors[1], np.array([math.prod(shape)]), factors[2])[0])


def imaging_times_s(
    space: ParameterSpace,
    shape: tuple[int, int],
    *,
    dwelltime_us: float | None = None,
    line_steps: float = 1,
    frames: float = 1,
    pixel_size_nm: float | None = None,
    region_size_um: float | None = None,
) -> FloatArray:
    """Imaging time of every configuration: the known column of the cloud of options.

    The same numbers, bit for bit, as `imaging_time_s` gives one by one.

    Parameters
    ----------
    space : ParameterSpace
        Grid of G configurations. Where it has a parameter of the name of an argument below, that
        parameter is used.
    shape : tuple of int
        Pixels along Y and X of one STED image, where the space has neither a pixel size nor a
        region size.
    dwelltime_us : float, optional
        Fixed dwelltime, in µs, for a space without that parameter.
    line_steps, frames : float
        Fixed line repetitions and frames, likewise.
    pixel_size_nm, region_size_um : float, optional
        Fixed pixel size, in nm, and side of a region, in µm: each needed where the space has the
        other one.

    Returns
    -------
    ndarray, shape (G,)
        Times in s, in the order of the grid.

    Raises
    ------
    ValueError
        When no dwelltime is known, or not both sizes of which one is a parameter, or a value
        is not positive and finite.
    """
    pixels = np.full(space.size, math.prod(shape))
    if PIXEL_SIZE in space.names or REGION_SIZE in space.names:
        sizes_um = column_of(space, REGION_SIZE, region_size_um)
        sides = zip(sizes_um, column_of(space, PIXEL_SIZE, pixel_size_nm), strict=True)
        pixels = np.array([pixels_along(size_um, pixel_nm) ** 2 for size_um, pixel_nm in sides])
    return _time_s(
        column_of(space, DWELLTIME, dwelltime_us),
        column_of(space, LINE_STEPS, line_steps),
        pixels,
        column_of(space, FRAMES, frames),
    )


def column_of(space: ParameterSpace, name: str, fixed: float | None) -> FloatArray:
    """Values of a parameter in every configuration, shape (G,), each in its unit.

    Raises
    ------
    ValueError
        When it is neither in the space nor fixed.
    """
    if name in space.names:
        return space.grid[:, space.names.index(name)]
    if fixed is None:
        raise ValueError(f"no {name}: it is neither in {space!r} nor given")
    return np.full(space.size, fixed, dtype=np.float64)
