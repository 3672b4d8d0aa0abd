"""Checkpoints: what is written comes back, whole or not at all."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.bandit.checkpoint import Image, State, read_checkpoint, write_checkpoint

rows = st.integers(0, 2**40)
values = st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=3)
images = st.builds(Image, st.none() | st.text() | st.integers(), rows, values.map(tuple))
states = st.builds(State, rows, st.dictionaries(rows, rows, max_size=3), st.lists(images))


@given(states)
@settings(max_examples=30, deadline=None)
def test_what_is_written_comes_back_bit_for_bit(tmp_path_factory, state):
    path = tmp_path_factory.mktemp("state") / "c.json"
    write_checkpoint(path, state, {"seed": 1})
    assert read_checkpoint(path, {"seed": 1}) == state


def test_an_identifier_of_another_kind_becomes_text(tmp_path):
    path = tmp_path / "c.json"
    write_checkpoint(path, State(history=[Image(("run", 7), 0, ())]), {})
    assert read_checkpoint(path, {}).history[0].id == "('run', 7)"


def test_the_old_checkpoint_stays_when_writing_fails(tmp_path):
    path = tmp_path / "c.json"
    write_checkpoint(path, State(issued=1), {})
    with pytest.raises(ValueError, match="JSON"):
        write_checkpoint(path, State(history=[Image(0, 0, (math.nan,))]), {})
    assert read_checkpoint(path, {}) == State(issued=1)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": "stedopt_bluesky.bandit.adaptive 1", "signature": {}}', "\x80"],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, text):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"c\.json cannot be gone on from"):
        read_checkpoint(path, {})
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "other.json", {})
