import contextlib
import json
import os
import re
import shlex
import shutil
import signal

import numpy as np
import pytest
import tifffile
import typer

from stedopt_bluesky.cli import app
from stedopt_bluesky.networks.clouds import Clouds, write_clouds
from stedopt_bluesky.networks.datasets import RatedImages, read_folder, write_folder
from stedopt_bluesky.networks.preference_training import (
    FEW_CLOUDS,
    PreferenceRecipe,
    recipe_for,
)
from stedopt_bluesky.networks.quality_recipe import QualityRecipe
from stedopt_bluesky.networks.rater import QualityRater
from stedopt_bluesky.networks.weights import load_weights
from tests.networks.random_weights import save_preference, save_quality, spots

QUICK = ("--epochs", 2, "--batch", 8, "--learning-rate", 0.01)


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    """Files without a folder go to the working folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    """More would be slower: images of 32 pixels, and other programs on the same cores."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    """Folder of 16 small images of eight specimens; the more blurred, the lower the rating."""
    ratings = np.linspace(0, 1, 16)
    dataset = RatedImages(
        [spots(i, 32, blur=0.7 + 4 * (1 - q)) for i, q in enumerate(ratings)],
        ratings,
        ("spots",) * 16,
        tuple(f"s{i % 8}" for i in range(16)),
        tuple(map(str, range(16))),
    )
    folder = tmp_path_factory.mktemp("data") / "rated images"
    write_folder(folder, dataset)
    return folder


@pytest.fixture(scope="module")
def clouds(tmp_path_factory):
    """Sixty clouds of ten options of which the one of the highest quality was chosen."""
    rng = np.random.default_rng(0)
    values = tuple(rng.uniform(size=(10, 2)) for _ in range(60))
    chosen = np.array([int(np.argmax(cloud[:, 0])) for cloud in values])
    path = tmp_path_factory.mktemp("data") / "clouds.npz"
    write_clouds(path, Clouds(values, chosen, ("quality", "photobleaching"), ("", "")))
    return path


def interrupt_at(monkeypatch, number):
    """Press Ctrl-C when the n-th epoch of a training has been told."""
    from stedopt_bluesky.cli import training

    say = training.console.print

    def pressing(text, *arguments, **more):
        say(text, *arguments, **more)
        if str(text).startswith(f"epoch {number}:"):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(training.console, "print", pressing)


def test_a_quality_network(stedopt_json, rated, tmp_path):
    found, result = stedopt_json("train", "quality", rated, "mine.safetensors", *QUICK)

    assert result.exit_code == 0, result.stderr
    weights = load_weights("mine.safetensors", "quality")
    assert found["sha256"] == weights.sha256
    assert (weights.info.name, weights.info.structure) == ("mine", "spots")
    assert found["epochs"] == len(found["history"]) == 2
    assert sum(found["images"].values()) == 16
    assert found["images"]["validation"] == found["evaluation"]["images"] > 0
    bins = found["evaluation"]["over_quality"]
    assert sum(part["images"] for part in bins) == found["evaluation"]["images"]
    best = found["history"][found["best_epoch"] - 1]
    assert found["evaluation"]["rmse"] == pytest.approx(best["validation_loss"], abs=1e-3)
    assert weights.info.training["validation_rmse"] == pytest.approx(
        best["validation_loss"], abs=1e-3
    )
    assert found["figure"] == str(tmp_path / "mine.png")
    assert (tmp_path / "mine.png").read_bytes().startswith(b"\x89PNG")
    assert len(re.findall(r"^epoch \d: RMSE 0\.\d+ in training", result.stderr, re.M)) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.png", "mine.safetensors"]
    assert 0 < QualityRater(weights)(spots(0)) < 1


def test_a_quality_network_in_words(stedopt, rated):
    options = ("--name", "neurons", "--structure", "actin", "--pixel-size-nm", 25)
    result = stedopt("train", "quality", rated, "a/mine.safetensors", *QUICK, *options)
    assert result.exit_code == 0, result.stderr
    assert re.search(r"^0\.0 to 0\.2 +\d", result.stdout, re.M)
    assert re.search(r"^ +all +\d+ +0\.\d+ +[+-]0\.\d+", result.stdout, re.M)
    assert re.search(r"RMSE  0\.\d{4} on \d validation images", result.stdout)
    assert "network  a/mine.safetensors" in result.stdout
    info = load_weights("a/mine.safetensors", "quality").info
    assert (info.name, info.structure, info.pixel_size_nm) == ("neurons", "actin", 25)


def test_the_pixel_size_is_the_files(stedopt, tmp_path):
    metadata = {"axes": "YX", "PhysicalSizeX": 0.03, "PhysicalSizeY": 0.03}
    rows = ["file,quality"]
    for i in range(8):
        name = f"{i}.ome.tif"
        tifffile.imwrite(tmp_path / name, spots(i, 32), ome=True, metadata=metadata)
        rows.append(f"{name},{i / 8}")
    (tmp_path / "ratings.csv").write_text("\n".join(rows))
    train = ("train", "quality", tmp_path, tmp_path / "a.safetensors", *QUICK)

    result = stedopt(*train, "--pixel-size-nm", 20)
    assert result.exit_code == 2
    assert "pixel-size-nm = 20: " in result.stderr
    assert "has pixels of 30 nm, not of 20 nm" in result.stderr
    assert stedopt(*train).exit_code == 0
    info = load_weights(tmp_path / "a.safetensors", "quality").info
    assert info.pixel_size_nm == pytest.approx(30.0)


def test_the_options_reach_the_recipe(stedopt_json, rated, monkeypatch):
    from stedopt_bluesky.networks import quality_training

    asked = {}
    train = quality_training.train_quality

    def recording(dataset, recipe, **more):
        asked["recipe"] = recipe
        return train(dataset, recipe, **more)

    monkeypatch.setattr(quality_training, "train_quality", recording)
    stedopt_json(
        "train", "quality", rated, "a.safetensors", "--epochs", 1, "--patience", 7, "--batch", 5,
        "--learning-rate", 0.003, "--halve-every", 9, "--validation", 0.3,
        "--rotation", "arbitrary", "--whitening", "standard", "--seed", 4,
    )  # fmt: skip
    assert asked["recipe"] == QualityRecipe(
        1, 7, 5, 0.003, 9, validation_share=0.3, rotation="arbitrary", whitening="standard", seed=4
    )


def defaults(command):
    """Default values of a command's options, by name."""
    found = typer.main.get_command(app).commands["train"].commands[command]
    return {parameter.name: parameter.default for parameter in found.params}


