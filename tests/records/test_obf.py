"""``.obf`` files, read by the vendor's own reader and held against a measurement of Imspector."""

import json
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stedopt_bluesky.records.field_images import DTYPES, Channel, FieldImages
from stedopt_bluesky.records.obf import write_obf

specpy = pytest.importorskip("specpy")
REAL = (
    pathlib.Path(__file__).parents[2].parent
    / "shared"
    / "data"
    / "imspector"
    / "dummy_1channel.msr"
)


def field_images(*channels, pixel_size_nm=20.0, x_um=3.0, y_um=-2.0, **run):
    return FieldImages("a", channels, pixel_size_nm, x_um, y_um, 0.0, run, {"number": 1})


def read(path):
    """All of a file: its description and its stacks, with arrays that outlive it."""
    file = specpy.File(str(path), specpy.File.Read)
    stacks = []
    for number in range(file.number_of_stacks()):
        stack = file.read(number)
        told = {name: getattr(stack, name)() for name in ("name", "shape", "lengths", "offsets")}
        stacks.append({**told, "labels": stack.labels(), "data": np.array(stack.data())})
    return file.description(), stacks


images = st.tuples(hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), st.sampled_from(DTYPES))
images = images.flatmap(lambda kind: st.lists(hnp.arrays(kind[1], kind[0]), min_size=1, max_size=4))
names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=9)


@given(images, st.lists(names, min_size=4, max_size=4), st.floats(1, 1000), st.floats(-90, 90))
def test_what_is_written_is_read_by_specpy(tmp_path_factory, arrays, names, pixel_size_nm, x_um):
    path = tmp_path_factory.getbasetemp() / "hypothesis.obf"
    channels = [Channel(name, array, {}) for name, array in zip(names, arrays, strict=False)]
    write_obf(path, field_images(*channels, pixel_size_nm=pixel_size_nm, x_um=x_um))
    _, stacks = read(path)

    assert [stack["name"] for stack in stacks] == [channel.name for channel in channels]
    for stack, array in zip(stacks, arrays, strict=True):
        height, width = array.shape
        assert stack["data"].dtype == array.dtype
        np.testing.assert_array_equal(stack["data"], array[None, None])
        assert stack["shape"] == [width, height, 1, 1]
        lengths_m = np.array([width, height]) * pixel_size_nm * 1e-9
        np.testing.assert_allclose(stack["lengths"][:2], lengths_m)
        # The centre is where it was, the offset is the corner.
        centre_m = np.array(stack["offsets"][:2]) + lengths_m / 2
        np.testing.assert_allclose(centre_m, [x_um * 1e-6, -2e-6], atol=1e-15)


def test_frames_are_a_third_axis_in_seconds(tmp_path):
    frames = np.arange(5 * 3 * 4, dtype=np.int16).reshape(5, 3, 4)
    images = FieldImages(
        "a", [Channel("calcium", frames, {})], 20.0, 3.0, -2.0, 0.0, {}, {}, frame_s=0.25
    )
    write_obf(tmp_path / "a.obf", images)
    (stack,) = read(tmp_path / "a.obf")[1]

    assert stack["shape"] == [4, 3, 5, 1]
    assert stack["labels"] == ["ExpControl X", "ExpControl Y", "ExpControl T", "None"]
    assert stack["lengths"][2] == pytest.approx(5 * 0.25)
    np.testing.assert_array_equal(stack["data"][0], frames)


def test_arrays_that_are_not_contiguous_or_of_another_byte_order(tmp_path):
    image = np.arange(12, dtype=np.int16).reshape(3, 4)
    turned, swapped = image.T[::-1], image.T[::-1].astype(">i2")
    path = tmp_path / "a.obf"
    write_obf(path, field_images(Channel("turned", turned, {}), Channel("swapped", swapped, {})))
    for stack in read(path)[1]:
        np.testing.assert_array_equal(stack["data"][0, 0], turned)


def test_the_description_is_json(tmp_path):
    channel = Channel("sted1", np.ones((5, 4), np.int16), {"dwelltime_us": 10.0, "line_steps": 2})
    images = field_images(channel, uid="1f0c", operator="Zoë µ")
    write_obf(tmp_path / "µ.obf", images)
    told = json.loads(read(tmp_path / "µ.obf")[0])

    assert told == images.facts
    assert told["run"] == {"uid": "1f0c", "operator": "Zoë µ"}
    assert told["channels"] == [
        {"name": "sted1", "dwelltime_us": 10.0, "line_steps": 2, "exposure_s": pytest.approx(4e-4)}
    ]


def test_axes_and_units_are_those_of_a_real_measurement(tmp_path):
    if not REAL.exists():
        pytest.skip("no real measurement here")
    (real,) = read(REAL)[1]
    step_nm = real["lengths"][0] / real["data"].shape[-1] * 1e9
    image = Channel(real["name"], real["data"][0, 0], {})
    write_obf(tmp_path / "a.obf", field_images(image, pixel_size_nm=step_nm, x_um=0, y_um=0))
    (written,) = read(tmp_path / "a.obf")[1]

    np.testing.assert_array_equal(written.pop("data"), real.pop("data"))
    for name in ("lengths", "offsets"):
        np.testing.assert_allclose(written.pop(name), real.pop(name))
    assert written == real
