"""Networks with random weights, and images that need no microscope."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stedopt_bluesky.networks.datasets import RatedImages
from stedopt_bluesky.networks.rater import QualityRater
from tests.networks.random_weights import save_quality, spots


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Random weights of a quality network, in a file."""
    return save_quality(tmp_path_factory.mktemp("weights") / "random.safetensors")


@pytest.fixture(scope="session")
def rater(weights):
    return QualityRater(weights)


@pytest.fixture(scope="session")
def blurred_dataset():
    """Function that gives small images; the more blurred, the lower the rating."""

    def make(images=24, seed=0, size=32):
        ratings = np.random.default_rng(seed).uniform(size=images)
        return RatedImages(
            [
                spots(1000 * seed + i, size, blur=0.7 + 4 * (1 - quality), photons=60)
                for i, quality in enumerate(ratings)
            ],
            ratings,
            ("spots",) * images,
            tuple(f"specimen {i // 2}" for i in range(images)),
            tuple(f"image {i}" for i in range(images)),
        )

    return make
