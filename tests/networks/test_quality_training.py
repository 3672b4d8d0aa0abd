import dataclasses
import math

import numpy as np
import pytest

from stedopt_bluesky.networks.datasets import DatasetError, RatedImages
from stedopt_bluesky.networks.evaluation import evaluate_quality
from stedopt_bluesky.networks.history import TrainingError
from stedopt_bluesky.networks.quality_training import QualityRecipe, train_quality
from stedopt_bluesky.networks.rater import QualityRater
from stedopt_bluesky.networks.weights import Weights, WeightsError, WeightsInfo
from tests.networks.random_weights import save_quality

TINY = QualityRecipe(epochs=3, batch=8, learning_rate=0.01)


def same(a, b):
    return set(a) == set(b) and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def dataset(blurred_dataset):
    return blurred_dataset()


@pytest.fixture(scope="module")
def uninterrupted(dataset):
    return train_quality(dataset, TINY)


def test_it_learns(blurred_dataset):
    dataset = blurred_dataset(48)
    recipe = QualityRecipe(epochs=12, batch=8, learning_rate=0.005)
    trained = train_quality(dataset, recipe, validation=blurred_dataset(24, seed=1))

    spread = float(np.std(trained.validation.ratings))
    assert trained.rmse < 0.8 * spread
    info = WeightsInfo("quality", "t", "1", whitening=trained.whitening)
    rater = QualityRater(Weights(info, trained.tensors, "", "t"))
    found = evaluate_quality(rater, trained.validation)
    # What was stopped by is what its users get.
    assert found.rmse == pytest.approx(trained.rmse, abs=1e-3)
    assert found.rank_correlation > 0.6


def test_the_same_seed_gives_the_same_network(dataset, uninterrupted):
    again = train_quality(dataset, TINY)
    assert same(again.tensors, uninterrupted.tensors)
    assert again.history == uninterrupted.history
    other = train_quality(dataset, dataclasses.replace(TINY, seed=1))
    assert not same(other.tensors, uninterrupted.tensors)


@pytest.mark.parametrize("after", [1, 2])
def test_a_training_that_goes_on_ends_as_one_that_was_never_interrupted(
    dataset, uninterrupted, tmp_path, after
):
    path = tmp_path / "a.checkpoint"

    def interrupt(epoch):
        if epoch.number == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_quality(dataset, TINY, checkpoint=path, observe=interrupt)
    seen = []
    trained = train_quality(dataset, TINY, checkpoint=path, observe=seen.append)

    assert [epoch.number for epoch in seen] == list(range(after + 1, 4))
    assert trained.history == uninterrupted.history
    assert same(trained.tensors, uninterrupted.tensors)


def test_more_epochs_may_be_asked_for_later(dataset, uninterrupted, tmp_path):
    path = tmp_path / "a.checkpoint"
    train_quality(dataset, dataclasses.replace(TINY, epochs=1), checkpoint=path)
    longer = train_quality(dataset, TINY, checkpoint=path)
    assert same(longer.tensors, uninterrupted.tensors)


def test_a_checkpoint_of_another_training_is_refused(dataset, blurred_dataset, tmp_path):
    path = tmp_path / "a.checkpoint"
    train_quality(dataset, dataclasses.replace(TINY, epochs=1), checkpoint=path)
    with pytest.raises(WeightsError, match="with batch = 8, this one has 4"):
        train_quality(dataset, dataclasses.replace(TINY, batch=4), checkpoint=path)
    with pytest.raises(WeightsError, match="of a training with data"):
        train_quality(blurred_dataset(seed=3), TINY, checkpoint=path)


def test_it_ends_when_nothing_gets_better(dataset):
    recipe = QualityRecipe(epochs=50, patience=2, batch=24, learning_rate=0.05)
    trained = train_quality(dataset, recipe)
    best = max(epoch.number for epoch in trained.history if epoch.best)
    assert len(trained.history) < 50
    assert len(trained.history) - best == 2
    assert trained.rmse == min(epoch.validation_loss for epoch in trained.history)


def test_the_learning_rate_is_halved(dataset):
    recipe = QualityRecipe(epochs=5, batch=24, halve_every=2, learning_rate=0.004)
    rates = [epoch.learning_rate for epoch in train_quality(dataset, recipe).history]
    assert rates == [0.004, 0.004, 0.002, 0.002, 0.001]


def test_specimens_are_not_divided(uninterrupted, dataset):
    training, validation = uninterrupted.training, uninterrupted.validation
    assert not set(training.specimens) & set(validation.specimens)
    assert len(training) + len(validation) == len(dataset)


@pytest.mark.parametrize("kind", ["anscombe", "standard"])
def test_whitened_training_images_have_mean_0_and_deviation_1(dataset, kind):
    recipe = dataclasses.replace(TINY, epochs=1, whitening=kind)
    trained = train_quality(dataset, recipe)
    values = np.concatenate([trained.whitening(i).ravel() for i in trained.training.images])
    assert values.mean() == pytest.approx(0, abs=1e-4)
    assert values.std() == pytest.approx(1, abs=1e-4)


def test_fine_tuning_begins_with_the_network_and_keeps_its_whitening(dataset, tmp_path):
    start = save_quality(tmp_path / "a.safetensors")
    still = dataclasses.replace(TINY, epochs=1, learning_rate=1e-12)
    trained = train_quality(dataset, still, start=start)
    assert trained.whitening == start.info.whitening
    weight = "conv1.weight"
    np.testing.assert_allclose(trained.tensors[weight], start.tensors[weight], atol=1e-6)


def test_images_of_several_sizes_that_are_not_square(blurred_dataset):
    dataset = blurred_dataset(14)
    odd = [image[: 20 + i % 3, : 30 - i % 2] for i, image in enumerate(dataset.images)]
    mixed = dataclasses.replace(dataset, images=odd)
    trained = train_quality(
        mixed, dataclasses.replace(TINY, epochs=1, rotation="arbitrary"), validation=dataset
    )
    assert math.isfinite(trained.rmse)


def test_one_image_of_its_size_can_be_learnt_from(blurred_dataset):
    """A batch of one image of 32 pixels leaves normalisation a single value."""
    dataset = blurred_dataset(9)
    trained = train_quality(
        dataset, dataclasses.replace(TINY, epochs=1), validation=blurred_dataset(4, seed=1)
    )
    assert math.isfinite(trained.history[0].training_loss)


def one(image):
    return RatedImages([image, image], np.array([0.1, 0.9]), ("", ""), ("a", "b"), ("a", "b"))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((32, 32), 3), "all pixels of the dataset are the same"),
        (np.where(np.eye(32), np.nan, 1.0), "expected a 2-D image of finite counts"),
        (np.zeros((2, 32, 32)), "expected a 2-D image"),
        (np.zeros((0, 32)), "expected a 2-D image"),
    ],
)
def test_images_that_cannot_be_learnt_from_are_told(image, message):
    with pytest.raises(DatasetError, match=message):
        train_quality(one(image), TINY)


def test_a_training_that_diverges_says_so(dataset):
    with pytest.raises(TrainingError, match=r"epoch .*: the error is not finite any more"):
        train_quality(dataset, dataclasses.replace(TINY, learning_rate=1e30))
