import csv
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.networks.datasets import (
    DatasetError,
    RatedImages,
    joined,
    read_folder,
    write_folder,
)


def images(specimens, ratings=None):
    n = len(specimens)
    return RatedImages(
        [np.full((2, 3), i, np.int16) for i in range(n)],
        np.linspace(0, 1, n) if ratings is None else np.asarray(ratings, float),
        ("actin",) * n,
        tuple(specimens),
        tuple(f"image {i}" for i in range(n)),
    )


@given(st.lists(st.sampled_from("abcdefg") | st.just(""), min_size=2, max_size=40), st.data())
def test_a_specimen_is_never_divided(specimens, data):
    dataset = images(specimens)
    share = data.draw(st.floats(0.01, 0.99))
    seed = data.draw(st.integers(0, 99))
    if "" not in specimens and len(set(specimens)) < 2:
        with pytest.raises(DatasetError, match="one specimen alone"):
            dataset.split(share, seed)
        return
    rest, held = dataset.split(share, seed)

    assert len(rest) + len(held) == len(dataset)
    assert min(len(rest), len(held)) > 0
    assert sorted(rest.names + held.names) == sorted(dataset.names)
    assert not (set(rest.specimens) & set(held.specimens)) - {""}
    again = dataset.split(share, seed)
    assert again[1].names == held.names


def test_the_share_is_kept_as_nearly_as_specimens_allow():
    rest, held = images([f"s{i // 4}" for i in range(100)]).split(0.2, 0)
    assert (len(rest), len(held)) == (80, 20)


def test_a_large_specimen_is_rather_learnt_from():
    for seed in range(10):
        rest, held = images(["large"] * 40 + ["small"] * 20).split(0.2, seed)
        assert (len(rest), len(held)) == (40, 20)


def test_single_images_stand_for_themselves():
    _, held = images([""] * 50).split(0.2, 0)
    assert len(held) == 10


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ratings": np.array([0.5])}, "differ in number"),
        ({"images": [], "ratings": np.array([]), "structures": (), "specimens": (), "names": ()},
         "no rated image"),
        ({"ratings": np.array([0.5, 1.5])}, "b: quality = 1.5: from 0 to 1"),
        ({"ratings": np.array([0.5, np.nan])}, "b: quality = nan"),
        ({"ratings": np.array([-0.1, 0.5])}, "a: quality = -0.1"),
    ],
)  # fmt: skip
def test_a_dataset_that_cannot_be_is_refused(fields, message):
    good = {
        "images": [np.zeros((2, 2))] * 2,
        "ratings": np.array([0.1, 0.2]),
        "structures": ("", ""),
        "specimens": ("", ""),
        "names": ("a", "b"),
    }
    with pytest.raises(DatasetError, match=message):
        RatedImages(**{**good, **fields})


def test_the_fingerprint_tells_datasets_apart():
    dataset = images("ab")
    prints = {
        dataset.fingerprint(),
        images("ab", [0, 0.5]).fingerprint(),
        dataset.part([1, 0]).fingerprint(),
        dataset.part([0]).fingerprint(),
    }
    assert len(prints) == 4
    assert images("ab").fingerprint() == dataset.fingerprint()
    assert images("xy").fingerprint() == dataset.fingerprint()  # names are not learnt


def test_datasets_are_put_together():
    both = joined([images("ab"), images("c", [0.3])])
    assert both.specimens == ("a", "b", "c")
    assert both.ratings.tolist() == [0, 1, 0.3]
    assert len(both.images) == 3


def test_a_folder_is_read_as_it_was_written(tmp_path):
    dataset = images(["a", "a", "b", ""], [0.1234, 0, 1, 0.5])
    write_folder(tmp_path / "new", dataset)
    read = []
    again = read_folder(tmp_path / "new", read.append)

    assert read == [1] * 4
    assert again.fingerprint() == dataset.fingerprint()
    assert (again.structures, again.specimens) == (dataset.structures, dataset.specimens)
    with pytest.raises(DatasetError, match="holds a dataset already"):
        write_folder(tmp_path / "new", dataset)


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="cannot be written"):
        write_folder(tmp_path / "file", images("ab"))


@pytest.fixture
def table(tmp_path):
    """Function that writes a table beside two images."""
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, np.eye(3))

    def write(*rows, columns=("file", "quality")):
        with (tmp_path / "ratings.csv").open("w", newline="") as file:
            csv.writer(file).writerows([columns, *rows])
        return tmp_path

    return write


def test_a_table_needs_only_file_and_quality(table):
    found = read_folder(table(("a.npy", "0.25"), ("b.npy", 1)))
    assert found.ratings.tolist() == [0.25, 1]
    assert found.specimens == found.structures == ("", "")


def test_a_specimen_keeps_its_name(table):
    found = read_folder(table(("a.npy", 0, "007"), columns=("file", "quality", "specimen")))
    assert found.specimens == ("007",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("a.npy", "good"), "line 2: quality = 'good': from 0 to 1"),
        (("a.npy", ""), "line 2: quality = ''"),
        (("a.npy", "1.01"), "line 2: quality = '1.01'"),
        (("a.npy", "nan"), "line 2: quality = 'nan'|line 2: quality = ''"),
        (("", "0.5"), "line 2: file = ''"),
        (("../a.npy", "0.5"), "a file in the table's folder"),
        (("/etc/passwd", "0.5"), "a file in the table's folder"),
        (("a.png", "0.5"), "allowed are .tif"),
        (("c.npy", "0.5"), "c.npy: no such file"),
        (("a.npy#2", "0.5"), "a.npy: there is no image '2'"),
        (("../a.npy#1", "0.5"), "a file in the table's folder"),
    ],
)
def test_a_row_that_cannot_be_used_is_told(table, row, message):
    with pytest.raises(DatasetError, match=message):
        read_folder(table(row))