def test_the_defaults_are_those_of_the_recipes():
    quality, preference = defaults("quality"), defaults("preference")
    recipe = QualityRecipe()
    for name in ("epochs", "patience", "batch", "learning_rate", "halve_every", "rotation", "seed"):
        assert quality[name] == getattr(recipe, name)
    assert quality["validation"] == recipe.validation_share
    for name in ("epochs", "batch", "margin", "seed"):
        assert preference[name] == getattr(PreferenceRecipe(), name)
    # Left out: as many clouds want it.
    told = {name: preference[name] for name in ("patience", "learning_rate")}
    assert recipe_for(FEW_CLOUDS, told) == PreferenceRecipe()


def test_an_interrupted_training_goes_on(stedopt, stedopt_json, rated, tmp_path, monkeypatch):
    command = ("train", "quality", rated, "mine.safetensors", "--epochs", 3, "--batch", 8)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        result = stedopt(*command)
    assert result.exit_code == 130
    last = result.stderr.splitlines()[-1]
    assert "interrupted by the user (Ctrl-C) after epoch 1; go on: " in last
    typed = last.partition("go on: ")[2]
    assert shlex.split(typed) == ["stedopt", *map(str, command)]  # the folder has a blank
    assert [p.name for p in tmp_path.iterdir()] == ["mine.safetensors.checkpoint"]

    found, result = stedopt_json(*shlex.split(typed)[1:])
    assert result.exit_code == 0, result.stderr
    assert "going on after epoch 1" in result.stderr
    assert [epoch["number"] for epoch in found["history"]] == [1, 2, 3]
    assert not (tmp_path / "mine.safetensors.checkpoint").exists()
    whole, _ = stedopt_json(*command[:3], "whole.safetensors", *command[4:])
    assert whole["history"] == found["history"]


