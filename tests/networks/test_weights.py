import hashlib
import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save

from stedopt_bluesky.networks import weights as module
from stedopt_bluesky.networks.weights import (
    MAX_FILE_BYTES,
    METADATA_KEY,
    ObjectiveScale,
    WeightsError,
    WeightsInfo,
    Whitening,
    find_weights,
    load_weights,
    save_weights,
    shipped_names,
)
from tests.networks.random_weights import save_preference, save_quality

COUNTS = hnp.arrays(np.int32, st.integers(1, 30), elements=st.integers(-5, 1000))
SCALES = st.floats(0.1, 100)


@given(COUNTS, st.floats(-10, 10), SCALES)
def test_whitening_is_the_formula_it_says(counts, offset, scale):
    close = {"rtol": 1e-4, "atol": 1e-4}
    x = counts.astype(np.float64)
    np.testing.assert_allclose(
        Whitening("standard", offset, scale)(counts), (x - offset) / scale, **close
    )
    np.testing.assert_allclose(
        Whitening("range", offset, scale)(counts), np.clip((x - offset) / scale, 0, 1), **close
    )
    root = 2 * np.sqrt(np.maximum(x, 0) + 3 / 8)
    np.testing.assert_allclose(
        Whitening("anscombe", offset, scale)(counts), (root - offset) / scale, **close
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("log", 0, 1), "whitening = 'log'"),
        (("range", math.nan, 1), "must be finite"),
        (("range", 0, 0), "the scale above 0"),
        (("range", 0, -1), "the scale above 0"),
        (("range", 0, math.inf), "must be finite"),
    ],
)
def test_whitening_that_cannot_be_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Whitening(*values)


def test_a_network_comes_back_as_it_was(tmp_path):
    saved = save_quality(
        tmp_path / "deep" / "er" / "a.safetensors", training={"rmse": 0.1, "of": ["x"]}
    )
    loaded = load_weights(saved.path, "quality")

    assert loaded.info == saved.info
    assert loaded.sha256 == saved.sha256 == hashlib.sha256(saved.path.read_bytes()).hexdigest()
    assert loaded.identity == {"name": "a", "version": "1", "sha256": saved.sha256}
    assert set(loaded.tensors) == set(saved.tensors)
    for name, tensor in saved.tensors.items():
        # Shapes too: what counts batches is a number without axes.
        assert loaded.tensors[name].shape == tensor.shape
        np.testing.assert_array_equal(loaded.tensors[name], tensor)
    assert [p.name for p in saved.path.parent.iterdir()] == ["a.safetensors"]


def test_a_preference_network_comes_back_as_it_was(tmp_path):
    saved = save_preference(tmp_path / "p.safetensors")
    assert load_weights(saved.path, "preference").info == saved.info
    assert load_weights(saved.path, None).info.kind == "preference"


def test_the_same_numbers_make_the_same_file(tmp_path):
    first = save_quality(tmp_path / "a.safetensors", name="n")
    tensors = dict(reversed(first.tensors.items()))
    assert save_weights(tmp_path / "b.safetensors", tensors, first.info).sha256 == first.sha256


def written(path, metadata, tensors=None):
    tensors = {"a": np.zeros(2, np.float32)} if tensors is None else tensors
    path.write_bytes(save(tensors, metadata=metadata))
    return path


GOOD = {
    "kind": "quality",
    "name": "n",
    "version": "1",
    "whitening": {"kind": "range", "offset": 0.0, "scale": 1.0},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "other"}, "quality or preference"),
        ({"whitening": None}, "needs its whitening"),
        ({"whitening": {"kind": "range"}}, "missing"),
        ({"whitening": {"kind": "range", "offset": 0, "scale": 0}}, "the scale above 0"),
        ({"whitening": {"kind": "range", "offset": 0, "scale": "1"}}, "cannot be understood"),
        ({"name": 7}, "name = 7: text"),
        ({"licence": None}, "licence = None: text"),
        ({"training": [1]}, "a table"),
        ({"pixel_size_nm": -1}, "at least 0"),
        ({"unknown": 1}, "unknown"),
        ({"objectives": [{"name": "a"}]}, "missing"),
        ({"kind": "preference", "objectives": []}, "needs its objectives"),
    ],
)
def test_metadata_that_cannot_be_understood(tmp_path, changes, message):
    path = written(tmp_path / "a.safetensors", {METADATA_KEY: json.dumps({**GOOD, **changes})})
    with pytest.raises(WeightsError, match=message) as refused:
        load_weights(path, "quality")
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", '"a"', "null", "[" * 100_000, '{"kind": ' + "9" * 5000 + "}",
     '{"kind": "preference", "name": "a", "version": "1", '
     '"objectives": [{"name": "a", "unit": "", "offset": 1' + "0" * 400 + ', "scale": 1}]}',
     '{"kind": "preference", "name": "a", "version": "1", '
     '"objectives": [{"name": 7, "unit": "", "offset": 0, "scale": 1}]}'],
)  # fmt: skip
def test_metadata_that_is_no_table(tmp_path, text):
    path = written(tmp_path / "a.safetensors", {METADATA_KEY: text})
    with pytest.raises(WeightsError, match="cannot be understood"):
        load_weights(path, "quality")


