"""Decisions of Kernel Thompson Sampling: pure, resumable, atomic, and good."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.acquisition import Objective, PriorObservation
from stedopt_bluesky.bandit import KernelRegression, KernelTS
from stedopt_bluesky.bandit.empirical_bayes import EmpiricalBayes
from stedopt_bluesky.parameters import Parameter, ParameterSpace

SPACE = ParameterSpace(
    [
        Parameter.linear("depletion_power_mW", "mW", 59, 360, 5),
        Parameter.linear("dwelltime_us", "µs", 5, 100, 4),
    ]
)
QUALITY = Objective("quality", "", "maximise", (0, 1), noise_bounds=(0.001, 0.1))
BLEACHING = Objective("photobleaching", "", "minimise", (0, 1))
TIME = Objective("time_s", "s", "minimise", (0, 5), modelled=False)
SECONDS = SPACE.grid[:, 1] * 0.04
HISTORY = [(3, (0.4, 0.1)), (17, (0.9, math.nan)), (3, (0.5, 0.2)), (8, (None, None))]


ADAPTATIONS = ("published", "empirical_bayes")


def strategy(seed=5, **settings):
    return KernelTS(SPACE, [QUALITY, BLEACHING], seed, **settings)


def alone(objective, adaptation, observations, **settings):
    """Model of one objective of range 0 … 1, outside of any strategy."""
    kind = {"published": KernelRegression, "empirical_bayes": EmpiricalBayes}[adaptation]
    model = kind(SPACE, objective.noise_bounds, **settings)
    for index, value in observations:
        model.observe(index, value)
    return model


def with_time(**arguments):
    return KernelTS(SPACE, [QUALITY, TIME, BLEACHING], 5, **arguments)


def told(model, history):
    for index, values in history:
        model.ingest(index, values)
    return model


def fingerprint(model):
    options = model.suggest()
    return hashlib.sha256(options.values.tobytes()).hexdigest(), options.iteration


def test_options_have_the_shapes_and_names():
    options = told(with_time(deterministic={"time_s": SECONDS}), [(0, (0.4, 0.0, 0.1))]).suggest()
    assert options.values.shape == (20, 3)
    assert options.configurations is SPACE.grid
    assert options.iteration == 1
    assert options.objectives == ("quality", "time_s", "photobleaching")
    assert options.parameters == SPACE.names
    with pytest.raises(ValueError, match="read-only"):
        options.values[0, 0] = 1


@pytest.mark.parametrize(("adaptation", "spread"), [("published", 1.0), ("empirical_bayes", 0.8)])
@pytest.mark.parametrize("seed", [5, 2**100])
def test_options_are_one_sample_per_objective_from_the_iterations_generator(
    adaptation, spread, seed
):
    model = told(strategy(seed, adaptation=adaptation), [(3, (0.4, 0.1)), (17, (0.9, 0.3))])
    for draw, rng in enumerate(np.random.default_rng(s) for s in ([seed, 2], [seed, 2, 1])):
        for column, objective in enumerate((QUALITY, BLEACHING)):
            values = [(3, (0.4, 0.1)[column]), (17, (0.9, 0.3)[column])]
            sample = alone(objective, adaptation, values).sample(rng, spread)
            np.testing.assert_array_equal(model.suggest(draw).values[:, column], sample)


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
def test_draws_differ_and_leave_one_another_alone(adaptation):
    model = told(strategy(adaptation=adaptation), HISTORY)
    first = [model.suggest(draw).values for draw in range(4)]
    assert len({cloud.tobytes() for cloud in first}) == 4
    for draw in (2, 0, 3, 1):
        np.testing.assert_array_equal(model.suggest(draw).values, first[draw])
    np.testing.assert_array_equal(model.suggest().values, first[0])
    with pytest.raises(ValueError, match="draw must not be negative, got -1"):
        model.suggest(-1)


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
def test_exploration_scales_the_deviation(adaptation):
    """With none left, each draw is a mean: the published one, or of either hypothesis."""
    nearly_none = told(strategy(adaptation=adaptation, exploration=1e-9), HISTORY)
    # The summand keeps means off the rounding's edge, where an observed value may lie.
    clouds = [nearly_none.suggest(draw).values + 1.234e-5 for draw in range(20)]
    different = len({cloud.round(6).tobytes() for cloud in clouds})
    # Two objectives of two hypotheses each; 20 draws need not show all four.
    assert different == 1 if adaptation == "published" else 1 < different <= 4
    for exploration in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="exploration must be positive and finite"):
            strategy(exploration=exploration)


def test_an_unknown_adaptation_is_refused():
    message = "adaptation = 'none': allowed are published, empirical_bayes"
    with pytest.raises(ValueError, match=message):
        strategy(adaptation="none")


def test_imaged_rows_are_reported_once_each_in_order():
    model = told(strategy(), HISTORY)
    assert model.suggest().imaged == (3, 17, 8)


def test_suggesting_twice_gives_the_same_bits():
    model = told(strategy(), HISTORY)
    first = fingerprint(model)
    model.posterior()
    assert fingerprint(model) == first


histories = st.lists(
    st.tuples(
        st.integers(0, 19),
        st.lists(st.none() | st.floats(-2, 2) | st.just(math.nan), min_size=2, max_size=2),
    ),
    max_size=15,
)


@given(history=histories, seed=st.integers(0, 2**64), cut=st.integers(0, 15))
@settings(max_examples=25, deadline=None)
def test_rebuilding_from_the_history_gives_the_same_bits(history, seed, cut):
    """Asked at every image or only at the end; from the start or resumed half way."""
    adaptation = ADAPTATIONS[seed % 2]
    running = strategy(seed, adaptation=adaptation)
    rebuilt = told(strategy(seed, adaptation=adaptation), history[:cut])
    for index, values in history:
        running.suggest()
        running.ingest(index, values)
    told(rebuilt, history[cut:])
    assert fingerprint(running) == fingerprint(rebuilt)
    assert running.iteration == len(history)


def test_a_new_process_draws_the_same_bits():
    program = f"""
