"""A network chooses: the highest score, ties, columns by name, units."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.bandit.strategy import single_option
from stedopt_bluesky.networks.preference import PreferenceScorer
from stedopt_bluesky.networks.weights import ObjectiveScale, WeightsInfo, save_weights
from stedopt_bluesky.parameters import Parameter, ParameterSpace
from stedopt_bluesky.preference.network import NetworkChoice

QUALITY = Objective("quality", "", "maximise", (0.0, 1.0))
BLEACHING = Objective("photobleaching", "", "minimise", (0.0, 1.0))
TIME = Objective("imaging_time_s", "s", "minimise", (0.0, 5.0), modelled=False)
RESOLUTION = Objective("resolution_nm", "nm", "minimise", (60.0, 200.0))
BOTH = (QUALITY, BLEACHING)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    """Network whose score is quality less twice the photobleaching beyond 0.5; by hand."""
    tensors = {
        "f1.weight": np.zeros((10, 2), np.float32),
        "f1.bias": np.zeros(10, np.float32),
        "f2.weight": np.eye(10, dtype=np.float32),
        "f2.bias": np.zeros(10, np.float32),
        "out.weight": np.zeros((1, 10), np.float32),
        "out.bias": np.zeros(1, np.float32),
    }
    tensors["f1.weight"][0, 0], tensors["f1.weight"][1, 1] = 1, 1
    tensors["f1.bias"][1] = -0.5
    tensors["out.weight"][0, :2] = 1, -2
    scales = (ObjectiveScale("quality", "", 0, 1), ObjectiveScale("photobleaching", "", 0, 1))
    info = WeightsInfo("preference", "by hand", "1", objectives=scales)
    path = tmp_path_factory.mktemp("network") / "hand.safetensors"
    return PreferenceScorer(save_weights(path, tensors, info))


def options(values, objectives=BOTH, iteration=0):
    values = np.asarray(values, float)
    return Options(
        values,
        np.arange(float(len(values)))[:, None],
        iteration,
        tuple(objective.name for objective in objectives),
        ("depletion_power_mW",),
    )


def test_the_highest_score_is_chosen(scorer):
    choice = NetworkChoice(scorer, BOTH, 0)(options([[0.8, 0.9], [0.7, 0.5], [0.6, 0.1]]))
    assert (choice.index, choice.chosen_by) == (1, "preference_network")
    assert type(choice.index) is int


unit = st.floats(0, 1)


@given(st.lists(st.tuples(unit, unit), min_size=1, max_size=20, unique=True), st.randoms())
def test_the_order_of_the_options_does_not_matter(scorer, pairs, random):
    """Of what is chosen, the score; which of equals is another matter."""
    chooses = NetworkChoice(scorer, BOTH, 0)
    shuffled = random.sample(pairs, len(pairs))
    first, second = pairs[chooses(options(pairs)).index], shuffled[chooses(options(shuffled)).index]
    assert scorer.scores(np.array([first])) == scorer.scores(np.array([second]))
    assert scorer.scores(np.array([first])) == scorer.scores(np.array(pairs)).max()


@given(st.integers(0, 2**32 - 1))
def test_columns_are_taken_by_name_and_others_are_of_no_account(scorer, seed):
    rng = np.random.default_rng(seed)
    values = rng.uniform(size=(30, 2))
    plain = NetworkChoice(scorer, BOTH, 0)(options(values)).index
    objectives = (RESOLUTION, BLEACHING, QUALITY)
    other = np.where(rng.random(30) < 0.3, math.nan, rng.uniform(size=30))
    more = np.stack([other, values[:, 1], values[:, 0]], axis=1)
    assert NetworkChoice(scorer, objectives, 0)(options(more, objectives)).index == plain


def test_an_option_that_is_nan_is_not_chosen(scorer):
    values = [[math.nan, 0.1], [0.1, 0.9], [1.0, math.nan], [math.nan, math.nan]]
    assert NetworkChoice(scorer, BOTH, 0)(options(values)).index == 1


def test_what_is_prescribed_is_chosen(scorer):
    space = ParameterSpace([Parameter("depletion_power_mW", "mW", tuple(range(40)))])
    for t in range(40):
        offered = single_option(space, BOTH, t, 39 - t)
        assert NetworkChoice(scorer, BOTH, 0)(offered).index == 39 - t


def test_where_nothing_can_be_scored_nothing_can_be_chosen(scorer):
    with pytest.raises(ValueError, match="none of the 2 options can be chosen"):
        NetworkChoice(scorer, BOTH, 0)(options([[math.nan, 0.1], [0.3, math.nan]]))


# Photobleaching up to 0.5 costs nothing: these are equal.
EQUALS = [[0.7, 0.5, 2.0], [0.7, 0.1, 1.0], [0.6, 0.0, 0.1], [0.7, 0.3, 1.0], [0.7, 0.2, math.nan]]
WITH_TIME = (*BOTH, TIME)


def test_of_equals_the_fastest_are_chosen_each_as_likely(scorer):
    chooses = NetworkChoice(scorer, WITH_TIME, 3)
    found = [chooses(options(EQUALS, WITH_TIME, t)).index for t in range(600)]
    counts = np.bincount(found, minlength=5)
    assert set(np.flatnonzero(counts)) == {1, 3}
    assert stats.chisquare(counts[[1, 3]]).pvalue > 0.01


def test_a_choice_depends_on_seed_and_iteration_alone(scorer):
    def indices(seed, iterations):
        chooses = NetworkChoice(scorer, BOTH, seed)
        return [chooses(options([[0.7, 0.1]] * 50, iteration=t)).index for t in iterations]

    assert indices(7, range(20)) == indices(7, reversed(range(20)))[::-1]
    assert indices(7, range(20)) != indices(8, range(20))


@pytest.mark.parametrize(
    ("objectives", "says"),
    [
        ((QUALITY,), "'by hand': needs photobleaching; there are quality"),
        ((RESOLUTION, BLEACHING), "needs quality; there are resolution_nm, photobleaching"),
        (
            (QUALITY, Objective("photobleaching", "%", "minimise", (0.0, 100.0))),
            "photobleaching in '%': it was trained with ''",
        ),
    ],
)
def test_objectives_that_the_network_does_not_know_are_refused(scorer, objectives, says):
    with pytest.raises(ValueError, match=says) as raised:
        NetworkChoice(scorer, objectives, 0)
    assert "\n" not in str(raised.value)


def test_a_network_of_an_unknown_unit_is_refused_by_a_run_in_seconds(tmp_path):
    """As the published 3-objective network."""
    names = (("quality", ""), ("photobleaching", ""), ("imaging_time_s", "unknown"))
    scales = tuple(ObjectiveScale(name, unit, 0, 1) for name, unit in names)
    shapes = {"f1": (10, 3), "f2": (10, 10), "out": (1, 10)}
    tensors = {f"{k}.weight": np.zeros(shape, np.float32) for k, shape in shapes.items()}
    tensors |= {f"{k}.bias": np.zeros(shape[0], np.float32) for k, shape in shapes.items()}
    info = WeightsInfo("preference", "published", "1", objectives=scales)
    scorer = PreferenceScorer(save_weights(tmp_path / "p.safetensors", tensors, info))
    with pytest.raises(ValueError, match="imaging_time_s in 's': it was trained with 'unknown'"):
        NetworkChoice(scorer, WITH_TIME, 0)
