from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import tifffile

from stedopt_bluesky.networks.rater import QualityRater
from tests.networks.random_weights import save_quality, spots


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_quality(tmp_path_factory.mktemp("weights") / "random.safetensors")


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Two good ones, one that is constant, one that is damaged; in the working folder."""
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("a.tif", spots(0))
    np.save("b.npy", spots(1, 50))
    np.save("flat.npy", np.zeros((40, 40), np.int16))
    (tmp_path / "broken.tif").write_bytes(b"no image")
    return tmp_path


def test_scores_as_json(stedopt_json, images, weights):
    found, result = stedopt_json("rate", "a.tif", "flat.npy", "b.npy", "--weights", weights.path)

    assert result.exit_code == 0, result.stderr
    rater = QualityRater(weights)
    assert found == [
        {"path": "a.tif", "score": pytest.approx(rater(spots(0)), abs=1e-5)},
        {"path": "flat.npy", "score": None, "reason": "the image is constant"},
        {"path": "b.npy", "score": pytest.approx(rater(spots(1, 50)), abs=1e-5)},
    ]


def test_scores_in_words(stedopt, images, weights):
    result = stedopt("rate", "a.tif", "flat.npy", "--weights", weights.path)
    assert result.exit_code == 0, result.stderr
    score = QualityRater(weights)(spots(0))
    assert f"a.tif      {score:.4f}" in result.stdout
    assert "flat.npy   invalid: the image is constant" in result.stdout


def test_a_file_that_cannot_be_read_does_not_stop_the_others(stedopt_json, images, weights):
    files = ("none.tif", "a.tif", "broken.tif", "a.png", "b.npy")
    found, result = stedopt_json("rate", *files, "--weights", weights.path)

    assert result.exit_code == 2
    assert [entry["path"] for entry in found] == list(files)
    assert [entry["score"] is None for entry in found] == [True, False, True, True, False]
    assert found[0]["reason"] == "no such file"
    lines = result.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["none.tif", "broken.tif", "a.png"]


def test_every_image_of_a_file_is_rated(stedopt_json, images, weights):
    channels = np.stack([spots(0), spots(1)])
    metadata = {"axes": "CYX", "Channel": {"Name": ["confocal1", "sted1"]}}
    metadata |= {"PhysicalSizeX": 0.05, "PhysicalSizeY": 0.05}
    tifffile.imwrite("c.ome.tif", channels, ome=True, photometric="minisblack", metadata=metadata)
    files = ("c.ome.tif", "a.tif", "c.ome.tif#sted1", "c.ome.tif#3")
    found, result = stedopt_json("rate", *files, "--weights", weights.path, "--maps", "maps")

    assert result.exit_code == 2
    paths = ["c.ome.tif#confocal1", "c.ome.tif#sted1", "a.tif", "c.ome.tif#sted1", "c.ome.tif#3"]
    assert [entry["path"] for entry in found] == paths
    assert found[0]["score"] == pytest.approx(found[2]["score"])
    assert found[1]["score"] == pytest.approx(found[3]["score"])
    assert found[4]["score"] is None
    names = ["c.ome.tif#confocal1.png", "c.ome.tif#sted1.png", "a.tif.png"]
    names += ["c.ome.tif#sted1-2.png"]
    assert [Path(entry["map"]).name for entry in found[:4]] == names
    warnings = [line for line in result.stderr.splitlines() if "has pixels of 50 nm" in line]
    assert len(warnings) == 2
    assert "trained on pixels of 20 nm" in warnings[0]


def test_maps_are_pictures_that_do_not_overwrite_each_other(stedopt_json, images, weights):
    (images / "other").mkdir()
    tifffile.imwrite(images / "other" / "a.tif", spots(2))
    np.save(images / "a.npy", spots(3))
    files = ("a.tif", "other/a.tif", "a.npy", "flat.npy")
    options = ("--weights", weights.path, "--maps", "deep/maps")
    found, result = stedopt_json("rate", *files, *options)

    assert result.exit_code == 0, result.stderr
    maps = images / "deep" / "maps"
    names = ["a.tif.png", "a.tif-2.png", "a.npy.png"]
    assert [entry["map"] for entry in found] == [*(str(maps / name) for name in names), None]
    assert sorted(path.name for path in maps.iterdir()) == sorted(names)
    for name in names:
        assert (maps / name).read_bytes().startswith(b"\x89PNG")
        picture = matplotlib.image.imread(maps / name)
        assert picture.shape[0] > 400
        assert picture.shape[1] > 800


def test_many_images_are_rated_in_parts(stedopt_json, images, weights, monkeypatch):
    from stedopt_bluesky.cli import rating

    monkeypatch.setattr(rating, "_PIXELS_AT_ONCE", 1)
    found, result = stedopt_json("rate", "a.tif", "b.npy", "a.tif", "--weights", weights.path)
    assert result.exit_code == 0, result.stderr
    assert found[0] == found[2] != found[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--weights", "generl"), "quality network 'generl': no such file; shipped are"),
        (("--weights", "broken.tif"), "broken.tif: not a safetensors file"),
        (("--maps", "a.tif"), "maps = 'a.tif': a folder for the pictures"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(stedopt, images, options, message):
    result = stedopt("rate", "a.tif", *options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


def test_without_an_image_nothing_is_done(stedopt):
    assert stedopt("rate").exit_code == 2


def test_interrupted(stedopt, images, weights, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(QualityRater, "rate", interrupt)
    result = stedopt("rate", "a.tif", "--weights", weights.path)
    assert result.exit_code == 130
    assert result.stderr.splitlines() == ["error: interrupted by the user (Ctrl-C)"]
