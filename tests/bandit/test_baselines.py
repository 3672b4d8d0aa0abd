"""The baselines prescribe what they say, purely, and keep the protocol."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.bandit.baselines import GridSearch, RandomPolicy
from stedopt_bluesky.bandit.strategy import Strategy
from stedopt_bluesky.parameters import Parameter, ParameterSpace

SPACE = ParameterSpace([Parameter.linear("power_mW", "mW", 0, 300, 8)])
SECONDS = np.linspace(1, 5, 8)
OBJECTIVES = [
    Objective("quality", "", "maximise", (0, 1)),
    Objective("fwhm_nm", "nm", "minimise", (40, 250)),
    Objective("time_s", "s", "minimise", (1, 5), modelled=False),
]


def offered(strategy):
    """Row that a strategy offers; it must be the only one."""
    (index,) = np.flatnonzero(~np.isnan(strategy.suggest().values).any(axis=1))
    assert np.isnan(strategy.suggest().values).sum() == (SPACE.size - 1) * len(strategy.objectives)
    return int(index)


def run(strategy, images):
    """Rows that were imaged."""
    taken = []
    for _ in range(images):
        taken.append(offered(strategy))
        strategy.ingest(taken[-1], [0.5, 60.0, None][: len(strategy.objectives)])
    return taken


def make_all(**settings):
    return [
        RandomPolicy(SPACE, OBJECTIVES, 1, **settings),
        GridSearch(SPACE, OBJECTIVES, **settings),
    ]


# --- at random --------------------------------------------------------------------------


def test_each_configuration_is_as_likely():
    counts = np.bincount(run(RandomPolicy(SPACE, OBJECTIVES, seed=1), 2000), minlength=8)
    # A fixed seed; a fair policy fails this for one seed in ten thousand.
    assert chisquare(counts).pvalue > 1e-4


def test_the_draw_is_the_documented_one():
    expected = [int(np.random.default_rng([7, t]).integers(8)) for t in range(20)]
    assert run(RandomPolicy(SPACE, OBJECTIVES, seed=7), 20) == expected


def test_a_random_decision_is_a_function_of_seed_and_iteration_alone():
    one, other = RandomPolicy(SPACE, ["quality"], 3), RandomPolicy(SPACE, ["quality"], 3)
    one.ingest(0, [0.9])
    other.ingest(5, [math.nan])
    assert one.iteration == other.iteration == 1
    np.testing.assert_array_equal(one.suggest().values, other.suggest().values)
    np.testing.assert_array_equal(one.suggest().values, one.suggest().values)
    assert run(one, 20) != run(RandomPolicy(SPACE, ["quality"], 4), 20)


# --- grid search ------------------------------------------------------------------------


@given(st.integers(1, 7), st.integers(0, 60))
def test_grid_search_visits_each_configuration_as_often_in_order(repeats, images):
    """Against the loops that one would write by hand."""
    by_hand = [row for _ in range(8) for row in range(8) for _ in range(repeats)]
    assert run(GridSearch(SPACE, OBJECTIVES, repeats=repeats), images) == by_hand[:images]


def test_five_images_a_point_and_from_the_start_again():
    taken = run(GridSearch(SPACE, ["quality"]), 41)
    assert np.bincount(taken).tolist() == [6, 5, 5, 5, 5, 5, 5, 5]
    assert taken[40] == 0


@pytest.mark.parametrize("repeats", [0, -1])
def test_no_repeats_are_refused(repeats):
    with pytest.raises(ValueError, match=f"repeats = {repeats}: at least 1"):
        GridSearch(SPACE, OBJECTIVES, repeats=repeats)


# --- both -------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", make_all(), ids=["random", "grid_search"])
def test_they_are_strategies_and_say_what_is_known(strategy):
    assert isinstance(strategy, Strategy)
    options = strategy.suggest()
    assert options.values.shape == (8, 3)
    assert not options.values.flags.writeable
    assert options.objectives == ("quality", "fwhm_nm", "time_s")
    assert options.parameters == ("power_mW",)
    # Nothing is known: the middle of each usual range.
    np.testing.assert_array_equal(options.values[offered(strategy)], [0.5, 145.0, 3.0])


@pytest.mark.parametrize("number", [0, 1], ids=["random", "grid_search"])
def test_known_objectives_are_filled_in(number):
    strategy = make_all(deterministic={"time_s": SECONDS})[number]
    for _ in range(10):
        index = offered(strategy)
        assert strategy.suggest().values[index, 2] == SECONDS[index]
        strategy.ingest(index, [0.5, 60.0, 2.0])


@pytest.mark.parametrize("number", [0, 1], ids=["random", "grid_search"])
def test_any_history_is_ingested_and_what_was_imaged_is_told_once(number):
    strategy = make_all()[number]
    assert strategy.suggest().imaged == ()
    for index in (5, 2, 5, 7):
        strategy.ingest(index, {"quality": 0.5, "fwhm_nm": math.nan})
    options = strategy.suggest()
    assert options.iteration == strategy.iteration == 4
    assert options.imaged == (5, 2, 7)


@pytest.mark.parametrize("number", [0, 1], ids=["random", "grid_search"])
@pytest.mark.parametrize(
    ("index", "values", "error"),
    [
        (8, (0.1, 60.0, 1.0), IndexError),
        (-1, (0.1, 60.0, 1.0), IndexError),
        (0, (0.1,), ValueError),
        (0, (math.inf, 60.0, 1.0), ValueError),
        (0, {"quality": 0.1}, ValueError),
    ],
)
def test_faults_show_with_the_baselines_too(number, index, values, error):
    strategy = make_all()[number]
    with pytest.raises(error):
        strategy.ingest(index, values)
    assert strategy.iteration == 0
    assert strategy.suggest().imaged == ()


@pytest.mark.parametrize(
    ("deterministic", "message"),
    [
        ({"quality": SECONDS}, r"not modelled, \['time_s'\], got 'quality'"),
        ({"speed": SECONDS}, "got 'speed'"),
        ({"time_s": SECONDS[:-1]}, r"time_s needs one value per configuration, \(8,\), got \(7,\)"),
        ({"time_s": np.full(8, math.nan)}, "time_s must be finite for every configuration"),
    ],
)
def test_bad_known_values_are_refused(deterministic, message):
    for make in (lambda **k: RandomPolicy(SPACE, OBJECTIVES, 0, **k), make_all):
        with pytest.raises(ValueError, match=message):
            make(deterministic=deterministic)


def test_known_values_are_copied():
    seconds = SECONDS.copy()
    strategy = GridSearch(SPACE, OBJECTIVES, deterministic={"time_s": seconds})
    seconds[:] = 0
    assert strategy.suggest().values[0, 2] == 1.0
