import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.acquisition import invalid_reason
from stedopt_bluesky.objectives import photobleaching_fraction, sted_photobleaching_fraction

STRUCTURE = np.zeros((12, 16))
STRUCTURE[2:6, 3:9] = 1.0
BEFORE = 1000 * STRUCTURE + 10


@given(st.floats(-0.2, 1.0))
def test_known_fraction(lost):
    after = np.where(STRUCTURE > 0, (1 - lost) * BEFORE, 10)
    assert photobleaching_fraction(BEFORE, after) == pytest.approx(lost, abs=1e-12)


def test_only_the_foreground_of_the_image_before_counts():
    after = BEFORE.copy()
    after[STRUCTURE == 0] = 5000  # what lights up elsewhere is not this structure's signal
    assert photobleaching_fraction(BEFORE, after) == 0.0


def test_poisson_noise_stays_within_its_standard_error():
    rng = np.random.default_rng(0)
    measured = photobleaching_fraction(rng.poisson(BEFORE), rng.poisson(0.7 * BEFORE))
    error = math.sqrt(1010 / 24) / 1010  # 24 foreground pixels of 1010 photons
    assert measured == pytest.approx(0.3, abs=5 * error)


def test_int16_does_not_overflow():
    before = np.where(STRUCTURE > 0, 32767, 0).astype(np.int16)
    assert photobleaching_fraction(before, np.full_like(before, -32768)) == pytest.approx(
        65535 / 32767
    )


@pytest.mark.parametrize(
    ("blank", "lacks"),
    [
        (np.zeros((12, 16)), "foreground"),
        (np.full((12, 16), 9), "foreground"),
        (-BEFORE[::-1], "positive signal"),
    ],
)
def test_no_foreground_or_no_signal_no_answer(blank, lacks):
    assert invalid_reason(photobleaching_fraction(blank, BEFORE)) == f"confocal 1 has no {lacks}"
    reason = invalid_reason(sted_photobleaching_fraction(blank, BEFORE))
    assert reason == f"the first STED image has no {lacks}"


def test_everything_lost():
    assert photobleaching_fraction(BEFORE, np.zeros_like(BEFORE)) == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_pixel_that_is_no_count_is_invalid(bad):
    broken = BEFORE.copy()
    broken[0, 0] = bad
    for objective, names in (
        (photobleaching_fraction, ("confocal 1", "confocal 2")),
        (sted_photobleaching_fraction, ("the first STED image", "the last STED image")),
    ):
        for images, name in zip([(broken, BEFORE), (BEFORE, broken)], names, strict=True):
            reason = invalid_reason(objective(*images))
            assert reason == f"a pixel of {name} is not a finite count"


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"confocal1 \(12, 16\), confocal2 \(16, 12\)"):
        photobleaching_fraction(BEFORE, BEFORE.T)
    with pytest.raises(ValueError, match=r"first \(12, 16\), last \(16, 12\)"):
        sted_photobleaching_fraction(BEFORE, BEFORE.T)


@given(st.floats(-0.2, 1.0))
def test_known_fraction_of_the_sted_images(lost):
    after = np.where(STRUCTURE > 0, (1 - lost) * BEFORE, 10)
    assert sted_photobleaching_fraction(BEFORE, after) == pytest.approx(lost, abs=1e-12)
    assert sted_photobleaching_fraction(BEFORE, after, first_fg=STRUCTURE > 0) == pytest.approx(
        lost, abs=1e-12
    )
