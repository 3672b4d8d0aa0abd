"""Arrays once to disk, bit-equal; one index per Event that was saved, whatever was dropped."""

import hashlib
import pathlib
import subprocess
import sys
import timeit

import event_model
import h5py
import numpy as np
import pytest
from bluesky import plan_stubs as bps
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from ophyd import Device
from ophyd.status import Status

from stedopt_bluesky.devices.image_store import ImageStore, StoresArrays, checksum_of

SHAPES = {"camera_a": ((3, 4), "<i2"), "camera_b": ((2,), "<f8")}


def arrays(n):
    rng = np.random.default_rng(n)
    return {
        "camera_a": rng.integers(-(2**15), 2**15, (3, 4)).astype("<i2"),
        "camera_b": rng.normal(size=2),
    }


def file_of(folder):
    (path,) = folder.rglob("*.h5")
    return path


@pytest.fixture
def store(tmp_path):
    store = ImageStore(tmp_path)
    store.open(SHAPES)
    yield store
    store.close()


def save(store):
    """Collect as the RunEngine does when it saves an Event: it fills in the descriptor."""
    documents = list(store.collect())
    for name, doc in documents:
        if name == "stream_datum":
            doc["descriptor"] = "descriptor-uid"
    return documents


def indices(documents):
    return [doc["indices"]["start"] for name, doc in documents if name == "stream_datum"]


def kinds(documents):
    return [name for name, _ in documents]


# --- the file ---------------------------------------------------------------------------


def test_arrays_are_bit_equal_in_the_file(store, tmp_path):
    for n in range(3):
        store.write(arrays(n))
        save(store)
    store.close()
    with h5py.File(file_of(tmp_path)) as file:
        assert set(file) == set(SHAPES)
        for n in range(3):
            for key, array in arrays(n).items():
                assert file[key][n].tobytes() == array.tobytes()
                assert file[key].dtype == array.dtype
                assert len(file[key]) == 3


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(hnp.arrays(np.float64, (2, 3)))
def test_nan_and_all_are_kept_to_the_bit(tmp_path, array):
    store = ImageStore(tmp_path)
    store.open({"cloud": ((2, 3), np.float64)})
    store.write({"cloud": array})
    (resource, *_) = [doc for _, doc in save(store)]
    store.close()
    with h5py.File(resource["uri"].removeprefix("file://localhost")) as file:
        assert file["cloud"][0].tobytes() == array.tobytes()


def test_another_program_reads_the_file_while_it_grows(store, tmp_path):
    """As the catalogue does; and after a kill -9 the file is as it was here."""
    store.write(arrays(0))
    save(store)
    read = (
        "import h5py, sys\n"
        "with h5py.File(sys.argv[1], 'r', swmr=True) as file:\n"
        "    print(file['camera_a'][:].tobytes().hex())\n"
    )
    command = [sys.executable, "-c", read, str(file_of(tmp_path))]
    output = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert output.strip() == arrays(0)["camera_a"].tobytes().hex()


def test_a_reader_sees_what_is_added(store, tmp_path):
    store.write(arrays(0))
    save(store)
    with h5py.File(file_of(tmp_path), "r", swmr=True) as reader:
        store.write(arrays(1))
        reader["camera_a"].refresh()
        np.testing.assert_array_equal(reader["camera_a"][1], arrays(1)["camera_a"])


def test_the_file_lies_in_a_folder_per_day(store, tmp_path):
    parts = file_of(tmp_path).relative_to(tmp_path).parts
    assert [len(part) for part in parts[:-1]] == [4, 2, 2]
    assert all(part.isdecimal() for part in parts[:-1])


def test_an_empty_file_is_removed(store, tmp_path):
    assert file_of(tmp_path).exists()
    store.close()
    assert list(tmp_path.rglob("*.h5")) == []
    store.close()


def test_a_file_with_arrays_stays_also_when_its_event_was_dropped(store, tmp_path):
    store.write(arrays(0))
    store.close()
    assert file_of(tmp_path).exists()


def test_opening_again_closes_the_first_file_and_begins_at_0(store, tmp_path):
    store.write(arrays(0))
    save(store)
    assert store.index == 1
    first = file_of(tmp_path)
    store.open(SHAPES)
    assert store.index == 0
    with h5py.File(first, "a"):  # nobody else has it open
        pass
    assert len(list(tmp_path.rglob("*.h5"))) == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"camera_a": np.zeros((4, 3), "i2")},
            r"camera_a: expected int16 \(3, 4\), got int16 \(4, 3",
        ),
        (
            {"camera_a": np.zeros((3, 4), "i4")},
            r"camera_a: expected int16 \(3, 4\), got int32 \(3, 4",
        ),
        (
            {"camera_a": np.zeros((3, 4), ">i2")},
            r"camera_a: expected int16 \(3, 4\), got >i2 \(3, 4",
        ),
        ({"camera_b": np.zeros(3)}, r"camera_b: expected float64 \(2,\), got float64 \(3,\)"),
        (
            {"camera_c": np.zeros(3)},
            r"expected arrays for \['camera_a', 'camera_b'\], got .*'camera_c'",
        ),
    ],
)
def test_what_is_not_as_announced_is_refused_and_nothing_is_written(store, tmp_path, change, says):
    with pytest.raises(ValueError, match=says):
        store.write({**arrays(0), **change})
    assert list(store.collect()) == []
    store.close()
    assert list(tmp_path.rglob("*.h5")) == []


