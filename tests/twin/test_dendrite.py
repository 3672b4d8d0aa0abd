"""Dendrites with spines: sizes as published, a map and a list of spines that agree."""

import numpy as np
import pytest

from stedopt_bluesky.twin.dendrite import (
    HEAD_RANGE_M,
    NECK_RANGE_M,
    NOTHING,
    SPINES_PER_M,
    make_dendrites,
    make_receptors,
)

FIELD_M = 60e-6


@pytest.fixture(scope="module")
def dendrites():
    return make_dendrites(1, FIELD_M, 2)


def _pixel(dendrites, x_m, y_m):
    pixels = len(dendrites.indicator)
    column = int(x_m / dendrites.pixel_size_m + pixels / 2)
    return int(y_m / dendrites.pixel_size_m + pixels / 2), column


def test_the_same_seed_gives_the_same_bits(dendrites):
    again = make_dendrites(1, FIELD_M, 2)

    assert np.array_equal(again.indicator, dendrites.indicator)
    assert np.array_equal(again.compartments, dendrites.compartments)
    assert again.spines == dendrites.spines


def test_another_seed_gives_other_spines(dendrites):
    assert make_dendrites(2, FIELD_M, 2).spines != dendrites.spines


def test_the_number_of_spines_is_that_of_the_density_and_the_length():
    numbers = [len(make_dendrites(seed, FIELD_M, 1).spines) for seed in range(30)]

    # A dendrite is a little longer than the field; spines at the edge are left out.
    assert np.mean(numbers) == pytest.approx(SPINES_PER_M * FIELD_M, rel=0.15)


def test_spines_have_sizes_of_the_literature_and_unit_axes(dendrites):
    for spine in dendrites.spines:
        assert HEAD_RANGE_M[0] <= spine.head_diameter_m <= HEAD_RANGE_M[1]
        assert NECK_RANGE_M[0] <= spine.neck_length_m <= NECK_RANGE_M[1]
        assert np.hypot(spine.axis_x, spine.axis_y) == pytest.approx(1)


def test_a_spine_is_on_the_map_where_the_list_says(dendrites):
    own = [
        dendrites.compartments[_pixel(dendrites, spine.x_m, spine.y_m)] == i
        for i, spine in enumerate(dendrites.spines)
    ]

    # Some lie behind another one.
    assert np.mean(own) > 0.8
    assert all(dendrites.indicator[_pixel(dendrites, s.x_m, s.y_m)] > 0 for s in dendrites.spines)


def test_the_axis_leads_away_from_the_dendrite(dendrites):
    piece = np.stack([dendrites.piece_x_m, dendrites.piece_y_m])

    for spine in dendrites.spines:
        head = np.array([[spine.x_m], [spine.y_m]])
        axis = np.array([[spine.axis_x], [spine.axis_y]])
        own = dendrites.piece_cell == spine.cell
        near = np.hypot(*(piece[:, own] - head)).min()
        behind = np.hypot(*(piece[:, own] - head - 1e-6 * axis)).min()
        assert behind > near


def test_there_is_indicator_where_there_is_a_cell_and_nowhere_else(dendrites):
    inside = dendrites.compartments != NOTHING

    assert np.array_equal(dendrites.indicator > 0, inside)
    assert 0.01 < inside.mean() < 0.2
    assert dendrites.compartments.max() < len(dendrites.spines) + len(dendrites.piece_cell)


def test_cells_have_strips_of_their_own(dendrites):
    middles = [dendrites.piece_y_m[dendrites.piece_cell == cell].mean() for cell in range(2)]

    assert middles[1] - middles[0] > FIELD_M / 4


def test_receptors_are_in_the_heads(dendrites):
    pixel_m = 20e-9
    density = make_receptors(dendrites, 5, 3000, pixel_m)

    in_heads = 0.0
    for spine in dendrites.spines:
        row, column = (int(v / pixel_m + 1500) for v in (spine.y_m, spine.x_m))
        in_heads += float(density[row - 15 : row + 16, column - 15 : column + 16].mean())
    assert in_heads / len(dendrites.spines) > 20 * density.mean()
    assert np.array_equal(density, make_receptors(dendrites, 5, 3000, pixel_m))


@pytest.mark.parametrize("cells", [0, 8])
def test_too_many_cells_or_none_are_refused(cells):
    with pytest.raises(ValueError, match=f"cells = {cells}"):
        make_dendrites(0, FIELD_M, cells)
