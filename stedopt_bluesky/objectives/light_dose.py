"""Light dose: the energy of one region's STED images, known exactly from the configuration."""

from __future__ import annotations

import numpy as np

from stedopt_bluesky.objectives.imaging_time import column_of, imaging_time_s, imaging_times_s
from stedopt_bluesky.parameters import FloatArray, ParameterSpace

EXCITATION = "excitation_power_uW"
DEPLETION = "depletion_power_mW"


def _dose_mJ(  # noqa: N802  mJ is the unit's own name
    excitation_power_uW: FloatArray,
    depletion_power_mW: FloatArray,
    time_s: FloatArray,
    sted_images: int,
) -> FloatArray:
    """Multiply, after a check of every factor; mW · s = mJ."""
    if sted_images < 1:
        raise ValueError(f"sted_images must be at least 1, got {sted_images}")
    for name, values in ((EXCITATION, excitation_power_uW), (DEPLETION, depletion_power_mW)):
        wrong = values[~(np.isfinite(values) & (values >= 0))]
        if wrong.size:
            raise ValueError(f"{name} must be finite and at least 0, got {wrong[0]:g}")
    return (excitation_power_uW * 1e-3 + depletion_power_mW) * time_s * sted_images


def light_dose_mJ(  # noqa: N802  mJ is the unit's own name
    excitation_power_uW: float,
    depletion_power_mW: float,
    dwelltime_us: float,
    line_steps: float,
    shape: tuple[int, int],
    sted_images: int = 1,
    frames: float = 1,
) -> float:
    """Energy that both lasers send through the back aperture during the STED images.

    ``(P_excitation + P_depletion) · dwelltime · line_steps · pixels · frames · images``, without
    the confocal images.

    Parameters
    ----------
    excitation_power_uW : float
        Excitation power at the back aperture, in µW.
    depletion_power_mW : float
        Depletion power at the back aperture, in mW.
    dwelltime_us : float
        Pixel dwelltime, in µs.
    line_steps : float
        Repetitions of each line.
    shape : tuple of int
        Pixels along Y and X of one STED image.
    sted_images : int
        STED images of a region.
    frames : float
        Frames that are summed to a STED image.

    Returns
    -------
    float
        Energy in mJ.

    Raises
    ------
    ValueError
        When a power is negative or not finite, or dwelltime, line steps, frames or the number
        of images are not positive and finite.
    """
    time_s = np.array([imaging_time_s(dwelltime_us, line_steps, shape, frames)])
    powers = np.array([float(excitation_power_uW)]), np.array([float(depletion_power_mW)])
    return float(_dose_mJ(*powers, time_s, sted_images)[0])


def light_doses_mJ(  # noqa: N802  mJ is the unit's own name
    space: ParameterSpace,
    shape: tuple[int, int],
    *,
    excitation_power_uW: float | None = None,
    depletion_power_mW: float | None = None,
    dwelltime_us: float | None = None,
    line_steps: float = 1,
    frames: float = 1,
    pixel_size_nm: float | None = None,
    region_size_um: float | None = None,
    sted_images: int = 1,
) -> FloatArray:
    """Light dose of every configuration: a known column of the cloud of options.

    The same numbers, bit for bit, as `light_dose_mJ` gives one by one.

    Parameters
    ----------
    space : ParameterSpace
        Grid of G configurations. Where it has a parameter of the name of an argument below, that
        parameter is used.
    shape : tuple of int
        Pixels along Y and X of one STED image, where the space has neither a pixel size nor a
        region size.
    excitation_power_uW, depletion_power_mW, dwelltime_us, line_steps, frames : float, optional
        Fixed values for a space without that parameter.
    pixel_size_nm, region_size_um : float, optional
        Fixed values, each needed where the space has the other one.
    sted_images : int
        STED images of a region.

    Returns
    -------
    ndarray, shape (G,)
        Energies in mJ, in the order of the grid.

    Raises
    ------
    ValueError
        When a power or the dwelltime is not known, or as `light_dose_mJ` and
        `imaging_times_s`.
    """
    excitation = column_of(space, EXCITATION, excitation_power_uW)
    depletion = column_of(space, DEPLETION, depletion_power_mW)
    times = imaging_times_s(
        space,
        shape,
        dwelltime_us=dwelltime_us,
        line_steps=line_steps,
        frames=frames,
        pixel_size_nm=pixel_size_nm,
        region_size_um=region_size_um,
    )
    return _dose_mJ(excitation, depletion, times, sted_images)
