import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stedopt_bluesky import image_files
from stedopt_bluesky.image_files import ImageFileError, published_counts, read_image

IMAGE = np.arange(12, dtype=np.int16).reshape(3, 4)


def write(path, array):
    if path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, array, photometric="minisblack")
    elif path.suffix == ".npy":
        np.save(path, array)
    else:
        np.savez(path, array)
    return path


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".npy", ".npz"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
def test_an_image_is_read_as_it_was_written(tmp_path, suffix, dtype):
    path = write(tmp_path / f"a{suffix}", IMAGE.astype(dtype))
    found = read_image(path)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, IMAGE)


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".npz"])
def test_axes_of_length_one_are_left_out(tmp_path, suffix):
    path = write(
        tmp_path / f"a{suffix}", IMAGE[None, :, :, None] if suffix != ".tif" else IMAGE[None]
    )
    np.testing.assert_array_equal(read_image(path), IMAGE)


def test_an_ending_may_be_in_capitals(tmp_path):
    tifffile.imwrite(tmp_path / "A.TIF", IMAGE)
    np.testing.assert_array_equal(read_image(tmp_path / "A.TIF"), IMAGE)


def test_the_first_stack_of_a_measurement_with_one_image(tmp_path):
    specpy = pytest.importorskip("specpy")
    path = tmp_path / "a.obf"
    try:
        file = specpy.File(str(path), specpy.File.Write)
        file.write(specpy.Stack(np.zeros((2, 3, 4, 5), np.int16)))
        file.write(specpy.Stack(IMAGE[None, None]))
        del file
    except Exception:
        pytest.skip("this SpecPy does not write files")
    np.testing.assert_array_equal(read_image(path), IMAGE)


@pytest.mark.parametrize("suffix", [".msr", ".obf", ".tif", ".npy", ".npz"])
def test_a_damaged_file_is_told(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"no image" * 40)
    with pytest.raises(ImageFileError) as refused:
        read_image(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3, 4)), "expected one 2-D image"),
        (np.zeros(5), "expected one 2-D image"),
        (np.zeros((0, 5)), "expected one 2-D image"),
        (np.zeros((2, 2), complex), "holds complex128, not counts"),
        (np.zeros((2, 2), bool), "holds bool, not counts"),
        (np.array([["a", "b"]]), "not counts"),
    ],
)
def test_an_array_that_is_no_image_is_told(tmp_path, array, message):
    with pytest.raises(ImageFileError, match=message):
        read_image(write(tmp_path / "a.npy", array))


def test_nothing_is_unpickled(tmp_path):
    for suffix, save in ((".npy", np.save), (".npz", np.savez)):
        path = tmp_path / f"a{suffix}"
        save(path, np.array([{}], dtype=object), allow_pickle=True)
        with pytest.raises(ImageFileError, match="cannot be read"):
            read_image(path)


def test_a_colour_image_is_told(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 6, 3), np.uint8), photometric="rgb")
    with pytest.raises(ImageFileError, match="expected one 2-D image"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".npz"])
def test_an_image_that_is_too_large_is_told(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(image_files, "MAX_PIXELS", 11)
    with pytest.raises(ImageFileError, match="at most 11"):
        read_image(write(tmp_path / f"a{suffix}", IMAGE))


@pytest.mark.parametrize("name", ["a.png", "a", "a.pickle"])
def test_other_files_are_not_opened(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ImageFileError, match=r"allowed are \.tif, \.tiff, \.npy"):
        read_image(tmp_path / name)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(ImageFileError, match="no such file"):
        read_image(tmp_path / "a.npy")


COUNTS = hnp.arrays(np.int16, st.integers(1, 30), elements=st.integers(-5000, 32767))


@given(COUNTS, st.sampled_from([np.float32, np.float64]))
def test_the_published_programs_numbers_become_counts_again(counts, dtype):
    sent = ((counts.astype(np.float64) + 32768) / 65535).astype(dtype)
    np.testing.assert_array_equal(published_counts(sent), counts)


@pytest.mark.parametrize(
    "values",
    [
        np.array([0, 1, 1], np.int16),
        np.array([0.0, 0.6]),
        np.array([0.6, 1.1]),
        np.array([np.nan, 0.6]),
        np.array([]),
    ],
)
def test_counts_are_left_as_they_are(values):
    np.testing.assert_array_equal(published_counts(values), values)


def test_a_published_file_holds_counts(tmp_path):
    path = tmp_path / "1-0.5.npz"
    np.savez(path, (IMAGE.astype(np.float64) + 32768) / 65535)
    np.testing.assert_array_equal(read_image(path), IMAGE)
