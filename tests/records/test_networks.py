"""A catalogue keeps the networks of its runs, each once."""

import numpy as np
import pytest

from stedopt_bluesky.networks.weights import ObjectiveScale, WeightsInfo, load_weights, save_weights
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.networks import keep_network, kept_network


@pytest.fixture
def folder(tmp_path):
    return CatalogFolder.create_or_open(tmp_path / "cat")


@pytest.fixture
def weights(tmp_path):
    info = WeightsInfo("preference", "mine", "1", objectives=(ObjectiveScale("q", "", 0.0, 1.0),))
    return save_weights(tmp_path / "mine.safetensors", {"x": np.ones(3, np.float32)}, info)


def test_a_network_is_kept_under_its_hash_and_found_again(folder, weights):
    kept = keep_network(folder, weights)
    assert kept == folder.path / "networks" / f"{weights.sha256}.safetensors"
    assert load_weights(kept_network(folder, weights.sha256), "preference").sha256 == weights.sha256


def test_it_is_written_once(folder, weights):
    before = keep_network(folder, weights).stat().st_mtime_ns
    weights.path.unlink()  # what is kept needs the original no more
    assert keep_network(folder, weights).stat().st_mtime_ns == before


@pytest.mark.parametrize("sha256", ["", "0" * 64, "../../secret", "a" * 63, "../" + "a" * 61])
def test_what_is_not_there_is_not_found(folder, weights, sha256):
    keep_network(folder, weights)
    assert kept_network(folder, sha256) is None


def test_a_file_that_is_gone_is_told_in_one_line(folder, weights):
    weights.path.unlink()
    with pytest.raises(CatalogError, match=r"mine\.safetensors cannot be kept"):
        keep_network(folder, weights)
    assert not list(folder.networks.iterdir())
