"""Tables of numbers that a person has written."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.config.csv_rows import read_numbers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


def read(folder, content, *optional, needed=("x", "y"), most=5, **options):
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_numbers(path, needed, *optional, most=most, **options)


def refused(folder, content, *optional, **options):
    with pytest.raises(ValueError, match=r"^\S") as error:
        read(folder, content, *optional, **options)
    return one_line(error.value)


def one_line(error):
    assert len(str(error).splitlines()) == 1
    return str(error)


def test_columns_in_any_order_with_comments_and_blank_lines(folder):
    text = (
        "# of Monday\n\n"
        "y , x\n"
        " 1,2.5\n"
        ",\n"
        '"# again, after lunch",\n'
        '" # and, again",\n'
        "  # and once more\n"
        "1e1,-0.5\n"
    )
    assert read(folder, text) == [(4, {"x": 2.5, "y": 1.0}), (9, {"x": -0.5, "y": 10.0})]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfx,y\n1,2\n",  # Windows' Notepad, Excel's "CSV UTF-8"
        b"x,y\r\n1,2\r\n",
        b"x,y\r1,2",
        b'"x","y"\n"1","2"\n',
    ],
)
def test_what_spreadsheets_write_is_understood(folder, content):
    assert read(folder, content) == [(2, {"x": 1.0, "y": 2.0})]


def test_columns_of_a_group_go_together(folder):
    groups = ("a", "b"), ("c",)
    assert read(folder, "x,y,b,a\n1,2,3,4\n", *groups) == [(2, {"x": 1, "y": 2, "a": 4, "b": 3})]
    assert read(folder, "c,x,y\n1,2,3\n", *groups) == [(2, {"x": 2, "y": 3, "c": 1})]
    says = "line 1, column 'b' is missing: a, b go together"
    assert refused(folder, "x,y,a\n1,2,3\n", *groups) == says


def test_other_columns_are_ignored_where_they_may_be(folder):
    text = "name,x,y,name\nthe left one,1,2,\n"
    assert read(folder, text, others_ignored=True) == [(2, {"x": 1.0, "y": 2.0})]
    assert refused(folder, text) == "line 1, column 'name': allowed are x, y"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "line 1, column 'x' is missing: x, y go together"),
        ("# x,y\n", "line 1, column 'x' is missing: x, y go together"),
        ("\n# mine\nx\n1\n", "line 3, column 'y' is missing: x, y go together"),
        ("x;y\n1;2\n", "line 1, column 'x;y': allowed are x, y"),
        ("x,y,\n1,2,\n", "line 1, column '': allowed are x, y"),
        ("x,y,x\n1,2,3\n", "line 1, column 'x' is there 2 times: once"),
        ("x,y\n", "0 rows; 1 to 5 are allowed"),
        ("x,y\n# 1,2\n,\n", "0 rows; 1 to 5 are allowed"),
        ("x,y\n" + "1,2\n" * 6, "line 7: more than 5 rows; 1 to 5 are allowed"),
        ("x,y\n\n1,2\n1\n", "line 4 has 1 cells: 2, as the header"),
        ("x,y\n1,5,2\n", "line 2 has 3 cells: 2, as the header"),
        ("x,y\n1,left\n", "line 2, y = 'left': a finite number"),
        ("x,y\n1,\n", "line 2, y = '': a finite number"),
        ("x,y\n1,1_0\n", "line 2, y = '1_0': a finite number"),
        ("x,y\n1,2\n-inf,2\n", "line 3, x = '-inf': a finite number"),
        ('x,y\n1,"2\n3"\n', "line 2: no row of a CSV file (unexpected end of data)"),
        ("x,y\n1," + "2" * 200_000, "line 2: no row of a CSV file (field larger than field limit"),
        ("x,y\n1," + "z" * 500, f"line 2, y = '{'z' * 55} ...: a finite number"),
        ("x,y\n1,2\n".encode("utf-16"), "expected a CSV file in UTF-8; byte 0 is not"),
        (b"x,y\n1,\xb5\n", "expected a CSV file in UTF-8; byte 6 is not"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_told_with_its_line_and_column(folder, content, says):
    assert re.match(re.escape(says), refused(folder, content))


def test_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"^no such file: expected a CSV file$"):
        read_numbers(tmp_path / "none.csv", ("x",), most=1)
    with pytest.raises(ValueError, match=r"^a folder: expected a CSV file$"):
        read_numbers(tmp_path, ("x",), most=1)


@given(
    numbers=st.lists(
        st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2), min_size=1, max_size=5
    ),
    comments=st.lists(st.sampled_from(["", "# 1,2", '"# a, b",', " \t"]), max_size=5),
    seed=st.randoms(use_true_random=False),
)
def test_any_numbers_are_read_as_they_are(folder, numbers, comments, seed):
    lines = [f"{x!r},{y!r}" for x, y in numbers]
    for comment in comments:
        lines.insert(seed.randint(0, len(lines)), comment)
    rows = read(folder, "\n".join(["x,y", *lines]))
    assert [(row["x"], row["y"]) for _, row in rows] == numbers
    assert all(lines[line - 2] not in comments for line, _ in rows)


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_text_is_taken_or_refused_in_one_line(folder, content):
    content = content.encode("utf-8") if isinstance(content, str) else content
    try:
        rows = read(folder, b"x,y\n" + content)
    except ValueError as error:
        one_line(error)
    else:
        assert all(math.isfinite(value) for _, row in rows for value in row.values())
