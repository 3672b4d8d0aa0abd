"""The uncaging experiment: shares of responses and their statistics, alike on one core and two."""

import math

import numpy as np
import pytest

from stedopt_bluesky.experiments.parallel import run_each
from stedopt_bluesky.experiments.tables import uncaging_tables
from stedopt_bluesky.experiments.uncaging import (
    OUTCOMES,
    UncagingExperiment,
    UncagingRun,
    run_once,
)
from stedopt_bluesky.experiments.uncaging_figure import save_uncaging_figure
from stedopt_bluesky.experiments.uncaging_report import report_uncaging, running_share

SMALL = UncagingExperiment(images=2, cells=1, runs=1, seed=3)


def run_of(ratios):
    ratios = np.asarray(ratios, dtype=float)
    n = len(ratios)
    return UncagingRun(np.full(n, 20.0), np.full(n, 1.0), ratios, np.full(n, 2.0))


@pytest.fixture
def report():
    """Six runs of 40: one learns (5 % local at first, 50 % at last), the other does not."""
    rng = np.random.default_rng(0)

    def runs(first, last):
        chance = np.repeat([first, last], 20)
        return [
            run_of(np.where(rng.uniform(size=40) < chance, 0.1, rng.choice([0.0, 0.9], 40)))
            for _ in range(6)
        ]

    experiment = UncagingExperiment(images=40, cells=2, runs=6)
    return report_uncaging(experiment, {"kernel_ts": runs(0.05, 0.5), "random": runs(0.1, 0.1)})


def test_what_is_silent_local_and_widespread():
    run = run_of([0.0, 0.01, 0.59, 0.6, 1.0, math.nan])

    assert run.is_outcome("silent").tolist() == [True, False, False, False, False, False]
    assert run.is_outcome("local").tolist() == [False, True, True, False, False, False]
    assert run.is_outcome("widespread").tolist() == [False, False, False, True, True, False]
    assert run.is_outcome("local", 0.5).tolist() == [False, True, False, False, False, False]


def test_shares_add_up_and_lie_in_their_intervals(report):
    for result in report.strategies.values():
        for part in ("first", "last", "all"):
            shares = [getattr(result.outcomes[o], part) for o in OUTCOMES]
            assert sum(s.mean for s in shares) == pytest.approx(1)
            assert all(s.low <= s.mean <= s.high for s in shares)


def test_learning_is_told_from_not_learning(report):
    learned, random = (
        report.strategies[name].outcomes["local"] for name in ("kernel_ts", "random")
    )

    assert learned.last.mean > 3 * learned.first.mean
    assert learned.p_value < 0.01
    assert random.p_value > 0.05
    assert report.between["local"] < 0.01


def test_a_larger_threshold_calls_no_fewer_local(report):
    for result in report.strategies.values():
        means = [share.mean for share in result.by_threshold.values()]
        assert means == sorted(means)


def test_few_runs_have_no_test_and_one_has_no_interval():
    experiment = UncagingExperiment(images=4, runs=1)
    report = report_uncaging(experiment, {"random": [run_of([0, 0.1, 1, 1])]})

    local = report.strategies["random"].outcomes["local"]
    assert (local.first.mean, local.last.mean) == (0.5, 0)
    assert report.count == 2
    assert math.isnan(local.p_value)
    assert math.isnan(local.first.low)
    as_json = report.as_json()
    assert as_json["strategies"]["random"]["outcomes"]["local"]["p_value"] is None


def test_the_running_share_is_of_the_last_images():
    runs = [run_of([0.1, 0.1, 0, 0, 0.1, 0.1])]
    assert running_share(runs, "local", 2)[0].tolist() == [1, 1, 0.5, 0, 0.5, 1]


def test_a_table_and_a_picture(report, tmp_path):
    (table,) = uncaging_tables(report)
    assert table.row_count == 9
    path = tmp_path / "new" / "uncaging.png"
    save_uncaging_figure(report, path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_coverslips_are_the_same_for_both_strategies_and_differ_by_number():
    experiment = UncagingExperiment(seed=2)
    ours = {name: experiment.config(name, 1) for name in ("kernel_ts", "random")}

    assert ours["kernel_ts"].seed == ours["random"].seed == 2001
    assert experiment.config("random", 2).seed == 2002
    assert ours["random"].bandit.strategy == "random"


def test_a_run_gives_the_same_in_another_process():
    counted = []
    here = run_each(run_once, SMALL, [("kernel_ts", 0)], 1, counted.append)
    there = run_each(run_once, SMALL, [("kernel_ts", 0), ("random", 0)], 2, counted.append)

    assert sum(counted) == 6
    for name in ("power_uW", "distance_um", "ratio", "df_over_f"):
        np.testing.assert_array_equal(getattr(here[0], name), getattr(there[0], name))
    # The same coverslip, but another strategy.
    assert there[1].power_uW.tolist() != there[0].power_uW.tolist()