def test_a_file_of_another_program(tmp_path):
    path = written(tmp_path / "a.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"without the metadata .*stedopt weights import"):
        load_weights(path, "quality")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        b"PK\x03\x04" + bytes(100),
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 4) + b"\xff\xfe\xfd\xfc",
        b"\x80\x04\x95",  # as a pickle begins
    ],
)
def test_bytes_that_are_no_network(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"a\.safetensors: "):
        load_weights(path, "quality")


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_a_damaged_file_is_refused_or_whole(tmp_path_factory, at, noise):
    path = tmp_path_factory.mktemp("w") / "a.safetensors"
    written(path, {METADATA_KEY: json.dumps(GOOD)}, {"a": np.arange(9, dtype=np.float32)})
    content = bytearray(path.read_bytes())
    at %= len(content)
    content[at : at + len(noise)] = noise
    path.write_bytes(bytes(content))
    try:
        assert load_weights(path, None).sha256 == hashlib.sha256(content).hexdigest()
    except WeightsError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017  either may happen


def test_a_truncated_file_is_refused(tmp_path):
    path = save_quality(tmp_path / "a.safetensors").path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(path, "quality")


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(WeightsError, match="larger than 16 MiB"):
        load_weights(path, "quality")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(tmp_path, value):
    path = written(
        tmp_path / "a.safetensors",
        {METADATA_KEY: json.dumps(GOOD)},
        {"a": np.array([1, value], np.float32)},
    )
    with pytest.raises(WeightsError, match="tensor a holds numbers that are not finite"):
        load_weights(path, "quality")


def test_a_network_of_the_other_kind_is_refused(tmp_path):
    path = save_preference(tmp_path / "p.safetensors").path
    with pytest.raises(WeightsError, match="holds a preference network, a quality network"):
        load_weights(path, "quality")


def test_what_is_not_there_is_told(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(WeightsError):
            load_weights(path, "quality")


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    weights = save_quality(tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="cannot be written"):
        save_weights(weights.path / "b.safetensors", weights.tensors, weights.info)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Some networks as if they came with the package."""
    folder = tmp_path / "shipped"
    for name in ("quality-general", "quality-actin"):
        save_quality(folder / f"{name}.safetensors")
    save_preference(folder / "preference-actin.safetensors")
    (folder / "quality-general.checkpoint").touch()
    save_quality(folder / "my-quality-b.safetensors")
    monkeypatch.setattr(module, "_shipped", lambda: folder)
    return folder


def test_a_shipped_network_is_found_by_its_name(shipped):
    assert shipped_names("quality") == ("actin", "general")
    assert shipped_names("preference") == ("actin",)
    assert find_weights("actin", "quality") == shipped / "quality-actin.safetensors"
    assert find_weights("actin", "preference") == shipped / "preference-actin.safetensors"


def test_another_is_found_by_its_file(shipped, tmp_path):
    path = save_quality(tmp_path / "mine.safetensors").path
    assert find_weights(str(path), "quality") == path


@pytest.mark.parametrize("reference", ["generl", "", ".", "nowhere/a.safetensors"])
def test_a_network_that_is_nowhere(shipped, reference):
    with pytest.raises(WeightsError, match="no such file; shipped are actin, general") as refused:
        find_weights(reference, "quality")
    assert ("did you mean 'general'?" in str(refused.value)) is (reference == "generl")


@pytest.mark.parametrize(("offset", "scale"), [(math.nan, 1), (0, 0), (0, -1), (0, math.inf)])
def test_an_objective_that_cannot_be_scaled_is_refused(offset, scale):
    with pytest.raises(ValueError, match="objective quality: offset"):
        ObjectiveScale("quality", "", offset, scale)


def test_a_network_that_comes_with_the_package_can_be_loaded():
    for kind in ("quality", "preference"):
        for name in shipped_names(kind):
            info = load_weights(find_weights(name, kind), kind).info
            assert isinstance(info, WeightsInfo)
            assert info.licence
