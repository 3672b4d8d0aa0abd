"""Samples: generated, made of real images, seen through windows, and refused."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.twin.samples import (
    FLUOROPHORES_PER_COUNT,
    NORMALISED_COUNTS,
    SAMPLE_NAMES,
    Sample,
    make_sample,
    sample_from_image,
)

REAL = pathlib.Path(__file__).parents[2].parent / "shared" / "data" / "actin"


@pytest.fixture
def counts(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "counts.npy"
    np.save(path, np.random.default_rng(0).poisson(3.0, (50, 50)).astype(np.int16))
    return path


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_same_seed_same_sample(name: str) -> None:
    one, two, other = (make_sample(name, seed, 6e-6) for seed in (4, 4, 5))
    np.testing.assert_array_equal(one.density, two.density)
    assert not np.array_equal(one.density, other.density)
    assert one.density.shape == (300, 300)
    assert one.field_m == pytest.approx(6e-6)
    assert (one.survival == 1).all()
    assert one.name == name


def test_density_is_read_only_and_apart_from_its_source() -> None:
    source = np.ones((3, 3), np.float32)
    sample = Sample("test", "test", source, 20e-9)
    with pytest.raises(ValueError, match="read-only"):
        sample.density[0, 0] = 2
    source[:] = 7
    assert (sample.density == 1).all()


@pytest.mark.parametrize(
    ("density", "pixel_size_m", "message"),
    [
        (np.ones(3), 20e-9, "2-D"),
        (np.empty((0, 3)), 20e-9, "2-D"),
        (-np.ones((3, 3)), 20e-9, "not negative"),
        (np.full((3, 3), np.nan), 20e-9, "finite"),
        (np.ones((3, 3)), 0.0, "pixel_size_m"),
    ],
)
def test_impossible_maps_are_refused(
    density: np.ndarray, pixel_size_m: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Sample("test", "test", density, pixel_size_m)


@pytest.mark.parametrize("field_m", [0.0, -1.0, 1e-9, 1.0, float("nan"), float("inf")])
def test_impossible_fields_are_refused(field_m: float) -> None:
    with pytest.raises(ValueError, match="field_m"):
        make_sample("actin", 0, field_m)


def test_unknown_sample_names_those_allowed() -> None:
    with pytest.raises(ValueError, match=r"'liver'.*actin, tubulin, synapses, pores"):
        make_sample("liver", 0, 1e-6)


@given(
    x=st.floats(-0.3e-6, 0.3e-6),
    y=st.floats(-0.3e-6, 0.3e-6),
    pixel_size=st.floats(7e-9, 160e-9),
)
@settings(max_examples=30, deadline=None)
def test_a_window_around_everything_holds_every_fluorophore(
    x: float, y: float, pixel_size: float
) -> None:
    density = np.random.default_rng(1).poisson(2.0, (40, 30)).astype(np.float32)
    sample = Sample("test", "test", density, 20e-9)
    sample.survival[:, :10] = 0.5
    pixels = int(1.6e-6 / pixel_size) + 1
    window = sample.window(x, y, (pixels, pixels), pixel_size)
    assert window.shape == (pixels, pixels)
    assert window.sum() == pytest.approx((density * sample.survival).sum(), rel=1e-3)


def test_a_window_on_the_map_pixels_is_the_map() -> None:
    density = np.arange(600, dtype=np.float32).reshape(20, 30)
    sample = Sample("test", "test", density, 20e-9)
    np.testing.assert_allclose(sample.window(0, 0, (20, 30), 20e-9), density, atol=1e-3)
    # 4 columns to the right and 2 rows down, 6 × 6 pixels
    part = sample.window(80e-9, 40e-9, (6, 6), 20e-9)
    np.testing.assert_allclose(part, density[9:15, 16:22], atol=1e-2)
    coarse = sample.window(0, 0, (10, 15), 40e-9)
    np.testing.assert_allclose(coarse, density.reshape(10, 2, 15, 2).sum((1, 3)), rtol=1e-5)
    assert sample.window(5e-6, 0, (4, 4), 20e-9).sum() == 0


@pytest.mark.parametrize("name", ["actin_1.tiff", "actin_2.tiff", "3.tif", "tubulin.tiff"])
def test_real_images_keep_their_histogram(name: str) -> None:
    if not REAL.is_dir():
        pytest.skip("no real images here")
    image = tifffile.imread(REAL / name)
    tiles = 3
    sample = sample_from_image(REAL / name, 7, tiles * 224 * 20e-9, 20e-9)
    counts = np.round(sample.density / FLUOROPHORES_PER_COUNT).astype(int)
    np.testing.assert_array_equal(
        np.bincount(counts.ravel()), tiles**2 * np.bincount(image.ravel())
    )


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_a_normalised_image_or_a_mask_gets_counts_again(
    tmp_path: pathlib.Path, dtype: type[np.generic]
) -> None:
    image = np.zeros((40, 40), dtype)
    image[10:20, 10:30] = 1
    np.save(tmp_path / "mask.npy", image)
    sample = sample_from_image(tmp_path / "mask.npy", 0, 40 * 20e-9, 20e-9)
    counts = sample.density / FLUOROPHORES_PER_COUNT
    assert counts.max() == pytest.approx(NORMALISED_COUNTS)
    assert (counts > 0).sum() == image.sum()


def test_the_pixel_size_is_the_files_where_it_tells_one(tmp_path: pathlib.Path) -> None:
    image = np.arange(64, dtype=np.uint16).reshape(8, 8)
    metadata = {"axes": "YX", "PhysicalSizeX": 0.05, "PhysicalSizeY": 0.05}
    tifffile.imwrite(tmp_path / "a.ome.tif", image, ome=True, metadata=metadata)
    np.save(tmp_path / "b.npy", image)
    told, untold = tmp_path / "a.ome.tif", tmp_path / "b.npy"
    assert sample_from_image(told, 0, 1e-6).pixel_size_m == pytest.approx(50e-9)
    assert sample_from_image(told, 0, 1e-6).name == "a"
    assert sample_from_image(untold, 0, 1e-6).pixel_size_m == 20e-9
    assert sample_from_image(untold, 0, 1e-6, 30e-9).pixel_size_m == 30e-9
    with pytest.raises(ValueError, match="has pixels of 50 nm, not of 20 nm"):
        sample_from_image(told, 0, 1e-6, 20e-9)


def test_tiles_are_the_image_turned(counts: pathlib.Path) -> None:
    image = np.load(counts)
    sample = sample_from_image(counts, 3, 250 * 25e-9, 25e-9)
    found = np.round(sample.density / FLUOROPHORES_PER_COUNT).astype(int)
    tiles = [found[y : y + 50, x : x + 50] for y in range(0, 250, 50) for x in range(0, 250, 50)]
    turns = [np.rot90(flip, k) for flip in (image, image[::-1]) for k in range(4)]
    used = {next(i for i, t in enumerate(turns) if np.array_equal(t, tile)) for tile in tiles}
    assert len(used) > 3
    assert sample.pixel_size_m == 25e-9


def test_a_tile_lies_in_the_middle_of_the_field(counts: pathlib.Path) -> None:
    image = np.load(counts)
    sample = sample_from_image(counts, 3, 180 * 25e-9, 25e-9)
    middle = np.round(sample.density / FLUOROPHORES_PER_COUNT).astype(int)[65:115, 65:115]
    turns = [np.rot90(flip, k) for flip in (image, image[::-1]) for k in range(4)]
    assert any(np.array_equal(t, middle) for t in turns)


def test_the_field_need_not_be_whole_tiles(tmp_path: pathlib.Path) -> None:
    image = np.random.default_rng(0).poisson(9.0, (30, 41)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "oblong.tif", image)
    sample = sample_from_image(tmp_path / "oblong.tif", 0, 77 * 20e-9, 20e-9)
    assert sample.density.shape == (77, 77)
    assert sample.density.min() >= 0


def test_same_seed_same_tiles(counts: pathlib.Path) -> None:
    one, two, other = (sample_from_image(counts, seed, 5e-6, 20e-9) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.density, two.density)
    assert not np.array_equal(one.density, other.density)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 5)), "same count"),
        (np.full((5, 5), 3), "same count"),
        (np.arange(5), "2-D"),
        (np.zeros((2, 3, 4)), "2-D"),
        (np.empty((0, 4)), "2-D"),
        (np.array([[1.0, np.nan]]), "finite"),
        (np.array([[1.0, np.inf]]), "finite"),
        (np.array([[1.0, -1.0]]), "negative"),
        (np.array([[1 + 1j, 0]]), "counts"),
        (np.array([["a", "b"]]), "counts"),
        (np.array([[None, 1]], dtype=object), "cannot be read"),
        (np.zeros((1, 9000), np.uint8), "8192"),
    ],
)
def test_unusable_arrays_are_refused(
    tmp_path: pathlib.Path, array: np.ndarray, message: str
) -> None:
    path = tmp_path / "bad.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(ValueError, match=message) as caught:
        sample_from_image(path, 0, 1e-6, 20e-9)
    assert "bad.npy" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["bad.npy", "bad.tif", "bad.tiff"])
@pytest.mark.parametrize("content", [b"", b"not an image at all"])
def test_damaged_files_are_refused(tmp_path: pathlib.Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name) as caught:
        sample_from_image(tmp_path / name, 0, 1e-6, 20e-9)
    assert "\n" not in str(caught.value)


def test_missing_and_foreign_files_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"none\.tif: no such file"):
        sample_from_image(tmp_path / "none.tif", 0, 1e-6, 20e-9)
    (tmp_path / "image.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"image\.png: allowed are \.tif, \.tiff, \.npy"):
        sample_from_image(tmp_path / "image.png", 0, 1e-6, 20e-9)


def test_a_tiff_stack_is_refused(tmp_path: pathlib.Path) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", np.ones((3, 8, 8), np.uint8), photometric="minisblack")
    with pytest.raises(ValueError, match="2-D"):
        sample_from_image(tmp_path / "stack.tif", 0, 1e-6, 20e-9)
