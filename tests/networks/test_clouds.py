"""Clouds and choices: what is refused, how they are divided, and files that hold them."""

import io
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.networks import clouds as module
from stedopt_bluesky.networks.clouds import Clouds, joined, on_offer, read_clouds, write_clouds
from stedopt_bluesky.networks.datasets import DatasetError

NAMES, UNITS = ("quality", "imaging_time_s"), ("", "s")


def clouds(count=5, seed=0, names=NAMES, units=UNITS):
    rng = np.random.default_rng(seed)
    values = tuple(rng.normal(size=(rng.integers(2, 30), len(names))) for _ in range(count))
    return Clouds(values, np.array([rng.integers(len(v)) for v in values]), names, units)


def arrays(**changes):
    """Arrays of a file of two clouds, of 3 and 2 options."""
    good = {
        "values": np.arange(10.0).reshape(5, 2),
        "offsets": np.array([0, 3, 5]),
        "chosen": np.array([2, 0]),
        "objectives": np.array(NAMES),
        "units": np.array(UNITS),
    }
    return {name: array for name, array in {**good, **changes}.items() if array is not None}


def equal(a, b):
    return (
        (a.objectives, a.units) == (b.objectives, b.units)
        and a.chosen.tolist() == b.chosen.tolist()
        and len(a) == len(b)
        and all(
            np.array_equal(x, y, equal_nan=True) for x, y in zip(a.values, b.values, strict=True)
        )
    )


ONE = np.array([[0.1, 0.2], [0.3, 0.4], [math.nan, 0.5]])


@pytest.mark.parametrize(
    ("values", "chosen", "names", "units", "says"),
    [
        ((), [], NAMES, UNITS, "has no cloud"),
        ((ONE,), [0, 1], NAMES, UNITS, "1 clouds, 2 choices"),
        ((ONE,), [0], ("q", "q"), UNITS, "different names"),
        ((ONE,), [0], (), (), "different names"),
        ((ONE,), [0], NAMES, ("",), "a unit for each"),
        ((ONE,), [0], ("q",), ("",), r"cloud 0 has shape \(3, 2\): \(options, 1\)"),
        ((ONE[0],), [0], NAMES, UNITS, "cloud 0 has shape"),
        ((ONE, ONE), [0, 2], NAMES, UNITS, "cloud 1: chosen = 2: one of the options on offer"),
        ((ONE,), [3], NAMES, UNITS, "chosen = 3"),
        ((ONE,), [-1], NAMES, UNITS, "chosen = -1"),
        ((ONE[1:],), [0], NAMES, UNITS, "1 options on offer: at least 2"),
        ((np.array([[0, math.inf], [1, 1]]),), [0], NAMES, UNITS, "infinite"),
    ],
)
def test_what_is_no_choice_from_a_cloud_is_refused(values, chosen, names, units, says):
    with pytest.raises(DatasetError, match=says) as raised:
        Clouds(values, np.array(chosen, int), names, units)
    assert "\n" not in str(raised.value)


def test_an_option_with_a_nan_is_not_on_offer():
    assert on_offer(ONE).tolist() == [True, True, False]


