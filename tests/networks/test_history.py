import os
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.networks.history import Checkpoint, Epoch, TrainingError, has_stalled
from stedopt_bluesky.networks.weights import WeightsError

EPOCHS = [Epoch(1, 0.3, 0.4, 0.002, best=True), Epoch(2, 0.2, 0.41, 0.002, best=False)]


@given(st.lists(st.booleans(), max_size=12), st.integers(1, 5))
def test_it_has_stalled_when_the_last_epochs_brought_nothing(best, patience):
    history = [Epoch(i, 0, 0, 0, best=b) for i, b in enumerate(best, start=1)]
    since = len(best) - max((i for i, b in enumerate(best, start=1) if b), default=0)
    assert has_stalled(history, patience) is (since >= patience and len(best) > patience)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sub" / "a.checkpoint"


def test_what_was_saved_is_loaded(path):
    kept = Checkpoint(path, {"seed": 1, "data": "abc"})
    assert kept.load() is None
    kept.save({"network": {"w": torch.arange(3.0)}, "step": 7}, EPOCHS)
    state, history = Checkpoint(path, {"seed": 1, "data": "abc"}).load()

    assert history == EPOCHS
    assert state["step"] == 7
    assert torch.equal(state["network"]["w"], torch.arange(3.0))
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    kept.remove()
    kept.remove()
    assert kept.load() is None


def test_without_a_file_nothing_is_kept():
    kept = Checkpoint(None, {})
    kept.save({}, EPOCHS)
    kept.remove()
    assert kept.load() is None


def test_of_another_training(path):
    Checkpoint(path, {"seed": 1, "data": "abc"}).save({}, EPOCHS)
    with pytest.raises(WeightsError, match="with data = 'abc', this one has 'xyz'; remove it"):
        Checkpoint(path, {"seed": 1, "data": "xyz"}).load()
    with pytest.raises(WeightsError, match="margin = None"):
        Checkpoint(path, {"margin": 0.1}).load()


class Runs:
    """What a pickle would run."""

    def __reduce__(self):
        return os.mkdir, ("was-run",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"junk" * 100),
        lambda path: path.write_bytes(pickle.dumps(Runs())),
        lambda path: torch.save({"identity": {}, "state": {}, "history": Runs()}, path),
        lambda path: torch.save([1, 2], path),
        lambda path: torch.save({"state": {}}, path),
        lambda path: torch.save({"identity": 1, "state": {}, "history": []}, path),
        lambda path: torch.save({"identity": {}, "state": {}, "history": [{"number": 1}]}, path),
    ],
)
def test_a_damaged_file_is_refused_and_never_run(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)  # where a pickle would have its say
    path = tmp_path / "a.checkpoint"
    write(path)
    with pytest.raises(WeightsError, match=r"a damaged checkpoint .* remove it to begin anew"):
        Checkpoint(path, {}).load()
    assert not (tmp_path / "was-run").exists()


def test_a_truncated_file_is_refused(path):
    Checkpoint(path, {}).save({"w": torch.zeros(1000)}, EPOCHS)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(WeightsError, match="a damaged checkpoint"):
        Checkpoint(path, {}).load()


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot be written"):
        Checkpoint(tmp_path / "file" / "a.checkpoint", {}).save({}, EPOCHS)
