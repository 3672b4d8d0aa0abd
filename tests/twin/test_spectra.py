"""Which lasers and detectors suit a dye."""

import pytest

from stedopt_bluesky.twin.spectra import FAR_RED, GREEN, ORANGE

DYES = {"far red": FAR_RED, "orange": ORANGE, "green": GREEN}


@pytest.mark.parametrize("dye", DYES.values(), ids=DYES)
def test_a_dye_is_at_its_best_with_its_own_wavelengths(dye):
    assert dye.excited_by(dye.excitation_nm) == 1
    assert dye.depleted_by(dye.depletion_nm) == 1
    assert dye.detected_in(*dye.filter_nm) == 1


@pytest.mark.parametrize("dye", DYES.values(), ids=DYES)
@pytest.mark.parametrize("other", DYES.values(), ids=DYES)
def test_colours_are_told_apart(dye, other):
    if dye is other:
        return
    # Crosstalk needs excitation and detection both: below 1 % together.
    assert dye.excited_by(other.excitation_nm) * dye.detected_in(*other.filter_nm) < 0.01


def test_a_narrow_band_sees_less_and_a_wide_one_more():
    low, high = FAR_RED.filter_nm
    assert 0 < FAR_RED.detected_in(low + 20, high) < 1 < FAR_RED.detected_in(low - 20, high)
    # Both halves of a band make the whole.
    halves = FAR_RED.detected_in(low, 680) + FAR_RED.detected_in(680, high)
    assert halves == pytest.approx(1)
    assert FAR_RED.detected_in(680, 680) == FAR_RED.detected_in(700, 680) == 0
