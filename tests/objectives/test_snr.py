import numpy as np
import pytest

from stedopt_bluesky.acquisition import invalid_reason
from stedopt_bluesky.objectives import signal_ratio

BLANK = np.zeros((10, 10), dtype=np.int16)


def square(inside, outside, dtype=np.int16):
    """A 4 × 4 square of one count on a background of another."""
    image = np.full((10, 10), outside, dtype=dtype)
    image[3:7, 3:7] = inside
    return image


def test_known_ratio():
    # (30 - 2) / 40
    assert signal_ratio(square(30, 2), square(40, 1)) == pytest.approx(0.7)


def test_the_percentile_is_the_75th_and_the_background_a_mean():
    sted, confocal = square(0, 0, float), square(8, 0, float)
    sted[3:7, 3:7] = np.arange(100, 116).reshape(4, 4)
    sted[0, 0] = 8.4  # mean outside: 8.4 / 84
    expected = (np.sort(sted[3:7, 3:7].ravel())[11] + 0.25 - 0.1) / 8
    assert signal_ratio(sted, confocal) == pytest.approx(expected)


def test_the_published_programs_subtrahend_not_the_papers():
    # With the paper's mean(STED_fg) a flat foreground would give 0.
    assert signal_ratio(square(30, 0), square(30, 0)) == 1.0


def test_sted_outside_the_confocal_foreground_counts_as_background():
    sted = square(30, 0)
    sted[0, :] = 30
    assert signal_ratio(sted, square(30, 0)) == pytest.approx((30 - 10 * 30 / 84) / 30)


def test_zero_when_sted_shows_nothing_of_the_structure():
    assert signal_ratio(BLANK, square(30, 0)) == 0.0
    elsewhere = np.roll(square(30, 0), 5, axis=(0, 1))
    elsewhere[3:7, 3:7] = 0
    assert signal_ratio(elsewhere, square(30, 0)) == 0.0


def test_negative_is_invalid():
    mask = square(1, 0).astype(bool)
    darker = square(1, 5)
    value = signal_ratio(darker, square(30, 0), sted_fg=mask)
    assert invalid_reason(value) == "the STED image's foreground is darker than its background"


def test_no_reference_no_ratio():
    value = signal_ratio(square(30, 0), BLANK)
    assert invalid_reason(value) == "confocal 1 has no foreground"
    value = signal_ratio(square(30, 0), square(-1, -5))
    assert invalid_reason(value) == "confocal 1 has no positive signal"


def test_a_mask_without_background_has_no_answer():
    mask = np.ones((10, 10), dtype=bool)
    value = signal_ratio(square(9, 0), square(9, 0), sted_fg=mask)
    assert invalid_reason(value) == "the STED image has no background"


def test_int16_does_not_overflow():
    assert signal_ratio(square(32767, -32768), square(32767, -32768)) == pytest.approx(
        65535 / 32767
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_pixel_that_is_no_count_is_invalid(bad):
    broken = square(30, 0, float)
    broken[0, 0] = bad
    value = signal_ratio(broken, square(30, 0))
    assert invalid_reason(value) == "a pixel of the STED image is not a finite count"
    value = signal_ratio(square(30, 0), broken)
    assert invalid_reason(value) == "a pixel of confocal 1 is not a finite count"


def test_given_masks_give_the_same_as_computed_ones():
    rng = np.random.default_rng(0)
    sted, confocal = rng.poisson(square(20, 2)), rng.poisson(square(50, 5))
    structure = square(1, 0).astype(bool)
    assert signal_ratio(sted, confocal) == signal_ratio(
        sted, confocal, sted_fg=structure, confocal1_fg=structure
    )


def test_scale_of_both_images_does_not_matter():
    rng = np.random.default_rng(1)
    sted, confocal = rng.poisson(square(20, 2)), rng.poisson(square(50, 5))
    assert signal_ratio(7 * sted, 7 * confocal) == pytest.approx(signal_ratio(sted, confocal))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"sted \(10, 10\), confocal1 \(9, 10\)"):
        signal_ratio(BLANK, BLANK[1:])
