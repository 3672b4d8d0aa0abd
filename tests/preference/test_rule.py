"""The rule that chooses: utilities by hand, ties, NaN, and chance that can be repeated."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.bandit.strategy import single_option
from stedopt_bluesky.parameters import Parameter, ParameterSpace
from stedopt_bluesky.preference.rule import RandomChoice, WeightedRule, on_offer, utilities

SNR = Objective("snr", "", "maximise", (0.0, 2.0))
RESOLUTION = Objective("resolution_nm", "nm", "minimise", (60.0, 200.0))
TIME = Objective("imaging_time_s", "s", "minimise", (0.0, 5.0), modelled=False)
WEIGHTS = {"snr": 1.0, "resolution_nm": 3.0}
BOTH = (SNR, RESOLUTION)


def options(values, iteration=0, objectives=BOTH):
    values = np.asarray(values, float)
    return Options(
        values,
        np.arange(float(len(values)))[:, None],
        iteration,
        tuple(o.name for o in objectives),
        ("depletion_power_mW",),
    )


def rule(weights=WEIGHTS, seed=0, objectives=BOTH):
    return WeightedRule(objectives, weights, seed)


# --- utilities --------------------------------------------------------------------------


def test_utilities_by_hand():
    values = np.array([[1.0, 130.0], [2.0, 60.0], [0.0, 200.0], [0.5, 95.0]])
    # (1 × snr / 2 + 3 × (200 - resolution) / 140) / 4
    expected = [(0.5 + 3 * 0.5) / 4, 1.0, 0.0, (0.25 + 3 * 0.75) / 4]
    np.testing.assert_allclose(utilities(values, BOTH, WEIGHTS), expected)


def test_beyond_the_good_end_nothing_is_gained_and_beyond_the_bad_end_all_is_lost():
    one = {"snr": 1.0, "resolution_nm": 0.0}
    values = np.array([[2.0, 0], [20.0, 0], [0.0, 0], [-2.0, 0]])
    np.testing.assert_allclose(utilities(values, BOTH, one), [1, 1, 0, -1])
    other = {"snr": 0.0, "resolution_nm": 1.0}
    values = np.array([[0, 60.0], [0, 10.0], [0, 200.0], [0, 340.0]])
    np.testing.assert_allclose(utilities(values, BOTH, other), [1, 1, 0, -1])


def test_nan_counts_where_it_has_a_weight():
    values = np.array([[math.nan, 60.0], [1.0, math.nan]])
    assert np.isnan(utilities(values, BOTH, WEIGHTS)).all()
    np.testing.assert_allclose(
        utilities(values, BOTH, {"snr": 0.0, "resolution_nm": 2.0}), [1.0, math.nan]
    )


finite = st.floats(-1e3, 1e3)


@given(finite, finite, st.floats(0, 1e3), st.floats(0.01, 10), st.floats(0, 10))
def test_better_is_never_worse(snr, resolution, gain, weight, other):
    weights = {"snr": weight, "resolution_nm": other}
    base, better_snr, better_resolution = utilities(
        np.array([[snr, resolution], [snr + gain, resolution], [snr, resolution - gain]]),
        BOTH,
        weights,
    )
    assert better_snr >= base
    assert better_resolution >= base
    assert base <= 1


@given(st.floats(0.01, 100))
def test_only_the_weights_ratio_matters(factor):
    values = np.array([[1.0, 130.0], [0.3, 90.0]])
    scaled = {name: factor * weight for name, weight in WEIGHTS.items()}
    np.testing.assert_allclose(
        utilities(values, BOTH, scaled), utilities(values, BOTH, WEIGHTS), rtol=1e-9
    )


def test_utilities_of_any_shape():
    values = np.full((2, 3, 2), [2.0, 60.0])
    np.testing.assert_allclose(utilities(values, BOTH, WEIGHTS), np.ones((2, 3)))


# --- the rule ---------------------------------------------------------------------------


def test_the_best_option_is_chosen():
    choice = rule()(options([[1.0, 130.0], [0.5, 70.0], [2.0, 150.0]]))
    assert (choice.index, choice.chosen_by) == (1, "weighted_rule")
    assert type(choice.index) is int


@pytest.mark.parametrize("seed", range(5))
def test_an_option_that_is_nan_is_not_chosen(seed):
    values = [[math.nan, 60.0], [0.1, 190.0], [2.0, math.nan]]
    assert rule(seed=seed)(options(values)).index == 1


def test_where_all_are_nan_nothing_can_be_chosen():
    with pytest.raises(ValueError, match="none of the 2 options can be chosen"):
        rule()(options([[math.nan, 60.0], [2.0, math.nan]]))


def test_of_equals_the_fastest_is_chosen_also_where_time_has_no_weight():
    objectives = (SNR, TIME)
    values = [[3.0, 2.0], [2.0, 1.5], [5.0, 1.5 + 1e-9], [1.9, 0.1]]
    chosen = rule({"snr": 1.0, "imaging_time_s": 0.0}, objectives=objectives)
    assert chosen(options(values, objectives=objectives)).index == 1


def test_equals_of_equal_time_are_drawn_each_as_likely():
    objectives = (SNR, TIME)
    values = [[2.0, 1.0], [3.0, 2.0], [4.0, 1.0], [5.0, 1.0], [0.0, 0.0]]
    chosen = rule({"snr": 1.0, "imaging_time_s": 0.0}, seed=3, objectives=objectives)
    counts = np.bincount(
        [chosen(options(values, t, objectives)).index for t in range(900)], minlength=5
    )
    assert set(np.flatnonzero(counts)) == {0, 2, 3}
    assert stats.chisquare(counts[[0, 2, 3]]).pvalue > 0.01


@pytest.mark.parametrize("make", [rule, RandomChoice], ids=["rule", "random"])
def test_a_choice_depends_on_seed_and_iteration_alone(make):
    """So that a replay chooses the same, and a run that was resumed goes on as it would have."""
    equals = [[2.0, 60.0]] * 50
    first = [make(seed=7)(options(equals, t)).index for t in range(20)]
    other = make(seed=7)
    backwards = [other(options(equals, t)).index for t in reversed(range(20))]
    assert first == backwards[::-1]
    assert len(set(first)) > 10
    assert first != [make(seed=8)(options(equals, t)).index for t in range(20)]


def test_the_draw_is_not_the_strategys():
    """The strategy draws its options from ``default_rng([seed, iteration])``."""
    equals = [[2.0, 60.0]] * 1000
    ours = [rule(seed=7)(options(equals, t)).index for t in range(10)]
    theirs = [int(np.random.default_rng([7, t]).choice(1000)) for t in range(10)]
    assert ours != theirs


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ({"snr": 1.0}, r"weights for \['snr'\]: one for each of \['snr', 'resolution_nm'\]"),
        ({**WEIGHTS, "frc": 1.0}, "one for each of"),
        ({**WEIGHTS, "snr": -1.0}, "weight of snr = -1: at least 0, finite"),
        ({**WEIGHTS, "snr": math.nan}, "weight of snr = nan"),
        ({**WEIGHTS, "snr": math.inf}, "weight of snr = inf"),
        ({"snr": 0.0, "resolution_nm": 0.0}, "at least one must be above 0"),
    ],
)
def test_weights_that_are_none(weights, says):
    with pytest.raises(ValueError, match=says):
        rule(weights)


# --- at random --------------------------------------------------------------------------


def test_at_random_each_option_is_as_likely():
    chosen = RandomChoice(seed=11)
    cloud = np.zeros((20, 2))
    counts = np.bincount([chosen(options(cloud, t)).index for t in range(4000)], minlength=20)
    assert stats.chisquare(counts).pvalue > 0.01
    assert chosen(options(cloud)).chosen_by == "random_choice"


def test_at_random_the_values_do_not_matter():
    good, bad = np.full((9, 2), [2.0, 60.0]), np.full((9, 2), [-9.0, math.nan])
    chosen = RandomChoice(seed=1)
    assert [chosen(options(good, t)).index for t in range(20)] == [
        chosen(options(bad, t)).index for t in range(20)
    ]


# --- what is not on offer ---------------------------------------------------------------

CHOOSERS = {
    "both weights": rule(),
    "one weight": rule({"snr": 0.0, "resolution_nm": 1.0}),
    "random": RandomChoice(seed=5),
}


@pytest.mark.parametrize("chosen", CHOOSERS.values(), ids=CHOOSERS)
def test_what_is_prescribed_is_chosen_by_anyone(chosen):
    space = ParameterSpace([Parameter("depletion_power_mW", "mW", tuple(range(40)))])
    for t in range(60):
        index = int(np.random.default_rng(t).integers(40))
        offered = single_option(space, BOTH, t, index)
        assert np.flatnonzero(on_offer(offered)).tolist() == [index]
        assert chosen(offered).index == index


def test_what_is_not_on_offer_is_not_chosen_where_only_a_known_objective_has_a_weight():
    """Neither by its weight nor in the tie that time decides."""
    objectives = (SNR, RESOLUTION, TIME)
    nothing = [math.nan] * 3
    by_time = rule({"snr": 0, "resolution_nm": 0, "imaging_time_s": 1.0}, objectives=objectives)
    assert by_time(options([nothing, [1.0, 90.0, 4.9], nothing], 0, objectives)).index == 1
    assert by_time(options([nothing, [math.nan, math.nan, 9.0]], 0, objectives)).index == 1


def test_of_equals_one_of_unknown_time_is_the_last():
    objectives = (SNR, TIME)
    chosen = rule({"snr": 1.0, "imaging_time_s": 0.0}, objectives=objectives)
    unknown = [2.0, math.nan]
    assert chosen(options([unknown, [2.0, 4.0], unknown], 0, objectives)).index == 1
    indices = {
        chosen(options([unknown, unknown, [0.0, 1.0]], t, objectives)).index for t in range(30)
    }
    assert indices == {0, 1}


def test_at_random_each_option_on_offer_is_as_likely():
    cloud = np.full((9, 2), math.nan)
    cloud[2], cloud[5, 0], cloud[6] = 1.0, 0.3, [2.0, 60.0]
    chosen = RandomChoice(seed=2)
    counts = np.bincount([chosen(options(cloud, t)).index for t in range(900)], minlength=9)
    assert set(np.flatnonzero(counts)) == {2, 5, 6}
    assert stats.chisquare(counts[[2, 5, 6]]).pvalue > 0.01


def test_where_nothing_is_on_offer_nobody_can_choose():
    cloud = options(np.full((3, 2), math.nan))
    with pytest.raises(ValueError, match="none of the 3 options is on offer: all are NaN"):
        RandomChoice(seed=0)(cloud)
    with pytest.raises(ValueError, match="none of the 3 options can be chosen"):
        rule()(cloud)
