"""Gate, pinhole and focus: what they do to signal and background."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from stedopt_bluesky.twin.exposure import Optics
from stedopt_bluesky.twin.fluorophores import Fluorophore

# One Airy unit: what the new measurement's pinhole has. It passes 84 % of a focus in the plane.
AIRY_UNIT_M = 50e-6
AIRY_SHARE = 0.84
# Scattered light, and what fluoresces before the depletion pulse is over, comes with the pulses:
# their width, detector's jitter included. Assumed.
PROMPT_S = 0.4e-9
# A filter's edge is up to 20 nm from its laser; from there on autofluorescence and scatter fall
# off with the distance, assumed as a Gaussian.
NEXT_NM, SCATTER_BAND_NM = 20.0, 30.0
# Distance from the plane of focus at which a focus of 220 nm is √2 wider: π w₀²/λ.
DEPTH_OF_FOCUS_M = 0.3e-6


@dataclass(frozen=True)
class Detection:
    """How a channel detects.

    Parameters
    ----------
    low_nm, high_nm : float
        Band of its detector, in nm.
    gate_s : tuple of float or None
        Delay after the pulse and width of the gate, in s; None: all photons count.
    pinhole_m : float
        Diameter of the pinhole, in m.
    defocus_m : float
        Distance of the sample from the plane of focus, in m.
    """

    low_nm: float
    high_nm: float
    gate_s: tuple[float, float] | None = None
    pinhole_m: float = AIRY_UNIT_M
    defocus_m: float = 0.0

    def share(self, dye: Fluorophore) -> float:
        """Light of a dye that is counted, of that in its usual band without a gate."""
        return dye.spectrum.detected_in(self.low_nm, self.high_nm) * self._gated(dye.lifetime_s)

    def _gated(self, decay_s: float) -> float:
        """Share of light that decays so fast and falls into the gate."""
        if self.gate_s is None:
            return 1.0
        delay_s, width_s = self.gate_s
        return math.exp(-delay_s / decay_s) * -math.expm1(-width_s / decay_s)

    def scattered(self, excitation_nm: float) -> float:
        """Scatter of an excitation laser in the band, of that of a laser next to the band."""
        gap_nm = self.low_nm - excitation_nm
        return math.exp(-0.5 * (max(0.0, gap_nm - NEXT_NM) / SCATTER_BAND_NM) ** 2)

    def optics(self, optics: Optics) -> Optics:
        """Return the microscope's constants with this gate, pinhole and focus."""
        prompt = self._gated(PROMPT_S)
        open_area = (self.pinhole_m / AIRY_UNIT_M) ** 2
        passes = -math.expm1(open_area * math.log(1 - AIRY_SHARE)) / AIRY_SHARE
        wider = 1 + (self.defocus_m / DEPTH_OF_FOCUS_M) ** 2
        if (prompt, open_area, wider) == (1.0, 1.0, 1.0):
            return optics
        return dataclasses.replace(
            optics,
            confocal_fwhm_m=optics.confocal_fwhm_m * math.sqrt(wider),
            detection_efficiency=min(1.0, optics.detection_efficiency * passes / wider),
            pedestal=optics.pedestal * prompt,
            background_rate_per_s=optics.background_rate_per_s * open_area,
            scatter_excitation_per_J=optics.scatter_excitation_per_J * open_area * prompt,
            scatter_depletion_per_J=optics.scatter_depletion_per_J * open_area * prompt,
        )
