"""The twin's optics bench: seven lasers, what they deliver and what they do to a dye."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from stedopt_bluesky.twin.spectra import Spectrum


@dataclass(frozen=True)
class LaserUnit:
    """One laser of the microscope.

    Parameters
    ----------
    id : str
        Name in Imspector's parameter tree, for example ``"LAS5"``.
    wavelength_nm : float
        Wavelength, in nm.
    role : {"excitation", "depletion"}
        Gaussian focus that excites, or doughnut that depletes.
    full_power_W : float
        Power at the back aperture at 100 % of the calibrated power, in W; the relation is
        linear on the twin.

    Raises
    ------
    ValueError
        When a number is not positive and finite.
    """

    id: str
    wavelength_nm: float
    role: Literal["excitation", "depletion"]
    full_power_W: float

    def __post_init__(self) -> None:
        for name in ("wavelength_nm", "full_power_W"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"laser {self.id}: {name} must be positive, got {value}")

    @property
    def calibration_name(self) -> str:
        """Name of the calibration, for example ``"Exc_640"``, as instruments of this kind have."""
        prefix = "Exc" if self.role == "excitation" else "STED"
        return f"{prefix}_{self.wavelength_nm:.0f}"

    def power_at(self, percent: float) -> float:
        """Return the power at the back aperture, in W, at a percentage of the calibrated power."""
        return self.full_power_W * percent / 100


# Wavelengths of an Abberior Expert Line (Durand et al. 2018, methods). Full powers are
# round numbers above the highest that the paper used: 26.8 µW (640 nm), 13.3 µW (485 nm),
# 42 µW (405 nm), 99.3 mW (595 nm), 360 mW (775 nm), all at the back aperture.
LASERS = (
    LaserUnit("LAS0", 405.0, "excitation", 50e-6),
    LaserUnit("LAS1", 485.0, "excitation", 50e-6),
    LaserUnit("LAS2", 518.0, "excitation", 50e-6),
    LaserUnit("LAS3", 561.0, "excitation", 50e-6),
    LaserUnit("LAS4", 595.0, "depletion", 120e-3),
    LaserUnit("LAS5", 640.0, "excitation", 50e-6),
    LaserUnit("LAS6", 775.0, "depletion", 400e-3),
)


def effective_powers(
    powers_W: Mapping[str, float], lasers: Iterable[LaserUnit], dye: Spectrum
) -> tuple[float, float]:
    """Weigh the lasers' powers by how well their wavelengths suit the dye.

    Parameters
    ----------
    powers_W : mapping
        Power at the back aperture, in W, per laser id; a laser that is not in it is off.
    lasers : iterable of LaserUnit
        All lasers.
    dye : Spectrum
        The dye's wavelengths.

    Returns
    -------
    tuple of float
        Excitation and depletion power, in W, as if delivered at the dye's own wavelengths.
    """
    total = {"excitation": 0.0, "depletion": 0.0}
    for laser in lasers:
        suits = dye.excited_by if laser.role == "excitation" else dye.depleted_by
        total[laser.role] += suits(laser.wavelength_nm) * powers_W.get(laser.id, 0.0)
    return total["excitation"], total["depletion"]
