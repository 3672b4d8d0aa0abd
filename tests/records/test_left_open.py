"""HDF5 files whose writer died."""

import contextlib
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.records.assets import _UNREADABLE, open_to_read
from stedopt_bluesky.records.left_open import AsClosed, is_left_open, lookup3

WRITE_AND_DIE = """
import os, sys, h5py, numpy as np
file = h5py.File(sys.argv[1], "w", libver="latest")
dataset = file.create_dataset("x", (0, 64, 64), "i2", maxshape=(None, 64, 64), chunks=(1, 64, 64))
file.swmr_mode = True
for n in range(int(sys.argv[2])):
    dataset.resize(n + 1, axis=0)
    dataset[n] = n
    dataset.flush()
os._exit(9)
"""


@pytest.fixture(scope="module")
def left_open(tmp_path_factory):
    """A file of 40 images, whose writer has gone without a word."""
    path = tmp_path_factory.mktemp("left") / "open µ.h5"
    done = subprocess.run(
        [sys.executable, "-c", WRITE_AND_DIE, str(path), "40"], check=False, timeout=60
    )
    assert done.returncode == 9
    return path


def test_a_file_that_was_left_open_is_read_and_stays_as_it_is(left_open):
    before = left_open.read_bytes()
    assert is_left_open(left_open)
    with pytest.raises(OSError, match="already open"):
        h5py.File(left_open, "r")
    with open_to_read(left_open, growing=False) as file:
        images = file["x"][:]
    with open_to_read(left_open, growing=True) as file:
        np.testing.assert_array_equal(images, file["x"][:])
    np.testing.assert_array_equal(images[:, 5, 5], np.arange(40))
    assert left_open.read_bytes() == before


def test_other_files_are_not_left_open(left_open, tmp_path):
    closed = tmp_path / "closed.h5"
    for libver in ("latest", "earliest"):
        with h5py.File(closed, "w", libver=libver) as file:
            file["x"] = [1]
        assert not is_left_open(closed)
    for content in (b"", b"text", left_open.read_bytes()[:20], bytes(100)):
        closed.write_bytes(content)
        assert not is_left_open(closed)


@pytest.mark.parametrize("place", range(48))
def test_a_superblock_that_is_damaged_anywhere_is_told(left_open, tmp_path, place):
    content = bytearray(left_open.read_bytes())
    content[place] ^= 1
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"superblock .* is damaged"):
        AsClosed(path)
    with pytest.raises(OSError, match=r"open file|superblock"):
        open_to_read(path, growing=False)


def test_damaged_pixels_leave_the_other_images_as_they_are(left_open, tmp_path):
    with open_to_read(left_open, growing=False) as file:
        images = file["x"][:]
        place = file["x"].id.get_chunk_info(20).byte_offset
    content = bytearray(left_open.read_bytes())
    content[place] ^= 1
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    with open_to_read(path, growing=False) as file:
        found = file["x"][:]
    assert np.argwhere(found != images).tolist() == [[20, 0, 0]]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=4))
def test_lookup3_is_hdf5s_own(tmp_path_factory, values):
    """The library's superblock of any file bears the checksum of its first 44 bytes."""
    path = tmp_path_factory.mktemp("sums") / "x.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["x" * (1 + values[0])] = values
    head = path.read_bytes()[:48]
    assert lookup3(head[:44]) == int.from_bytes(head[44:], "little")


def test_lookup3_of_published_examples():
    """Of lookup3.c (May 2006), driver5."""
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551


READ = """
import sys
from pathlib import Path
from stedopt_bluesky.records.assets import open_to_read
try:
    with open_to_read(Path(sys.argv[1]), growing=False) as file:
        list(file["x"])
except (OSError, KeyError, RuntimeError, ValueError, TypeError):
    print("refused")
"""


def test_damage_is_not_waited_for(left_open, tmp_path):
    """HDF5 waits for minutes for what a living writer may still put right; this one is dead."""
    content = bytearray(left_open.read_bytes())
    content[60:160] = bytes(100)  # of the root group
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    # In a process of its own, which can be ended whatever the library does.
    command = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_anywhere_is_refused_in_the_same_way(left_open, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "x.h5"
    content = bytearray(left_open.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(12, 4000) | st.integers(12, len(content) - 1))
        content[start : start + 8] = data.draw(st.binary(min_size=8, max_size=8))
    path.write_bytes(content)
    with (
        contextlib.suppress(*_UNREADABLE),  # what is told as damage by whoever reads images
        open_to_read(path, growing=False) as file,
    ):
        assert not file.swmr_mode, "in that mode HDF5 waits for the writer"
        for index in range(len(file["x"])):
            file["x"][index]
