"""Networks with random weights in files, for tests that need a network but not a good one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from stedopt_bluesky.networks.preference import PreferenceNetwork
from stedopt_bluesky.networks.quality import QualityNetwork
from stedopt_bluesky.networks.tensors import tensors_of
from stedopt_bluesky.networks.weights import (
    ObjectiveScale,
    Weights,
    WeightsInfo,
    Whitening,
    save_weights,
)


def random_network(seed: int = 0) -> QualityNetwork:
    """Make a quality network whose normalisation is not the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = QualityNetwork()
        for number in range(1, 7):
            layer = network.get_submodule(f"conv{number}_bn")
            torch.nn.init.uniform_(layer.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.uniform_(layer.bias, -0.5, 0.5)
        for name in ("map7x7", "map14x14", "map28x28"):
            # So that scores differ from image to image.
            torch.nn.init.normal_(network.get_submodule(name).weight, std=1.0)
    return network


def save_quality(path: Path, seed: int = 0, **changes: object) -> Weights:
    """Write a quality network; the changes are fields of its metadata."""
    info = {
        "kind": "quality",
        "name": path.stem,
        "version": "1",
        "structure": "actin",
        "pixel_size_nm": 20.0,
        "whitening": Whitening("anscombe", 3.0, 2.0),
        "training": {"validation_rmse": 0.25},
    }
    return save_weights(path, tensors_of(random_network(seed)), WeightsInfo(**{**info, **changes}))


def save_preference(path: Path, seed: int = 0) -> Weights:
    """Write a preference network of quality and photobleaching."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tensors = tensors_of(PreferenceNetwork(2))
    info = WeightsInfo(
        kind="preference",
        name=path.stem,
        version="1",
        objectives=(
            ObjectiveScale("quality", "", 0.5, 0.2),
            ObjectiveScale("photobleaching", "", 0.4, 0.3),
        ),
        training={"test_top1": 0.5},
    )
    return save_weights(path, tensors, info)


def spots(seed: int, size: int = 64, blur: float = 1.5, photons: float = 40.0) -> np.ndarray:
    """Poisson counts of blurred emitters on a background, most of them in one corner."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    emitters = (rng.random((size, size)) < 0.02).astype(np.float64)
    emitters[size // 4 : size // 2, size // 4 : size // 2] *= 8
    blurred = gaussian_filter(emitters, blur)
    return rng.poisson(blurred / max(blurred.max(), 1e-9) * photons + 0.5).astype(np.int16)
