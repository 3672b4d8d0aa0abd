import io
import math

import numpy as np
import pytest

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.parameters import Parameter, ParameterSpace
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.replay import DecisionComparison
from stedopt_bluesky.reports.what_if import what_if
from stedopt_bluesky.reports.what_if_figure import save_what_if
from stedopt_bluesky.reports.what_if_table import what_if_table

SPACE = ParameterSpace(
    [
        Parameter("depletion_power_mW", "mW", (10, 20, 30)),
        Parameter("dwelltime_us", "µs", (5, 10)),
    ]
)
OBJECTIVES = (
    Objective("quality", "", "maximise", (0.0, 1.0)),
    Objective("resolution_nm", "nm", "minimise", (50.0, 150.0)),
)
WEIGHTS = {"quality": 3.0, "resolution_nm": 1.0}


def comparison(iteration, then, now, recorded=(0.8, 100.0), new=(0.7, 90.0), crossed=(0.4, 50.0)):
    return DecisionComparison(
        iteration, then, now, "rule", "network", False, recorded, new, crossed
    )


def report_of(comparisons, weights=WEIGHTS):
    return what_if(
        comparisons,
        SPACE,
        OBJECTIVES,
        weights,
        uid="0123456789",
        recorded_with={"bandit.strategy": "kernel_ts"},
        asked={"bandit.strategy": "random"},
    )


@pytest.fixture
def report():
    same = comparison(0, 3, 3, (0.8, 100.0), (0.8, 100.0), (0.8, 100.0))
    nothing = comparison(2, 5, 0, crossed=(math.nan, math.nan))
    return report_of([same, comparison(1, 0, 5), nothing])


def test_numbers_by_hand(report):
    same, other, prescribed = report.rows
    assert (same.same, same.distance, same.regret) == (True, 0, 0.0)
    assert same.configuration == {"depletion_power_mW": 20.0, "dwelltime_us": 10.0}
    assert other.recorded == {"depletion_power_mW": 10.0, "dwelltime_us": 5.0}
    assert other.steps == {"depletion_power_mW": 2, "dwelltime_us": 1}
    assert prescribed.steps == {"depletion_power_mW": -2, "dwelltime_us": -1}
    # (3·0.8 + 0.5)/4 recorded, (3·0.4 + 1)/4 for what is chosen now.
    assert other.regret == pytest.approx(0.725 - 0.55)
    assert math.isnan(prescribed.regret)
    assert (report.agreeing, report.share) == (1, pytest.approx(1 / 3))
    assert report.mean_distance == pytest.approx(2)
    assert report.mean_regret == pytest.approx(0.175 / 2)


def test_json_has_no_nan(report):
    data = report.as_json()
    assert [row["regret"] for row in data["rows"]] == [0.0, pytest.approx(0.175), None]
    assert data["rows"][1]["recorded_sample"] == {"quality": 0.8, "resolution_nm": 100.0}
    assert data["rows"][1]["new_sample"] == {"quality": 0.7, "resolution_nm": 90.0}
    assert (data["parameters"]["dwelltime_us"], data["objectives"]["resolution_nm"]) == ("µs", "nm")


def test_without_weights_there_is_no_regret():
    report = report_of([comparison(0, 0, 5)], dict.fromkeys(WEIGHTS, 0.0))
    assert report.as_json()["mean_regret"] is None


def test_a_run_without_decisions():
    data = report_of([]).as_json()
    assert (data["decisions"], data["share_agreeing"], data["mean_distance_steps"]) == (
        0,
        None,
        None,
    )


def test_a_decision_that_is_not_on_the_grid():
    with pytest.raises(CatalogError, match="decision 1 is for option 6; there are 6"):
        report_of([comparison(0, 6, 0, recorded=())])


def test_the_table_has_a_second_line_for_what_differs(report):
    from rich.console import Console

    console = Console(width=80, record=True, file=io.StringIO())
    console.print(what_if_table(report))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["1", "20", "10", "0", "0.8", "100"] in lines
    assert ["2", "10", "5", "0.8", "100"] in lines
    assert ["→", "30", "10", "3", "0.7", "90", "+0.175"] in lines
    assert ["→", "10", "5", "3", "0.7", "90", "-"] in lines


def test_the_picture_shows_both(report, tmp_path, monkeypatch):
    drawn = []
    import stedopt_bluesky.reports.what_if_figure as module

    save = module.save_png
    monkeypatch.setattr(module, "save_png", lambda f, p: (drawn.append(f), save(f, p)))
    save_what_if(report, tmp_path / "a" / "b.png")
    assert (tmp_path / "a" / "b.png").read_bytes().startswith(b"\x89PNG")
    axes = [ax for sub in drawn[0].subfigs for ax in sub.axes]
    assert [ax.get_ylabel() for ax in axes] == [
        "depletion power\n(mW)", "dwelltime\n(µs)", "quality ↑", "resolution\n(nm) ↓",
    ]  # fmt: skip
    then, now = axes[0].lines
    np.testing.assert_array_equal(then.get_ydata(), [20, 10, 30])
    np.testing.assert_array_equal(now.get_ydata(), [20, 30, 10])