import hashlib, math
nan = math.nan
from stedopt_bluesky.bandit import KernelTS
from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.parameters import Parameter, ParameterSpace
space = ParameterSpace([Parameter.linear("depletion_power_mW", "mW", 59, 360, 5),
                        Parameter.linear("dwelltime_us", "µs", 5, 100, 4)])
model = KernelTS(space, [Objective("quality", "", "maximise", (0, 1), noise_bounds=(0.001, 0.1)),
                         "photobleaching"], 5)
for index, values in {HISTORY!r}:
    model.ingest(index, values)
print(hashlib.sha256(model.suggest().values.tobytes()).hexdigest())
"""
    environment = os.environ | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    printed = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    ).stdout.strip()
    assert printed == fingerprint(told(strategy(), HISTORY))[0]


def test_seed_and_iteration_change_the_options():
    clouds = {fingerprint(strategy(seed))[0] for seed in range(3)}
    clouds.add(fingerprint(told(strategy(0), [(8, (None, None))]))[0])
    assert len(clouds) == 4


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
def test_invalid_objectives_count_but_are_not_learned(adaptation):
    model = strategy(adaptation=adaptation)
    told(model, [(3, (0.4, 0.1)), (3, (math.nan, 0.3)), (3, (None, None))])
    assert model.iteration == 3
    mean, std = model.posterior()
    for column, values in enumerate(([(3, 0.4)], [(3, 0.1), (3, 0.3)])):
        only = alone((QUALITY, BLEACHING)[column], adaptation, values)
        np.testing.assert_array_equal((mean[:, column], std[:, column]), only.posterior())


def test_zero_is_a_value():
    model = told(strategy(adaptation="published"), [(3, (0.0, 0.5)), (9, (0.6, 0.0))])
    mean, _ = model.posterior()
    np.testing.assert_allclose(mean[[3, 9]], [[0.0, 0.5], [0.6, 0.0]], atol=0.01)


@pytest.mark.parametrize(
    ("index", "values", "error"),
    [
        (20, (0.1, 0.2), IndexError),
        (-1, (0.1, 0.2), IndexError),
        (2.0, (0.1, 0.2), TypeError),
        (2, (0.1,), ValueError),
        (2, (0.1, 0.2, 0.3), ValueError),
        (2, (0.1, math.inf), ValueError),
        (2, (0.1, "bad"), ValueError),
        (2, {"quality": 0.1}, ValueError),
        (2, {"quality": 0.1, "photobleaching": 0.2, "snr": 1.0}, ValueError),
    ],
)
def test_a_refused_image_changes_nothing(index, values, error):
    model = told(strategy(), HISTORY)
    before = fingerprint(model), model.posterior()
    with pytest.raises(error):
        model.ingest(index, values)
    assert fingerprint(model) == before[0]
    np.testing.assert_array_equal(model.posterior(), before[1])


def test_values_by_name_equal_values_in_order():
    by_name = [(i, {"photobleaching": b, "quality": q}) for i, (q, b) in HISTORY]
    assert fingerprint(told(strategy(), by_name)) == fingerprint(told(strategy(), HISTORY))


def test_known_objectives_stand_in_their_column_and_are_never_learned():
    model = with_time(deterministic={"time_s": SECONDS})
    model.ingest(3, (0.4, 1e9, 0.1))
    model.ingest(3, {"quality": 0.4, "photobleaching": 0.1})
    np.testing.assert_array_equal(model.suggest().values[:, 1], SECONDS)
    mean, std = model.posterior()
    np.testing.assert_array_equal(mean[:, 1], SECONDS)
    assert not std[:, 1].any()
    assert (std[:, [0, 2]] > 0).all()
    assert set(model.models) == {"quality", "photobleaching"}


def test_known_values_are_copied():
    seconds = SECONDS.copy()
    model = with_time(deterministic={"time_s": seconds})
    seconds[:] = 0
    np.testing.assert_array_equal(model.suggest().values[:, 1], SECONDS)


@pytest.mark.parametrize(
    ("deterministic", "message"),
    [
        (None, r"not modelled, \['time_s'\], got \[\]"),
        ({"quality": SECONDS, "time_s": SECONDS}, "not modelled"),
        ({"time_s": SECONDS[:-1]}, r"time_s needs one value per configuration, \(20,\)"),
        ({"time_s": np.full(20, np.nan)}, "time_s must be finite"),
    ],
)
def test_bad_known_values_are_refused(deterministic, message):
    with pytest.raises(ValueError, match=message):
        with_time(deterministic=deterministic)


@pytest.mark.parametrize(
    ("adaptation", "settings"),
    [
        ("published", {"bandwidth": (100.0, 9.0), "norm_bound": 2.0}),
        ("empirical_bayes", {"bandwidth": (100.0, 9.0)}),
    ],
)
def test_settings_reach_the_models(adaptation, settings):
    model = KernelTS(
        SPACE, [QUALITY], 0, adaptation=adaptation, border_observations=True, **settings
    )
    told(model, [(0, [0.3]), (7, [0.8])])
    only = alone(QUALITY, adaptation, [(0, 0.3), (7, 0.8)], border=True, **settings)
    np.testing.assert_array_equal(np.hstack(model.posterior()).T, only.posterior())
    plain = told(KernelTS(SPACE, [QUALITY], 0, adaptation=adaptation, **settings), [(0, [0.3])])
    assert (plain.posterior()[0] != model.posterior()[0]).any()


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_finds_the_optimum_of_a_noisy_function(seed, adaptation):
    """Taking the best sampled value: of 60 images, the last 20 pay a tenth of random ones."""
    truth = np.exp(-(((SPACE.grid - [210, 37]) / [150, 60]) ** 2).sum(axis=1))
    noise = np.random.default_rng(seed)
    quality = Objective("quality", "", "maximise", (0, 1), noise_bounds=(0.001, 0.05))
    model = KernelTS(SPACE, [quality], seed, adaptation=adaptation)
    taken = []
    for _ in range(60):
        taken.append(int(model.suggest().values[:, 0].argmax()))
        model.ingest(taken[-1], [truth[taken[-1]] + 0.05 * noise.normal()])
    regret = truth.max() - truth
    assert regret[taken[-20:]].mean() < 0.1 * regret.mean()


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
def test_an_objective_in_other_units_gives_the_same_decisions(adaptation):
    space = ParameterSpace([Parameter.linear("a", "", 0, 1, 9)])
    plain = Objective("o", "", "maximise", (0.0, 1.0), (0.001, 0.3))
    in_nm = Objective("o", "nm", "minimise", (60.0, 200.0), (0.14, 42.0))
    one, other = (KernelTS(space, [o], 5, adaptation=adaptation) for o in (plain, in_nm))
    for index, value in ((2, 0.3), (7, 0.8), (2, 0.35)):
        one.ingest(index, [value])
        other.ingest(index, [60 + 140 * value])
    for draw in range(4):
        expected = 60 + 140 * one.suggest(draw).values
        np.testing.assert_allclose(other.suggest(draw).values, expected, rtol=1e-6)
    (mean, std), (other_mean, other_std) = one.posterior(), other.posterior()
    np.testing.assert_allclose(other_mean, 60 + 140 * mean, rtol=1e-6)
    np.testing.assert_allclose(other_std, 140 * std, rtol=1e-6)


def test_a_range_that_does_not_increase_is_refused() -> None:
    space = ParameterSpace([Parameter.linear("a", "", 0, 1, 9)])
    with pytest.raises(ValueError, match="range must increase"):
        KernelTS(space, [Objective("o", "", "maximise", (1.0, 1.0))], 0)


def earlier(power, dwelltime, weight=1.0, **values):
    configuration = {"depletion_power_mW": power, "dwelltime_us": dwelltime}
    return PriorObservation(configuration, values, weight)


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
def test_prior_observations_are_learned_before_the_first_decision(adaptation):
    prior = [
        earlier(100.0, 30.0, quality=0.7, photobleaching=0.2),
        earlier(59.0, 5.0, 0.25, quality=0.1),
    ]
    model = strategy(adaptation=adaptation, prior=prior)
    points = [(100.0, 30.0), (59.0, 5.0)]
    only = alone(QUALITY, adaptation, [], points=points)
    only.observe_all(points, [0.7, 0.1], [1.0, 0.25])
    mean, std = model.posterior()
    np.testing.assert_array_equal((mean[:, 0], std[:, 0]), only.posterior())
    assert model.iteration == 0
    assert model.suggest().imaged == ()
    assert model.suggest().values.shape == (20, 2)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (PriorObservation({"power": 1.0}, {"quality": 0.5}), "needs the parameters"),
        (earlier(math.nan, 5.0, quality=0.5), "configuration must be finite"),
        (earlier(59.0, 5.0, snr=0.5), r"may have the objectives .*, got \('snr',\)"),
        (earlier(59.0, 5.0, quality=math.nan), "values must be finite"),
        (earlier(59.0, 5.0, quality=1e305), "more than 1000 widths of its usual range"),
        (earlier(59.0, 5.0, 0.0, quality=0.5), r"weight must be 1e-06 to 1e\+06, got 0.0"),
        (earlier(59.0, 5.0, math.inf, quality=0.5), r"weight must be 1e-06 to 1e\+06, got inf"),
    ],
)
def test_bad_prior_observations_are_refused_in_one_line(observation, message):
    with pytest.raises(ValueError, match=message) as caught:
        strategy(prior=[observation])
    assert "\n" not in str(caught.value)
