"""Two runs side by side."""

import math

import numpy as np

from stedopt_bluesky.records.runs import RunSummary
from stedopt_bluesky.reports.two_runs import ABSENT, RunBeside, differences, settings_of


def beside(values, start):
    summary = RunSummary(uid="a", time=0.0)
    return RunBeside(
        summary, len(values), None, (0.0, 0.0), {"snr": np.array(values)}, settings_of(start)
    )


def start(**config):
    return {"sample": "actin", "seed": 1, "stedopt": {"config": config}}


def test_what_is_the_same_is_left_out():
    same = start(bandit={"strategy": "kernel_ts"}, images=5)
    assert differences(beside([1.0], same), beside([2.0], same)) == []


def test_what_differs_is_told_by_dotted_names():
    first = start(
        sample={"name": "actin"},
        bandit={"strategy": "kernel_ts", "repeats": 2},
        objectives=[{"name": "snr", "weight": 1.0}, {"name": "frc", "weight": 1.0}],
        imaging={"pixel_size_nm": 20.0},
    )
    second = start(
        sample={"name": "actin"},
        bandit={"strategy": "random"},
        # In another order: it is the name that counts.
        objectives=[{"name": "frc", "weight": 1.0}, {"name": "snr", "weight": 2.0}],
        imaging={"pixel_size_nm": 20.0},
    )
    assert differences(beside([], first), beside([], second)) == [
        ("bandit.strategy", "kernel_ts", "random"),
        ("bandit.repeats", "2", ABSENT),
        ("objectives.snr.weight", "1.0", "2.0"),
    ]


def test_networks_and_seeds_are_told():
    first = {**start(), "networks": {"quality": {"name": "actin", "sha256": "a" * 64}}}
    second = {**start(), "seed": 2, "networks": {"quality": {"name": "actin", "sha256": "b" * 64}}}
    assert differences(beside([], first), beside([], second)) == [
        ("seed", "1", "2"),
        ("network of quality", "actin aaaaaaaa", "actin bbbbbbbb"),
    ]


def test_start_documents_of_other_programs_have_no_configuration():
    for strange in ({}, {"stedopt": 3}, {"stedopt": {"config": [1]}}, {"networks": ["a"]}):
        assert settings_of(strange) == {}
    assert settings_of({"sample": {"name": "\x1b[31mred"}}) == {
        "sample": "{'name': '\\x1b[31mred'}"
    }


def test_a_list_of_tables_without_names_is_told_by_place():
    first, second = start(regions=[{"x_um": 1.0}]), start(regions=[{"x_um": 2.0}])
    assert differences(beside([], first), beside([], second)) == [("regions.1.x_um", "1.0", "2.0")]


def test_the_median_is_of_the_last_ten_valid_images():
    run = beside([100.0] * 5 + [1.0] * 4 + [math.nan] + [3.0] * 5, {})
    assert run.last_median("snr") == 3.0
    assert math.isnan(run.last_median("frc"))
    assert math.isnan(beside([math.nan], {}).last_median("snr"))