@given(st.integers(3, 80), st.integers(0, 2**32 - 1))
def test_a_division_loses_and_repeats_no_cloud(count, seed):
    whole = clouds(count)
    parts = whole.split(seed)
    assert len(parts[1]) == len(parts[2]) == max(1, count // 10)
    numbers = {cloud.tobytes(): i for i, cloud in enumerate(whole.values)}
    found = [numbers[cloud.tobytes()] for part in parts for cloud in part.values]
    assert sorted(found) == list(range(count))
    assert all(equal(a, b) for a, b in zip(parts, whole.split(seed), strict=True))


@pytest.mark.parametrize(("count", "sizes"), [(625, (501, 62, 62)), (7620, (6096, 762, 762))])
def test_the_published_datasets_are_divided_as_published(count, sizes):
    two = np.eye(2)
    whole = Clouds((two,) * count, np.zeros(count, int), NAMES, UNITS)
    assert tuple(len(part) for part in whole.split(0)) == sizes


def test_another_seed_divides_in_another_way():
    whole = clouds(40)
    assert not equal(whole.split(0)[0], whole.split(1)[0])


def test_two_clouds_cannot_be_divided():
    with pytest.raises(DatasetError, match="2 clouds cannot be divided"):
        clouds(2).split(0)


def test_the_fingerprint_is_of_every_number():
    whole = clouds()
    assert whole.fingerprint() == clouds().fingerprint()
    values = tuple(np.array(v) for v in whole.values)
    values[3][0, 1] += 1e-12
    others = [
        Clouds(values, whole.chosen, NAMES, UNITS),
        Clouds(whole.values, whole.chosen, NAMES, ("", "ms")),
        Clouds(
            whole.values,
            np.where(np.arange(5) == 2, 1 - whole.chosen % 2, whole.chosen),
            *[NAMES, UNITS],
        ),
        whole.part([0, 1, 2, 4, 3]),
    ]
    assert len({whole.fingerprint(), *(other.fingerprint() for other in others)}) == 5


# --- files --------------------------------------------------------------------------------------


def test_a_file_gives_back_what_was_written(tmp_path):
    written = Clouds((ONE, *clouds().values), np.array([1, *clouds().chosen]), NAMES, ("", "µs"))
    path = tmp_path / "new folder" / "clouds.npz"
    write_clouds(path, written)
    assert equal(read_clouds(path), written)
    assert read_clouds(path).fingerprint() == written.fingerprint()
    assert [p.name for p in path.parent.iterdir()] == ["clouds.npz"]


def test_a_folder_is_one_dataset_in_the_order_of_its_names(tmp_path):
    first, second = clouds(3, seed=1), clouds(2, seed=2)
    write_clouds(tmp_path / "b.npz", second)
    write_clouds(tmp_path / "a.npz", first)
    (tmp_path / "notes.txt").write_text("not a cloud")
    assert equal(read_clouds(tmp_path), joined([first, second]))


def test_a_folder_of_different_objectives_is_refused(tmp_path):
    write_clouds(tmp_path / "a.npz", clouds())
    write_clouds(tmp_path / "b.npz", clouds(units=("", "ms")))
    with pytest.raises(
        DatasetError, match=r"imaging_time_s \(s\) and of .*imaging_time_s \(ms\) cannot be put"
    ):
        read_clouds(tmp_path)


def test_an_empty_folder_and_no_file(tmp_path):
    with pytest.raises(DatasetError, match=r"expected \.npz files of clouds, there is none"):
        read_clouds(tmp_path)
    with pytest.raises(DatasetError, match=r"no\.npz: No such file"):
        read_clouds(tmp_path / "no.npz")
    with pytest.raises(DatasetError, match="has no cloud"):
        joined([])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"values": None}, "array 'values' is missing"),
        ({"units": None}, "array 'units' is missing"),
        ({"values": np.arange(5.0)}, r"array 'values' holds float64 of shape \(5,\)"),
        ({"values": np.full((5, 2), "a")}, "array 'values' holds"),
        ({"offsets": np.array([0, 3, 4])}, "'offsets' must rise from 0 to 5"),
        ({"offsets": np.array([1, 3, 5])}, "'offsets' must rise from 0 to 5"),
        ({"offsets": np.array([0, 6, 5])}, "'offsets' must rise from 0 to 5"),
        ({"offsets": np.array([0])}, "'offsets' must rise"),
        ({"offsets": np.array([0.0, 3.0, 5.0])}, "'offsets' holds float64"),
        ({"chosen": np.array([2, 2])}, "cloud 1: chosen = 2"),
        ({"chosen": np.array([2])}, "2 clouds, 1 choices"),
        ({"objectives": np.array(["a"])}, "a unit for each"),
        ({"objectives": np.array([1, 2])}, "'objectives' holds int64"),
        ({"values": np.array([[print, 1]] * 5, dtype=object)}, "allow_pickle"),
    ],
)
def test_a_file_of_another_form_is_told_in_one_line(tmp_path, changes, says):
    path = tmp_path / "clouds.npz"
    np.savez(path, allow_pickle=True, **arrays(**changes))
    with pytest.raises(DatasetError, match=says) as raised:
        read_clouds(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_whole_numbers_and_single_precision_are_read(tmp_path):
    np.savez(tmp_path / "a.npz", **arrays(values=np.arange(10, dtype=np.int16).reshape(5, 2)))
    read = read_clouds(tmp_path / "a.npz")
    assert read.values[1].dtype == np.float64
    assert read.values[1].tolist() == [[6, 7], [8, 9]]


@given(st.data())
def test_a_damaged_file_is_told_and_never_anything_else(tmp_path_factory, data):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays())
    content = bytearray(buffer.getvalue())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 5))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "clouds.npz"
    path.write_bytes(content)
    assert "\n" not in told(path)


def told(path):
    """Reason why a file cannot be read; empty when it can."""
    try:
        read_clouds(path)
    except DatasetError as error:
        return str(error)
    return ""


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_nothing_is_unpickled(tmp_path):
    victim = tmp_path / "ran"
    bare, inside = tmp_path / "bare.npz", tmp_path / "inside.npz"
    bare.write_bytes(pickle.dumps(Touch(victim)))
    np.savez(inside, allow_pickle=True, **arrays(chosen=np.array([Touch(victim)] * 2)))
    for path in (bare, inside):
        with pytest.raises(DatasetError, match="not a file of clouds"):
            read_clouds(path)
    assert not victim.exists()


def test_a_file_that_unpacks_to_too_much_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 2**20)
    np.savez_compressed(path, **arrays(values=np.zeros((2**18, 2))))
    assert path.stat().st_size < 2**14
    with pytest.raises(DatasetError, match="4 MiB unpacked, at most 1 MiB"):
        read_clouds(path)


def test_where_a_file_cannot_be_written(tmp_path):
    with pytest.raises(DatasetError, match=r"ends in \.npz"):
        write_clouds(tmp_path / "clouds.csv", clouds())
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot be written"):
        write_clouds(tmp_path / "file" / "clouds.npz", clouds())
