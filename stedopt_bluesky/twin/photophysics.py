"""Fast photophysics: from powers and dwelltime to photon counts and photobleaching.

Closed forms stand for the vectorial foci and rate equations of a full simulator
(pySTED [P24]_), so that a 512×512 image takes tens of milliseconds:

- resolution, ``d = d₀ / √(1 + P_dep/P_sat)`` (Westphal & Hell, PRL 94:143903, 2005; Harke et
  al., Opt. Express 16:4154, 2008), Gaussian, on a faint confocal pedestal;
- excitation, ``1 - exp(-P_exc/P_exc,sat)`` per pulse;
- photobleaching, ``S₁·(k₀ + k₁·P_dep^b·(1-e^-g)/g)`` with ``g = P_dep/P_turnover``: a rate that
  acts on the excited population, which depletion itself shortens (Oracz et al., Sci. Rep.
  7:11354, 2017), accumulated over the whole raster;
- detection, detector dead time, background, Poisson noise.

References
----------
.. [P24] pySTED, Nat. Mach. Intell. 6 (2024); compared in
   ``tests/benchmarks/twin_against_pysted.py``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.twin.exposure import Exposure, Optics, scan_time_s
from stedopt_bluesky.twin.fluorophores import Fluorophore
from stedopt_bluesky.twin.samples import FloatMap, Sample
from stedopt_bluesky.twin.scan_geometry import (
    BEAM_RADIUS_SIGMA,
    FWHM_PER_SIGMA,
    Axis,
    beam_matrix,
    scan_image,
    swept_fraction,
)

__all__ = [
    "Exposure",
    "LitLabel",
    "Optics",
    "background_rate_per_s",
    "bleaching_dose",
    "bleaching_rate_per_s",
    "centre_brightness",
    "detected_rate_per_s",
    "effective_fwhm_m",
    "excitation_probability",
    "expose",
    "expose_labels",
    "molecular_rate_per_s",
    "scan_time_s",
]

INT16_MAX = int(np.iinfo(np.int16).max)  # Imspector stores photon counts as int16

# Depletion power to which `Fluorophore.bleaching_depletion_per_s` refers, in W.
BLEACHING_REFERENCE_W = 0.1

# A dye that gets less excitation than this, in W, neither shines nor bleaches: it is left out.
# Of a thousand molecules in the focus it would make 5 photons a second.
DARK_W = 1e-12

# Relative excitation where bleaching happens: on the doughnut's crest, off the centre of the
# excitation focus. Fitted to pySTED's photobleaching against excitation power.
EXCITATION_ON_CREST = 0.353


def effective_fwhm_m(depletion_W: float, fluorophore: Fluorophore, optics: Optics) -> float:
    """FWHM of the effective focus, in m: ``d₀/√(1 + P_dep/P_sat)`` (Harke et al. 2008)."""
    return optics.confocal_fwhm_m / math.sqrt(1 + depletion_W / fluorophore.depletion_saturation_W)


def excitation_probability(excitation_W: float, fluorophore: Fluorophore) -> float:
    """Probability that one pulse excites a molecule in the centre of the focus, 0 to 1."""
    return -math.expm1(-excitation_W / fluorophore.excitation_saturation_W)


def centre_brightness(depletion_W: float, fluorophore: Fluorophore, optics: Optics) -> float:
    """Share of the fluorescence that an imperfect zero leaves in the doughnut's centre."""
    return math.exp(-optics.zero_residual * depletion_W / fluorophore.depletion_saturation_W)


def molecular_rate_per_s(
    excitation_W: float, depletion_W: float, fluorophore: Fluorophore, optics: Optics
) -> float:
    """Detected photons per second from one molecule in the centre of the focus."""
    return (
        optics.repetition_rate_Hz
        * excitation_probability(excitation_W, fluorophore)
        * fluorophore.quantum_yield
        * optics.detection_efficiency
        * centre_brightness(depletion_W, fluorophore, optics)
    )


def background_rate_per_s(excitation_W: float, depletion_W: float, optics: Optics) -> float:
    """Counts per second that do not come from the dye."""
    return (
        optics.dark_rate_per_s
        + optics.background_rate_per_s
        + optics.scatter_excitation_per_J * excitation_W
        + optics.scatter_depletion_per_J * depletion_W
    )


def bleaching_rate_per_s(
    excitation_W: float, depletion_W: float, fluorophore: Fluorophore
) -> float:
    """Photobleaching rate of a molecule under the beam, averaged over the focal area, in 1/s."""
    excited = -math.expm1(-EXCITATION_ON_CREST * excitation_W / fluorophore.excitation_saturation_W)
    by_depletion = 0.0
    if depletion_W > 0:
        rounds = depletion_W / fluorophore.bleaching_turnover_W
        # Mean of the excited population over the depletion pulse that empties it.
        remaining = -math.expm1(-rounds) / rounds
        intensity = (depletion_W / BLEACHING_REFERENCE_W) ** fluorophore.bleaching_exponent
        by_depletion = fluorophore.bleaching_depletion_per_s * intensity * remaining
    return excited * (fluorophore.bleaching_excitation_per_s + by_depletion)


