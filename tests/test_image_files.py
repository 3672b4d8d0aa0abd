import io
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stedopt_bluesky import image_files
from stedopt_bluesky.image_files import (
    ImageFileError,
    agreed_pixel_size_nm,
    image_stem,
    published_counts,
    read_image,
    read_images,
    read_stored_image,
    split_address,
)

REAL = Path(__file__).parents[1].parent / "shared" / "data" / "imspector" / "dummy_1channel.msr"
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


@pytest.fixture
def measurement(tmp_path):
    """Function that writes a measurement with SpecPy: arrays with the lengths of their axes, m."""
    specpy = pytest.importorskip("specpy")

    def write(*stacks):
        path = tmp_path / "a.obf"
        file = specpy.File(str(path), specpy.File.Write)
        for array, lengths_m in stacks:
            stack = specpy.Stack(np.ascontiguousarray(array))
            if lengths_m:
                stack.set_lengths(lengths_m)
            file.write(stack)
        del file  # closes it
        return path

    return write


def test_the_one_image_of_a_measurement(measurement):
    path = measurement((np.zeros((2, 3, 4, 5), np.int16), None), (IMAGE[None, None], None))
    found = read_stored_image(path)
    np.testing.assert_array_equal(found.image, IMAGE)
    assert (found.pixel_size_nm, found.address) == (None, str(path))


@given(
    hnp.arrays(
        st.sampled_from([np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32]),
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=9),
        elements=st.integers(0, 100),
    ),
    st.floats(1, 1000),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_measurement_of_any_kind_with_its_pixel_size(measurement, image, pixel_size_nm):
    height_m, width_m = (1e-9 * pixel_size_nm * size for size in image.shape)
    found = read_stored_image(measurement((image[None, None], [width_m, height_m, 1.0, 1.0])))
    assert found.image.dtype == image.dtype
    np.testing.assert_array_equal(found.image, image)
    assert found.pixel_size_nm == pytest.approx(pixel_size_nm)


def test_one_of_several_stacks_by_its_number(measurement):
    path = measurement(*((IMAGE[None, None] + i, None) for i in range(3)))
    with pytest.raises(ImageFileError, match=r"a\.obf: holds 3 images .*name one, as in .*#3'"):
        read_image(path)
    for number in (1, 2, 3):
        np.testing.assert_array_equal(read_image(f"{path}#{number}"), IMAGE + number - 1)
    for wrong in ("0", "4", "-1", "²", "STED"):
        with pytest.raises(ImageFileError, match=f"no image '{wrong}'.* a number from 1 to 3"):
            read_image(f"{path}#{wrong}")


def test_stacks_that_hold_no_counts_are_left_out(measurement):
    numbers = (IMAGE[None, None].astype(np.float32), None)
    np.testing.assert_array_equal(read_image(measurement(numbers)), IMAGE)
    found = read_stored_image(measurement(numbers, (IMAGE[None, None], None), numbers))
    assert found.image.dtype == np.int16
    with pytest.raises(ImageFileError, match="no stack of it is one 2-D image"):
        read_image(measurement((np.zeros((1, 1, 1, 5), np.int16), None)))


def test_pixels_that_are_not_square_are_told(measurement):
    path = measurement((IMAGE[None, None], [4 * 20e-9, 3 * 40e-9, 1.0, 1.0]))
    with pytest.raises(ImageFileError, match=r"has pixels of 20 × 40 nm; square ones"):
        read_image(path)


def test_a_real_measurement():
    if not REAL.exists():
        pytest.skip("no real measurement here")
    pytest.importorskip("specpy")
    (found,) = read_images(REAL)
    assert (found.name, found.image.shape, found.image.dtype) == ("Ch1 {0}", (750, 750), np.int16)
    assert found.pixel_size_nm == pytest.approx(20.0)
    for which in ("Ch1 {0}", "1"):
        np.testing.assert_array_equal(read_image(f"{REAL}#{which}"), found.image)


def ome(path, *names, unit="µm", size=0.025, **more):
    images = np.stack([IMAGE + i for i in range(len(names))])
    sizes = {f"PhysicalSize{axis}{u}": v for axis in "XY" for u, v in (("", size), ("Unit", unit))}
    metadata = {"axes": "CYX", "Channel": {"Name": list(names)}, **sizes, **more}
    tifffile.imwrite(path, images, ome=True, photometric="minisblack", metadata=metadata)
    return path


def test_channels_of_an_ome_tiff(tmp_path):
    path = ome(tmp_path / "a.ome.tif", "confocal1", "STED {0}", "2", "twice", "twice")
    found = read_images(path)
    assert [i.name for i in found] == ["confocal1", "STED {0}", "2", "twice", "twice"]
    assert [i.pixel_size_nm for i in found] == pytest.approx([25.0] * 5)
    # Each is found again by its own address; a name comes before a number.
    for number, one in enumerate(found):
        np.testing.assert_array_equal(one.image, IMAGE + number)
        np.testing.assert_array_equal(read_image(one.address), one.image)
    assert found[2].address == f"{path}#2"
    with pytest.raises(ImageFileError, match="2 images are called 'twice'"):
        read_image(f"{path}#twice")


