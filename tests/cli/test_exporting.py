import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import tifffile

from stedopt_bluesky.records import RunRecord
from stedopt_bluesky.records import export as exporting

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "export_images.md"


@pytest.fixture(scope="module")
def exported(stedopt_json, stored, tmp_path_factory):
    """The finished run, as OME-TIFF: what was said, and its record."""
    out = tmp_path_factory.mktemp("exported")
    found, result = stedopt_json(
        "export", stored.finished["uid"][:8], "--out", out, "--catalog", stored.catalog
    )
    assert result.exit_code == 0, result.stderr
    (journal,) = stored.catalog.glob(f"journal/*/{found['uid']}.jsonl")
    return found, RunRecord.read(journal)


def position_um(path):
    plane = ET.fromstring(tifffile.TiffFile(path).ome_metadata).find(".//{*}Plane")  # noqa: S314
    return float(plane.get("PositionX")), float(plane.get("PositionY"))


def test_every_image_of_a_run_is_in_a_file(exported):
    found, record = exported
    uid = record.uid[:8]
    assert [Path(path).name for path in found["files"]] == [
        f"{uid}-0000-overview.ome.tif",
        *(f"{uid}-{n:04d}-region.ome.tif" for n in (1, 2, 3)),
    ]
    assert (found["uid"], found["format"], found["missing"]) == (record.uid, "ome-tiff", [])
    overview, *regions = found["files"]
    np.testing.assert_array_equal(tifffile.imread(overview), record.images("overview_image")[0])
    for name, channel in (("confocal1", 0), ("sted1", 1), ("confocal2", 2)):
        stored = record.images(f"microscope_{name}")
        images = [tifffile.imread(path)[channel] for path in regions]
        np.testing.assert_array_equal(images, stored)


def test_the_settings_are_those_of_the_events(exported):
    found, record = exported
    for path, event in zip(found["files"][1:], record.events("primary"), strict=True):
        data = event["data"]
        text = tifffile.TiffFile(path).ome_metadata
        for key in ("excitation_power_uW", "depletion_power_mW", "dwelltime_us"):
            assert f'<M K="{key}">{data[key]}</M>' in text
        assert f'<M K="resolution_nm">{data["objective_resolution_nm"]}</M>' in text
        assert record.uid in text


def test_positions_lay_the_regions_over_the_overview(exported):
    """A region looks like its place in the overview, and not like others."""
    found, _ = exported
    overview, *regions = found["files"]
    large = tifffile.imread(overview).astype(float)
    left, top = position_um(overview)
    agreement = []
    for path in regions:
        # 64 pixels of 20 nm are 8 of 160 nm.
        small = tifffile.imread(path)[0].reshape(8, 8, 8, 8).sum((1, 3))
        x_um, y_um = position_um(path)
        column, row = round((x_um - left) / 0.16), round((y_um - top) / 0.16)
        places = [(row, column), (column, row), (-row - 8, column), (row, -column - 8)]
        windows = [np.roll(large, (-y, -x), (0, 1))[:8, :8] for y, x in places]
        agreement.append([np.corrcoef(small.ravel(), w.ravel())[0, 1] for w in windows])
    here, *elsewhere = np.mean(agreement, axis=0)
    assert here > 0.5
    assert here > max(elsewhere) + 0.2


def test_an_export_in_words(stedopt, stored, tmp_path):
    where = ("--catalog", stored.catalog, "--out", tmp_path / "new folder")
    result = stedopt("export", stored.aborted["uid"], *where, "--format", "obf")
    assert result.exit_code == 0
    uid = stored.aborted["uid"][:8]
    assert result.stdout.startswith(f"3 files of run {uid} in {tmp_path / 'new folder'}")
    assert (
        sorted(p.name for p in (tmp_path / "new folder").iterdir())[0] == f"{uid}-0000-overview.obf"
    )


def test_what_is_missing_is_told_and_the_rest_is_written(stedopt_json, copied, journal, tmp_path):
    record = RunRecord.read(journal(copied.catalog, copied.finished["uid"]))
    resource = next(
        doc for name, doc in record.documents
        if name == "stream_resource" and doc["data_key"] == "overview_image"
    )  # fmt: skip
    # A name that is neither in this catalogue nor in the one that it was copied from.
    name, path = resource["uri"].rsplit("/", 1)[1], record.path
    path.write_text(path.read_text("utf-8").replace(name, "gone.h5"), "utf-8")
    where = ("--out", tmp_path / "out", "--catalog", copied.catalog)
    found, result = stedopt_json("export", record.uid, *where)

    assert result.exit_code == 2
    assert [Path(p).name.split("-")[1] for p in found["files"]] == ["0001", "0002", "0003"]
    (missing,) = found["missing"]
    assert missing.startswith(f"{record.uid[:8]}-0000-overview, overview: overview_image cannot")
    assert result.stderr.splitlines() == [f"warning: missing: {missing}"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--format", "png"), ["format = 'png'", "ome-tiff, obf"]),
        (("--out", "{tmp}/file"), ["{tmp}/file", "is a file"]),
        (("--catalog", "{tmp}/none"), ["there is no catalogue"]),
    ],
)
def test_a_wrong_request_is_told_in_one_line(stedopt, stored, tmp_path, arguments, words):
    (tmp_path / "file").touch()
    arguments = [a.replace("{tmp}", str(tmp_path)) for a in arguments]
    where = ["--out", tmp_path / "out", "--catalog", stored.catalog]
    result = stedopt("export", stored.finished["uid"], *where, *arguments)

    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    for word in words:
        assert word.replace("{tmp}", str(tmp_path)) in line
    assert not (tmp_path / "out").exists()


def test_files_are_not_overwritten_unasked(stedopt, exported, stored):
    found, record = exported
    where = ("--out", Path(found["files"][0]).parent, "--catalog", stored.catalog)
    result = stedopt("export", record.uid, *where)
    assert result.exit_code == 2
    assert "is there already, as 4 of 4 files" in result.stderr
    assert stedopt("export", record.uid, *where, "--overwrite").exit_code == 0


def test_an_interruption_tells_where_the_files_are(stedopt, stored, tmp_path, monkeypatch):
    def interrupted(path, images):
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "FORMATS", {"ome-tiff": (".ome.tif", interrupted)})
    where = ("--out", tmp_path / "out", "--catalog", stored.catalog)
    result = stedopt("export", stored.finished["uid"], *where)
    assert result.exit_code == 130
    assert f"{tmp_path / 'out'} holds the files written so far" in result.stderr


def test_the_how_to_in_python_runs_as_it_stands(stored, tmp_path, monkeypatch, capsys):
    (block,) = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text("utf-8"), re.S | re.M)
    code = block.replace("stedopt-data", str(stored.catalog)).replace(
        "57dc", stored.finished["uid"]
    )
    monkeypatch.chdir(tmp_path)
    exec(code, {})  # noqa: S102
    assert capsys.readouterr().out == "4 files, missing: ()\n"
    assert len(list((tmp_path / "images").glob("*.obf"))) == 4


def test_an_exported_image_becomes_a_sample(stedopt_json, exported, stored, tmp_path, toml):
    found, record = exported
    image = f"{found['files'][1]}#sted1"
    # Small regions of a field that is laid out with the image's 1.28 µm.
    (tmp_path / "small.toml").write_text(toml.read_text().replace("30.0", "10.0"))
    run, result = stedopt_json(
        "run", tmp_path / "small.toml", "--sample", image, "--images", 1, "--catalog",
        tmp_path / "catalogue",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert run["sample"] == f"{record.uid[:8]}-0001-region"
    assert json.dumps(run)