def test_a_missing_array_is_refused(store):
    with pytest.raises(ValueError, match=r"expected arrays for .*, got \['camera_a'\]"):
        store.write({"camera_a": arrays(0)["camera_a"]})


def test_writing_needs_an_open_file(tmp_path):
    with pytest.raises(ValueError, match="not open"):
        ImageStore(tmp_path).write(arrays(0))


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        ImageStore(tmp_path / "file").open(SHAPES)


# --- documents --------------------------------------------------------------------------


def test_resources_are_announced_once_and_data_per_event(store):
    store.write(arrays(0))
    first = save(store)
    store.write(arrays(1))
    second = save(store)
    assert kinds(first) == ["stream_resource"] * 2 + ["stream_datum"] * 2
    assert kinds(second) == ["stream_datum"] * 2
    assert indices(first) == [0, 0]
    assert indices(second) == [1, 1]
    resources = {doc["uid"]: doc["data_key"] for name, doc in first if name == "stream_resource"}
    assert set(resources.values()) == set(SHAPES)
    data = [doc for name, doc in first + second if name == "stream_datum"]
    assert {doc["stream_resource"] for doc in data} == set(resources)
    assert len({doc["uid"] for doc in data}) == 4


def test_the_index_moves_on_when_the_event_is_saved_and_not_before(store):
    store.write(arrays(0))
    assert store.index == 0
    collected = list(store.collect())
    assert store.index == 0
    for name, doc in collected:
        if name == "stream_datum":
            doc["descriptor"] = "uid"
    assert store.index == 1
    assert list(store.collect()) == []


def test_a_resource_says_where_and_how(store, tmp_path):
    store.write(arrays(0))
    resource = save(store)[0][1]
    assert resource["mimetype"] == "application/x-hdf5"
    assert resource["uri"] == f"file://localhost{file_of(tmp_path).resolve().as_posix()}"
    assert resource["parameters"] == {
        "dataset": "camera_a",
        "chunk_shape": [1, 3, 4],
        "swmr": True,
    }


def test_the_description(store):
    assert store.describe() == {
        "camera_a": {
            "source": "file:camera_a",
            "dtype": "array",
            "shape": [3, 4],
            "dtype_numpy": "<i2",
            "external": "STREAM:",
        },
        "camera_b": {
            "source": "file:camera_b",
            "dtype": "array",
            "shape": [2],
            "dtype_numpy": "<f8",
            "external": "STREAM:",
        },
    }


def test_nothing_is_collected_where_nothing_was_written(store):
    assert list(store.collect()) == []
    store.write(arrays(0))
    save(store)
    store.close()
    assert list(store.collect()) == []


# --- dropped Events, with the RunEngine -------------------------------------------------


class Camera(Device):
    """Writes the arrays of exposure n, and says n in its Event."""

    def __init__(self, folder, **kwargs):
        super().__init__(**kwargs)
        self.store = ImageStore(folder)
        self.exposures = 0

    def stage(self):
        self.store.open(SHAPES)
        return super().stage()

    def unstage(self):
        self.store.close()
        return super().unstage()

    def trigger(self):
        self.frame = self.store.index
        self.store.write(arrays(self.exposures))
        self.exposures += 1
        status = Status(self)
        status.set_finished()
        return status

    def read(self):
        values = {"exposure": self.exposures - 1, "frame": self.frame}
        return {k: {"value": v, "timestamp": 0.0} for k, v in values.items()}

    def describe(self):
        plain = {"source": "camera", "dtype": "integer", "shape": []}
        return {"exposure": plain, "frame": plain, **self.store.describe()}

    def get_index(self):
        return self.store.index

    def collect_asset_docs(self, index=None):
        yield from self.store.collect()


def take(camera, fate):
    """One Event, or none: saved, dropped before or after reading, or read again after a drop."""
    yield from bps.trigger(camera, wait=True)
    yield from bps.create("primary")
    if fate == "dropped before reading":
        yield from bps.drop()
        return
    yield from bps.read(camera)
    if fate == "dropped":
        yield from bps.drop()
        return
    if fate == "read again":
        yield from bps.drop()
        yield from bps.create("primary")
        yield from bps.read(camera)
    yield from bps.save()


