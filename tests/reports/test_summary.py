import json
import math

import numpy as np
import pytest

from stedopt_bluesky.preference.rule import utilities

NAN = float("nan")


def test_a_row_per_image_as_the_events_say(recorded):
    record, report = recorded
    events = record.events("primary")
    assert [row.number for row in report.rows] == [1, 2, 3, 4, 5, 6, 7]
    for row, event in zip(report.rows, events, strict=True):
        data = event["data"]
        assert row.iteration == data["image_iteration"]
        assert row.parameters == {name: data[name] for name in report.parameter_units}
        assert row.objectives == pytest.approx(
            {o.name: data[f"objective_{o.name}"] for o in report.objectives}, nan_ok=True
        )


def test_the_utility_is_that_of_the_rule(recorded):
    _, report = recorded
    weights = {"snr": 1.0, "resolution_nm": 2.0, "photobleaching": 1.0, "imaging_time_s": 0.1}
    for row in report.rows:
        values = np.array(list(row.objectives.values()))
        expected = float(utilities(values, report.objectives, weights))
        assert row.utility == pytest.approx(expected, nan_ok=True)


def test_the_best_images_are_those_of_highest_utility(make_report):
    report = make_report([0.2, NAN, 0.9, 0.5, 0.9])
    assert [row.number for row in report.best(3)] == [3, 5, 4]  # of equals the earlier one
    assert [row.number for row in report.best(99)] == [3, 5, 4, 1]
    assert make_report([NAN]).best(3) == ()


def test_json_has_no_nan(make_report):
    told = make_report([0.5, NAN]).as_json()
    text = json.dumps(told, allow_nan=False)
    assert json.loads(text)["images"][1]["utility"] is None
    assert told["images"][1]["objectives"]["snr"] is None
    assert told["images"][1]["objectives"]["resolution_nm"] == 81.25


def test_json_tells_units_directions_and_where_the_run_came_from(recorded):
    record, report = recorded
    told = report.as_json()
    assert told["parameters"] == {
        "excitation_power_uW": "µW",
        "depletion_power_mW": "mW",
        "dwelltime_us": "µs",
    }
    assert told["objectives"]["resolution_nm"] == {"unit": "nm", "direction": "minimise"}
    assert told["uid"] == record.uid
    assert (told["sample"], told["preset"], told["seed"]) == ("actin", "classical", 2)
    assert told["resumes"] is None
    assert len(told["images"]) == told["images_planned"] == 7


def test_a_run_without_images_has_an_empty_report(recorded):
    from stedopt_bluesky.records import RunRecord
    from stedopt_bluesky.reports.summary import report_of

    record, report = recorded
    begun = RunRecord(record.path, record.documents[:1])
    empty = report_of(
        begun,
        report.objectives,
        dict.fromkeys((o.name for o in report.objectives), 1.0),
        report.parameter_units,
        exit_status="interrupted",
        reason="",
    )
    assert empty.rows == ()
    assert empty.best(3) == ()
    assert empty.images_planned == 7


def test_an_invalid_objective_of_weight_zero_leaves_the_utility(recorder, tmp_path):
    """Whoever gives no weight to an objective does not lose the image for it."""
    rate = lambda images: {"snr": 0.5, "resolution_nm": NAN}  # noqa: E731
    objectives = [{"name": "snr", "weight": 1.0}, {"name": "resolution_nm", "weight": 0.0}]
    _, report = recorder(tmp_path / "cat", 1, rate=rate, objectives=objectives)
    (row,) = report.rows
    assert row.utility == 0.5
    assert math.isnan(row.objectives["resolution_nm"])
