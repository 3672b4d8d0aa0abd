"""What a person says of images: of those that wait, within what is asked, read afterwards."""

import json
import math
import threading

import numpy as np
import pytest

from stedopt_bluesky.acquisition import ImageSet, Line
from stedopt_bluesky.devices.expert_rater import ExpertRater, HandRating, ImagesToRate
from stedopt_bluesky.devices.question import NoQuestionError


def to_rate(iteration=3, scored=("quality",)):
    image = np.arange(48.0).reshape(6, 8)
    images = ImageSet(image, (image,), image, pixel_size_nm=20.0, dwelltime_us=10.0)
    return ImagesToRate(images, iteration, dict.fromkeys(scored, image))


@pytest.fixture
def rater():
    return ExpertRater(scored=("quality", "quality_last"), name="rating")


def read(rater):
    return {key.removeprefix("rating_"): entry["value"] for key, entry in rater.read().items()}


def test_a_rating_is_read_in_percent(rater):
    status = rater.set(to_rate())
    rater.expect(rater.question[0], lambda: {"quality": 0.25})
    line = Line(0.0, 1.0, 5.0, 7.0)
    rater.rate(3, HandRating({"quality": 0.73}, " AD ", lines=(line,), suggestion_seen=True,
                             shown="page, one scale"))  # fmt: skip
    status.wait(5)
    assert rater.withdraw("actin").rated_by == "AD"
    values = read(rater)
    assert values["quality_percent"] == pytest.approx(73)
    assert math.isnan(values["quality_last_percent"])
    assert values["suggested_quality_percent"] == 25
    assert values["suggested_by"] == "actin"
    assert values["suggestion_seen"] is True
    assert values["rated_by"] == "AD"
    assert json.loads(values["lines_px"]) == [[0.0, 1.0, 5.0, 7.0]]
    assert values["shown"] == "page, one scale"
    assert values["iteration"] == 3
    assert 0 < values["took_s"] < 5
    assert values["discarded_because"] == ""


def test_what_is_read_is_described(rater):
    described = rater.describe()
    assert set(described) == set(rater.read())
    assert described["rating_quality_percent"] == {
        "source": "person:quality_percent", "dtype": "number", "shape": [], "units": "%"
    }  # fmt: skip
    assert described["rating_took_s"]["units"] == "s"
    assert described["rating_suggestion_seen"]["dtype"] == "boolean"
    assert described["rating_iteration"]["dtype"] == "integer"


def test_nothing_is_left_of_the_rating_before(rater):
    rater.set(to_rate())
    rater.rate(3, HandRating({"quality": 1.0}, "AD"))
    rater.withdraw()
    rater.set(to_rate(4))
    assert rater.withdraw() is None
    values = read(rater)
    assert math.isnan(values["quality_percent"])
    assert values["rated_by"] == ""
    assert values["iteration"] == 4


@pytest.mark.parametrize(
    ("iteration", "rating", "error", "says"),
    [
        (2, HandRating({}, "AD"), NoQuestionError, "the rating of iteration 3 is waited for"),
        (3, HandRating({"quality": 1.01}, "AD"), ValueError, r"quality = 1\.01: 0 to 1"),
        (3, HandRating({"quality": math.nan}, "AD"), ValueError, "quality = nan: 0 to 1"),
        (3, HandRating({"snr": 0.5}, "AD"), ValueError, r"snr = 0\.5: asked is quality"),
        (3, HandRating({}, " "), ValueError, "rated_by = ' ': a name"),
        (3, HandRating({}, "AD", lines=(Line(0, 0, 5.5, 0),)), ValueError, "outside of the image"),
        (3, HandRating({}, "AD", lines=(Line(0, -0.1, 5, 0),)), ValueError, "outside of the image"),
    ],
)
def test_what_is_no_rating_is_refused_and_the_question_waits_on(rater, iteration, rating, error,
                                                                says):  # fmt: skip
    status = rater.set(to_rate())
    with pytest.raises(error, match=says):
        rater.rate(iteration, rating)
    assert not status.done
    assert rater.question is not None


def test_a_late_network_is_waited_for(rater):
    """Its score belongs to the record, and it is not asked twice at once."""
    begun, may_end = threading.Event(), threading.Event()

    def slow():
        begun.set()
        may_end.wait(5)
        return {"quality": 0.5}

    rater.set(to_rate())
    rater.expect(rater.question[0], slow)
    assert begun.wait(5)
    rater.rate(3, HandRating({"quality": 0.1}, "AD"))
    threading.Timer(0.1, may_end.set).start()
    rater.withdraw("actin")
    assert read(rater)["suggested_quality_percent"] == 50
