"""Gate, pinhole and focus, against closed forms."""

import math

import pytest

from stedopt_bluesky.twin.detection import AIRY_UNIT_M, DEPTH_OF_FOCUS_M, Detection
from stedopt_bluesky.twin.exposure import Optics
from stedopt_bluesky.twin.fluorophores import FLUOROPHORES

DYE = FLUOROPHORES["STAR635P"]
OPTICS = Optics()


def detection(**changes):
    low, high = DYE.spectrum.filter_nm
    return Detection(**{"low_nm": low, "high_nm": high, **changes})


def test_the_usual_detection_changes_nothing():
    assert detection().share(DYE) == 1
    assert detection().optics(OPTICS) is OPTICS


def test_a_gate_takes_its_share_of_an_exponential_decay():
    gated = detection(gate_s=(0.75e-9, 8e-9)).share(DYE)
    decay = DYE.lifetime_s
    assert gated == pytest.approx(math.exp(-0.75e-9 / decay) - math.exp(-8.75e-9 / decay))
    # From the pulse on and for long: everything.
    assert detection(gate_s=(0.0, 1.0)).share(DYE) == pytest.approx(1)


def test_a_gate_that_begins_late_rejects_scatter_more_than_signal():
    late = detection(gate_s=(0.75e-9, 8e-9))
    optics = late.optics(OPTICS)
    kept = optics.scatter_depletion_per_J / OPTICS.scatter_depletion_per_J
    assert kept == pytest.approx(math.exp(-0.75 / 0.4), rel=1e-3)
    assert kept < late.share(DYE)
    assert optics.pedestal < OPTICS.pedestal


def test_a_pinhole_passes_the_focus_up_to_its_size_and_background_by_area():
    small, large = (detection(pinhole_m=f * AIRY_UNIT_M).optics(OPTICS) for f in (0.5, 2.0))
    assert small.detection_efficiency < OPTICS.detection_efficiency < large.detection_efficiency
    assert large.detection_efficiency == pytest.approx(OPTICS.detection_efficiency / 0.84, rel=0.01)
    assert large.background_rate_per_s == pytest.approx(4 * OPTICS.background_rate_per_s)
    assert large.dark_rate_per_s == OPTICS.dark_rate_per_s


@pytest.mark.parametrize("side", [-1, 1])
def test_out_of_focus_the_image_is_wide_and_dim(side):
    optics = detection(defocus_m=side * DEPTH_OF_FOCUS_M).optics(OPTICS)
    assert optics.confocal_fwhm_m == pytest.approx(math.sqrt(2) * OPTICS.confocal_fwhm_m)
    assert optics.detection_efficiency == pytest.approx(OPTICS.detection_efficiency / 2)


def test_scatter_falls_off_with_the_distance_of_the_laser():
    next_to, away = (detection().scattered(nm) for nm in (640.0, 485.0))
    assert next_to == 1
    assert away < 1e-4
