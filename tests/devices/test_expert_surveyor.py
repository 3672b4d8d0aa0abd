"""What a person says of a field: regions inside of it, in an order; readable afterwards."""

import json

import numpy as np
import pytest

from stedopt_bluesky.acquisition import Region, Spine
from stedopt_bluesky.devices.expert_surveyor import ExpertSurveyor, FieldToSurvey, Places
from stedopt_bluesky.devices.question import NoQuestionError

SIZE_UM = 2.0
PROPOSED = (Region(0.0, 0.0, SIZE_UM), Region(3.0, -3.0, SIZE_UM))


def field(number=1, *, spines=False, check=lambda regions: None):
    return FieldToSurvey(number, np.zeros((100, 200), np.int16), 100.0, (0.0, 0.0), SIZE_UM, 5,
                         lambda threshold: (np.zeros((100, 200), bool), PROPOSED), check,
                         spines)  # fmt: skip


@pytest.fixture
def surveyor():
    return ExpertSurveyor(name="regions")


def read(surveyor):
    return {key.removeprefix("regions_"): e["value"] for key, e in surveyor.read().items()}


def test_regions_are_read_in_their_order(surveyor):
    status = surveyor.set(field(), suggestion=PROPOSED)
    chosen = (Region(9.0, 4.0, SIZE_UM), PROPOSED[0])
    surveyor.place(1, Places(chosen, "AD", 1.5, "page"))
    status.wait(5)
    assert surveyor.withdraw().regions == chosen
    values = read(surveyor)
    assert json.loads(values["places"]) == [{"x_um": 9.0, "y_um": 4.0}, {"x_um": 0.0, "y_um": 0.0}]
    assert (values["count"], values["suggested"], values["suggested_kept"]) == (2, 2, 1)
    assert (values["chosen_by"], values["threshold"], values["shown"]) == ("AD", 1.5, "page")
    assert values["field"] == 1
    assert set(surveyor.describe()) == set(surveyor.read())


def test_a_spine_is_kept_with_its_axis(surveyor):
    spine = Spine(1.0, 2.0, SIZE_UM, 0.6, 0.8, 1.25)
    surveyor.set(field(spines=True))
    surveyor.place(1, Places((spine,), "AD"))
    surveyor.withdraw()
    assert json.loads(read(surveyor)["places"]) == [
        {"x_um": 1.0, "y_um": 2.0, "axis_x": 0.6, "axis_y": 0.8, "free_um": 1.25}
    ]


def test_nothing_in_a_field_is_an_answer_too(surveyor):
    surveyor.set(field(), suggestion=PROPOSED)
    surveyor.place(1, Places((), "AD"))
    assert surveyor.withdraw().regions == ()
    assert read(surveyor)["count"] == 0


def refused(regions):
    raise ValueError("the light of region 1 is spent")


@pytest.mark.parametrize(
    ("number", "places", "error", "says"),
    [
        (2, Places(PROPOSED, "AD"), NoQuestionError, "the choice of regions of field 1 is waited"),
        (1, Places(PROPOSED, ""), ValueError, "chosen_by = '': a name"),
        (
            1,
            Places((*PROPOSED, Region(9.1, 0.0, SIZE_UM)), "AD"),
            ValueError,
            r"region 3, x = 9\.1 µm: -9 to 9 µm, else it leaves the field",
        ),
        (
            1,
            Places((Region(0.0, -4.1, SIZE_UM),), "AD"),
            ValueError,
            r"region 1, y = -4\.1 µm: -4 to 4 µm",
        ),
    ],
)
def test_what_is_no_answer_is_refused_and_the_question_waits_on(surveyor, number, places, error,
                                                                says):  # fmt: skip
    status = surveyor.set(field())
    with pytest.raises(error, match=says):
        surveyor.place(number, places)
    assert not status.done


def test_what_the_microscope_cannot_image_is_refused(surveyor):
    surveyor.set(field(check=refused))
    with pytest.raises(ValueError, match="the light of region 1 is spent"):
        surveyor.place(1, Places(PROPOSED, "AD"))
