"""How values and choices are shown in a message."""

import pytest

from stedopt_bluesky.config.errors import FieldError, allowed_text, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (5, "5"),
        (5.0, "5"),
        (0.65, "0.65"),
        (1e300, "1e+300"),
        (100000, "100,000"),
        (float("nan"), "nan"),
        ("actin", "'actin'"),
        ("two\nlines", r"'two\nlines'"),
        ((0.0, 100.0), "[0, 100]"),
        (["a", True], "['a', true]"),
        ({"low": 1, "high": [2]}, "{low = 1, high = [2]}"),
        ([], "[]"),
    ],
)
def test_values_are_shown_as_in_toml(value, text):
    assert shown(value) == text


def test_a_long_value_is_cut():
    assert len(shown(list(range(1000)))) <= 60
    assert shown("x" * 1000).endswith(" ...")


def test_allowed_names_with_a_hint_where_one_is_near():
    assert allowed_text("twn", ["twin", "specpy"]) == (
        "allowed are twin, specpy (did you mean 'twin'?)"
    )
    assert allowed_text(3, ["twin", "specpy"]) == "allowed are twin, specpy"


def test_a_field_error_says_all_three():
    error = FieldError("low", 4.0, "at most high, 3")
    assert str(error) == "low = 4: at most high, 3"
    assert (error.field, error.value, error.allowed) == ("low", 4.0, "at most high, 3")
