import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu

from stedopt_bluesky.plans.regions import (
    RegionLayout,
    fill_rectangle,
    lay_regions,
    stage_fields,
)


def overview_with(tiles, rows=4, columns=4, pixels=20, background=2, signal=60):
    """Overview of square tiles of 20 pixels, photon noise on a background, bright in ``tiles``."""
    counts = np.full((rows * pixels, columns * pixels), float(background))
    for row, column in tiles:
        inside = np.s_[row * pixels + 3 : (row + 1) * pixels - 3]
        counts[inside, column * pixels + 3 : (column + 1) * pixels - 3] = signal
    return np.random.default_rng(0).poisson(counts).astype(np.int16)


def places(regions):
    return [(round(r.x_um, 6), round(r.y_um, 6)) for r in regions]


def test_regions_lie_where_the_overview_is_bright():
    # Tiles of 2 µm (20 pixels of 100 nm); the centres of four are at ±1 and ±3 µm.
    overview = overview_with([(0, 0), (2, 3)])

    regions = lay_regions(overview, 100.0, 2.0, 0.3)

    assert places(regions) == [(-3, -3), (3, 1)]
    assert {r.size_um for r in regions} == {2.0}


def test_every_other_line_runs_backwards():
    everywhere = list(itertools.product(range(3), range(3)))

    regions = lay_regions(overview_with(everywhere, 3, 3), 100.0, 2.0, 0.3)

    assert places(regions) == [
        (-2, -2), (0, -2), (2, -2), (2, 0), (0, 0), (-2, 0), (-2, 2), (0, 2), (2, 2),
    ]  # fmt: skip


def test_a_field_that_is_no_multiple_of_the_region_is_used_from_its_middle():
    # 5.0 µm hold two regions of 2 µm a side, half a micrometre is left on each side.
    overview = np.random.default_rng(0).poisson(2.0, (50, 50)).astype(np.int16)
    overview[8:22, 8:22] += 60

    regions = lay_regions(overview, 100.0, 2.0, 0.3)

    assert places(regions) == [(-1, -1)]


