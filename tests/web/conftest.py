"""The service on networks with random weights."""

import pytest
import torch

from stedopt_bluesky.networks.preference import PreferenceScorer
from stedopt_bluesky.networks.rater import QualityRater
from tests.networks.random_weights import save_preference, save_quality

KEY = "a-key-of-the-tests"


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def key():
    return KEY


@pytest.fixture(scope="session")
def rater(tmp_path_factory):
    return QualityRater(save_quality(tmp_path_factory.mktemp("weights") / "quality.safetensors"))


@pytest.fixture(scope="session")
def scorer(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "preference.safetensors"
    return PreferenceScorer(save_preference(path))
