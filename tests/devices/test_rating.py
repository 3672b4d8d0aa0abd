"""Ratings: NaN where there is none, and the run goes on."""

import logging
import math

import event_model
import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.simulators import check_limits

from stedopt_bluesky.acquisition import ImageSet, Invalid, Objective
from stedopt_bluesky.devices.rating import Rating

WAIT_S = 20.0  # a bound against hanging
IMAGE = np.zeros((4, 4), np.int16)
IMAGES = ImageSet(IMAGE, (IMAGE,), IMAGE, 20.0, 10.0)
OBJECTIVES = (
    Objective("snr", "", "maximise", (0.0, 1.0)),
    Objective("resolution_nm", "nm", "minimise", (60.0, 200.0)),
)


@pytest.fixture
def rating():
    return Rating(objectives=OBJECTIVES, name="objective")


def test_values_are_read_with_their_units(rating):
    rating.set(IMAGES, rate=lambda images: {"snr": 0.5, "resolution_nm": np.float64(80)}).wait(
        WAIT_S
    )
    assert {k: v["value"] for k, v in rating.read().items()} == {
        "objective_snr": 0.5,
        "objective_resolution_nm": 80.0,
        "invalid_because": "",
    }
    assert type(rating.read()["objective_resolution_nm"]["value"]) is float
    assert rating.values == {"snr": 0.5, "resolution_nm": 80.0}
    assert rating.describe()["objective_resolution_nm"]["units"] == "nm"
    assert rating.describe()["invalid_because"]["dtype"] == "string"
    assert rating.describe().keys() == rating.read().keys()


def test_the_raters_get_the_images(rating):
    seen = []
    rating.set(IMAGES, rate=lambda images: seen.append(images) or {}).wait(WAIT_S)
    assert seen == [IMAGES]


def test_an_objective_that_is_missing_is_nan(rating):
    rating.set(IMAGES, rate=lambda images: {"snr": 0.5, "other": 3.0}).wait(WAIT_S)
    assert rating.values["snr"] == 0.5
    assert math.isnan(rating.values["resolution_nm"])
    assert set(rating.values) == {"snr", "resolution_nm"}
    assert rating.invalid_because == "resolution_nm: not rated"


@pytest.mark.parametrize(
    ("snr", "resolution", "because"),
    [
        (0.5, 80.0, ""),
        (0.5, Invalid("the STED image is constant"), "resolution_nm: the STED image is constant"),
        (math.nan, 80.0, "snr: invalid"),
        (Invalid("no foreground"), math.nan, "snr: no foreground; resolution_nm: invalid"),
    ],
)
def test_the_reasons_stand_beside_the_values(rating, snr, resolution, because):
    rating.set(IMAGES, rate=lambda images: {"snr": snr, "resolution_nm": resolution}).wait(WAIT_S)
    assert rating.invalid_because == rating.read()["invalid_because"]["value"] == because
    # The documents hold plain numbers: a serialiser need not know Invalid.
    assert all(type(value) is float for value in rating.values.values())


def test_a_reason_holds_for_its_images_only(rating):
    rating.set(IMAGES, rate=lambda images: {}).wait(WAIT_S)
    rating.set(IMAGES, rate=lambda images: {"snr": 0.5, "resolution_nm": 80.0}).wait(WAIT_S)
    assert rating.invalid_because == ""


@pytest.mark.parametrize(
    ("rate", "because"),
    [
        (lambda images: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda images: None, "AttributeError: "),
        (lambda images: {"snr": "good"}, "TypeError: "),
    ],
    ids=["raises", "gives nothing", "gives a word"],
)
def test_a_rater_that_fails_makes_all_nan_and_says_so(rating, rate, because, caplog):
    rating.set(IMAGES, rate=lambda images: {"snr": 0.5, "resolution_nm": 80.0}).wait(WAIT_S)
    with caplog.at_level(logging.ERROR):
        status = rating.set(IMAGES, rate=rate)
        status.wait(WAIT_S)
    assert status.success
    assert all(math.isnan(value) for value in rating.values.values())
    assert rating.invalid_because.startswith(because)
    assert "could not be rated" in caplog.text


def test_the_run_goes_on(rating, run_engine, documents):
    answers = iter([0.1, None, 0.3])

    def rate(images):
        answer = next(answers)
        if answer is None:
            raise ValueError("no foreground")
        return {"snr": answer, "resolution_nm": 80.0}

    @bpp.run_decorator()
    def plan():
        for _ in range(3):
            yield from bps.abs_set(rating, IMAGES, rate=rate, wait=True)
            yield from bps.create("primary")
            yield from bps.read(rating)
            yield from bps.save()

    run_engine(plan())
    for name, doc in documents:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
    values = [doc["data"]["objective_snr"] for name, doc in documents if name == "event"]
    np.testing.assert_array_equal(values, [0.1, math.nan, 0.3])
    because = [doc["data"]["invalid_because"] for name, doc in documents if name == "event"]
    assert because == ["", "ValueError: no foreground", ""]


def test_before_the_first_images_all_are_nan(rating):
    assert all(math.isnan(value) for value in rating.values.values())
    assert rating.invalid_because == "no images were rated yet"


def test_a_plan_that_is_only_looked_at_rates_nothing(rating):
    check_limits(bps.abs_set(rating, None, rate=lambda images: 1 / 0))
    assert rating.rewindable.get() is False
