"""Of a cloud of options the few that a person looks at."""

import io

import numpy as np
import pytest
from rich.console import Console

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.reports.options_table import options_table, spread_out, standing_out

SNR = Objective("snr", "", "maximise", (0.0, 2.0))
RESOLUTION = Objective("resolution_nm", "nm", "minimise", (40.0, 200.0))
BOTH = (SNR, RESOLUTION)


def cloud(values, imaged=()):
    values = np.asarray(values, float)
    grid = np.arange(len(values), dtype=float)[:, None] * 10
    names = ("snr", "resolution_nm")[: values.shape[1]]
    return Options(values, grid, 0, names, ("depletion_power_mW",), imaged)


def test_those_that_none_is_better_than_stand_out():
    # Row 1 is worse than row 0 in both, row 3 is not on offer.
    options = cloud([[1.0, 80], [0.9, 90], [0.5, 50], [np.nan, np.nan], [1.5, 120]])
    assert standing_out(options, BOTH) == [4, 0, 2]
    assert standing_out(options, BOTH, suggested=1) == [4, 0, 1, 2]
    assert standing_out(options, (SNR, Objective("x", "", "maximise", (0, 1)))) == [4]


def test_where_nothing_is_whole_what_is_on_offer_does():
    options = cloud([[np.nan, 80], [np.nan, np.nan], [np.nan, 50]])
    assert sorted(standing_out(options, BOTH)) == [0, 2]


def test_few_that_differ_most_are_kept_in_their_order():
    """The ends of a line, then its middle; the objectives count alike, whatever their unit."""
    snr = np.linspace(2, 0, 101)
    options = cloud(np.column_stack([snr, 40 + 80 * snr]))
    rows = list(range(101))
    assert spread_out(options, rows, 3, 0) == [0, 50, 100]
    assert spread_out(options, rows, 5, 0) == [0, 25, 50, 75, 100]
    assert spread_out(options, rows, 3, 30) == [30, 65, 100]
    assert spread_out(options, rows[:2], 12, None) == [0, 1]
    assert spread_out(cloud([[1.0, 50.0]] * 3), [0, 1, 2], 2, 1) == [0, 1]


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_numbers_and_marks_them(width):
    options = cloud([[1.0, 80], [0.123456, 90], [np.nan, 50]], imaged=(1,))
    out = io.StringIO()
    Console(file=out, width=width).print(options_table(options, BOTH, [2, 1, 0], suggested=1))
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert lines[-3:] == [
        ["1", "-", "50", "20"],
        ["2", "*+", "0.123", "90", "10"],
        ["3", "1", "80", "0"],
    ]
    heading = out.getvalue()
    assert "(nm) ↓" in heading
    assert "(mW)" in heading
