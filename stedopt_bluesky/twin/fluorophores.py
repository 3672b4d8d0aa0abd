"""Far-red fluorophores of the digital twin: brightness, depletion and photobleaching.

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

    def __post_init__(self) -> None:
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(
                    f"{self.name}: {field.name} must be finite and not negative, got {value}"
                )
        if self.quantum_yield > 1:
            raise ValueError(
                f"{self.name}: quantum_yield must be at most 1, got {self.quantum_yield}"
            )
        for name in ("excitation_saturation_W", "depletion_saturation_W", "bleaching_turnover_W"):
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

FLUOROPHORES: Mapping[str, Fluorophore] = MappingProxyType(
    {dye.name: dye for dye in (_STAR635P, _ATTO647N, _SIR, _ALEXA633)}
)