def bleaching_dose(exposure: Exposure, fluorophore: Fluorophore, optics: Optics) -> float:
    """Dose inside the scanned field; a molecule survives with probability ``exp(-dose)``.

    Every molecule is under the beam at as many scan positions as the focal area,
    ``2πσ²``, has pixels: a scan of half the pixel size doses four times as much.
    """
    sigma = optics.confocal_fwhm_m / FWHM_PER_SIGMA
    passes = 2 * math.pi * sigma**2 / exposure.pixel_size_m**2
    rate = bleaching_rate_per_s(exposure.excitation_W, exposure.depletion_W, fluorophore)
    return rate * exposure.time_on_pixel_s * passes


def detected_rate_per_s(rate_per_s: npt.ArrayLike, optics: Optics) -> npt.NDArray[np.float64]:
    """Count rate of a detector with dead time: ``r / (1 + r/r_max)`` (not paralysable)."""
    rate = np.asarray(rate_per_s, dtype=np.float64)
    return rate / (1 + rate / optics.saturation_rate_per_s)


class Brightness(Protocol):
    """Factors on the brightness of a map's pixels, of which a scan needs a part: an array, say."""

    def __getitem__(self, window: tuple[slice, slice], /) -> FloatMap:
        """Return the factors on some rows and columns of the map."""


@dataclass(frozen=True, eq=False)
class LitLabel:
    """One dye of the sample as the light of a frame finds it.

    Parameters
    ----------
    sample : Sample
        Its fluorophores. `survival` is multiplied by ``exp(-dose)`` in the scanned field.
    fluorophore : Fluorophore
        The dye.
    excitation_W, depletion_W : float
        Powers at the back aperture, in W, as if delivered at the dye's own wavelengths.
    detected : float
        Light that is counted, of that in the dye's usual band.
    brightness : ndarray of float32, shape (H, W), or what gives parts of it, optional
        Factor on each map pixel's brightness; none: 1.
    """

    sample: Sample
    fluorophore: Fluorophore
    excitation_W: float
    depletion_W: float
    detected: float = 1.0
    brightness: Brightness | None = None


def expose(
    sample: Sample,
    exposure: Exposure,
    fluorophore: Fluorophore,
    optics: Optics,
    rng: np.random.Generator,
) -> npt.NDArray[np.int16]:
    """Scan one frame of a sample with one dye, which gets all the light; see `expose_labels`."""
    label = LitLabel(sample, fluorophore, exposure.excitation_W, exposure.depletion_W)
    return expose_labels(exposure, [label], optics, rng)


def expose_labels(
    exposure: Exposure,
    labels: Sequence[LitLabel],
    optics: Optics,
    rng: np.random.Generator,
) -> npt.NDArray[np.int16]:
    """Scan one frame; the sample stays photobleached.

    Parameters
    ----------
    exposure : Exposure
        Where, how long and with which powers.
    labels : sequence of LitLabel
        The sample's dyes. What lies outside a dye's map is empty.
    optics : Optics
        The microscope.
    rng : numpy.random.Generator
        For the photon noise; the same state gives the same counts.

    Returns
    -------
    ndarray of int16, shape (ny, nx)
        Photon counts, held at 32767. Poisson also where dead time makes real counts
        more regular than that.
    """
    shining = [label for label in labels if label.excitation_W >= DARK_W]
    dwelled = None
    if exposure.rescue is not None:
        # What each pixel would give, had it all its time: nothing bleaches yet.
        looked_at = [dataclasses.replace(label, sample=_copy(label.sample)) for label in shining]
        unbleached = _expected(exposure, looked_at, optics, None)
        dwelled = exposure.rescue.dwelled(unbleached / exposure.line_steps)
    expected = _expected(exposure, shining, optics, dwelled)
    # Twice the largest count is held at it for certain, and Poisson numbers stay in their range.
    np.minimum(expected, 2 * INT16_MAX, out=expected)
    if exposure.rescue is None:
        counts = rng.poisson(expected)
    else:
        counts = exposure.rescue.counts(expected, exposure.line_steps, rng)
    return np.minimum(counts, INT16_MAX).astype(np.int16)


def _copy(sample: Sample) -> Sample:
    """Copy a sample, to be bleached in its place."""
    copied = dataclasses.replace(sample)
    copied.survival[:] = sample.survival
    return copied


