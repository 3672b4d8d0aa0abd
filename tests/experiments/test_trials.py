import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.experiments.trials import STRATEGIES, run_trial, run_trials


def same(a, b):
    return all(
        np.array_equal(getattr(a, f.name), getattr(b, f.name), equal_nan=True)
        for f in dataclasses.fields(a)
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_trial_depends_on_seed_and_number_alone(experiment, strategy):
    first, again, other = (run_trial(experiment, strategy, k) for k in (3, 3, 4))
    reseeded = run_trial(dataclasses.replace(experiment, seed=6), strategy, 3)

    assert same(first, again)
    assert not same(first, other)
    assert not same(first, reseeded)


def test_trials_come_in_the_order_of_the_jobs(experiment):
    jobs = [("random", 2), ("grid_search", 0), ("random", 1)]
    for job, trial in zip(jobs, run_trials(experiment, jobs), strict=True):
        assert same(trial, run_trial(experiment, *job))


@settings(max_examples=20, deadline=None)
@given(strategy=st.sampled_from(["grid_search", "random", "kernel_ts"]), k=st.integers(0, 99))
def test_queues_give_each_image_once_before_they_begin_again(experiment, strategy, k):
    trial = run_trial(experiment, strategy, k)
    for g, queue in enumerate(experiment.queues):
        got = trial.values[trial.configurations == g]
        for start in range(0, len(got), len(queue)):
            lap = got[start : start + len(queue)]
            assert len(np.unique(lap)) == len(lap)
            assert np.isin(lap[~np.isnan(lap)], queue).all()
            np.testing.assert_array_equal(lap, got[: len(lap)])


def test_all_strategies_meet_the_same_images(experiment):
    long = dataclasses.replace(experiment, images=60)
    orders = [run_trial(long, name, 7) for name in ("grid_search", "random", "kernel_ts")]
    for g in range(len(experiment.queues)):
        got = [t.values[t.configurations == g] for t in orders]
        common = min(map(len, got))
        for other in got[1:]:
            np.testing.assert_array_equal(other[:common], got[0][:common])


def test_the_order_of_the_images_differs_between_trials(experiment):
    a, b = (run_trial(experiment, "grid_search", k) for k in (0, 1))
    np.testing.assert_array_equal(a.configurations, np.repeat(np.arange(6), 5))
    assert not np.array_equal(a.values, b.values)


def test_estimates_of_a_baseline_are_the_means_of_its_images(experiment):
    trial = run_trial(experiment, "grid_search", 0)
    expected = [np.mean(trial.values[5 * g : 5 * g + 5]) for g in range(6)]
    np.testing.assert_allclose(trial.estimates, expected + [np.nan] * 6)


def test_an_invalid_image_counts_but_is_not_learned_from(experiment):
    queues = tuple(np.full(3, np.nan) for _ in experiment.queues)
    blind = dataclasses.replace(experiment, queues=queues)
    for strategy in STRATEGIES:
        trial = run_trial(blind, strategy, 0)
        assert np.isnan(trial.values).all()
        assert len(trial.configurations) == experiment.images
    assert np.isnan(run_trial(blind, "random", 0).estimates).all()


@pytest.mark.parametrize("direction", ["maximise", "minimise"])
def test_kernel_ts_finds_what_is_better(experiment, direction):
    sign = 1 if direction == "maximise" else -1
    objective = dataclasses.replace(experiment.objective, direction=direction)
    queues = tuple(sign * queue for queue in experiment.queues)
    trial = run_trial(
        dataclasses.replace(experiment, objective=objective, queues=queues), "kernel_ts", 0
    )
    assert abs(np.median(trial.configurations[-15:]) - 3) <= 1
    assert abs(trial.estimates[3] - sign) < 0.1
