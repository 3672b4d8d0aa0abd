from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.records.assets import HDF5, path_of, read_frames, tiled_address
from stedopt_bluesky.records.folder import CatalogError


@pytest.mark.parametrize("name", ["plain.h5", "two words.h5", "50%20.h5", "µ.h5", "a%b.h5"])
def test_encoded_and_plain_addresses_name_the_file_that_exists(tmp_path, name):
    path = tmp_path / name
    path.touch()
    encoded = path.as_uri()
    assert path_of(encoded) == path
    assert path_of(encoded.replace("file://", "file://localhost")) == path
    assert path_of(tiled_address(path)) == path


@given(st.text("ab %µ20", min_size=1, max_size=8).filter(lambda s: s.strip() == s))
def test_encoded_addresses_are_decoded_where_nothing_exists(name):
    path = Path("/nowhere/that/exists") / name
    assert path_of(path.as_uri()) == path


def test_a_moved_file_is_found_under_the_arrays(tmp_path):
    arrays = tmp_path / "new" / "arrays"
    (arrays / "2026").mkdir(parents=True)
    (arrays / "2026" / "x.h5").touch()
    old = "file://localhost/old/arrays/arrays/2026/x.h5"
    assert path_of(old, arrays) == arrays / "2026" / "x.h5"
    assert path_of(old) == Path("/old/arrays/arrays/2026/x.h5")


def test_a_copied_catalogue_reads_its_own_files(tmp_path):
    for place in ("old", "copy"):
        (tmp_path / place / "arrays").mkdir(parents=True)
        (tmp_path / place / "arrays" / "x.h5").touch()
    address = f"file://localhost{(tmp_path / 'old' / 'arrays' / 'x.h5').as_posix()}"
    assert path_of(address, tmp_path / "copy" / "arrays") == tmp_path / "copy" / "arrays" / "x.h5"


def test_a_copy_that_lacks_a_file_does_not_get_the_originals(tmp_path):
    original = tmp_path / "old" / "arrays" / "2026" / "x.h5"
    original.parent.mkdir(parents=True)
    original.touch()
    arrays = tmp_path / "copy" / "arrays"
    assert path_of(original.as_uri()) == original
    assert path_of(original.as_uri(), arrays) == arrays / "2026" / "x.h5"


@pytest.mark.parametrize("uri", ["http://localhost/x.h5", "/x.h5", "file://elsewhere/x.h5", ""])
def test_other_addresses_are_refused(uri):
    with pytest.raises(CatalogError, match="not the address of a file"):
        path_of(uri)


def test_other_formats_are_refused():
    resource = {"mimetype": "image/tiff", "data_key": "k", "uri": "file:///x", "parameters": {}}
    with pytest.raises(CatalogError, match="image/tiff"):
        read_frames(resource, [0])


@pytest.fixture
def somebody_elses(tmp_path):
    """Folder of arrays of a catalogue from somebody else, and a file that is not theirs."""
    arrays = tmp_path / "catalogue" / "arrays"
    (arrays / "2026").mkdir(parents=True)
    private = tmp_path / "private.h5"
    (tmp_path / "secret").write_bytes(b"secret")
    with h5py.File(private, "w") as file:
        file["x"] = np.ones((2, 3, 3))
    with h5py.File(arrays / "own.h5", "w") as file:
        file["x"] = np.zeros((2, 3, 3))
        file["link"] = h5py.ExternalLink(str(private), "x")
        layout = h5py.VirtualLayout((2, 3, 3), "f8")
        layout[:] = h5py.VirtualSource(str(private), "x", (2, 3, 3))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", (6, 1), "u1", external=[(str(tmp_path / "secret"), 0, 6)])
        # A terabyte an Event, in a file of a few kB.
        file.create_dataset("huge", (2, 2**20, 2**17), "f8", chunks=(1, 64, 64))
        file.create_dataset("texts", (2, 3), h5py.string_dtype())
    (arrays / "link.h5").symlink_to(private)
    (arrays / "folder").symlink_to(tmp_path)
    return arrays


@pytest.mark.parametrize(
    "address",
    [
        "{outside}/private.h5",
        "{arrays}/../../private.h5",
        "{arrays}/%2e%2e/%2e%2e/private.h5",
        "/elsewhere/arrays/../../private.h5",
        "{arrays}/link.h5",
        "{arrays}/folder/private.h5",
        "/etc/passwd",
        "/nowhere/at/all.h5",
        "{arrays}%00/x.h5",
    ],
)
def test_nothing_outside_of_the_arrays_is_named(somebody_elses, address):
    outside = somebody_elses.parent.parent
    uri = "file://localhost" + address.format(arrays=somebody_elses, outside=outside)
    with pytest.raises(CatalogError, match="outside of the catalogue's arrays"):
        path_of(uri, somebody_elses)


def test_the_arrays_may_lie_on_another_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "x.h5").touch()
    arrays = tmp_path / "catalogue" / "arrays"
    arrays.parent.mkdir()
    arrays.symlink_to(disk)
    for place in (arrays, disk):
        assert path_of(tiled_address(place / "x.h5"), arrays).samefile(disk / "x.h5")


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        ("link", "in other files"),
        ("virtual", "in other files"),
        ("raw", "in other files"),
        ("huge", "at most 536870912 bytes"),
        ("texts", "not of numbers"),
        ("/", "no dataset"),
        (7, "cannot be read"),
    ],
)
def test_only_frames_of_the_file_itself_are_read(somebody_elses, dataset, says):
    resource = {
        "mimetype": HDF5,
        "data_key": "k",
        "uri": tiled_address(somebody_elses / "own.h5"),
        "parameters": {"dataset": "x"},
    }
    assert read_frames(resource, [1], somebody_elses)[0].shape == (3, 3)
    resource["parameters"] = {"dataset": dataset}
    with pytest.raises(CatalogError, match=says):
        read_frames(resource, [1], somebody_elses)
