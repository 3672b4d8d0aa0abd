"""Twin images with the rating that the truth gives them."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.experiments.rated_images import (
    LEAST_FOREGROUND,
    TwinRatings,
    rate_twin_images,
    structured_places,
)
from stedopt_bluesky.twin.samples import SAMPLE_NAMES, make_sample


@pytest.fixture(scope="module")
def rated():
    return rate_twin_images(TwinRatings(("actin", "tubulin"), 90, 7, 64))


def test_all_that_was_asked_for(rated):
    assert len(rated) == 90
    assert {image.shape for image in rated.images} == {(64, 64)}
    assert set(rated.structures) == {"actin", "tubulin"}
    assert len(set(rated.specimens)) == 3  # 40 images of each specimen, at most
    assert ((rated.ratings >= 0) & (rated.ratings <= 1)).all()


def test_ratings_are_spread(rated):
    counts, _ = np.histogram(rated.ratings, [0, 0.2, 0.4, 0.6, 1])
    assert counts.min() >= 5


def test_the_same_seed_gives_the_same_images():
    first, again = (rate_twin_images(TwinRatings(("actin",), 6, 3, 48)) for _ in range(2))
    assert first.fingerprint() == again.fingerprint()
    other = rate_twin_images(TwinRatings(("actin",), 6, 4, 48))
    assert other.fingerprint() != first.fingerprint()


def test_bright_images_are_rated_higher_than_dark_ones(rated):
    """Not a strict rule, but a trend that a wrong rating would not have."""
    brightness = [float(np.percentile(image, 99)) for image in rated.images]
    assert spearmanr(brightness, rated.ratings).statistic > 0.2


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_places_show_structure_and_lie_inside(name):
    sample = make_sample(name, 5, 20e-6)
    places = structured_places(sample, 64)
    half = 32 * 20e-9
    assert len(places) > 100
    assert np.abs(places).max() + half <= 10e-6
    rng = np.random.default_rng(0)
    chosen = [sample.window(x, y, (64, 64), 20e-9).sum() for x, y in rng.choice(places, 50)]
    anywhere = [
        sample.window(*rng.uniform(-9e-6, 9e-6, 2), (64, 64), 20e-9).sum() for _ in range(50)
    ]
    assert np.median(chosen) >= np.median(anywhere)
    assert LEAST_FOREGROUND == 0.1


@pytest.mark.parametrize(
    ("structures", "images", "size", "says"),
    [
        (("liver",), 1, 64, "structure = 'liver': allowed are actin"),
        ((), 1, 64, "structure: at least one of actin"),
        (("actin",), 0, 64, "images = 0: at least 1"),
        (("actin",), 1, 16, "size = 16: 32 to 512"),
    ],
)
def test_wrong_requests_are_refused(structures, images, size, says):
    with pytest.raises(ConfigError, match=says):
        TwinRatings(structures, images, 0, size)
