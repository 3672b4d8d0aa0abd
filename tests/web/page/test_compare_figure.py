"""Objectives of two runs in one figure."""

import math

import numpy as np

from stedopt_bluesky.records.runs import RunSummary
from stedopt_bluesky.reports.two_runs import RunBeside
from stedopt_bluesky.web.page.compare_figure import compare_figure, objective_label


def run(**objectives):
    values = {name: np.array(column) for name, column in objectives.items()}
    return RunBeside(RunSummary(uid="a", time=0.0), 2, None, (0.0, 0.0), values, {})


def test_each_run_is_a_trace_and_an_invalid_image_a_gap():
    runs = [("one", run(snr=[1.0, math.nan, 2.0])), ("two", run(snr=[3.0]))]
    first, second = compare_figure("snr", runs)["data"]
    assert (first["name"], first["x"], first["y"]) == ("one", [1, 2, 3], [1.0, None, 2.0])
    assert (second["name"], second["x"], second["y"]) == ("two", [1], [3.0])
    # Not by colour alone.
    assert first["marker"]["symbol"] != second["marker"]["symbol"]


def test_a_run_without_the_objective_has_no_trace_and_the_other_keeps_its_style():
    (alone,) = compare_figure("frc", [("one", run(snr=[1.0])), ("two", run(frc=[1.0]))])["data"]
    _, both = compare_figure("frc", [("one", run(frc=[1.0])), ("two", run(frc=[1.0]))])["data"]
    assert alone == both


def test_an_objective_of_another_program_has_no_arrow():
    assert objective_label("resolution_nm") == "resolution (nm) ↓"
    assert objective_label("my_score") == "my score"
