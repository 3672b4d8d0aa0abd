"""Ca²⁺ after glutamate uncaging: local in a spine, widespread in a dendrite, or none.

A 405-nm pulse releases glutamate at a spot; from there on, step by step:

- **Glutamate** spreads from a source that is on for the pulse,
  ``C = k·P/√(r² + w²)·erfc(r/√(4Dt))``: a steady source in free space, with D = 0.76 µm²/ms
  (Longsworth, J. Phys. Chem. 57:1101, 1953). w = 0.4 µm stands for the source's size: one photon
  uncages along the beam. k is the preparation's: how much caged glutamate there is, and how deep.
- **NMDA receptors** bind two glutamates; the share that has bound both at the end of the pulse is
  ``(1 - exp(-k_on·C·t))²`` with k_on = 5 /(µM s) (Lester & Jahr, J. Neurosci. 12:635, 1992). The
  medium is without Mg²⁺, so that bound receptors let Ca²⁺ in at rest.
- **A spine** gains Ca²⁺ in proportion to that share and to its own receptors. Some spines have
  none, or are not healthy. The neck keeps the spine's Ca²⁺ in its head.
- **The shaft** gains a little by receptors of its own, where the glutamate comes to it.
- **A dendritic spike**: the receptors along the dendrite depolarise it. Where their sum exceeds
  the cell's threshold, a regenerative NMDA spike fills a stretch of dendrite and its spines with
  Ca²⁺ (Schiller et al., Nature 404:285, 2000). The threshold differs from cell to cell, the sum
  from pulse to pulse. TTX is in the medium: there are no action potentials.
- **The indicator**, GCaMP6s: F = 1 + 62·c/(1+c), c = ([Ca²⁺]/144 nM)^2.9; half of the response to
  an action potential is gone after 0.55 s (Chen et al., Nature 499:295, 2013). Ca²⁺ at rest: 50 nM.

Literature gives the form and the constants named with it. Assumed are the amplitudes of Ca²⁺, the
spreads from spine to spine, pulse to pulse and cell to cell, k and the threshold. They were chosen
such that random powers (7.3-42 µW) and distances (0.5-3 µm) give local responses about as rarely
as in the paper's first images (10.7 %; here 11.1 % of 4,000), the others being silent or
widespread; that the best configuration, over all cells, has clearly more than the paper's last
images (29.4 %; here 41 %); and that it lies where the paper's does (20-30 µW at 0.5 µm; here
17-20 µW), with more power for more distance. Left out: plasticity, desensitisation and release of
Ca²⁺ from stores; a spine is the same before every pulse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import erfc

from stedopt_bluesky.twin.dendrite import PIECE_M, Dendrites
from stedopt_bluesky.twin.exposure import Exposure

FloatArray = npt.NDArray[np.float64]
FloatMap = npt.NDArray[np.float32]

UNCAGING_NM = 405.0

# Glutamate.
GLUTAMATE_UM_PER_UW = 0.14  # k: µM at 1 µm from a large source, for each µW at the back aperture
SOURCE_M = 0.4e-6
DIFFUSION_M2_PER_S = 0.76e-9
# Binding to NMDA receptors, per µM and s.
BINDING_PER_UM_S = 5.0

# Ca²⁺ and the indicator.
REST_NM = 50.0
AFFINITY_NM, COOPERATIVITY, BRIGHTENING = 144.0, 2.9, 62.0
SPINE_NM = 190.0  # of a spine, all its receptors bound
SHAFT_NM = 60.0
SPIKE_NM = 55.0
SPIKE_M = 5e-6  # standard deviation of its stretch of dendrite, on average
RISE_S, DECAY_S = 0.06, 0.9
# Later than this a response has gone to 1e-4 of its peak.
FORGOTTEN_S = 9 * DECAY_S

# Scatter: standard deviations of logarithms, but for the share of spines that respond at all.
RESPONSIVE = 0.8
SPINE_SPREAD = 0.35
PULSE_SPREAD = 0.15
SPIKE_SPREAD = 0.15
CELL_SPREAD = 0.25
STRETCH_SPREAD = 0.5
# A cell's threshold: so many spines' worth of bound receptors along its dendrite.
THRESHOLD = 0.45
# Receptors of a µm of shaft, in spines' worth.
SHAFT_RECEPTORS_PER_M = 1.0e6
# A dendrite adds up what comes within this distance of the spot; glutamate reaches no farther.
SUMMED_M = 8e-6


def released_glutamate(distance_m: npt.ArrayLike, power_uW: float, duration_s: float) -> FloatArray:
    """Glutamate at the end of a pulse, µM.

    Parameters
    ----------
    distance_m : array_like
        From the spot, in m.
    power_uW : float
        405-nm power at the back aperture, µW.
    duration_s : float
        Length of the pulse, in s.
    """
    distance = np.asarray(distance_m, dtype=np.float64)
    reach = math.sqrt(4 * DIFFUSION_M2_PER_S * duration_s)
    size_um = np.hypot(distance, SOURCE_M) * 1e6
    concentration: FloatArray = (
        GLUTAMATE_UM_PER_UW * power_uW / size_um * erfc(distance / reach) if reach else 0 * size_um
    )
    return concentration


def bound_share(concentration_uM: npt.ArrayLike, duration_s: float) -> FloatArray:
    """Share of NMDA receptors that have bound two glutamates at the end of a pulse, 0 to 1."""
    concentration = np.asarray(concentration_uM, dtype=np.float64)
    share: FloatArray = np.expm1(-BINDING_PER_UM_S * concentration * duration_s) ** 2
    return share


def brightness(calcium_nM: npt.ArrayLike) -> FloatArray:
    """Brightness of the indicator at a concentration of Ca²⁺, relative to that at rest."""

    def fluorescence(calcium: FloatArray) -> FloatArray:
        bound = (calcium / AFFINITY_NM) ** COOPERATIVITY
        return 1 + BRIGHTENING * bound / (1 + bound)

    relative: FloatArray = fluorescence(np.asarray(calcium_nM, dtype=np.float64)) / fluorescence(
        np.asarray(REST_NM)
    )
    return relative


@dataclass(frozen=True, eq=False)
class Response:
    """Ca²⁺ after one pulse.

    Parameters
    ----------
    start_s : float
        Scan time at the pulse's end, in s.
    calcium_nM : ndarray, shape (S + P,)
        What each spine and each piece of shaft gains at the peak, nM.
    spiked : tuple of int
        The cells that answered with a dendritic spike.
    """

    start_s: float
    calcium_nM: FloatArray
    spiked: tuple[int, ...]


def time_course(since_s: float) -> float:
    """Share of the peak at a time after the pulse, 0 to 1."""
    if since_s <= 0:
        return 0.0
    peak_s = RISE_S * math.log1p(DECAY_S / RISE_S)

    def shape(t: float) -> float:
        return -math.expm1(-t / RISE_S) * math.exp(-t / DECAY_S)

    return shape(since_s) / shape(peak_s)


@dataclass(frozen=True, eq=False)
class CompartmentBrightness:
    """Brightness of the indicator by compartment, laid out on the map where it is asked for.

    Parameters
    ----------
    level : ndarray of float32, shape (S + P + 1,)
        Of each spine and each piece of shaft, relative to that at rest; the last one is that
        of what no cell owns.
    compartments : ndarray of int16, shape (H, H)
        From `Dendrites`.
    """

    level: FloatMap
    compartments: npt.NDArray[np.int16]

    def __getitem__(self, window: tuple[slice, slice]) -> FloatMap:
        """Return the brightness on some rows and columns of the map."""
        return self.level[self.compartments[window]]


class CalciumActivity:
    """Ca²⁺ of dendrites, as an indicator shows it; remembers the pulses of late.

    Parameters
    ----------
    dendrites : Dendrites
        What there is.
    seed : int
        Of what cells and spines are like, and of the pulses' scatter: pulse n draws from
        ``default_rng([seed, 1, n])``.
    """

    def __init__(self, dendrites: Dendrites, seed: int) -> None:
        self.dendrites = dendrites
        self._seed = seed
        rng = np.random.default_rng([seed, 0])
        self.thresholds: FloatArray = THRESHOLD * rng.lognormal(0.0, CELL_SPREAD, dendrites.cells)
        spines = dendrites.spines
        responsive = rng.uniform(size=len(spines)) < RESPONSIVE
        self.receptors: FloatArray = responsive * rng.lognormal(0.0, SPINE_SPREAD, len(spines))
        self._x_m = np.concatenate([[s.x_m for s in spines], dendrites.piece_x_m])
        self._y_m = np.concatenate([[s.y_m for s in spines], dendrites.piece_y_m])
        self._cell = np.concatenate(
            [np.array([s.cell for s in spines], np.int64), dendrites.piece_cell]
        )
        self._responses: list[Response] = []
        self._pulses = 0

    @property
    def responses(self) -> tuple[Response, ...]:
        """The responses of late, oldest first."""
        return tuple(self._responses)

    def pulse(
        self,
        x_m: float,
        y_m: float,
        power_uW: float,
        duration_s: float,
        start_s: float,
    ) -> Response:
        """Release glutamate at a spot.

        Parameters
        ----------
        x_m, y_m : float
            The spot, in m.
        power_uW : float
            405-nm power at the back aperture, µW.
        duration_s : float
            Length of the pulse, in s.
        start_s : float
            Scan time at its end, in s.
        """
        rng = np.random.default_rng([self._seed, 1, self._pulses])
        self._pulses += 1
        number = len(self.dendrites.spines)
        distance = np.hypot(self._x_m - x_m, self._y_m - y_m)
        released_uW = power_uW * float(rng.lognormal(0.0, PULSE_SPREAD))
        bound = bound_share(released_glutamate(distance, released_uW, duration_s), duration_s)
        calcium = np.empty_like(bound)
        calcium[:number] = SPINE_NM * self.receptors * bound[:number]
        calcium[number:] = SHAFT_NM * bound[number:]
        spiked = []
        for cell, threshold in enumerate(self.thresholds):
            sum_of_cell = self._depolarisation(cell, bound, distance) * float(
                rng.lognormal(0.0, SPIKE_SPREAD)
            )
            if sum_of_cell > threshold:
                spiked.append(cell)
                mine = self._cell == cell
                stretch_m = SPIKE_M * float(rng.lognormal(0.0, STRETCH_SPREAD))
                spike = SPIKE_NM * np.exp(-0.5 * (distance / stretch_m) ** 2)
                calcium += np.where(mine, spike, 0.0)
        response = Response(start_s, calcium, tuple(spiked))
        self._responses = [r for r in self._responses if start_s - r.start_s < FORGOTTEN_S] + [
            response
        ]
        return response

    def _depolarisation(self, cell: int, bound: FloatArray, distance_m: FloatArray) -> float:
        """Bound receptors along a dendrite near the spot, in spines' worth."""
        number = len(self.dendrites.spines)
        here = (self._cell == cell) & (distance_m < SUMMED_M)
        of_spines = (self.receptors * bound[:number])[here[:number]].sum()
        of_shaft = SHAFT_RECEPTORS_PER_M * PIECE_M * bound[number:][here[number:]].sum()
        return float(of_spines + of_shaft)

    def brightness(self, scan_time_s: float) -> CompartmentBrightness | None:
        """How much brighter the indicator is than at rest; None where all is at rest.

        Parameters
        ----------
        scan_time_s : float
            When, in s of scan time.
        """
        shares = [time_course(scan_time_s - response.start_s) for response in self._responses]
        if not any(shares):
            return None
        gained = sum(
            share * response.calcium_nM
            for share, response in zip(shares, self._responses, strict=True)
        )
        # The last entry is what no cell owns, index -1.
        level = np.append(brightness(REST_NM + gained), 1.0).astype(np.float32)
        return CompartmentBrightness(level, self.dendrites.compartments)

    def exposed(
        self, exposure: Exposure, powers_W: Mapping[float, float], scan_time_s: float
    ) -> None:
        """Take note of a frame: 405 nm uncages, other wavelengths do nothing here.

        A scan of several pixels counts as one pulse in the field's middle, with the light of
        all its pixels.

        Parameters
        ----------
        exposure : Exposure
            Where and how long.
        powers_W : mapping of wavelength in nm to power in W
            What was on, at the back aperture.
        scan_time_s : float
            Scan time at its beginning, in s.
        """
        power_W = powers_W.get(UNCAGING_NM, 0.0)
        if power_W > 0:
            duration_s = exposure.time_on_pixel_s * math.prod(exposure.shape)
            end_s = scan_time_s + duration_s
            self.pulse(exposure.x_m, exposure.y_m, power_W * 1e6, duration_s, end_s)
