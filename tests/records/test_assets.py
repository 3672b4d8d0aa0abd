from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.records.assets import path_of, read_frames, tiled_address
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


def test_a_copy_that_lacks_a_file_does_not_get_the_originals_when_only_its_own_are_meant(tmp_path):
    original = tmp_path / "old" / "arrays" / "2026" / "x.h5"
    original.parent.mkdir(parents=True)
    original.touch()
    arrays = tmp_path / "copy" / "arrays"
    assert path_of(original.as_uri(), arrays) == original
    assert path_of(original.as_uri(), arrays, only_own=True) == arrays / "2026" / "x.h5"


@pytest.mark.parametrize("uri", ["http://localhost/x.h5", "/x.h5", "file://elsewhere/x.h5", ""])
def test_other_addresses_are_refused(uri):
    with pytest.raises(CatalogError, match="not the address of a file"):
        path_of(uri)


def test_other_formats_are_refused():
    resource = {"mimetype": "image/tiff", "data_key": "k", "uri": "file:///x", "parameters": {}}
    with pytest.raises(CatalogError, match="image/tiff"):
        read_frames(resource, [0])
