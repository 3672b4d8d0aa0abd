import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from stedopt_bluesky.networks.quality import STRIDE, QualityNetwork, masked_mean
from tests.networks.random_weights import random_network

SIDES = st.integers(1, 3).map(lambda n: n * STRIDE)


def numpy_forward(network, image):
    """The published network written down again, in numpy and float64, for one image."""
    p = {name: t.numpy().astype(np.float64) for name, t in network.state_dict().items()}

    def convolve(x, name, padding):
        weight = p[f"{name}.weight"]  # (out, in, k, k)
        x = np.pad(x, [(0, 0), (padding, padding), (padding, padding)])
        windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], (1, 2))
        return np.einsum("iyxkl,oikl->oyx", windows, weight) + p[f"{name}.bias"][:, None, None]

    def normalise(x, name):
        mean, var = p[f"{name}.running_mean"], p[f"{name}.running_var"]
        scale = p[f"{name}.weight"] / np.sqrt(var + 1e-5)
        return (x - mean[:, None, None]) * scale[:, None, None] + p[f"{name}.bias"][:, None, None]

    def pool(x):
        f, y, w = x.shape
        return x.reshape(f, y // 2, 2, w // 2, 2).max(axis=(2, 4))

    def grow(x, name, stride):
        kernel = p[f"{name}.weight"][0, 0]
        y, w = x.shape
        k = len(kernel)
        out = np.zeros(((y - 1) * stride + k, (w - 1) * stride + k))
        for i in range(y):
            for j in range(w):
                at = (slice(i * stride, i * stride + k), slice(j * stride, j * stride + k))
                out[at] += x[i, j] * kernel
        return out

    x, features = image[None], []
    for number in range(1, 7):
        x = normalise(convolve(x, f"conv{number}", 1), f"conv{number}_bn")
        if number == 1:
            x = pool(np.pad(x, [(0, 0), (1, 1), (1, 1)], constant_values=-np.inf))
        elif number < 6:
            # A side that is odd loses its last row.
            x = pool(x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2])
        x = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
        features.append(x)
    score = convolve(features[5], "map7x7", 0)[0]
    score = convolve(features[3], "map14x14", 0)[0] + grow(score, "upscore2", 2)[1:-1, 1:-1]
    score = convolve(features[2], "map28x28", 0)[0] + grow(score, "upscore2b", 2)[1:-1, 1:-1]
    return expit(1.5 * grow(score, "upscore8", 8) - 0.25)


def test_it_has_as_many_parameters_as_published():
    assert sum(p.numel() for p in QualityNetwork().parameters()) == 137_540


def test_its_parameters_have_the_published_names():
    names = {name.rpartition(".")[0] for name, _ in QualityNetwork().named_parameters()}
    convolutions = {f"conv{n}" for n in range(1, 7)} | {f"conv{n}_bn" for n in range(1, 7)}
    maps = {"map7x7", "map14x14", "map28x28", "map56x56"}
    assert names == convolutions | maps | {
        "upscore2", "upscore2b", "upscore2c", "upscore4", "upscore8",
    }  # fmt: skip


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (96, 32)])
def test_it_computes_what_was_published(height, width):
    network = random_network(1).eval()
    image = np.random.default_rng(0).normal(size=(height, width))
    with torch.inference_mode():
        found = network(torch.from_numpy(image.astype(np.float32))[None, None])[0].numpy()
    np.testing.assert_allclose(found, numpy_forward(network, image), atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), SIDES, SIDES)
def test_the_map_has_the_images_size(count, height, width):
    with torch.inference_mode():
        maps = random_network().eval()(torch.randn(count, 1, height, width))
    assert maps.shape == (count, height, width)
    assert bool(((maps >= 0) & (maps <= 1)).all())


def test_the_score_is_the_published_mean():
    maps = torch.tensor([[[0.2, 0.4], [0.6, 0.8]], [[1.0, 1.0], [1.0, 1.0]]])
    masks = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    np.testing.assert_allclose(masked_mean(maps, masks), [(0.2 + 0.8) / 3, 0.0], rtol=1e-6)
