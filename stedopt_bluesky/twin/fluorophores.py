"""Fluorophores of the digital twin: wavelengths, brightness, depletion and photobleaching.

Brightness and depletion are set by few numbers that are published or follow
from published ones. Photobleaching constants are effective ones, for the whole
focus of a 1.4 NA objective; they were fitted to pySTED 0.0.4 [P24]_ with
640-nm excitation, 775-nm depletion (400 ps at 40 MHz) and the far-red dye of its
authors' gym-sted (σ_abs = 2.14e-20 m², σ_ste = 3.0e-22 m², lifetime 3.5 ns,
k₁ = 1.3e-15, b = 1.6). ``tests/benchmarks/twin_against_pysted.py`` repeats that comparison.

References
----------
.. [P24] Bilodeau et al., "Development of AI-assisted microscopy
   frameworks through realistic simulation with pySTED", Nat. Mach. Intell. 6 (2024).
.. [O17] Oracz et al., "Photobleaching in STED nanoscopy and its dependence on the photon
   flux applied for reversible silencing of the fluorophore", Sci. Rep. 7:11354 (2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from stedopt_bluesky.twin.spectra import FAR_RED, GREEN, ORANGE, Spectrum


@dataclass(frozen=True)
class Fluorophore:
    """One dye, by the constants that the photophysics needs.

    Parameters
    ----------
    name : str
        Usual name.
    quantum_yield : float
        Emitted photons per excitation, 0 to 1.
    excitation_saturation_W : float
        Average excitation power at the back aperture at which a molecule in the centre of
        the focus is excited by a pulse with probability 1 - 1/e, in W. From
        ``f·h·c·a / (λ σ_abs t)``, with f = 40 MHz, a the focal area, t the transmission:
        55 µW for σ_abs = 2.14e-20 m² at 640 nm in pySTED's focus.
    depletion_saturation_W : float
        Depletion power at the back aperture at which the FWHM shrinks by √2, in W
        (P_sat in ``d₀/√(1+P/P_sat)``, Harke et al., Opt. Express 16:4154, 2008).
    bleaching_excitation_per_s : float
        Photobleaching rate of an excited molecule without depletion, in 1/s. pySTED has none.
    bleaching_depletion_per_s : float
        Photobleaching rate of an excited molecule at 100 mW of depletion, before the
        shortening of the excited state, in 1/s (k₁ of [O17]_ in this focus).
    bleaching_exponent : float
        b of ``k₁·I^b`` [O17]_: above 1, photobleaching needs more than one depletion photon.
    bleaching_turnover_W : float
        Depletion power at which stimulated emission shortens the excited state within the
        depletion pulse, in W; well above it the rate grows as ``P^(b-1)``.
    spectrum : Spectrum
        The wavelengths that it is used with.
    lifetime_s : float
        Lifetime of the excited state without depletion, in s; above 0.

    Raises
    ------
    ValueError
        When a number is not finite or not in its range.
    """

    name: str
    quantum_yield: float
    excitation_saturation_W: float
    depletion_saturation_W: float
    bleaching_excitation_per_s: float
    bleaching_depletion_per_s: float
    bleaching_exponent: float
    bleaching_turnover_W: float
    spectrum: Spectrum = FAR_RED
    lifetime_s: float = 3.5e-9

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float | int) and not (math.isfinite(value) and value >= 0):
                raise ValueError(
                    f"{self.name}: {field.name} must be finite and not negative, got {value}"
                )
        if self.quantum_yield > 1:
            raise ValueError(
                f"{self.name}: quantum_yield must be at most 1, got {self.quantum_yield}"
            )
        for name in (
            "excitation_saturation_W",
            "depletion_saturation_W",
            "bleaching_turnover_W",
            "lifetime_s",
        ):
            if getattr(self, name) == 0:
                raise ValueError(f"{self.name}: {name} must be above 0")


# Fitted to pySTED with gym-sted's dye from 25 to 360 mW: within 4 % (see the module's docstring).
_ATTO647N = Fluorophore(
    name="ATTO647N",
    quantum_yield=0.65,  # ATTO-TEC data sheet; also gym-sted
    excitation_saturation_W=55e-6,
    depletion_saturation_W=19.5e-3,
    bleaching_excitation_per_s=300.0,  # assumed: a 10 µW, 10 µs confocal image costs about 3 %
    bleaching_depletion_per_s=3.08e4,
    bleaching_exponent=1.6,
    bleaching_turnover_W=28.8e-3,
)

# Below, only what a data sheet states is measured: quantum yield, and the excitation saturation,
# which scales inversely with the extinction coefficient. Bleaching constants are ATTO647N's times
# a factor chosen for the order in which microscopists rank these dyes, not fitted to data.
_STAR635P = Fluorophore(
    name="STAR635P",
    quantum_yield=0.90,  # abberior data sheet; ε = 120 000 against 150 000 /(M cm)
    excitation_saturation_W=69e-6,
    depletion_saturation_W=19.5e-3,
    bleaching_excitation_per_s=120.0,
    bleaching_depletion_per_s=7.7e3,  # a quarter: robust, the default of the fixed samples
    bleaching_exponent=1.6,
    bleaching_turnover_W=28.8e-3,
)
_SIR = Fluorophore(
    name="SiR",
    quantum_yield=0.39,  # Lukinavičius et al., Nat. Chem. 5:132, 2013; ε = 100 000 /(M cm)
    excitation_saturation_W=82e-6,
    depletion_saturation_W=24e-3,  # redder emission is missed a little by 775 nm: assumed
    bleaching_excitation_per_s=150.0,
    bleaching_depletion_per_s=1.0e4,  # a third
    bleaching_exponent=1.6,
    bleaching_turnover_W=28.8e-3,
)
_ALEXA633 = Fluorophore(
    name="Alexa633",
    quantum_yield=0.50,  # assumed; the maker states none
    excitation_saturation_W=82e-6,  # ε = 100 000 /(M cm), Thermo Fisher
    depletion_saturation_W=22e-3,
    bleaching_excitation_per_s=1500.0,
    bleaching_depletion_per_s=6.2e4,  # twice: easily bleached, for hard test cases
    bleaching_exponent=1.6,
    bleaching_turnover_W=28.8e-3,
)

_STAR580 = Fluorophore(
    name="STAR580",
    quantum_yield=0.90,  # abberior data sheet; ε = 95 000 /(M cm)
    excitation_saturation_W=99e-6,  # a shorter wavelength, 561 nm, has more energy per photon
    depletion_saturation_W=39e-3,  # 775 nm is far in its red tail: twice as much is needed, assumed
    bleaching_excitation_per_s=200.0,
    bleaching_depletion_per_s=7.7e3,
    bleaching_exponent=1.6,
    bleaching_turnover_W=57.6e-3,
    spectrum=ORANGE,
)
_EGFP = Fluorophore(
    name="EGFP",
    quantum_yield=0.60,  # Patterson et al., Biophys. J. 73:2782, 1997; ε = 56 000 /(M cm)
    excitation_saturation_W=195e-6,
    depletion_saturation_W=8e-3,  # 595 nm; the paper's live green images took 9.7 to 99.3 mW
    bleaching_excitation_per_s=600.0,
    bleaching_depletion_per_s=3.0e4,
    bleaching_exponent=1.6,
    bleaching_turnover_W=12e-3,
    spectrum=GREEN,
    lifetime_s=2.6e-9,
)

# A Ca²⁺ indicator made of EGFP; a molecule of the map is one as bright as EGFP, at rest.
_GCAMP6S = Fluorophore(
    name="GCaMP6s",
    quantum_yield=0.60,
    excitation_saturation_W=195e-6,
    depletion_saturation_W=8e-3,
    # Half of EGFP's, assumed: what is bleached is replaced from elsewhere in the cytosol.
    bleaching_excitation_per_s=300.0,
    bleaching_depletion_per_s=3.0e4,
    bleaching_exponent=1.6,
    bleaching_turnover_W=12e-3,
    spectrum=GREEN,
    lifetime_s=2.6e-9,
)

FLUOROPHORES: Mapping[str, Fluorophore] = MappingProxyType(
    {dye.name: dye for dye in (_STAR635P, _ATTO647N, _SIR, _ALEXA633, _STAR580, _EGFP, _GCAMP6S)}
)