FATES = ["saved", "dropped", "dropped before reading", "read again"]


@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.sampled_from(FATES), min_size=1, max_size=6))
def test_dropped_events_leave_neither_gap_nor_shift(tmp_path, run_engine, documents, fates):
    camera = Camera(tmp_path, name="camera")
    documents.clear()

    def plan():
        yield from bps.open_run()
        yield from bps.stage(camera)
        for fate in fates:
            yield from take(camera, fate)
        yield from bps.unstage(camera)
        yield from bps.close_run()

    run_engine(plan())
    for name, doc in documents:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
    events = [doc for name, doc in documents if name == "event"]
    kept = [n for n, fate in enumerate(fates) if fate in ("saved", "read again")]
    assert [event["data"]["exposure"] for event in events] == kept
    assert [event["data"]["frame"] for event in events] == list(range(len(kept)))
    resources = {d["uid"]: d for name, d in documents if name == "stream_resource"}
    assert len(resources) == (2 if kept else 0)
    data = [doc for name, doc in documents if name == "stream_datum"]
    for uid, resource in resources.items():
        own = [doc for doc in data if doc["stream_resource"] == uid]
        assert [d["indices"] for d in own] == [
            {"start": n, "stop": n + 1} for n in range(len(kept))
        ]
        assert [d["seq_nums"] for d in own] == [
            {"start": event["seq_num"], "stop": event["seq_num"] + 1} for event in events
        ]
        path = pathlib.Path(resource["uri"].removeprefix("file://localhost"))
        with h5py.File(path) as file:
            for event in events:
                np.testing.assert_array_equal(
                    file[resource["data_key"]][event["data"]["frame"]],
                    arrays(event["data"]["exposure"])[resource["data_key"]],
                )


# --- checksums --------------------------------------------------------------------------


def test_the_checksum_is_blake2b_as_the_reference_writes_it():
    """Computed here from docs/reference/documents.md alone."""
    expected = hashlib.blake2b(digest_size=16)
    for key, head in (("camera_a", b"camera_a <i2 3,4\n"), ("camera_b", b"camera_b <f8 2\n")):
        expected.update(head + arrays(0)[key].tobytes())
    backwards = dict(reversed(arrays(0).items()))
    assert checksum_of(arrays(0)) == checksum_of(backwards) == expected.hexdigest()


@given(st.data())
def test_any_bit_key_type_or_shape_is_another_checksum(data):
    before = checksum_of(arrays(0))
    changed = arrays(0)
    key = data.draw(st.sampled_from(sorted(changed)))
    what = data.draw(st.sampled_from(["bit", "key", "dtype", "shape"]))
    array = changed.pop(key)
    if what == "bit":
        flat = bytearray(array.tobytes())
        flat[data.draw(st.integers(0, len(flat) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        changed[key] = np.frombuffer(flat, array.dtype).reshape(array.shape)
    elif what == "key":
        changed[key + data.draw(st.sampled_from("ab"))] = array
    elif what == "dtype":
        changed[key] = array.view(array.dtype.str.replace("i", "u").replace("f", "i"))
    else:
        changed[key] = array.reshape(array.shape[::-1] if array.ndim > 1 else (1, -1))
    assert checksum_of(changed) != before


class CheckedCamera(StoresArrays, Camera):
    """The camera with its checksums."""

    def __init__(self, folder, **kwargs):
        super().__init__(folder, **kwargs)
        self._store = self.store


@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.sampled_from(FATES), min_size=1, max_size=6))
def test_an_event_has_the_checksum_of_its_own_arrays(tmp_path, run_engine, documents, fates):
    camera = CheckedCamera(tmp_path, name="camera")
    documents.clear()

    def plan():
        yield from bps.open_run()
        yield from bps.stage(camera)
        for fate in fates:
            yield from take(camera, fate)
        yield from bps.unstage(camera)
        yield from bps.close_run()

    run_engine(plan())
    for name, doc in documents:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
    for data in (doc["data"] for name, doc in documents if name == "event"):
        assert data["camera_arrays_blake2b"] == checksum_of(arrays(data["exposure"]))


def test_without_arrays_there_is_no_checksum(store):
    assert store.checksum[0] == ""
    store.write(arrays(0))
    assert store.checksum[0] == checksum_of(arrays(0))
    save(store)
    assert store.checksum[0] == "", "the next Event's arrays are not there yet"


def test_checksums_of_three_large_images_take_less_than_3_ms():
    images = {f"camera_{n}": np.full((512, 512), n, np.int16) for n in range(3)}
    assert min(timeit.repeat(lambda: checksum_of(images), number=1, repeat=20)) < 3e-3
