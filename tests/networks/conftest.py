"""Networks with random weights, and images that need no microscope."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from stedopt_bluesky.networks.datasets import RatedImages
from stedopt_bluesky.networks.quality import QualityNetwork
from stedopt_bluesky.networks.rater import QualityRater
from stedopt_bluesky.networks.tensors import tensors_of
from stedopt_bluesky.networks.weights import WeightsInfo, Whitening, save_weights


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


def spots(rng, size=64, blur=1.5, photons=40.0):
    """Poisson counts of blurred emitters on a background."""
    emitters = (rng.random((size, size)) < 0.02).astype(np.float64)
    emitters[size // 4 : size // 2, size // 4 : size // 2] *= 8
    blurred = gaussian_filter(emitters, blur)
    return rng.poisson(blurred / max(blurred.max(), 1e-9) * photons + 0.5).astype(np.int16)


def random_network(seed=0):
    """A network in training's mode whose normalisation is not the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = QualityNetwork()
        for number in range(1, 7):
            layer = network.get_submodule(f"conv{number}_bn")
            torch.nn.init.uniform_(layer.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.uniform_(layer.bias, -0.5, 0.5)
    return network


def save_random(path, seed=0, **changes):
    """Write random weights of a quality network."""
    info = WeightsInfo(
        **{
            "kind": "quality",
            "name": path.stem,
            "version": "1",
            "structure": "actin",
            "pixel_size_nm": 20.0,
            "whitening": Whitening("anscombe", 3.0, 2.0),
            "training": {"validation_rmse": 0.25},
            **changes,
        }
    )
    return save_weights(path, tensors_of(random_network(seed)), info)


@pytest.fixture(scope="session")
def image():
    """Function that gives an image of spots."""
    return lambda seed=0, size=64, **more: spots(np.random.default_rng(seed), size, **more)


@pytest.fixture(scope="session")
def network():
    """Function that gives a network with random weights."""
    return random_network


@pytest.fixture(scope="session")
def save_network():
    """Function that writes random weights: (path, seed, fields of the metadata)."""
    return save_random


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Random weights of a quality network, in a file."""
    return save_random(tmp_path_factory.mktemp("weights") / "random.safetensors")


@pytest.fixture(scope="session")
def rater(weights):
    return QualityRater(weights)


@pytest.fixture(scope="session")
def blurred_dataset():
    """Function that gives images of 32 pixels a side; the more blurred, the lower the rating."""

    def make(images=24, seed=0, size=32):
        rng = np.random.default_rng(seed)
        ratings = rng.uniform(size=images)
        return RatedImages(
            [spots(rng, size, blur=0.7 + 4 * (1 - q), photons=60) for q in ratings],
            ratings,
            ("spots",) * images,
            tuple(f"specimen {i // 2}" for i in range(images)),
            tuple(f"image {i}" for i in range(images)),
        )

    return make
