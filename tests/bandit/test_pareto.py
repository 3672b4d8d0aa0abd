"""The Pareto front against its definition, the hypervolume against closed forms and peers."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.bandit.pareto import hypervolume, non_dominated, reference_point


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
FINITE = [-1.0, -0.0, 0.0, 0.5, 1.0]
numbers = st.sampled_from([-math.inf, *FINITE, math.inf, math.nan])


@st.composite
def tables(draw, elements=numbers):
    columns = draw(st.integers(1, 4))
    directions = draw(
        st.lists(st.sampled_from(["maximise", "minimise"]), min_size=columns, max_size=columns)
    )
    row = st.lists(elements, min_size=columns, max_size=columns)
    return draw(st.lists(row, min_size=1, max_size=25)), directions


finite_tables = tables(st.sampled_from([*FINITE, math.nan]) | st.floats(-1, 1))


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


def test_a_front_of_all_rows_takes_no_square_of_their_number():
    """Each row compared with each other one would be 10¹⁰ comparisons, minutes and not ms."""
    x = np.linspace(0, 1, 100_000)
    start = time.perf_counter()
    mask = non_dominated(np.stack([x, 1 - x], axis=1), ["maximise", "maximise"])
    assert mask.all()
    assert time.perf_counter() - start < 5


def test_no_options_have_an_empty_front():
    assert non_dominated(np.zeros((0, 2)), ["maximise", "minimise"]).shape == (0,)


BAD_TABLES = [
    ([1.0, 2.0], ["maximise"], "one column per direction"),
    ([[1.0, 2.0]], ["maximise"], "one column per direction"),
    ([[]], [], "at least one"),
    ([[1.0]], ["maximize"], r"got \['maximize'\]"),
]


@pytest.mark.parametrize(("values", "directions", "message"), BAD_TABLES)
def test_bad_tables_are_refused(values, directions, message):
    with pytest.raises(ValueError, match=message):
        non_dominated(values, directions)
    with pytest.raises(ValueError, match=message):
        hypervolume(values, directions, np.zeros(len(directions)))
    with pytest.raises(ValueError, match=message):
        reference_point(values, directions)


def staircase(values, reference):
    """Area that two maximised objectives dominate: the sum of its vertical strips."""
    rows = sorted({(x, y) for x, y in values if x > reference[0] and y > reference[1]})
    area, left = 0.0, reference[0]
    for i, (x, _) in enumerate(rows):
        area += (x - left) * (max(y for _, y in rows[i:]) - reference[1])
        left = x
    return area


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), max_size=20),
    st.tuples(st.floats(-1, 0), st.floats(-1, 0)),
)
def test_two_objectives_equal_the_sum_of_strips(values, reference):
    found = hypervolume(np.reshape(values, (-1, 2)), ["maximise"] * 2, reference)
    assert found == pytest.approx(staircase(values, reference), rel=1e-12, abs=1e-12)


def test_worked_example():
    values = [[3, 1], [2, 2], [1, 3], [1, 1], [5, -1], [math.nan, 9]]
    assert hypervolume(values, ["maximise", "maximise"], [0, 0]) == 6
    assert hypervolume(values, ["maximise", "minimise"], [0, 0]) == 5
    assert hypervolume([[2.0], [5.0], [math.nan]], ["minimise"], [6]) == 4


@given(finite_tables, st.data())
def test_invariants_of_the_hypervolume(table, data):
    values, directions = table
    values, reference = (
        np.array(values),
        np.array([1.0 if d == "minimise" else -1.0 for d in directions]),
    )
    volume = hypervolume(values, directions, reference)
    assert 0 <= volume <= 2 ** len(directions) * (1 + 1e-12)
    close = {"rel": 1e-12, "abs": 1e-12}
    order = data.draw(st.permutations(range(len(values))))
    assert hypervolume(values[order], directions, reference) == pytest.approx(volume, **close)
    columns = data.draw(st.permutations(range(len(directions))))
    swapped = hypervolume(values[:, columns], [directions[c] for c in columns], reference[columns])
    assert swapped == pytest.approx(volume, **close)
    flipped = ["minimise" if d == "maximise" else "maximise" for d in directions]
    assert hypervolume(-values, flipped, -reference) == pytest.approx(volume, **close)
    front = values[non_dominated(values, directions)]
    assert hypervolume(front, directions, reference) == pytest.approx(volume, **close)
    dominated = (values[data.draw(st.integers(0, len(values) - 1))] + reference) / 2
    more = hypervolume(np.vstack([values, dominated]), directions, reference)
    assert more == pytest.approx(volume, **close)


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_equals_pymoo_and_botorch(objectives):
    values = np.random.default_rng(objectives).normal(size=(60, objectives))
    reference = np.full(objectives, 0.8)
    found = hypervolume(values, ["minimise"] * objectives, reference)
    assert found > 0
    pymoo = pytest.importorskip("pymoo.indicators.hv")
    assert found == pytest.approx(pymoo.HV(ref_point=reference)(values), rel=1e-12)
    botorch = pytest.importorskip("botorch.utils.multi_objective.hypervolume")
    torch = pytest.importorskip("torch")
    front = torch.tensor(-values[non_dominated(values, ["minimise"] * objectives)])
    peer = botorch.Hypervolume(torch.tensor(-reference)).compute(front)
    assert found == pytest.approx(peer, rel=1e-9)


def test_infinite_values_and_infinite_volumes():
    directions = ["maximise", "maximise"]
    assert hypervolume([[math.inf, 1]], directions, [0, 0]) == math.inf
    assert hypervolume([[math.inf, -1], [1, 1]], directions, [0, 0]) == 1
    assert hypervolume(np.zeros((0, 2)), directions, [0, 0]) == 0
    for reference in ([0, math.inf], [math.nan, 0], [0], 0):
        with pytest.raises(ValueError, match="2 finite numbers"):
            hypervolume([[1, 1]], directions, reference)


def test_reference_is_the_nadir_made_worse():
    values = [[3, 10], [1, 6], [0, 20], [math.nan, 0]]  # the third is dominated by the first
    directions = ["maximise", "minimise"]
    np.testing.assert_allclose(reference_point(values, directions), [0.8, 10.4])
    np.testing.assert_allclose(reference_point(values, directions, margin=0), [1, 10])


def test_reference_of_a_front_without_range():
    directions = ["maximise", "minimise"]
    single = [[3, 10], [1, 30]]
    np.testing.assert_allclose(reference_point(single, directions), [2.8, 12])
    np.testing.assert_allclose(reference_point([[3, 10]], directions), [2.7, 11])
    np.testing.assert_allclose(reference_point([[0, -10]], directions), [-0.1, -9])
    assert hypervolume([[3, 10]], directions, reference_point([[3, 10]], directions)) > 0


@given(tables(st.floats(-1e6, 1e6)))
def test_the_whole_front_is_better_than_its_reference(table):
    values, directions = table
    reference = reference_point(values, directions)
    front = np.array(values)[non_dominated(values, directions)]
    for column, direction in enumerate(directions):
        worst = front[:, column].min() if direction == "maximise" else front[:, column].max()
        better = (
            worst >= reference[column] if direction == "maximise" else worst <= reference[column]
        )
        assert better


@pytest.mark.parametrize(
    ("values", "margin", "message"),
    [
        ([[math.nan, 1]], 0.1, "got 0 of 1 without NaN"),
        (np.zeros((0, 2)), 0.1, "got 0 of 0"),
        ([[math.inf, 1]], 0.1, "one of them infinite"),
        ([[0, 1]], -1, "margin"),
        ([[0, 1]], math.nan, "margin"),
    ],
)
def test_no_reference_without_finite_rows(values, margin, message):
    with pytest.raises(ValueError, match=message):
        reference_point(values, ["maximise", "minimise"], margin)
