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

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.bandit import KernelRegression, KernelTS
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


def strategy(seed=5):
    return KernelTS(SPACE, [QUALITY, BLEACHING], seed)


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


def test_options_are_one_sample_per_objective_from_the_iterations_generator():
    model = told(strategy(), [(3, (0.4, 0.1)), (17, (0.9, 0.3))])
    rng = np.random.default_rng([5, 2])
    for column, objective in enumerate((QUALITY, BLEACHING)):
        alone = KernelRegression(SPACE, objective.noise_bounds)
        alone.observe(3, (0.4, 0.1)[column])
        alone.observe(17, (0.9, 0.3)[column])
        np.testing.assert_array_equal(model.suggest().values[:, column], alone.sample(rng))


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
    running, rebuilt = strategy(seed), told(strategy(seed), history[:cut])
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


def test_invalid_objectives_count_but_are_not_learned():
    model = told(strategy(), [(3, (0.4, 0.1)), (3, (math.nan, 0.3)), (3, (None, None))])
    assert model.iteration == 3
    alone = KernelRegression(SPACE, QUALITY.noise_bounds)
    alone.observe(3, 0.4)
    mean, std = model.posterior()
    np.testing.assert_array_equal(mean[:, 0], alone.posterior()[0])
    np.testing.assert_array_equal(std[:, 0], alone.posterior()[1])
    assert std[3, 1] < std[3, 0] * 10
    np.testing.assert_allclose(mean[3, 1], 0.2, atol=1e-3)


def test_zero_is_a_value():
    model = told(strategy(), [(3, (0.0, 0.5)), (9, (0.6, 0.0))])
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


def test_settings_reach_the_models():
    model = KernelTS(SPACE, [QUALITY], 0, bandwidth=(100.0, 9.0), norm_bound=2.0)
    model.ingest(7, [0.3])
    alone = KernelRegression(SPACE, (0.001, 0.1), norm_bound=2.0, bandwidth=(100.0, 9.0))
    alone.observe(7, 0.3)
    np.testing.assert_array_equal(model.posterior()[0][:, 0], alone.posterior()[0])
    np.testing.assert_array_equal(model.posterior()[1][:, 0], alone.posterior()[1])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_finds_the_optimum_of_a_noisy_function(seed):
    """Taking the best sampled value: of 60 images, the last 20 pay a tenth of random ones."""
    truth = np.exp(-(((SPACE.grid - [210, 37]) / [150, 60]) ** 2).sum(axis=1))
    noise = np.random.default_rng(seed)
    quality = Objective("quality", "", "maximise", (0, 1), noise_bounds=(0.001, 0.05))
    model = KernelTS(SPACE, [quality], seed)
    taken = []
    for _ in range(60):
        taken.append(int(model.suggest().values[:, 0].argmax()))
        model.ingest(taken[-1], [truth[taken[-1]] + 0.05 * noise.normal()])
    regret = truth.max() - truth
    assert regret[taken[-20:]].mean() < 0.1 * regret.mean()


def test_an_objective_in_other_units_gives_the_same_decisions() -> None:
    space = ParameterSpace([Parameter.linear("a", "", 0, 1, 9)])
    plain = Objective("o", "", "maximise", (0.0, 1.0), (0.001, 0.3))
    in_nm = Objective("o", "nm", "minimise", (60.0, 200.0), (0.14, 42.0))
    one, other = KernelTS(space, [plain], 5), KernelTS(space, [in_nm], 5)
    for index, value in ((2, 0.3), (7, 0.8), (2, 0.35)):
        one.ingest(index, [value])
        other.ingest(index, [140 * value])
    np.testing.assert_allclose(other.suggest().values, 140 * one.suggest().values, rtol=1e-9)
    for there, here in zip(other.posterior(), one.posterior(), strict=True):
        np.testing.assert_allclose(there, 140 * here, rtol=1e-9)


def test_a_range_that_does_not_increase_is_refused() -> None:
    space = ParameterSpace([Parameter.linear("a", "", 0, 1, 9)])
    with pytest.raises(ValueError, match="range must increase"):
        KernelTS(space, [Objective("o", "", "maximise", (1.0, 1.0))], 0)
