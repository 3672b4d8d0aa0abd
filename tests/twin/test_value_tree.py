"""The parameter tree: paths, types, atomicity, the vendor's wording."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.twin.value_tree import ParameterTree, TreeValue, as_json, copied

CONTENT = {
    "Device": {
        "length": 1e-6,
        "count": 3,
        "on": True,
        "name": "Ch1",
        "durations": [1e-5, 1e-6],
        "lasers": [{"id": "LAS0", "power": 0.0}, {"id": "LAS1", "power": 5.0}],
    },
    "version": 2,
}

LEAVES = st.one_of(
    st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
TREES = st.dictionaries(
    st.text(st.characters(exclude_characters="/"), min_size=1),
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=6),
    max_size=4,
)


@pytest.fixture
def tree():
    return ParameterTree(CONTENT)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("", CONTENT),
        ("version", 2),
        ("Device/length", 1e-6),
        ("Device/", CONTENT["Device"]),
        ("Device/lasers/1/power", 5.0),
        ("Device/durations", [1e-5, 1e-6]),
        ("Device/durations/1", 1e-6),
    ],
)
def test_get(tree, path, value):
    assert tree.get(path) == value


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("Powerswitch", "Internal error: Unknown device or parameter 'Powerswitch'"),
        ("/Device", "Internal error: Unknown device or parameter ''"),
        ("Device/nothing", "Invalid argument for parameter 'Device'\nNo parameter 'nothing'"),
        (
            "Device/lasers/2/power",
            "Invalid argument for parameter 'Device'\n"
            "Invalid argument for parameter 'lasers'\nNo parameter '2'",
        ),
        (
            "Device/lasers/-1",
            "Invalid argument for parameter 'Device'\n"
            "Invalid argument for parameter 'lasers'\nNo parameter '-1'",
        ),
        (
            "Device/length/x",
            "Invalid argument for parameter 'Device'\n"
            "Invalid argument for parameter 'length'\nNo parameter 'x'",
        ),
    ],
)
def test_wrong_path(tree, path, message):
    with pytest.raises(RuntimeError) as got:
        tree.get(path)
    assert str(got.value) == message
    with pytest.raises(RuntimeError) as got:
        tree.set(path, 1.0)
    assert str(got.value) == message
    assert tree.get("") == CONTENT


@pytest.mark.parametrize(
    ("path", "value", "stored"),
    [
        ("Device/length", 2, 2.0),
        ("Device/length", np.float32(0.5), 0.5),
        ("Device/length", np.int64(4), 4.0),
        ("Device/count", 4.0, 4),
        ("Device/count", np.int32(7), 7),
        ("Device/on", False, False),
        ("Device/name", "Ch2", "Ch2"),
        ("Device/durations", (1, 2e-6), [1.0, 2e-6]),
        ("Device/durations", np.array([3e-6, 4e-6]), [3e-6, 4e-6]),
        ("Device/lasers/0/power", 7, 7.0),
        ("Device/lasers/0", {"power": 1.5}, {"id": "LAS0", "power": 1.5}),
    ],
)
def test_set(tree, path, value, stored):
    tree.set(path, value)
    got = tree.get(path)
    assert got == stored
    assert type(got) is type(stored)


def test_a_dictionary_changes_what_it_names_and_nothing_else(tree):
    tree.set("", {"Device": {"count": 9}})
    expected = copied(CONTENT)
    expected["Device"]["count"] = 9
    assert tree.get("") == expected


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Device/length", "1e-6"),
        ("Device/length", None),
        ("Device/length", True),
        ("Device/length", float("nan")),
        ("Device/length", float("inf")),
        ("Device/length", 10**400),
        ("Device/length", {1.0}),
        ("Device/length", np.array(1.0)),
        ("Device/count", 2.5),
        ("Device/count", float("nan")),
        ("Device/count", False),
        ("Device/on", 1),
        ("Device/on", np.True_),
        ("Device/name", 3),
        ("Device/durations", [1e-5]),
        ("Device/durations", [1e-5, 1e-5, 1e-5]),
        ("Device/durations", [1e-5, "x"]),
        ("Device/durations", 1e-5),
        ("Device/lasers", [{"power": 1.0}, {"watts": 1.0}]),
        ("Device/lasers/0", 5.0),
        ("Device", {"count": 9, "length": "long"}),
        ("", {"version": 3, "Powerswitch": {}}),
        ("", {1: 2}),
    ],
)
def test_a_refused_value_changes_nothing(tree, path, value):
    with pytest.raises(RuntimeError, match=r"Invalid argument|Unknown device"):
        tree.set(path, value)
    assert tree.get("") == CONTENT


def test_a_refused_value_is_named(tree):
    with pytest.raises(RuntimeError, match="parameter 'length': a number is needed, got 'long'"):
        tree.set("Device/length", "long")


def test_values_are_copies(tree):
    tree.get("Device")["count"] = 99
    durations = [2e-6, 3e-6]
    tree.set("Device/durations", durations)
    durations[0] = 1.0
    assert tree.get("Device/count") == 3
    assert tree.get("Device/durations") == [2e-6, 3e-6]


def test_coupling_completes_or_refuses():
    def couple(before, after):
        after["twice"] = 2 * after["once"]
        if after["once"] < before["once"]:
            raise RuntimeError("only up")

    tree = ParameterTree({"once": 1, "twice": 2}, couple)
    tree.set("once", 5)
    assert tree.get("twice") == 10
    with pytest.raises(RuntimeError, match="only up"):
        tree.set("once", 4)
    assert tree.get("") == {"once": 5, "twice": 10}


def test_read_only():
    tree = ParameterTree(CONTENT, read_only=True)
    with pytest.raises(RuntimeError, match="parameter 'version': it is read only"):
        tree.set("version", 3)
    with pytest.raises(RuntimeError, match="read only"):
        tree.set("", {})
    assert tree.get("version") == 2


def test_a_value_follows_the_tree_it_is_given():
    trees = [ParameterTree({"n": 1}), ParameterTree({"n": 2})]
    value = TreeValue(lambda: trees[0], "n")
    assert (value.path(), value.get()) == ("n", 1)
    trees.reverse()
    value.set(7)
    assert [t.get("n") for t in trees] == [7, 1]


@given(TREES)
def test_setting_back_what_was_read_changes_nothing(content):
    tree = ParameterTree(content)
    tree.set("", tree.get(""))
    assert tree.get("") == content


@given(TREES)
def test_json_of_json_is_itself(content):
    assert as_json(content) == copied(content) == content


def test_two_threads_lose_no_change():
    """A change that comes in the middle of another one waits for it."""
    threads, done = [], threading.Event()

    def other():
        tree.set("b", 1)
        done.set()

    def couple(before, after):
        if not threads:
            threads.append(threading.Thread(target=other))
            threads[0].start()
            done.wait(0.1)  # it cannot be done yet; were it, its change would be lost below

    tree = ParameterTree({"a": 0, "b": 0}, couple)
    tree.set("a", 1)
    assert done.wait(20)
    assert tree.get("") == {"a": 1, "b": 1}


@pytest.mark.parametrize("reader", [lambda tree: tree.get(""), lambda tree: tree.get("a")])
def test_reading_does_not_wait_for_a_change(reader):
    seen = []
    tree = ParameterTree({"a": 0}, lambda before, after: seen.append(reader(tree)))
    tree.set("a", 1)
    assert seen in ([0], [{"a": 0}])
