import re

import pytest
import torch

from stedopt_bluesky.networks import weights as module
from stedopt_bluesky.networks.preference import PreferenceNetwork
from stedopt_bluesky.networks.weights import load_weights
from tests.networks.random_weights import random_network, save_preference, save_quality


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Some networks as if they came with the package."""
    folder = tmp_path / "shipped"
    save_quality(folder / "quality-general.safetensors", name="general", licence="BSD-3-Clause")
    save_quality(folder / "quality-both.safetensors", name="both", training={})
    save_preference(folder / "preference-both.safetensors")
    monkeypatch.setattr(module, "_shipped", lambda: folder)
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_list_as_json(stedopt_json, shipped):
    found, result = stedopt_json("weights", "list")
    assert result.exit_code == 0, result.stderr
    assert [(entry["kind"], entry["structure"]) for entry in found] == [
        ("quality", "actin"),
        ("quality", "actin"),
        ("preference", ""),
    ]
    weights = load_weights(shipped / "quality-general.safetensors", "quality")
    general = found[1]
    assert general["name"] == "general"
    assert general["sha256"] == weights.sha256
    assert general["training"] == {"validation_rmse": 0.25}
    assert general["parameters"] == 137_540
    assert [o["name"] for o in found[2]["objectives"]] == ["quality", "photobleaching"]


def test_the_list_in_words(stedopt, shipped):
    result = stedopt("weights", "list")
    rows = [line.split() for line in result.stdout.splitlines()]
    weights = load_weights(shipped / "quality-general.safetensors", "quality")
    expected = ["general", "1", "actin", "0.250", "BSD-3-Clause"]
    assert [*expected, weights.sha256[:8]] in rows
    assert result.stdout.index("Quality networks") < result.stdout.index("Preference networks")
    assert re.search(r"^preference-both +1 +quality, photobleaching +50\.0% ", result.stdout, re.M)


def test_the_networks_of_the_package_are_listed(stedopt_json):
    found, result = stedopt_json("weights", "list")
    assert result.exit_code == 0, result.stderr
    assert "general" in [entry["name"] for entry in found]
    assert all(entry["licence"] for entry in found)


def test_one_network(stedopt, stedopt_json, shipped):
    found, result = stedopt_json("weights", "show", "general")
    assert result.exit_code == 0, result.stderr
    assert found["whitening"] == {"kind": "anscombe", "offset": 3.0, "scale": 2.0}
    assert found["path"] == str(shipped / "quality-general.safetensors")

    shown = stedopt("weights", "show", "general").stdout
    assert "parameters  137,540" in shown
    assert "whitening  anscombe, offset 3, scale 2" in shown
    assert "training validation_rmse  0.25" in shown
    file = stedopt("weights", "show", shipped / "preference-both.safetensors").stdout
    assert "quality: (no unit - 0.5) / 0.2" in file


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("both",), "'both' is a network of both kinds: add --kind quality"),
        (("both", "--kind", "x"), "kind = 'x': quality or preference"),
        (("nowhere",), "network 'nowhere': no such file; shipped are both, general, both"),
        (("nowhere", "--kind", "preference"), "shipped are both"),
        (("shipped",), "no such file"),
        (("shipped/quality-both.safetensors", "--kind", "preference"), "holds a quality network"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(stedopt, shipped, arguments, message):
    result = stedopt("weights", "show", *arguments)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


def test_a_name_of_both_kinds(stedopt_json, shipped):
    for kind in ("quality", "preference"):
        found, _ = stedopt_json("weights", "show", "both", "--kind", kind)
        assert found["kind"] == kind


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Networks as they are published: pickled state dictionaries."""
    monkeypatch.chdir(tmp_path)
    torch.save(random_network(1).state_dict(), "params.net")
    folder = tmp_path / "prefnet"
    folder.mkdir()
    torch.save(PreferenceNetwork(2).state_dict(), folder / "weights.t7")
    (folder / "config.json").write_text('{"train_mean": 0.5, "train_std": 0.25}')
    return tmp_path


def test_a_published_quality_network(stedopt_json, stedopt, published):
    command = ("weights", "import", "quality", "params.net", "--structure", "actin")
    found, result = stedopt_json(*command, "--out", "new/actin.safetensors")
    assert result.exit_code == 0, result.stderr
    assert (found["kind"], found["structure"]) == ("quality", "actin")
    assert found["path"] == str(published / "new" / "actin.safetensors")

    refused = stedopt(*command, "--out", "new/actin.safetensors")
    assert refused.exit_code == 2
    assert "exists; name another file, or remove this one" in refused.stderr


def test_a_published_preference_network(stedopt_json, published):
    command = ("weights", "import", "preference", "prefnet", "--out", "p.safetensors")
    found, result = stedopt_json(*command)
    assert result.exit_code == 0, result.stderr
    assert found["kind"] == "preference"
    assert load_weights("p.safetensors", "preference").sha256 == found["sha256"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("quality", "params.net", "--structure", "actni", "--out", "a.safetensors"), "'actni'"),
        (("quality", "none", "--structure", "actin", "--out", "a.safetensors"), "none: "),
        (("quality", "params.net", "--structure", "actin", "--out", "a.net"), "out = 'a.net'"),
        (("preference", "none", "--out", "a.safetensors"), "none"),
        (("preference", "prefnet", "--out", "params.net/a.safetensors"), "is a file, not a folder"),
    ],
)
def test_what_cannot_be_imported(stedopt, published, arguments, message):
    result = stedopt("weights", "import", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr
    assert not (published / "a.safetensors").exists()
