"""The rule of a local response: neither none nor widespread, and strong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.objectives import OBJECTIVES
from stedopt_bluesky.preference.local import LocalRule, image_utilities, local_utilities
from stedopt_bluesky.session.decisions import make_choose

STRENGTH, SIZE = (OBJECTIVES[n].objective for n in ("df_over_f_peak", "response_size_ratio"))
QUALITY = Objective("quality", "", "maximise", (0.0, 1.0))
BOTH = (STRENGTH, SIZE)
NO_WEIGHTS = {"df_over_f_peak": 1.0, "response_size_ratio": 1.0}


def cloud(*values, iteration=0):
    table = np.array(values, dtype=float)
    names = ("df_over_f_peak", "response_size_ratio", "quality")[: table.shape[1]]
    grid = np.arange(len(table), dtype=float)[:, None]
    return Options(table, grid, iteration, names, ("uncaging_power_uW",))


def chosen(*values, objectives=BOTH, weights=NO_WEIGHTS, seed=0):
    return LocalRule(objectives, weights, seed)(cloud(*values)).index


def test_a_local_response_is_preferred_to_a_silent_and_to_a_widespread_one():
    silent, local, widespread = (0.1, 0.0), (2.0, 0.1), (9.0, 1.0)
    assert chosen(silent, local, widespread) == 1


def test_no_weights_of_the_weighted_rule_ask_for_it():
    """What an option is, on average: half silent, half widespread, and a share of local ones."""
    silent, local, widespread = (0.2, 0.0), (0.8, 0.07), (6.1, 0.75)
    mixed = (2.4, 0.3)
    table = np.array([silent, local, mixed, widespread])
    for weight in np.linspace(0, 1, 101):
        utility = weight * table[:, 0] / 10 + (1 - weight) * (1 - table[:, 1])
        assert utility.argmax() in (0, 1, 3)
    assert chosen(*table) == 2


def test_of_equal_sizes_the_stronger_one():
    assert chosen((2.0, 0.3), (3.0, 0.3), (2.5, 0.3)) == 1


@given(st.floats(-2, 20), st.floats(-1, 2))
def test_utilities_are_from_0_to_1_and_0_outside_of_local(strength, size):
    (utility,) = local_utilities(np.array([[strength, size]]), BOTH, NO_WEIGHTS)

    assert 0 <= utility <= 1
    if not 0 < size < 0.6 or strength <= 0:
        assert utility == 0


def test_where_nothing_is_local_the_size_nearest_to_it():
    assert chosen((5.0, -0.4), (5.0, 1.2), (5.0, 0.7)) == 2
    assert chosen((-1.0, 0.2), (-1.0, 0.5)) == 0


def test_other_objectives_count_with_their_weight():
    options = (3.0, 0.3, 0.1), (2.5, 0.3, 0.9)
    objectives = (*BOTH, QUALITY)

    assert chosen(*options, objectives=objectives, weights={**NO_WEIGHTS, "quality": 1.0}) == 1
    assert chosen(*options, objectives=objectives, weights={**NO_WEIGHTS, "quality": 0.0}) == 0


def test_what_is_not_on_offer_is_not_chosen():
    assert chosen((np.nan, np.nan), (0.1, 0.01)) == 1
    with pytest.raises(ValueError, match="none of the 1 options can be chosen"):
        chosen((np.nan, 0.3))


def test_equals_are_drawn_by_seed_and_iteration():
    options = [(2.0, 0.3)] * 50
    rule = LocalRule(BOTH, NO_WEIGHTS, 3)
    choices = [rule(cloud(*options, iteration=t)).index for t in range(10)]

    assert choices == [rule(cloud(*options, iteration=t)).index for t in range(10)]
    assert len(set(choices)) > 3


def test_one_image_is_local_or_not():
    images = np.array([(2.0, 0.05), (2.0, 0.0), (8.0, 0.9), (8.0, 0.6), (20.0, 0.5), (2, np.nan)])
    utility = image_utilities(images, BOTH)

    assert utility[:5].tolist() == [0.2, 0, 0, 0, 1]
    assert np.isnan(utility[5])


def test_both_objectives_are_needed():
    with pytest.raises(ValueError, match="needs the objective response_size_ratio"):
        LocalRule((STRENGTH,), NO_WEIGHTS, 0)
    with pytest.raises(ConfigError, match=r"choice\.rule = 'local': only with objective response"):
        preset("classical").updated({"choice.rule": "local"})


def test_the_preset_chooses_by_it():
    assert isinstance(make_choose(preset("uncaging")), LocalRule)
