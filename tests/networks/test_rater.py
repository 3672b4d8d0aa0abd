import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.acquisition import Invalid
from stedopt_bluesky.networks.mask import score_mask
from stedopt_bluesky.networks.quality import masked_mean
from stedopt_bluesky.networks.rater import QualityRater, pad_to_stride, use_threads
from stedopt_bluesky.networks.tensors import load_tensors, tensors_of
from stedopt_bluesky.networks.weights import Weights, WeightsError
from tests.networks.random_weights import random_network, save_quality, spots


def unfolded_score(weights, image):
    """Score by the network as it is written down, normalisation and all, one image alone."""
    network = random_network().eval()
    load_tensors(network, weights.tensors, "")
    counts = image.astype(np.float32)
    height, width = counts.shape
    padded = np.pad(
        weights.info.whitening(counts), [(0, -height % 32), (0, -width % 32)], mode="symmetric"
    )
    with torch.inference_mode():
        score_map = network(torch.from_numpy(padded)[None, None])[:, :height, :width]
        mask = torch.from_numpy(score_mask(counts))[None].float()
        return float(masked_mean(score_map, mask)[0]), score_map[0].numpy()


@pytest.mark.parametrize("size", [32, 57, 64, 100])
def test_folded_normalisation_changes_nothing(rater, weights, size):
    image = spots(size, size)
    rated = rater.rate([image])[0]
    score, score_map = unfolded_score(weights, image)
    assert rated.score == pytest.approx(score, abs=1e-5)
    np.testing.assert_allclose(rated.map, score_map, atol=1e-5)
    np.testing.assert_array_equal(rated.foreground, score_mask(image.astype(np.float32)))


def test_a_score_does_not_depend_on_the_others(rater):
    images = [spots(i, size) for i, size in enumerate([64, 40, 64, 96, 40, 64, 64])]
    together = rater.rate(images)
    for image, rated in zip(images, together, strict=True):
        alone = rater.rate([image])[0]
        assert rated.score == pytest.approx(alone.score, abs=1e-5)
        np.testing.assert_allclose(rated.map, alone.map, atol=1e-5)
    backwards = rater.rate(images[::-1])[::-1]
    np.testing.assert_allclose([r.score for r in backwards], [r.score for r in together], atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 9))
def test_an_image_of_any_size_has_a_map_of_its_size(rater, height, width, seed):
    image = np.random.default_rng(seed).poisson(3.0, (height, width))
    rated = rater.rate([image])[0]
    assert rated.map.shape == rated.foreground.shape == (height, width)
    assert 0 <= rated.map.min() <= rated.map.max() <= 1
    if isinstance(rated.score, Invalid):
        assert rated.score.reason
    else:
        assert 0 <= rated.score <= 1


@given(st.integers(1, 70), st.integers(1, 70))
def test_padding_continues_the_image_by_its_mirror_image(height, width):
    image = np.arange(height * width, dtype=np.float32).reshape(height, width)
    padded = pad_to_stride(image)
    assert padded.shape == (-(-height // 32) * 32, -(-width // 32) * 32)
    np.testing.assert_array_equal(padded[:height, :width], image)
    if padded.shape[0] > height:
        np.testing.assert_array_equal(padded[height, :width], image[height - 1])


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((0, 5)), "0 pixels"),
        (np.zeros(5), "not an image of shape"),
        (np.zeros((2, 3, 4)), "not an image of shape"),
        (np.full((8, 8), 7), "constant"),
        (np.where(np.eye(8), np.nan, 1.0), "not a finite count"),
        (np.where(np.eye(8), np.inf, 1.0), "not a finite count"),
        (np.where(np.eye(8), 1e30, 1.0), "not a finite count"),
        (np.eye(8, dtype=complex), "holds complex128"),
        (np.eye(8, dtype=bool), "holds bool"),
        (np.broadcast_to(np.int8(1), (4097, 4097)), "1 to 16777216"),
    ],
)
def test_an_image_that_cannot_be_rated_says_why(rater, image, reason):
    good = spots(0)
    before, rated, after = rater.rate([good, image, good])
    assert isinstance(rated.score, Invalid)
    assert reason in rated.score.reason
    assert before.score == after.score == pytest.approx(rater(good), abs=1e-6)


def test_no_images_no_scores(rater):
    assert rater.rate([]) == []


def test_counts_of_any_type_have_the_same_score(rater):
    image = spots(3)
    expected = rater(image)
    for dtype in (np.int32, np.uint8, np.float32, np.float64, ">i2", np.int64):
        assert rater(image.astype(dtype)) == expected
    assert rater(np.asfortranarray(image)) == expected


def test_a_network_is_found_by_its_file(weights, rater):
    assert QualityRater.named(str(weights.path))(spots(1)) == rater(spots(1))


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_tensors_of_another_layout_are_refused(weights, change):
    tensors = dict(weights.tensors)
    if change == "missing":
        del tensors["conv3.bias"]
    elif change == "unknown":
        tensors["conv9.bias"] = np.zeros(1, np.float32)
    else:
        tensors["conv3.bias"] = np.zeros(2, np.float32)
    other = Weights(weights.info, tensors, "", weights.path)
    with pytest.raises(WeightsError, match=r"tensor conv\d.bias .*another layout"):
        QualityRater(other)


def test_tensors_come_back_as_they_were(tmp_path):
    network = random_network(5)
    weights = save_quality(tmp_path / "a.safetensors", seed=5)
    again = copy.deepcopy(network)
    for parameter in again.parameters():
        torch.nn.init.zeros_(parameter)
    load_tensors(again, weights.tensors, "")
    for name, tensor in tensors_of(network).items():
        np.testing.assert_array_equal(tensors_of(again)[name], tensor)


def test_threads_are_set_for_the_process(monkeypatch):
    try:
        use_threads(3)
        assert torch.get_num_threads() == 3
        for allowed, most in [("", 4), ("1", 1), ("2,1", 2), ("many", 4), ("0", 4)]:
            monkeypatch.setenv("OMP_NUM_THREADS", allowed)
            use_threads()
            assert 1 <= torch.get_num_threads() <= most
    finally:
        torch.set_num_threads(1)