def _expected(
    exposure: Exposure,
    labels: Sequence[LitLabel],
    optics: Optics,
    dwelled: npt.NDArray[np.float64] | None,
) -> npt.NDArray[np.float64]:
    """Photons expected in each pixel in its whole dwelltime, (ny, nx); the sample is bleached."""
    rate = np.zeros(exposure.shape, np.float32)
    for label in labels:
        rate += _label_rate_per_s(exposure, label, optics, dwelled)
    rate += background_rate_per_s(exposure.excitation_W, exposure.depletion_W, optics)
    return detected_rate_per_s(rate, optics) * exposure.time_on_pixel_s


def _label_rate_per_s(
    exposure: Exposure,
    label: LitLabel,
    optics: Optics,
    dwelled: npt.NDArray[np.float64] | None,
) -> FloatMap:
    """Detected photons per second and pixel of one dye, which stays photobleached."""
    sample, dye = label.sample, label.fluorophore
    light = dataclasses.replace(
        exposure, excitation_W=label.excitation_W, depletion_W=label.depletion_W
    )
    ny, nx = exposure.shape
    scan_y = Axis(exposure.y_m, exposure.pixel_size_m, ny)
    scan_x = Axis(exposure.x_m, exposure.pixel_size_m, nx)
    margin = BEAM_RADIUS_SIGMA * optics.confocal_fwhm_m / FWHM_PER_SIGMA
    map_y, map_x = sample.axes
    rows, part_y = map_y.part(scan_y.start_m - margin, scan_y.start_m + scan_y.length_m + margin)
    columns, part_x = map_x.part(scan_x.start_m - margin, scan_x.start_m + scan_x.length_m + margin)

    fwhm = optics.confocal_fwhm_m  # of what bleaches: the overlap of both foci
    dose = bleaching_dose(light, dye, optics) * np.outer(
        swept_fraction(scan_y, part_y, fwhm), swept_fraction(scan_x, part_x, fwhm)
    ).astype(np.float32, copy=False)
    if dwelled is not None:
        dose *= _mean_under_beam(dwelled, (scan_y, scan_x), (part_y, part_x), fwhm)
    lost = -np.expm1(-dose)
    emitting = sample.density[rows, columns] * sample.survival[rows, columns]
    if label.brightness is not None:
        emitting *= label.brightness[rows, columns]
    emitting *= _mean_survival(dose, lost)
    sample.survival[rows, columns] *= 1 - lost

    rate = _molecules_in_focus(
        emitting, (scan_y, scan_x), (part_y, part_x), light.depletion_W, dye, optics
    )
    rate *= label.detected * molecular_rate_per_s(
        light.excitation_W, light.depletion_W, dye, optics
    )
    return rate


def _mean_under_beam(
    dwelled: npt.NDArray[np.float64],
    scan: tuple[Axis, Axis],
    part: tuple[Axis, Axis],
    fwhm_m: float,
) -> npt.NDArray[np.float32]:
    """Mean over the pixels from which the beam reaches each map pixel; 1 where it does not."""
    rows, columns = (beam_matrix(s, p, fwhm_m) for s, p in zip(scan, part, strict=True))
    back = rows.T.tocsr(), columns.T.tocsr()
    reached = scan_image(back[0], np.ones(dwelled.shape, np.float32), back[1])
    mean = np.ones_like(reached)
    np.divide(
        scan_image(back[0], dwelled.astype(np.float32), back[1]),
        reached,
        out=mean,
        where=reached > 0,
    )
    return mean


def _mean_survival(
    dose: npt.NDArray[np.float32], lost: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Survival averaged over the scan, ``(1 - e^-D)/D``: the beam comes at every stage of D."""
    mean = np.ones_like(dose)
    # Below 1e-4 the quotient of two float32 is less exact than its limit, 1.
    np.divide(lost, dose, out=mean, where=dose > 1e-4)
    return mean


def _molecules_in_focus(
    emitting: npt.NDArray[np.float32],
    scan: tuple[Axis, Axis],
    part: tuple[Axis, Axis],
    depletion_W: float,
    fluorophore: Fluorophore,
    optics: Optics,
) -> npt.NDArray[np.float32]:
    """Molecules per scan position, each weighted by the focus (1 in its centre), (ny, nx)."""

    def through(fwhm_m: float) -> npt.NDArray[np.float32]:
        rows, columns = (beam_matrix(s, p, fwhm_m) for s, p in zip(scan, part, strict=True))
        return scan_image(rows, emitting, columns)

    fwhm = effective_fwhm_m(depletion_W, fluorophore, optics)
    molecules = through(fwhm)
    if depletion_W > 0 and optics.pedestal > 0:
        molecules *= 1 - optics.pedestal
        molecules += optics.pedestal * through(optics.confocal_fwhm_m)
    return molecules
