"""The Pareto front against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.bandit import non_dominated


def brute_force(values, directions):
    signs = [1 if d == "maximise" else -1 for d in directions]

    def dominates(a, b):
        pairs = [(s * x, s * y) for s, x, y in zip(signs, a, b, strict=True)]
        return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)

    return [
        not any(map(math.isnan, row)) and not any(dominates(other, row) for other in values)
        for row in values
    ]


# Few different numbers, so that ties and repeated rows are common.
numbers = st.sampled_from([-math.inf, -1.0, -0.0, 0.0, 0.5, 1.0, math.inf, math.nan])


@st.composite
def tables(draw):
    columns = draw(st.integers(1, 4))
    directions = draw(
        st.lists(st.sampled_from(["maximise", "minimise"]), min_size=columns, max_size=columns)
    )
    row = st.lists(numbers, min_size=columns, max_size=columns)
    return draw(st.lists(row, min_size=1, max_size=25)), directions


@given(tables())
def test_equals_the_definition(table):
    values, directions = table
    assert non_dominated(values, directions).tolist() == brute_force(values, directions)


def test_random_cloud_equals_the_definition():
    values = np.random.default_rng(0).normal(size=(300, 3))
    directions = ["maximise", "minimise", "maximise"]
    mask = non_dominated(values, directions)
    assert mask.tolist() == brute_force(values.tolist(), directions)
    assert 1 < mask.sum() < 300


def test_no_options_have_an_empty_front():
    assert non_dominated(np.zeros((0, 2)), ["maximise", "minimise"]).shape == (0,)


@pytest.mark.parametrize(
    ("values", "directions", "message"),
    [
        ([1.0, 2.0], ["maximise"], "one column per direction"),
        ([[1.0, 2.0]], ["maximise"], "one column per direction"),
        ([[]], [], "at least one"),
        ([[1.0]], ["maximize"], r"got \['maximize'\]"),
    ],
)
def test_bad_tables_are_refused(values, directions, message):
    with pytest.raises(ValueError, match=message):
        non_dominated(values, directions)