def test_columns_that_are_missing_are_told(table):
    with pytest.raises(DatasetError, match="column 'quality' is missing; it has"):
        read_folder(table(("a.npy", 1), columns=("file", "Quality")))


def ome(path, count, pixel_size_um=None):
    """An OME-TIFF with channels c1, c2, ..., filled with their numbers."""
    channels = [f"c{i}" for i in range(1, count + 1)]
    images = np.stack([np.full((3, 4), i, np.int16) for i in range(1, count + 1)])
    metadata = {"axes": "CYX", "Channel": {"Name": channels}}
    if pixel_size_um:
        metadata |= {"PhysicalSizeX": pixel_size_um, "PhysicalSizeY": pixel_size_um}
    tifffile.imwrite(path, images, ome=True, photometric="minisblack", metadata=metadata)


def test_all_images_of_a_file_or_the_one_that_is_named(table, tmp_path):
    ome(tmp_path / "two.ome.tif", 2, 0.02)
    ome(tmp_path / "three.ome.tif", 3, 0.02)
    read = []
    found = read_folder(
        table(
            ("two.ome.tif", 0.2), ("three.ome.tif#c2", 0.8), ("three.ome.tif#3", 0.9), ("a.npy", 1)
        ),
        read.append,
    )
    assert read == [1] * 4
    assert found.names == (
        "two.ome.tif#c1", "two.ome.tif#c2", "three.ome.tif#c2", "three.ome.tif#c3", "a.npy"
    )  # fmt: skip
    assert found.ratings.tolist() == [0.2, 0.2, 0.8, 0.9, 1.0]
    assert [int(image[0, 0]) for image in found.images] == [1, 2, 2, 3, 1]
    assert found.pixel_size_nm == found.part([0]).pixel_size_nm == pytest.approx(20.0)
    # Images of one file are never divided between training and validation.
    two, two_again, three, three_again, alone = found.specimens
    assert two == two_again != three == three_again
    assert alone == ""


def test_a_stack_of_a_measurement(table, tmp_path):
    specpy = pytest.importorskip("specpy")
    file = specpy.File(str(tmp_path / "m.obf"), specpy.File.Write)
    for i in range(2):
        file.write(specpy.Stack(np.full((1, 1, 3, 4), i, np.int16)))
    file.write(specpy.Stack(np.zeros((1, 1, 3, 4), np.float32)))
    del file
    found = read_folder(table(("m.obf", 0.5)))
    assert [int(image[0, 0]) for image in found.images] == [0, 1]
    assert found.pixel_size_nm is None
    with pytest.raises(DatasetError, match=r"m\.obf: there is no image '7'"):
        read_folder(table(("m.obf#7", 0.5)))


def test_pixels_of_two_sizes_are_told(table, tmp_path):
    ome(tmp_path / "fine.ome.tif", 1, 0.02)
    ome(tmp_path / "coarse.ome.tif", 1, 0.05)
    with pytest.raises(DatasetError, match=r"coarse.*pixels of 50 nm, not of 20 nm"):
        read_folder(table(("fine.ome.tif", 0.5), ("coarse.ome.tif", 0.5)))


def test_the_pixel_size_of_datasets_that_are_put_together():
    fine, coarse = (replace(images("ab"), pixel_size_nm=size) for size in (20.0, 50.0))
    assert joined([fine, fine]).pixel_size_nm == 20.0
    assert joined([fine, coarse]).pixel_size_nm is None


@pytest.mark.parametrize("content", [b"", b'"', bytes(100)])
def test_a_damaged_table_is_told(tmp_path, content):
    (tmp_path / "ratings.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=r"ratings\.csv"):
        read_folder(tmp_path)


def test_a_table_may_be_parquet(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    np.save(tmp_path / "a.npy", np.eye(3))
    frame = pandas.DataFrame(
        {"file": ["a.npy"] * 2, "quality": [0.5, 1.0], "specimen": ["x", None]}
    )
    frame.to_parquet(tmp_path / "ratings.parquet")
    found = read_folder(tmp_path)
    assert found.ratings.tolist() == [0.5, 1]
    assert found.specimens == ("x", "")


def test_a_missing_quality_of_a_parquet_table_is_told(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    np.save(tmp_path / "a.npy", np.eye(3))
    frame = pandas.DataFrame({"file": ["a.npy"] * 2, "quality": [0.5, None]})
    frame.to_parquet(tmp_path / "ratings.parquet")
    with pytest.raises(DatasetError, match="line 3: quality"):
        read_folder(tmp_path)


def test_the_published_form(tmp_path):
    counts = np.arange(12, dtype=np.int16).reshape(3, 4)
    for place, name in [("train", "10-0.5.npz"), ("train", "2-1.0.npz"), ("test", "3-0.npz")]:
        (tmp_path / place).mkdir(exist_ok=True)
        np.savez(tmp_path / place / name, (counts.astype(float) + 32768) / 65535)
    (tmp_path / "train" / "notes.npz").touch()
    (tmp_path / "train" / "4-1.5.npz").touch()
    found = read_folder(tmp_path)
    assert sorted(zip(found.names, found.ratings, strict=True)) == [
        ("10-0.5.npz", 0.5),
        ("2-1.0.npz", 1.0),
        ("3-0.npz", 0.0),
    ]
    np.testing.assert_array_equal(found.images[0], counts)


def test_a_folder_of_neither_form_is_told(tmp_path):
    with pytest.raises(DatasetError, match=r"expected ratings\.csv or ratings\.parquet"):
        read_folder(tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        read_folder(tmp_path / "none")
