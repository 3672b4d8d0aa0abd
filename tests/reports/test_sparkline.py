import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.reports.sparkline import ASCII_BARS, BARS, sparkline


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], ""),
        ([1.0], "▅"),
        ([2, 2, 2], "▅▅▅"),
        ([0, 7], "▁█"),
        (range(8), BARS),
        ([0, math.nan, 7], "▁ █"),
        ([math.nan, math.inf], "  "),
        ([-1e308, 1e308], "▁█"),
        ([0, 0, 7, 7], "▁▁██"),
    ],
)
def test_values_from_least_to_greatest(values, drawn):
    assert sparkline(list(values), 8) == drawn


def test_more_than_fit_are_averaged():
    assert sparkline([0, 0, 1, 1, 2, 2, math.nan, math.nan], 4) == "▁▅█ "


def test_terminals_without_these_letters():
    assert sparkline(range(8), 8, ASCII_BARS) == ASCII_BARS


@given(st.lists(st.floats(), max_size=50), st.integers(1, 20))
def test_it_is_never_longer_than_asked(values, width):
    drawn = sparkline(values, width)
    assert len(drawn) == min(len(values), width)
    assert set(drawn) <= {*BARS, " "}
