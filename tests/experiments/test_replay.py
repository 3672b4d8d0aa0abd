import dataclasses
import json

import numpy as np
import pytest

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.experiments.parallel import run_serially
from stedopt_bluesky.experiments.replay import experiment_of, ground_truth, report_replay
from stedopt_bluesky.experiments.replay_figure import save_replay_figure
from stedopt_bluesky.experiments.trials import ReplayExperiment, Trial
from stedopt_bluesky.parameters import Parameter, ParameterSpace

NAN = float("nan")


@pytest.fixture
def by_hand():
    """Three configurations, the second best; an image fails below 0.5."""
    return ReplayExperiment(
        space=ParameterSpace([Parameter("excitation_power_uW", "µW", (1.0, 2.0, 4.0))]),
        objective=Objective("quality", "", "maximise", (0.0, 1.0)),
        queues=(np.array([0.1, 0.3, NAN]), np.array([0.9, 0.7]), np.array([0.4, 0.6])),
        images=4,
        seed=0,
    )


def trial(configurations, values, estimates):
    return Trial(np.array(configurations), np.array(values), np.array(estimates))


def test_ground_truth_by_hand(by_hand):
    truth = ground_truth(by_hand, None, 0.5)
    np.testing.assert_allclose(truth.means, [0.2, 0.8, 0.5])
    assert truth.relevant == (1,)
    np.testing.assert_allclose(truth.failure_rates, [1.0, 0.0, 0.5])  # an invalid image fails

    wider = ground_truth(by_hand, 2, None)
    assert wider.relevant == (1, 2)
    assert wider.threshold == pytest.approx(np.quantile([0.9, 0.7, 0.4, 0.6], 0.05))


def test_ground_truth_of_what_is_minimised(by_hand):
    objective = dataclasses.replace(by_hand.objective, direction="minimise")
    truth = ground_truth(dataclasses.replace(by_hand, objective=objective), 1, None)
    assert truth.relevant == (0,)
    assert truth.threshold == pytest.approx(np.quantile([0.1, 0.3], 0.95))
    np.testing.assert_allclose(truth.failure_rates, [2 / 3, 1.0, 1.0])


def test_a_report_by_hand(by_hand):
    truth = ground_truth(by_hand, None, 0.5)
    ts = [
        trial([0, 1, 1, 2], [0.1, 0.9, 0.7, 0.4], [0.1, 0.75, 0.4]),  # favourite 1
        trial([2, 2, 1, 1], [0.4, 0.6, 0.7, 0.9], [0.0, 0.8, 0.6]),  # a draw: the first, 1
    ]
    grid = [
        trial([0, 0, 1, 1], [0.1, NAN, 0.9, 0.7], [0.1, 0.8, NAN]),
        trial([0, 0, 2, 2], [0.3, 0.1, 0.6, 0.4], [0.2, NAN, 0.5]),
    ]
    report = report_replay(by_hand, truth, {"kernel_ts": ts, "grid_search": grid})
    of_ts, of_grid = report.results

    np.testing.assert_allclose(of_ts.regret, [1.0, 1.0, 1.0, 1.5])
    np.testing.assert_allclose(of_grid.regret, [1.0, 2.0, 2.0, 2.5])
    # Resamples of two runs are both of one or one of each: 1 … 2 failures at the end.
    assert (of_ts.regret_low[-1], of_ts.regret_high[-1]) == (1.0, 2.0)
    np.testing.assert_allclose(of_ts.chosen, [0.5, 2.0, 1.5])
    assert of_ts.relevant_share == 0.5
    assert of_grid.relevant_share == 0.25
    np.testing.assert_allclose(of_ts.errors, [0.05, 0.0], atol=1e-12)
    # Grid search is asked about the configuration that Kernel TS preferred, 1.
    np.testing.assert_allclose(of_grid.errors, [0.0, NAN], atol=1e-12)

    data = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert data["strategies"]["grid_search"]["estimation_errors"][1] is None
    assert data["strategies"]["grid_search"]["estimation_error_mean"] == pytest.approx(0.0)
    assert [c["relevant"] for c in data["configurations"]] == [False, True, False]
    assert data["configurations"][2]["excitation_power_uW"] == 4.0


def test_without_kernel_ts_each_is_asked_about_its_own_favourite(by_hand):
    truth = ground_truth(by_hand, None, 0.5)
    one = [trial([2, 2, 2, 0], [0.4, 0.6, 0.4, 0.1], [0.1, NAN, 0.47])]
    (result,) = report_replay(by_hand, truth, {"random": one}).results
    np.testing.assert_allclose(result.errors, [0.03])
    assert np.isnan(result.regret_low).all()


def test_regret_is_sublinear_for_kernel_ts_and_linear_without_learning(dataset):
    """The paper's Fig. 1e in small: images of the twin, ten trials of 60."""
    experiment = experiment_of(dataset, "utility", images=60, seed=0, repeats=5)
    names = ("kernel_ts", "grid_search", "random")
    trials = run_serially(experiment, [(n, k) for n in names for k in range(10)], lambda _: None)
    report = report_replay(
        experiment,
        ground_truth(experiment, None, None),
        {n: trials[10 * i : 10 * i + 10] for i, n in enumerate(names)},
    )
    ts, grid, random = report.results

    assert ts.exponent < 0.75
    assert random.exponent == pytest.approx(1.0, abs=0.15)
    assert ts.regret_high[-1] < 0.6 * grid.regret[-1]
    assert ts.relevant_share > 0.6 > grid.relevant_share
    np.testing.assert_allclose(grid.chosen, 5)


@pytest.mark.parametrize("objective", ["utility", "resolution_nm"])
def test_the_picture(dataset, tmp_path, objective):
    experiment = experiment_of(dataset, objective, images=12, seed=0, repeats=1)
    trials = {"kernel_ts": run_serially(experiment, [("kernel_ts", 0)], lambda _: None)}
    report = report_replay(experiment, ground_truth(experiment, None, None), trials)
    path = tmp_path / "new" / "replay.png"
    save_replay_figure(report, dataset, path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_picture_without_examples_and_of_two_parameters(by_hand, dataset, tmp_path):
    space = ParameterSpace(
        [
            Parameter("excitation_power_uW", "µW", (1.0, 2.0, 4.0)),
            Parameter("depletion_power_mW", "mW", (9.0,)),
        ]
    )
    experiment = dataclasses.replace(by_hand, space=space)
    truth = ground_truth(experiment, None, None)
    trials = {"random": run_serially(experiment, [("random", 0)], lambda _: None)}
    bare = dataclasses.replace(dataset, examples=np.empty((0, 0, 0), np.int16))
    save_replay_figure(report_replay(experiment, truth, trials), bare, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
