"""The synthetic expert by hand, and the clouds from which he chooses."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.experiments.shipped_preference import PREFERENCE, held_out_clouds
from stedopt_bluesky.experiments.synthetic_clouds import (
    STAGES,
    CloudTask,
    draw_clouds,
    random_sample,
)
from stedopt_bluesky.experiments.synthetic_expert import OBJECTIVES, UNITS, SyntheticExpert
from stedopt_bluesky.objectives import OBJECTIVES as REGISTRY
from stedopt_bluesky.parameters import Parameter, ParameterSpace

EXPERT = SyntheticExpert()


@pytest.mark.parametrize(
    ("option", "worth"),
    [
        ((0.8, 0.4), 0.8 - 0.1),
        ((0.7, 0.0), 0.7),
        ((0.9, 0.7), 0.9 - 0.175 - 2 * 0.09),
        ((0.9, 1.0), 0.9 - 0.25 - 2 * 0.36),
        ((2.0, 0.0), 1 + 0.1),
        ((0.5, -1.0), 0.5 + 0.025),
        ((0.8, 0.4, 5.0), 0.8 - 0.1 - 0.1),
    ],
)
def test_the_rule_by_hand(option, worth):
    assert EXPERT.worth(np.array([option])) == pytest.approx(worth)


wide = st.floats(-5, 5)


@given(wide, wide, st.floats(0, 5), st.floats(0.01, 1))
def test_better_is_worth_more(quality, bleaching, time_s, step):
    base, quality_, bleaching_, time_ = EXPERT.worth(
        np.array(
            [
                [quality, bleaching, time_s],
                [quality + step, bleaching, time_s],
                [quality, bleaching - step, time_s],
                [quality, bleaching, time_s - step],
            ]
        )
    )
    assert min(quality_, bleaching_, time_) > base


def test_he_looks_at_objectives_that_there_are():
    assert [(n, REGISTRY[n].objective.unit) for n in OBJECTIVES] == list(
        zip(OBJECTIVES, UNITS, strict=True)
    )


def test_he_hesitates_between_what_is_alike_only():
    near = np.array([[0.800, 0.2], [0.801, 0.2], [0.5, 0.2], [math.nan, 0.2]])
    chooses = EXPERT.day(np.random.default_rng(0))
    assert {chooses(near) for _ in range(100)} == {0, 1}
    strict = SyntheticExpert(hesitation=0, mood=0).day(np.random.default_rng(0))
    assert {strict(near) for _ in range(20)} == {1}


def test_his_days_differ_in_what_bleaching_costs():
    factors = [EXPERT.day(np.random.default_rng(k)).factor for k in range(400)]
    assert np.std(np.log(factors)) == pytest.approx(EXPERT.mood, rel=0.1)


# --- clouds -------------------------------------------------------------------------------------

SMALL = CloudTask(2, 5, grid=(3, 3, 4))


def test_clouds_are_of_every_stage_and_the_same_for_a_seed():
    told = []
    clouds = draw_clouds(SMALL, EXPERT.day, told.append)
    assert told == [1, 1]
    assert len(clouds) == 2 * len(STAGES)
    assert {cloud.shape for cloud in clouds.values} == {(36, 2)}
    assert (clouds.objectives, clouds.units) == (OBJECTIVES[:2], UNITS[:2])
    assert clouds.fingerprint() == draw_clouds(SMALL, EXPERT.day).fingerprint()
    other = CloudTask(2, 6, grid=(3, 3, 4))
    assert clouds.fingerprint() != draw_clouds(other, EXPERT.day).fingerprint()


def test_the_time_is_known_exactly_and_within_five_seconds():
    clouds = draw_clouds(CloudTask(2, 5, with_time=True, grid=(3, 3, 4)), EXPERT.day)
    assert (clouds.objectives, clouds.units) == (OBJECTIVES, UNITS)
    for run in (clouds.values[: len(STAGES)], clouds.values[len(STAGES) :]):
        times = [cloud[:, 2] for cloud in run]
        assert all(np.array_equal(t, times[0]) for t in times)
        assert times[0].min() > 0
        assert times[0].max() <= 5.1
        assert len(np.unique(times[0].round(12))) == 4


def test_options_come_nearer_to_the_sample_as_a_run_goes_on():
    """They are wide at first and narrow at the end, as a real run's."""
    clouds = draw_clouds(CloudTask(4, 1, adaptations=("published",), grid=(4, 4, 4)), EXPERT.day)
    spread = np.array([cloud.std() for cloud in clouds.values]).reshape(4, len(STAGES))
    assert spread[:, :3].mean() > 3 * spread[:, -2:].mean()


@given(st.integers(0, 2**32 - 1))
def test_a_sample_is_between_0_and_1_and_bleaches_more_with_the_dose(seed):
    space = ParameterSpace(
        [
            Parameter.linear("excitation_power_uW", "µW", 0.65, 26.8, 4),
            Parameter.linear("depletion_power_mW", "mW", 59.0, 360.0, 3),
            Parameter.linear("dwelltime_us", "µs", 5.0, 100.0, 5),
        ]
    )
    values = random_sample(np.random.default_rng(seed), space)
    for name, column in values.items():
        assert column.min() >= 0, name
        assert column.max() <= 1, name
    bleaching = values["photobleaching"].reshape(4, 3, 5)
    for axis in range(3):
        assert (np.diff(bleaching, axis=axis) >= 0).all()


def test_what_networks_are_evaluated_on_is_not_what_they_were_trained_on():
    recipe = PREFERENCE["quality-bleaching"]
    drawn, by_rule = held_out_clouds(recipe, SyntheticExpert(), runs=1)
    trained_on = draw_clouds(CloudTask(1, recipe.clouds.seed), EXPERT.day)
    assert not any(np.array_equal(a, b) for a in drawn.values for b in trained_on.values)
    assert by_rule.chosen.tolist() == [int(EXPERT.worth(v).argmax()) for v in by_rule.values]


# --- two STED images ----------------------------------------------------------------------------

BOTH = SyntheticExpert(third="quality_last")


def test_the_quality_of_both_images_counts_a_half_each():
    options = np.array([[0.8, 0.2, 0.8], [0.8, 0.2, 0.6], [0.6, 0.2, 0.8], [0.8, 0.5, 0.8]])
    same, worse_last, worse_first, bleached = BOTH.worth(options)
    assert same == pytest.approx(EXPERT.worth(options[:1, :2])[0])
    assert worse_last == pytest.approx(worse_first) == pytest.approx(same - 0.1)
    assert bleached < same


def test_the_last_image_has_what_the_first_has_left():
    rng = np.random.default_rng(3)
    space = ParameterSpace(
        [
            Parameter.linear("excitation_power_uW", "µW", 1, 25, 5),
            Parameter.linear("depletion_power_mW", "mW", 60, 360, 5),
            Parameter.linear("dwelltime_us", "µs", 5, 100, 5),
        ]
    )
    truth = random_sample(rng, space, with_last=True)
    lost = truth["quality"] - truth["quality_last"]
    assert lost.min() >= 0
    assert lost[np.argmax(truth["photobleaching"])] >= lost[np.argmin(truth["photobleaching"])]
    # What was drawn before the last image came stays as it was.
    again = random_sample(np.random.default_rng(3), space)
    assert np.array_equal(again["quality"], truth["quality"])


def test_clouds_of_both_images():
    clouds = draw_clouds(CloudTask(1, 5, with_last=True, grid=(3, 3, 4)), BOTH.day)
    assert clouds.objectives == ("quality", "photobleaching", "quality_last")
    assert {cloud.shape for cloud in clouds.values} == {(36, 3)}
