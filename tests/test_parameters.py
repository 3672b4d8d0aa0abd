"""The grid: its order, and from a configuration to its row and back."""

import dataclasses
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.parameters import Parameter, ParameterSpace, as_number

EXCITATION = Parameter("excitation_power_uW", "µW", (1.0, 2.0, 5.0))
DWELLTIME = Parameter("dwelltime_us", "µs", (10.0, 40.0))
SPACE = ParameterSpace([EXCITATION, DWELLTIME])

values = st.lists(
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3)),
    min_size=1,
    max_size=5,
    unique=True,
).map(sorted)
spaces = st.lists(values, min_size=1, max_size=3).map(
    lambda axes: ParameterSpace([Parameter(f"p{i}", "", v) for i, v in enumerate(axes)])
)


def test_the_last_parameter_varies_fastest():
    expected = [(1, 10), (1, 40), (2, 10), (2, 40), (5, 10), (5, 40)]
    np.testing.assert_array_equal(SPACE.grid, expected)
    assert SPACE.shape == (3, 2)
    assert SPACE.size == len(SPACE) == 6
    assert list(SPACE) == [EXCITATION, DWELLTIME]
    assert SPACE.names == ("excitation_power_uW", "dwelltime_us")


@given(spaces)
def test_the_grid_is_the_product_of_the_values(space):
    product = list(itertools.product(*(p.values for p in space)))
    np.testing.assert_array_equal(space.grid, product)
    assert not space.grid.flags.writeable


@given(spaces, st.data())
def test_a_configuration_and_its_row_are_one_another(space, data):
    row = data.draw(st.integers(0, space.size - 1))
    configuration = space.configuration(row)
    assert tuple(configuration.values()) == tuple(space.grid[row])
    assert space.index(configuration) == row
    assert space.index(space.grid[row]) == row
    assert space.index(list(configuration.values())) == row
    assert space.index(dict(reversed(configuration.items()))) == row


def test_rounding_of_a_sum_is_forgiven_but_nothing_more():
    tenths = ParameterSpace([Parameter("x", "", tuple(i / 10 for i in range(11)))])
    assert tenths.index([0.1 + 0.2]) == 3
    with pytest.raises(ValueError, match=r"x = 0.300001  is not on the grid; .* 0.3$"):
        tenths.index([0.300001])


@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_one_value_is_a_grid_too(offset):
    space = ParameterSpace([Parameter("x", "", (offset,))])
    assert space.index([offset]) == 0
    with pytest.raises(ValueError, match="not on the grid"):
        space.index([offset + 1e-3])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([2.5, 10], r"excitation_power_uW = 2.5 µW is not on the grid; the nearest value is 2$"),
        ([math.inf, 10], r"excitation_power_uW = inf µW is not on the grid"),
        ([math.nan, 10], r"excitation_power_uW = nan: a number is needed"),
        ([True, 10], r"excitation_power_uW = True: a number is needed"),
        (["2", 10], r"excitation_power_uW = '2': a number is needed"),
        ([None, 10], r"excitation_power_uW = None: a number is needed"),
        ([2], r"expected 2 values, got 1"),
        ([2, 10, 3], r"expected 2 values, got 3"),
        ({"excitation_power_uW": 2}, r"expected the parameters .*dwelltime_us.*, got"),
        ({"excitation_power_uW": 2, "dwelltime_us": 10, "x": 1}, "expected the parameters"),
    ],
)
def test_what_is_not_on_the_grid_is_refused(values, says):
    with pytest.raises(ValueError, match=says):
        SPACE.index(values)


@pytest.mark.parametrize("row", [-1, 6, 10**9])
def test_there_is_no_row_outside(row):
    with pytest.raises(IndexError, match=r"outside 0 … 5"):
        SPACE.configuration(row)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ((), "has no values"),
        ((1.0, math.nan), "must be finite, got nan"),
        ((math.inf,), "must be finite, got inf"),
        ((1.0, 1.0), r"must increase strictly, got 1\.0, then 1\.0"),
        ((1.0, 3.0, 2.0), r"must increase strictly, got 3\.0, then 2\.0"),
    ],
)
def test_values_that_are_none_are_refused(values, says):
    with pytest.raises(ValueError, match=rf"parameter 'x'.*{says}"):
        Parameter("x", "", values)


def test_a_parameter_needs_a_name():
    with pytest.raises(ValueError, match="needs a name"):
        Parameter("", "mW", (1.0,))


def test_a_space_needs_parameters_of_different_names():
    with pytest.raises(ValueError, match="at least one parameter"):
        ParameterSpace([])
    with pytest.raises(ValueError, match=r"different names, got \('x', 'x'\)"):
        ParameterSpace([Parameter("x", "", (1,)), Parameter("x", "", (2,))])


@given(st.floats(0, 1e3), st.floats(1e-3, 1e3), st.integers(2, 50))
def test_linear_has_both_ends_and_even_steps(low, length, points):
    parameter = Parameter.linear("x", "mW", low, low + length, points)
    assert parameter.values[0] == low
    assert parameter.values[-1] == low + length
    assert len(parameter.values) == points
    np.testing.assert_allclose(np.diff(parameter.values), length / (points - 1), rtol=1e-6)
    assert parameter.range == (low + length) - low


def test_a_parameter_is_plain_frozen_data():
    assert Parameter("x", "", [np.int64(1), 2]).values == (1.0, 2.0)
    assert {type(v) for v in Parameter("x", "", np.arange(2)).values} == {float}
    with pytest.raises(dataclasses.FrozenInstanceError):
        EXCITATION.name = "y"


def test_spaces_compare_by_their_parameters():
    same = ParameterSpace([EXCITATION, DWELLTIME])
    assert same == SPACE
    assert hash(same) == hash(SPACE)
    assert ParameterSpace([DWELLTIME, EXCITATION]) != SPACE
    assert repr(SPACE) == "ParameterSpace(excitation_power_uW[3] × dwelltime_us[2] = 6)"


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3.0),
        (np.float32(0.5), 0.5),
        (np.int8(-3), -3.0),
        (Fraction(1, 4), 0.25),
        (10**400, math.inf),
        (-(10**400), -math.inf),
    ],
)
def test_numbers_of_any_kind(value, number):
    assert as_number(value) == number
    assert type(as_number(value)) is float


@pytest.mark.parametrize("value", [True, np.True_, "3", None, 1j, [1.0], np.array([1.0])])
def test_what_is_no_number(value):
    assert as_number(value) is None
