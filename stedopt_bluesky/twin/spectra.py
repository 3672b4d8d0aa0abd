"""The wavelengths of a dye: which lasers excite and deplete it, which detectors see it."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Half a dye's absorption band, and half the red tail that stimulated emission uses, as
# standard deviations of Gaussians, in nm: typical of organic dyes. A neighbouring laser
# line (43 nm away at the least) then excites a tenth at most. That a depletion laser also
# excites redder dyes is left out.
EXCITATION_BAND_NM = 20.0
DEPLETION_BAND_NM = 40.0
# Half the emission band, as a standard deviation: typical too.
EMISSION_BAND_NM = 20.0


@dataclass(frozen=True)
class Spectrum:
    """The wavelengths that a dye is used with.

    Parameters
    ----------
    excitation_nm, depletion_nm : float
        Wavelengths of excitation and depletion, in nm.
    emission_nm : float
        Maximum of its emission, in nm.
    filter_nm : tuple of float
        Band that it is usually detected in, in nm; the microscope's detection efficiency is
        meant for this one.
    """

    excitation_nm: float
    depletion_nm: float
    emission_nm: float
    filter_nm: tuple[float, float]

    def excited_by(self, wavelength_nm: float) -> float:
        """How well a laser excites it, 0 to 1."""
        return _gaussian(wavelength_nm - self.excitation_nm, EXCITATION_BAND_NM)

    def depleted_by(self, wavelength_nm: float) -> float:
        """How well a laser depletes it, 0 to 1."""
        return _gaussian(wavelength_nm - self.depletion_nm, DEPLETION_BAND_NM)

    def detected_in(self, low_nm: float, high_nm: float) -> float:
        """Light of the dye in a detector's band, of that in its usual band."""
        return self._emitted(low_nm, high_nm) / self._emitted(*self.filter_nm)

    def _emitted(self, low_nm: float, high_nm: float) -> float:
        """Share of the emission between two wavelengths, 0 to 1."""
        low, high = (
            math.erf((edge - self.emission_nm) / (EMISSION_BAND_NM * math.sqrt(2)))
            for edge in (low_nm, high_nm)
        )
        return max(0.0, (high - low) / 2)


def _gaussian(away_nm: float, band_nm: float) -> float:
    return math.exp(-0.5 * (away_nm / band_nm) ** 2)


# ET685/70, ET605/50 and ET525/50 are usual band-pass filters of the three colours.
FAR_RED = Spectrum(640.0, 775.0, 655.0, (650.0, 720.0))
ORANGE = Spectrum(561.0, 775.0, 605.0, (580.0, 630.0))
GREEN = Spectrum(485.0, 595.0, 510.0, (500.0, 550.0))
