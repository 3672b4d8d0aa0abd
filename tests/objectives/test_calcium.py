import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stedopt_bluesky.acquisition import CalciumFrames, invalid_reason
from stedopt_bluesky.objectives import (
    df_over_f_peak,
    is_local,
    response_size_ratio,
    tile_response,
)
from stedopt_bluesky.objectives.calcium import tile_means

# 4 × 5 tiles: a cell over the left three columns, 20 photons per pixel on a dark ground.
CELL = np.zeros((32, 40))
CELL[:, :24] = 20.0


def frames(response, baseline=CELL, before=25, after=75):
    """Frames whose response lasts for two frames and is then gone."""
    later = [response, response] + [baseline] * (after - 2)
    return CalciumFrames(np.stack([baseline] * before), np.stack(later[:after]))


def spine(df_over_f, tiles=1):
    """A response in the first tiles of the first column."""
    response = CELL.copy()
    response[: 8 * tiles, :8] *= 1 + df_over_f
    return response


def test_tiles_are_means_of_8_by_8_pixels():
    counts = np.random.default_rng(0).poisson(9, (3, 20, 17)).astype(np.int16)
    means = tile_means(counts)
    assert means.shape == (3, 2, 2)
    for t, y, x in np.ndindex(means.shape):
        block = counts[t, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8]
        assert means[t, y, x] == pytest.approx(block.astype(float).mean())


def test_the_foreground_is_the_cell():
    tiles = tile_response(frames(CELL))
    assert np.array_equal(tiles.foreground, np.tile([True] * 3 + [False] * 2, (4, 1)))
    assert not tiles.df_over_f.any()


@given(st.floats(-1, 20), st.integers(1, 4))
def test_known_response(df_over_f, tiles):
    measured = frames(spine(df_over_f, tiles))
    assert df_over_f_peak(measured) == pytest.approx(max(df_over_f, 0), abs=1e-12)
    # Of 12 tiles; 0.75 exactly may fall on either side by rounding.
    expected = tiles / 12 if df_over_f >= 0.75 else 0.0
    if abs(df_over_f - 0.75) > 1e-9:
        assert response_size_ratio(measured) == pytest.approx(expected)


def test_a_response_of_three_quarters_counts():
    assert response_size_ratio(frames(spine(0.75))) == 1 / 12  # 20 · 1.75 is a float exactly


def test_only_the_first_two_frames_are_the_response():
    late = CalciumFrames(np.stack([CELL] * 25), np.stack([CELL, CELL] + [3 * CELL] * 73))
    assert df_over_f_peak(late) == 0.0
    one = CalciumFrames(np.stack([CELL] * 25), np.stack([3 * CELL, CELL] + [CELL] * 73))
    assert df_over_f_peak(one) == pytest.approx(1.0)  # (3 + 1) / 2 - 1


def test_the_foreground_is_seen_in_baseline_and_ten_frames():
    """A tile that lights up: 25 dim frames and the first 10 bright ones tell, later ones not."""
    dim = np.where(CELL > 0, 1.0, 0.0)
    lit = CalciumFrames(np.stack([dim] * 25), np.stack([20 * dim] * 10 + [1000 * dim] * 65))
    mean = (25 * 1 + 10 * 20) / 35
    assert df_over_f_peak(lit, mean - 0.01) == pytest.approx(19.0)
    assert math.isnan(df_over_f_peak(lit, mean + 0.01))


@pytest.mark.parametrize(("threshold", "tiles"), [(0.0, 12), (5.0, 12), (19.9, 12), (20.0, 0)])
def test_above_the_threshold_strictly(threshold, tiles):
    found = tile_response(frames(CELL), threshold)
    assert (0 if isinstance(found, float) else found.foreground.sum()) == tiles


def test_poisson_noise_stays_within_its_error():
    rng = np.random.default_rng(0)
    exact = frames(spine(2.0))
    noisy = CalciumFrames(
        *(rng.poisson(f).astype(np.int16) for f in (exact.baseline, exact.response))
    )
    # 128 pixels of 60 photons over 1600 of 20: 1.3 % of F / F0 = 3.
    assert df_over_f_peak(noisy) == pytest.approx(2.0, abs=5 * 0.013 * 3)
    assert response_size_ratio(noisy) == 1 / 12


@given(st.integers(1, 4), st.integers(0, 3))
def test_moving_the_cell_by_tiles_changes_nothing(tiles, shift):
    measured = frames(spine(1.5, tiles))
    moved = CalciumFrames(
        *(np.roll(f, 8 * shift, axis=1) for f in (measured.baseline, measured.response))
    )
    assert response_size_ratio(moved) == response_size_ratio(measured)
    assert df_over_f_peak(moved) == df_over_f_peak(measured)


@pytest.mark.parametrize(
    ("ratio", "local"), [(0.0, False), (0.01, True), (0.59, True), (0.6, False), (1.0, False)]
)
def test_a_local_response(ratio, local):
    assert is_local(ratio) is local
    assert is_local(math.nan) is False


def blank(value, shape=(4, 16, 16), dtype=np.float64):
    return np.full(shape, value, dtype)


@pytest.mark.parametrize(
    ("baseline", "response", "reason"),
    [
        (blank(9, (0, 16, 16)), blank(9), "there is no frame before the pulse"),
        (blank(9), blank(9, (1, 16, 16)), "there are fewer than 2 frames after the pulse"),
        (blank(9, (4, 7, 16)), blank(9, (4, 7, 16)), "the Ca²⁺ frames are smaller than 8 pixels"),
        (blank(9), blank(np.nan), "a pixel of the frames after the pulse is not a finite count"),
        (blank(np.inf), blank(9), "a pixel of the frames before the pulse is not a finite count"),
        (blank(0), blank(0), "no tile is foreground, above 5 photons per pixel"),
        (blank(0), blank(90), "no tile is foreground, above 5 photons per pixel"),  # no baseline
        (
            blank(-32768, dtype=np.int16),
            blank(32767),
            "no tile is foreground, above 5 photons per pixel",
        ),
    ],
)
def test_why_there_is_no_answer(baseline, response, reason):
    for objective in (df_over_f_peak, response_size_ratio):
        assert invalid_reason(objective(CalciumFrames(baseline, response))) == reason


def test_saturated_frames_show_no_response():
    saturated = CalciumFrames(*(blank(32767, dtype=np.int16) for _ in range(2)))
    assert df_over_f_peak(saturated) == response_size_ratio(saturated) == 0.0


stacks = hnp.arrays(
    st.sampled_from([np.int16, np.float32]),
    st.just((3, 9, 17)),
    elements=st.integers(-32768, 32767),
    fill=st.integers(-32768, 32767),
)


@given(stacks, stacks)
def test_any_counts(baseline, response):
    measured = CalciumFrames(baseline, response)
    peak, size = df_over_f_peak(measured), response_size_ratio(measured)
    assert math.isnan(peak) == math.isnan(size)
    if not math.isnan(peak):
        assert math.isfinite(peak)
        assert 0 <= size <= 1


@pytest.mark.parametrize("wrong", [-1, math.nan, math.inf])
def test_the_threshold_is_a_count(wrong):
    with pytest.raises(ValueError, match="threshold_photons must be finite and at least 0"):
        tile_response(frames(CELL), wrong)
