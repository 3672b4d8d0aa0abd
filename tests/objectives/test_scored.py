"""Who is asked about which image, and that an answer reaches just that one."""

import dataclasses

import numpy as np
import pytest

from stedopt_bluesky.acquisition import ImageSet, Invalid, invalid_reason
from stedopt_bluesky.objectives import make_rater
from stedopt_bluesky.objectives.scored import score_as_given, scored_images


def image(seed):
    return np.random.default_rng(seed).poisson(4.0, (32, 32)).astype(np.int16)


IMAGES = ImageSet(image(0), (image(1), image(2)), image(3), pixel_size_nm=20.0, dwelltime_us=10.0)


def test_each_objective_has_its_image():
    further = dataclasses.replace(IMAGES, sted=(image(4),))
    images = dataclasses.replace(IMAGES, channels={"orange": further})
    found = scored_images(["snr", "quality", "quality_last", "orange_quality"], images, ["orange"])
    assert list(found) == ["quality", "quality_last", "orange_quality"]
    for name, seed in zip(found, (1, 2, 4), strict=True):
        assert np.array_equal(found[name], image(seed))


def test_what_needs_no_score_is_left_out():
    assert scored_images(["snr", "photobleaching"], IMAGES) == {}


def test_an_empty_image_is_shown_to_nobody():
    empty = dataclasses.replace(IMAGES, sted=(np.zeros((32, 32), np.int16), image(2)))
    assert list(scored_images(["quality", "quality_last"], empty)) == ["quality_last"]


def test_what_was_given_is_what_rates():
    names = ["quality", "quality_last", "snr"]
    found = scored_images(names, IMAGES)
    given = {"quality": 0.73, "quality_last": Invalid("skipped by AD")}
    rated = make_rater(names, score_as_given(found, given))(IMAGES)
    assert rated["quality"] == 0.73
    assert invalid_reason(rated["quality_last"]) == "skipped by AD"
    assert rated["snr"] == make_rater(["snr"])(IMAGES)["snr"]


def test_nothing_is_made_up():
    rated = make_rater(["quality"], score_as_given(scored_images(["quality"], IMAGES), {}))(IMAGES)
    assert invalid_reason(rated["quality"]) == "nobody has rated the image"


def test_images_that_do_not_fit_are_refused():
    wrong = dataclasses.replace(IMAGES, confocal2=np.zeros((8, 8), np.int16))
    with pytest.raises(ValueError, match="confocal2"):
        scored_images(["quality"], wrong)
