"""The dyes of the twin: plausible constants, and refusal of impossible ones."""

from __future__ import annotations

import dataclasses
import math

import pytest

from stedopt_bluesky.twin.fluorophores import FLUOROPHORES
from stedopt_bluesky.twin.photophysics import bleaching_rate_per_s
from stedopt_bluesky.twin.spectra import FAR_RED

PLANCK_J_S = 6.62607015e-34
LIGHT_M_PER_S = 299_792_458.0


@pytest.mark.parametrize("name", FLUOROPHORES)
def test_dyes_are_found_by_their_own_name(name: str) -> None:
    assert FLUOROPHORES[name].name == name


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        FLUOROPHORES["STAR635P"] = FLUOROPHORES["SiR"]  # type: ignore[index]


def test_excitation_saturation_follows_from_cross_section_and_focus() -> None:
    # P_sat = f·hν / σ × (focal area) / transmission. Area of a diffraction-limited Gaussian focus
    # of FWHM 0.51 λ/NA = 233 nm; a circularly polarised 1.4 NA focus is some 20 % wider.
    area = math.pi / (4 * math.log(2)) * (0.51 * 640e-9 / 1.4 * 1.2) ** 2
    photon = PLANCK_J_S * LIGHT_M_PER_S / 640e-9
    expected = 40e6 * photon * area / (2.14e-20 * 0.85)
    assert FLUOROPHORES["ATTO647N"].excitation_saturation_W == pytest.approx(expected, rel=0.2)


def test_dyes_rank_by_photostability_as_documented() -> None:
    rates = {
        name: bleaching_rate_per_s(10e-6, 0.15, dye)
        for name, dye in FLUOROPHORES.items()
        if dye.spectrum == FAR_RED
    }
    assert sorted(rates, key=rates.__getitem__) == ["STAR635P", "SiR", "ATTO647N", "Alexa633"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quantum_yield", 1.1),
        ("quantum_yield", -0.1),
        ("depletion_saturation_W", 0.0),
        ("excitation_saturation_W", 0.0),
        ("bleaching_turnover_W", 0.0),
        ("lifetime_s", 0.0),
        ("bleaching_exponent", math.nan),
        ("bleaching_depletion_per_s", math.inf),
    ],
)
def test_impossible_constants_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(FLUOROPHORES["STAR635P"], **{field: value})