def test_a_checkpoint_of_another_training_is_refused(stedopt, rated, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        stedopt("train", "quality", rated, "mine.safetensors", "--batch", 8)
    result = stedopt("train", "quality", rated, "mine.safetensors", "--batch", 4)
    assert result.exit_code == 2
    assert "of a training with batch = 8, this one has 4; remove it" in result.stderr


def test_a_network_is_fine_tuned(stedopt_json, rated, tmp_path):
    start = save_quality(tmp_path / "start.safetensors")
    found, result = stedopt_json(
        "train", "quality", rated, "mine.safetensors", *QUICK, "--from", start.path
    )
    assert result.exit_code == 0, result.stderr
    info = load_weights(found["weights"], "quality").info
    assert info.whitening == start.info.whitening
    assert info.pixel_size_nm == 20
    assert info.training["fine_tuned_from"] == start.identity
    assert found["before"]["images"] == found["evaluation"]["images"]
    assert found["before"]["rmse"] != found["evaluation"]["rmse"]


def test_a_preference_network(stedopt_json, clouds, tmp_path):
    found, result = stedopt_json("train", "preference", clouds, "p.safetensors", "--epochs", 12)

    assert result.exit_code == 0, result.stderr
    weights = load_weights("p.safetensors", "preference")
    assert found["sha256"] == weights.sha256
    assert found["clouds"] == {"training": 48, "validation": 6, "test": 6}
    assert [o["name"] for o in found["objectives"]] == ["quality", "photobleaching"]
    assert found["evaluation"]["top1"] > 0.3  # a tenth by chance
    assert weights.info.training["test_top1"] == pytest.approx(
        found["evaluation"]["top1"], abs=1e-4
    )
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_preference_network_in_words_and_fine_tuned(stedopt, clouds, tmp_path):
    start = save_preference(tmp_path / "start.safetensors")
    options = ("--epochs", 1, "--from", start.path, "--name", "mine", "--margin", 0.2)
    result = stedopt("train", "preference", clouds, "p.safetensors", *options)
    assert result.exit_code == 0, result.stderr
    assert re.search(r"top-1  \d+\.\d% of 6 test clouds", result.stdout)
    info = load_weights("p.safetensors", "preference").info
    assert info.objectives == start.info.objectives
    assert info.name == "mine"


def test_an_interrupted_preference_training_goes_on(stedopt, stedopt_json, clouds, monkeypatch):
    command = ("train", "preference", clouds, "p.safetensors", "--epochs", 3)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        result = stedopt(*command)
    assert result.exit_code == 130
    found, result = stedopt_json(*command)
    assert result.exit_code == 0, result.stderr
    assert "going on after epoch 2" in result.stderr
    assert found["epochs"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.safetensors",), "dataset: missing beside 'a.safetensors'; name a dataset"),
        (("none", "a.safetensors"), "none: "),
        (("x", "y", "a.safetensors"), "3 paths"),
        (("x", "a.net"), "out = 'a.net': the name of a file *.safetensors"),
        (("x", "a.safetensors", "--runs", "ab"), "dataset = 'x': not together with"),
        (("x", "a.safetensors", "--from-catalog"), "dataset = 'x': not together with"),
        (("a.safetensors", "--runs", "ab"), "there is no catalogue at"),
        (("x", "a.safetensors", "--figure", "a.txt"), "figure = 'a.txt': the name of a PNG file"),
        (("x", "a.safetensors", "--from", "none"), "network 'none': no such file"),
    ],
)
@pytest.mark.parametrize("kind", ["quality", "preference"])
def test_what_is_wrong_is_said_in_one_line(stedopt, tmp_path, kind, arguments, message):
    result = stedopt("train", kind, *arguments)
    assert result.exit_code == 2, result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--epochs", 0), "epochs = 0: at least 1"),
        (("--validation", 1), "validation_share = 1: above 0, below 1"),
        (("--rotation", "any"), "rotation = 'any': right_angles or arbitrary"),
        (("--whitening", "range"), "whitening = 'range': anscombe or standard"),
        (("--whitening", "standard", "--from", "general"), "not together with --from"),
        (("--pixel-size-nm", 0), "pixel-size-nm = 0: above 0, in nm"),
        (("--seed", -1), "seed = -1: at least 0"),
        (("--learning-rate", "nan"), "learning_rate = nan: above 0"),
    ],
)
def test_recipes_that_cannot_be_followed(stedopt, rated, options, message):
    result = stedopt("train", "quality", rated, "a.safetensors", *options)
    assert result.exit_code == 2, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


def test_preference_recipes_that_cannot_be_followed(stedopt, clouds):
    result = stedopt("train", "preference", clouds, "a.safetensors", "--margin", 0)
    assert result.exit_code == 2
    assert "margin = 0: above 0" in result.stderr


def test_a_network_is_not_overwritten(stedopt, rated, tmp_path):
    (tmp_path / "a.safetensors").touch()
    result = stedopt("train", "quality", rated, "a.safetensors")
    assert result.exit_code == 2
    assert "out = 'a.safetensors': exists; name another file" in result.stderr


def test_rated_images_of_the_twin(stedopt_json, stedopt, tmp_path):
    command = ("experiment", "rated-images", "new", "--structure", "actin")
    options = ("--structure", "tubulin", "--images", 42, "--size", 32, "--seed", 3)
    found, result = stedopt_json(*command, *options)

    assert result.exit_code == 0, result.stderr
    dataset = read_folder(tmp_path / "new")
    assert len(dataset) == found["images"] == 42
    assert set(dataset.structures) == {"actin", "tubulin"}
    assert dataset.images[0].shape == (32, 32)
    assert found["rating"]["max"] == pytest.approx(dataset.ratings.max(), abs=1e-4)
    refused = stedopt(*command)
    assert refused.exit_code == 2
    assert "folder = 'new': is not empty; name a new one" in refused.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--structure", "atcin"), "structure = 'atcin': allowed are actin"),
        (("--images", 0), "images = 0: at least 1"),
        (("--size", 8), "size = 8: 32 to 512"),
        (("--seed", -1), "seed = -1: at least 0"),
    ],
)
def test_rated_images_that_cannot_be_taken(stedopt, options, message):
    result = stedopt("experiment", "rated-images", "new", *options)
    assert result.exit_code == 2, result.stderr
    assert message in result.stderr


