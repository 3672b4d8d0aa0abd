import contextlib
import resource

import h5py
import numpy as np
import pytest
import tifffile

from stedopt_bluesky.records import (
    CatalogError,
    ExportError,
    RunRecord,
    export_run,
    find_run,
)
from stedopt_bluesky.records.export import FORMATS


def configured(objectives, **imaging):
    config = {"objectives": [{"name": n} for n in objectives], "imaging": imaging}
    return {"version": "0", "config": config}


@pytest.fixture
def run(folder, small):
    """A run of four images with confocal 1 and STED, and where its arrays lie."""
    told = configured(small["objectives"], pixel_size_nm=20.0, confocal_dwelltime_us=10.0)
    uid, _ = small["record_run"](folder, stedopt=told)
    (arrays,) = (p for p in folder.arrays.glob("*.h5") if "microscope_sted1" in h5py.File(p))
    return RunRecord.read(find_run(folder, uid)), arrays


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("format", FORMATS)
def test_one_file_a_region_in_their_order(run, tmp_path, small, format):
    if format == "obf":
        pytest.importorskip("specpy")
    from stedopt_bluesky.image_files import read_images

    record, _ = run
    done = []
    found = export_run(record, tmp_path / "a" / "b", format=format, advance=done.append)

    ending = FORMATS[format][0]
    expected = [f"{record.uid[:8]}-{n:04d}-region{ending}" for n in (1, 2, 3, 4)]
    assert [path.name for path in found.files] == expected == names(tmp_path / "a" / "b")
    assert (found.missing, done) == ((), [1] * 4)
    for n, path in enumerate(found.files):
        images = read_images(path)
        assert [i.name for i in images] == ["confocal1", "sted1"]
        assert [i.pixel_size_nm for i in images] == pytest.approx([20.0, 20.0])
        for image in images:
            wanted = small["expected_image"](f"microscope_{image.name}", n)
            np.testing.assert_array_equal(image.image, wanted)


def test_files_that_are_there_are_replaced_only_when_told_so(run, tmp_path):
    record, _ = run
    first, *_, last = export_run(record, tmp_path / "out").files
    first.unlink()
    last.write_bytes(b"mine")
    with pytest.raises(ExportError, match=r"is there already, as 3 of 4 files.*--overwrite"):
        export_run(record, tmp_path / "out")
    assert not first.exists()
    assert last.read_bytes() == b"mine"

    assert len(export_run(record, tmp_path / "out", overwrite=True).files) == 4
    assert tifffile.imread(last).shape == (2, 6, 5)


def test_what_a_crash_has_lost_is_told_and_all_else_is_written(run, tmp_path):
    record, arrays = run
    with h5py.File(arrays, "r+") as file:
        file["microscope_sted1"].resize(1, axis=0)
        file["microscope_confocal1"].resize(3, axis=0)
    found = export_run(record, tmp_path / "out")

    number = [path.name.split("-")[1] for path in found.files]
    assert number == ["0001", "0002", "0003"]
    assert [len(tifffile.TiffFile(path).pages) for path in found.files] == [2, 1, 1]
    told = [line.split(":")[0].split("-", 1)[1] for line in found.missing]
    assert told == [
        "0002-region, sted1", "0003-region, sted1", "0004-region, confocal1", "0004-region, sted1"
    ]  # fmt: skip
    assert "has 1 frames" in found.missing[0]


def test_a_run_of_which_no_image_is_left(run, tmp_path):
    record, arrays = run
    arrays.unlink()
    with pytest.raises(ExportError, match=r"no image that can be exported .*cannot be read"):
        export_run(record, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_killed_before_its_first_image(run, tmp_path):
    record, _ = run
    early = RunRecord(record.path, record.documents[:1])
    with pytest.raises(ExportError, match=r"no image that can be exported$"):
        export_run(early, tmp_path / "out")


@contextlib.contextmanager
def files_up_to(size):
    """A disk on which no file can be larger: to write beyond fails as on a full one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_leaves_no_half_file(run, tmp_path, format):
    record, _ = run
    with files_up_to(1000), pytest.raises(ExportError, match=r"0001.*cannot be written") as caught:
        export_run(record, tmp_path, format=format)
    assert "\n" not in str(caught.value)
    assert not [name for name in names(tmp_path) if "region" in name]


def test_an_interruption_leaves_whole_files(run, tmp_path):
    record, _ = run

    def interrupt(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_run(record, tmp_path / "out", advance=interrupt)
    (name,) = names(tmp_path / "out")
    assert tifffile.imread(tmp_path / "out" / name).shape == (2, 6, 5)


def test_what_cannot_be_exported_is_told_in_one_line(run, tmp_path, stored):
    record, _ = run
    (tmp_path / "file").touch()
    for options, message in [
        ({"format": "png"}, "format = 'png': allowed are ome-tiff, obf"),
        ({"folder": tmp_path / "file"}, "is a file; a folder is needed"),
        ({"folder": tmp_path / "file" / "deeper"}, "the folder cannot be made"),
    ]:
        with pytest.raises(ExportError, match=message):
            export_run(record, **{"folder": tmp_path / "out", **options})
    folder, uid, _ = stored
    with pytest.raises(CatalogError, match="does not tell the pixel size of region: None"):
        export_run(RunRecord.read(find_run(folder, uid)), tmp_path / "out")
