import json

import numpy as np

from stedopt_bluesky.devices.parameter_tree import as_text


def test_a_tree_comes_back():
    tree = {"ExpControl": {"lasers": [{"on": True, "power": 0.1}, {"name": "µ"}], "n": 3}}
    assert json.loads(as_text(tree)) == tree


def test_what_json_has_no_word_for():
    """Every reader of JSON can read it."""
    tree = {"a": float("nan"), "b": [float("inf"), (1, 2)], 3: np.float32(0.5), "d": b"x"}
    text = as_text(tree)
    assert "NaN" not in text
    assert json.loads(text) == {"a": None, "b": [None, [1, 2]], "3": "0.5", "d": "b'x'"}
