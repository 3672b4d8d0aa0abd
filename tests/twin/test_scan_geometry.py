"""Sparse matrices between map and scan, against sums written out in full."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.twin.scan_geometry import (
    Axis,
    beam_matrix,
    overlap_matrix,
    scan_image,
    swept_fraction,
)

axes = st.builds(
    Axis,
    centre_m=st.floats(-2e-6, 2e-6),
    pixel_size_m=st.floats(5e-9, 300e-9),
    pixels=st.integers(1, 60),
)


@given(scan=axes, sample=axes, fwhm_m=st.floats(30e-9, 300e-9))
@settings(max_examples=60, deadline=None)
def test_beam_is_a_gaussian_of_the_distance(scan: Axis, sample: Axis, fwhm_m: float) -> None:
    distance = scan.centres_m()[:, None] - sample.centres_m()[None]
    expected = 0.5 ** (4 * (distance / fwhm_m) ** 2)  # half at half the FWHM, by definition
    # What lies beyond four sigma, 3.4e-4 of the peak, is cut.
    np.testing.assert_allclose(beam_matrix(scan, sample, fwhm_m).toarray(), expected, atol=3.5e-4)


@given(window=axes, sample=axes)
@settings(max_examples=60, deadline=None)
def test_overlap_is_the_length_of_the_intersection(window: Axis, sample: Axis) -> None:
    low = np.maximum(
        window.centres_m()[:, None] - window.pixel_size_m / 2,
        sample.centres_m()[None] - sample.pixel_size_m / 2,
    )
    high = np.minimum(
        window.centres_m()[:, None] + window.pixel_size_m / 2,
        sample.centres_m()[None] + sample.pixel_size_m / 2,
    )
    expected = np.clip(high - low, 0, None) / sample.pixel_size_m
    np.testing.assert_allclose(overlap_matrix(window, sample).toarray(), expected, atol=1e-5)


@given(low=st.floats(-3e-6, 3e-6), length=st.floats(0, 3e-6), axis=axes)
@settings(max_examples=60, deadline=None)
def test_part_is_where_the_slice_says(low: float, length: float, axis: Axis) -> None:
    chosen, part = axis.part(low, low + length)
    np.testing.assert_allclose(part.centres_m(), axis.centres_m()[chosen], rtol=0, atol=1e-15)
    inside = (axis.centres_m() > low) & (axis.centres_m() < low + length)
    assert set(np.flatnonzero(inside)) <= set(range(axis.pixels)[chosen])


def test_swept_fraction_is_the_sum_of_all_beam_positions() -> None:
    scan, sample, fwhm = Axis(0.1e-6, 20e-9, 40), Axis(0.0, 20e-9, 120), 220e-9
    positions = beam_matrix(scan, sample, fwhm).toarray().sum(axis=0)
    sigma_in_pixels = fwhm / 2.354820045 / 20e-9
    expected = positions / (np.sqrt(2 * np.pi) * sigma_in_pixels)
    np.testing.assert_allclose(swept_fraction(scan, sample, fwhm), expected, atol=2e-3)


def test_image_is_the_double_sum() -> None:
    rng = np.random.default_rng(0)
    density = rng.random((30, 40), dtype=np.float32)
    rows = beam_matrix(Axis(0, 50e-9, 7), Axis(0, 20e-9, 30), 100e-9)
    columns = beam_matrix(Axis(0, 50e-9, 9), Axis(0, 20e-9, 40), 100e-9)
    expected = np.einsum("ij,jk,lk->il", rows.toarray(), density, columns.toarray())
    assert scan_image(rows, density, columns) == pytest.approx(expected, rel=1e-5)
