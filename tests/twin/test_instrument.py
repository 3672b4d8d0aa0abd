"""The twin's lasers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.twin.instrument import LASERS, LaserUnit, effective_powers
from stedopt_bluesky.twin.spectra import FAR_RED


def test_the_lasers_of_the_instrument():
    assert [laser.wavelength_nm for laser in LASERS] == [405, 485, 518, 561, 595, 640, 775]
    assert [laser.id for laser in LASERS if laser.role == "depletion"] == ["LAS4", "LAS6"]
    assert len({laser.id for laser in LASERS}) == 7


def test_full_powers_cover_the_ranges_of_the_paper():
    full = {laser.wavelength_nm: laser.full_power_W for laser in LASERS}
    assert full[640] >= 26.8e-6
    assert full[485] >= 13.3e-6
    assert full[405] >= 42e-6
    assert full[595] >= 99.3e-3
    assert full[775] >= 360e-3


@given(st.floats(0, 100))
def test_power_is_linear(percent):
    laser = LaserUnit("L", 640.0, "excitation", 2.0)
    assert laser.power_at(percent) == pytest.approx(percent * 0.02)


@pytest.mark.parametrize("field", ["wavelength_nm", "full_power_W"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_wrong_lasers(field, value):
    arguments = {"wavelength_nm": 640.0, "full_power_W": 1e-5, field: value}
    with pytest.raises(ValueError, match=field):
        LaserUnit("L", role="excitation", **arguments)


def test_a_far_red_dye_wants_640_and_775_nm():
    powers_W = {laser.id: 1.0 for laser in LASERS}
    for laser in LASERS:
        excitation, depletion = effective_powers({laser.id: 1.0}, LASERS, FAR_RED)
        if laser.wavelength_nm == 640:
            assert (excitation, depletion) == (1, 0)
        elif laser.wavelength_nm == 775:
            assert (excitation, depletion) == (0, 1)
        else:
            assert excitation + depletion < 0.1
    assert effective_powers(powers_W, LASERS, FAR_RED) == pytest.approx((1, 1), rel=1e-3)
    assert effective_powers({}, LASERS, FAR_RED) == (0, 0)