@pytest.mark.parametrize(
    ("pixel_nm", "size_um", "side"), [(20.0, 1.28, 3), (20.0, 1.28, 9), (112.0, 4.48, 3)]
)
def test_a_length_that_is_a_multiple_but_for_rounding_loses_no_tile(pixel_nm, size_um, side):
    pixels = round(side * size_um * 1000 / pixel_nm)
    overview = np.random.default_rng(0).poisson(1.0, (pixels, pixels)).astype(np.int16)
    overview[:, pixels // 3 :] += 50

    assert len(lay_regions(overview, pixel_nm, size_um, 0.0)) == side**2


@pytest.mark.parametrize("share", [0.2, 0.45])
def test_the_minimum_foreground_decides(share):
    # 14 × 14 of 20 × 20 pixels are bright: about half of the tile.
    overview = overview_with([(1, 1)])
    assert len(lay_regions(overview, 100.0, 2.0, share)) == 1
    assert lay_regions(overview, 100.0, 2.0, 0.6) == []


@pytest.mark.parametrize("mean", [0.0, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_an_empty_field_has_no_regions(mean, seed):
    """Photon noise alone has a threshold too; nothing of it is structure."""
    empty = np.random.default_rng(seed).poisson(mean, (188, 188)).astype(np.int16)
    assert lay_regions(empty, 160.0, 2.0, 0.1) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_field_that_is_evenly_bright_is_used_all_over(seed):
    """A lawn of dye: photon noise, but on a signal that an empty field has not."""
    lawn = np.random.default_rng(seed).poisson(30.0, (188, 188)).astype(np.int16)
    assert len(lay_regions(lawn, 160.0, 2.0, 0.1)) == 15 * 15


@pytest.mark.parametrize("value", [-3, 0, 7, 32767])
def test_a_constant_overview_has_no_regions(value):
    assert lay_regions(np.full((50, 60), value, np.int16), 100.0, 2.0, 0.0) == []


def test_a_region_larger_than_the_overview_does_not_fit():
    assert lay_regions(overview_with([(0, 0)]), 100.0, 8.1, 0.0) == []


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(5, 80),
    width=st.integers(5, 80),
    pixel_nm=st.floats(20, 500),
    size_um=st.floats(0.5, 6),
    minimum=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_regions_never_overlap_and_never_leave_the_field(
    height, width, pixel_nm, size_um, minimum, seed
):
    rng = np.random.default_rng(seed)
    overview = rng.poisson(rng.gamma(0.3, 20, (height, width))).astype(np.int16)

    regions = lay_regions(overview, pixel_nm, size_um, minimum)

    for r in regions:
        assert abs(r.x_um) + size_um / 2 <= width * pixel_nm / 2000 * (1 + 1e-6)
        assert abs(r.y_um) + size_um / 2 <= height * pixel_nm / 2000 * (1 + 1e-6)
    for a, b in itertools.combinations(regions, 2):
        apart = max(abs(a.x_um - b.x_um), abs(a.y_um - b.y_um))
        assert apart >= size_um * (1 - 1e-9)
    # A stricter minimum keeps a part of them, in the same order.
    stricter = lay_regions(overview, pixel_nm, size_um, min(1.0, minimum + 0.3))
    remaining = iter(regions)
    assert all(r in remaining for r in stricter)


# --- margin and signal ------------------------------------------------------------------


def test_a_margin_is_kept_on_all_sides():
    # 8 µm hold two regions of 2 µm with 1 µm around each: 1 + 2 + 1 + 2 + 1 = 7.
    lawn = np.random.default_rng(0).poisson(30.0, (80, 80)).astype(np.int16)

    regions = lay_regions(lawn, 100.0, 2.0, 0.1, margin_um=1.0)

    assert places(regions) == [(-1.5, -1.5), (1.5, -1.5), (1.5, 1.5), (-1.5, 1.5)]
    assert {r.size_um for r in regions} == {2.0}
    assert len(lay_regions(lawn, 100.0, 2.0, 0.1)) == 16
    assert len(lay_regions(lawn, 100.0, 2.0, 0.1, margin_um=3.0)) == 1
    assert lay_regions(lawn, 100.0, 2.0, 0.1, margin_um=3.1) == []


def test_a_dim_region_is_left_out():
    # Of each tile 14 × 14 pixels are bright, so that their mean is not that of the tile.
    dim, bright = overview_with([(0, 0)], signal=45), overview_with([(2, 3)], signal=60)
    overview = np.maximum(dim, bright)

    assert places(lay_regions(overview, 100.0, 2.0, 0.1)) == [(-3, -3), (3, 1)]
    assert places(lay_regions(overview, 100.0, 2.0, 0.1, minimum_signal=53)) == [(3, 1)]
    assert lay_regions(overview, 100.0, 2.0, 0.1, minimum_signal=65) == []


def test_a_region_without_foreground_has_no_signal():
    overview = overview_with([(1, 1)])
    assert len(lay_regions(overview, 100.0, 2.0, 0.0)) == 16
    assert places(lay_regions(overview, 100.0, 2.0, 0.0, minimum_signal=1e-9)) == [(-1, -1)]


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(5, 80),
    width=st.integers(5, 80),
    pixel_nm=st.floats(20, 500),
    size_um=st.floats(0.5, 6),
    margin_um=st.floats(0, 4),
    seed=st.integers(0, 1000),
)
def test_no_region_lies_within_the_margin_of_the_border_or_of_another(
    height, width, pixel_nm, size_um, margin_um, seed
):
    rng = np.random.default_rng(seed)
    overview = rng.poisson(rng.gamma(0.3, 20, (height, width))).astype(np.int16)

    regions = RegionLayout(size_um, 0.0, margin_um=margin_um)(overview, pixel_nm, (0.0, 0.0))

    for r in regions:
        for at, pixels in ((r.x_um, width), (r.y_um, height)):
            assert pixels * pixel_nm / 2000 - (abs(at) + size_um / 2) >= margin_um - 1e-6
    for a, b in itertools.combinations(regions, 2):
        apart = max(abs(a.x_um - b.x_um), abs(a.y_um - b.y_um)) - size_um
        assert apart >= margin_um - 1e-6


@settings(max_examples=60, deadline=None)
@given(
    blocks=st.integers(4, 8),
    margin_px=st.sampled_from([0, 2, 4, 10]),
    signal=st.floats(0.1, 100),
    seed=st.integers(0, 1000),
)
def test_each_region_has_the_signal_and_no_region_that_has_it_is_lost(
    blocks, margin_px, signal, seed
):
    rng = np.random.default_rng(seed)
    structure = np.kron(rng.gamma(0.5, 40, (blocks, blocks)), np.ones((10, 10)))
    overview = rng.poisson(structure).astype(np.int16)
    smooth = gaussian_filter(overview.astype(float), 1.0)
    foreground = smooth > threshold_otsu(smooth)

    def signal_of(region):
        # 20 pixels of 100 nm, whose edges are those of pixels.
        centre = [at / 0.1 + 5 * blocks for at in (region.y_um, region.x_um)]
        assert centre == pytest.approx([round(at) for at in centre])
        inside = tuple(np.s_[round(at) - 10 : round(at) + 10] for at in centre)
        of_it = foreground[inside]
        return overview[inside][of_it].mean() if of_it.any() else 0.0

    laid = {"margin_um": margin_px * 0.1}
    regions = lay_regions(overview, 100.0, 2.0, 0.0, minimum_signal=signal, **laid)

    assert regions == [
        r for r in lay_regions(overview, 100.0, 2.0, 0.0, **laid) if signal_of(r) >= signal
    ]


def test_the_settings_that_leave_too_few_are_named():
    assert RegionLayout(2.0, 0.1).too_few(3) == (
        "only 3 regions of 2 µm hold at least 10% foreground; plan fewer images, or lower "
        "overview.minimum_foreground"
    )
    assert RegionLayout(2.0, 0.1, margin_um=1.0, minimum_signal=4.5).too_few(0) == (
        "only 0 regions of 2 µm hold at least 10% foreground, have at least 4.5 counts per pixel "
        "on it and lie 1 µm from the border and from one another; plan fewer images, or lower "
        "overview.minimum_foreground, overview.minimum_signal or overview.margin_um"
    )


# --- by hand, and several fields --------------------------------------------------------


def test_a_rectangle_is_filled_around_its_centre():
    regions = fill_rectangle((10.0, -5.0), (4.5, 2.0), 2.0, (80.0, 0.0))
    assert places(regions) == [(9, -5), (11, -5)]
    assert {(r.stage_x_um, r.stage_y_um) for r in regions} == {(80.0, 0.0)}
    assert fill_rectangle((0.0, 0.0), (1.9, 20.0), 2.0) == []


@given(
    st.tuples(st.floats(0.5, 30), st.floats(0.5, 30)),
    st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    st.floats(3, 5),
)
def test_regions_of_a_rectangle_lie_in_it_and_not_over_one_another(sides, centre, size):
    regions = fill_rectangle(centre, sides, size)
    assert len(regions) == int(sides[0] / size + 1e-9) * int(sides[1] / size + 1e-9)
    for region in regions:
        for at, middle, side in zip((region.x_um, region.y_um), centre, sides, strict=True):
            assert abs(at - middle) + size / 2 <= side / 2 + 1e-6
    for one, other in itertools.combinations(regions, 2):
        apart = max(abs(one.x_um - other.x_um), abs(one.y_um - other.y_um))
        assert apart >= size - 1e-6


def test_the_most_regions_are_spread_over_the_field():
    everywhere = list(itertools.product(range(4), range(4)))
    overview = overview_with(everywhere)
    every = lay_regions(overview, 100.0, 2.0, 0.3)
    some = lay_regions(overview, 100.0, 2.0, 0.3, most=4, stage_um=(1.0, 2.0))
    assert [every.index(dataclasses.replace(r, stage_x_um=0, stage_y_um=0)) for r in some] == [
        0, 5, 10, 15,
    ]  # fmt: skip
    assert lay_regions(overview, 100.0, 2.0, 0.3, most=99) == every


def test_a_layout_repeats_each_region():
    overview = overview_with([(0, 0), (2, 3)])
    repeated = RegionLayout(2.0, 0.3, images_per_region=3)(overview, 100.0, (0.0, 0.0))
    assert places(repeated) == [(-3, -3)] * 3 + [(3, 1)] * 3


def test_fields_begin_where_the_stage_stands_and_go_to_and_fro():
    assert stage_fields(1, 1, 80.0) == [(0, 0)]
    assert stage_fields(3, 2, 80.0) == [(0, 0), (80, 0), (160, 0), (160, 80), (80, 80), (0, 80)]