@pytest.mark.parametrize(
    ("unit", "size", "pixel_size_nm"),
    [("nm", 25.0, 25.0), ("m", 25e-9, 25.0), ("pixel", 1.0, None), ("µm", 1e6, None)],
)
def test_units_of_an_ome_tiff(tmp_path, unit, size, pixel_size_nm):
    found = read_stored_image(ome(tmp_path / "a.ome.tif", "a", unit=unit, size=size))
    assert found.pixel_size_nm == (pixel_size_nm and pytest.approx(pixel_size_nm))


@pytest.mark.parametrize(("unit", "factor"), [("micron", 1000), ("um", 1000), ("nm", 1)])
def test_the_pixel_size_that_imagej_wrote(tmp_path, unit, factor):
    path = tmp_path / "a.tif"
    per_unit = factor / 25.0
    tifffile.imwrite(
        path, IMAGE, imagej=True, resolution=(per_unit, per_unit), metadata={"unit": unit}
    )
    assert read_stored_image(path).pixel_size_nm == pytest.approx(25.0)


def test_the_resolution_for_a_printer_is_no_pixel_size(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IMAGE, resolution=(300, 300), resolutionunit="INCH")
    assert read_stored_image(path).pixel_size_nm is None


def test_an_address_is_a_file_and_one_of_its_images(tmp_path):
    assert split_address("a/b.msr#Ch1 {0}") == (Path("a/b.msr"), "Ch1 {0}")
    assert split_address("a#b.OBF#x#y.tif") == (Path("a#b.OBF"), "x#y.tif")
    assert split_address(Path("a.tif")) == (Path("a.tif"), "")
    assert split_address("a.png#1") == (Path("a.png#1"), "")
    path = write(tmp_path / "day.npy#1.npy", IMAGE)
    assert split_address(path) == (path, "")
    np.testing.assert_array_equal(read_image(path), IMAGE)


@pytest.mark.parametrize(
    ("address", "stem"),
    [("a/b 2.msr#STED", "b 2"), ("b.ome.tif", "b"), ("b.OME.TIFF", "b"), ("actin", None)],
)
def test_the_name_of_an_image(address, stem):
    assert image_stem(address) == stem


def test_two_who_tell_a_pixel_size_must_agree():
    assert agreed_pixel_size_nm("a", None, None) is None
    assert agreed_pixel_size_nm("a", 20.0, None) == 20.0
    assert agreed_pixel_size_nm("a", None, 19.9) == 19.9
    assert agreed_pixel_size_nm("a", 20.0, 19.99999949) == 20.0
    with pytest.raises(ImageFileError, match=r"a: has pixels of 25 nm, not of 20 nm; leave"):
        agreed_pixel_size_nm("a", 20.0, 25.0)


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


def test_images_of_a_file_that_are_too_large_together_are_told(tmp_path, monkeypatch):
    path = ome(tmp_path / "a.ome.tif", "a", "b")
    monkeypatch.setattr(image_files, "_MAX_PIXELS_OF_FILE", 2 * IMAGE.size)
    assert len(read_images(path)) == 2
    monkeypatch.setattr(image_files, "_MAX_PIXELS_OF_FILE", 2 * IMAGE.size - 1)
    with pytest.raises(ImageFileError, match="pixels of an image, 23 of a file"):
        read_images(path)


@pytest.mark.parametrize("names", [["a.npy"], ["a.npy", "a.npy"], ["a", "a.npy"], ["a.npy", "a"]])
def test_what_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch, names):
    """Of entries of one name, or of one up to its ending, it is the one read that counts."""
    monkeypatch.setattr(image_files, "MAX_PIXELS", IMAGE.size)
    path = tmp_path / "a.npz"
    allowed = 16 * IMAGE.size

    def npy(size):
        """An image of two axes, in so many bytes with what is behind it."""
        file = io.BytesIO()
        np.save(file, IMAGE[:1, :1])
        return file.getvalue().ljust(size, b"\0")

    def pack(*sizes):
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", UserWarning)  # of a name that is there twice
            for name, size in zip(names, sizes, strict=True):
                archive.writestr(name, npy(size))

    pack(*[allowed] * len(names))
    np.testing.assert_array_equal(read_image(path), IMAGE[:1, :1])
    # Of two entries of one name the last one is read, else the first one.
    is_read = len(names) - 1 if len(set(names)) == 1 else 0
    pack(*(allowed + (place == is_read) for place in range(len(names))))
    with pytest.raises(ImageFileError, match=f"{allowed + 1} bytes unpacked"):
        read_image(path)


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