def test_numbers_are_json(stedopt, rated):
    """Also those that are not defined: fifths of the quality without an image."""
    result = stedopt("train", "quality", rated, "a.safetensors", *QUICK, "--json")
    assert "NaN" not in result.stdout
    json.loads(result.stdout)


@pytest.fixture(scope="module")
def runs(stedopt_json, tmp_path_factory):
    """Catalogue of two runs whose images a network has rated, and the runs' uids."""
    from stedopt_bluesky.cli import performing

    folder = tmp_path_factory.mktemp("rated runs")
    network = save_quality(folder / "random.safetensors", pixel_size_nm=20.0).path
    config = folder / "rated.toml"
    config.write_text(
        'preset = "classical"\nimages = 5\n[microscope]\nfield_um = 20.0\n[overview]\n'
        "size_um = 20.0\n[imaging]\nregion_size_um = 1.28\n[quality]\n"
        f'network = "{network}"\n[[objectives]]\nname = "quality"\n'
        '[[objectives]]\nname = "photobleaching"\n'
    )
    uids = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        # Tiled is slow, and not needed.
        monkeypatch.setattr(performing, "fed", lambda *_: contextlib.nullcontext())
        for seed in (1, 2):
            where = ("--catalog", folder / "catalog", "--seed", seed)
            run, result = stedopt_json("run", config, *where)
            assert result.exit_code == 0, result.stderr
            uids.append(run["uid"])
    return folder / "catalog", uids


def test_images_that_were_rated_in_past_runs(stedopt_json, stedopt, runs):
    catalog, uids = runs
    named = ("--runs", uids[0][:8], "--runs", uids[1][:8])
    found, result = stedopt_json(
        "train", "quality", "a.safetensors", *named, "--catalog", catalog, *QUICK
    )
    assert result.exit_code == 0, result.stderr
    # A run is one specimen: one of them is learnt from, the other one decides when to stop.
    assert found["images"] == {"training": 5, "validation": 5}
    everything, result = stedopt_json(
        "train", "quality", "b.safetensors", "--from-catalog", "--catalog", catalog, *QUICK
    )
    assert result.exit_code == 0, result.stderr
    assert everything["images"] == found["images"]

    one = stedopt("train", "quality", "c.safetensors", *named[:2], "--catalog", catalog)
    assert one.exit_code == 2
    assert "one specimen alone cannot be divided" in one.stderr


def test_choices_of_past_runs(stedopt_json, runs):
    catalog, _ = runs
    where = ("--from-catalog", "--catalog", catalog, "--epochs", 2)
    found, result = stedopt_json("train", "preference", "p.safetensors", *where)
    assert result.exit_code == 0, result.stderr
    assert sum(found["clouds"].values()) == 10
    assert [o["name"] for o in found["objectives"]] == ["quality", "photobleaching"]
    narrowed, result = stedopt_json(
        "train", "preference", "q.safetensors", *where, "--chosen-by", "weighted_rule",
        "--objective", "photobleaching",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert [o["name"] for o in narrowed["objectives"]] == ["photobleaching"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--chosen-by", "Ada"), "was chosen from by Ada in 2 runs"),
        (("--objective", "snr"), "has no objective 'snr'; it has quality, photobleaching"),
        (("--runs", "zzz"), "no run in"),
    ],
)
def test_what_past_runs_do_not_have(stedopt, runs, options, message):
    where = ("--from-catalog", "--catalog", runs[0])
    result = stedopt("train", "preference", "p.safetensors", *where, *options)
    assert result.exit_code == 2, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


def test_a_damaged_run_of_the_catalogue_is_left_out(stedopt_json, runs, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(runs[0], copied)
    journal = next(copied.glob(f"journal/*/{runs[1][0]}*.jsonl"))
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([lines[0], "damaged", *lines[2:]]) + "\n")
    found, result = stedopt_json(
        "train", "preference", "p.safetensors", "--from-catalog", "--catalog", copied, "--epochs", 1
    )
    assert result.exit_code == 0, result.stderr
    assert sum(found["clouds"].values()) == 5
    assert "warning: left out: " in result.stderr


def test_choices_of_a_file_cannot_be_narrowed(stedopt, clouds):
    result = stedopt("train", "preference", clouds, "p.safetensors", "--chosen-by", "Ada")
    assert result.exit_code == 2
    assert "chosen-by = 'Ada': only with --runs or --from-catalog" in result.stderr
