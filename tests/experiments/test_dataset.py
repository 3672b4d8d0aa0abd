import dataclasses
import json

import numpy as np
import pytest

from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.experiments.dataset import ReplayDataset


def test_a_dataset_is_read_as_it_was_written(dataset, tmp_path):
    path = tmp_path / "a new folder" / "replay.npz"
    dataset.save(path)
    read = ReplayDataset.load(path)

    for field in dataclasses.fields(dataset):
        written, found = getattr(dataset, field.name), getattr(read, field.name)
        if isinstance(written, np.ndarray):
            np.testing.assert_array_equal(written, found)
            assert written.dtype == found.dtype
        else:
            assert written == found, field.name
    assert [p.name for p in path.parent.iterdir()] == ["replay.npz"]


def test_utility_is_the_weighted_mean_of_the_scores(dataset):
    """By hand: signal counts up to 1, bleaching from 1 down to 0, half of each."""
    names = [o.name for o in dataset.objectives]
    snr, bleaching = (dataset.ratings[:, names.index(n)] for n in ("snr", "photobleaching"))
    expected = 0.5 * np.minimum(snr, 1) + 0.5 * (1 - bleaching)

    queues = dataset.queues("utility")
    for g, queue in enumerate(queues):
        np.testing.assert_allclose(queue, expected[dataset.configurations == g])
    np.testing.assert_array_equal(dataset.queues("snr")[3], snr[dataset.configurations == 3])


def test_an_objective_that_is_not_rated(dataset):
    with pytest.raises(ConfigError, match=r"objective = 'fcr': allowed are utility, .*'frc'\?"):
        dataset.objective("fcr")


def test_an_objective_without_any_valid_value(dataset):
    empty = dataclasses.replace(dataset, ratings=np.full_like(dataset.ratings, np.nan))
    with pytest.raises(ConfigError, match="objective = 'snr': no image has a valid value"):
        empty.queues("snr")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"configurations": np.zeros(60, dtype=int)}, "each of the 12 configurations"),
        ({"ratings": np.zeros((60, 2))}, r"shape \(60, 4\)"),
        ({"examples": np.zeros((3, 4, 4), np.int16)}, "3 examples of 12"),
    ],
)
def test_a_dataset_is_complete(dataset, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(dataset, **changes)


def spoil_with_a_pickle(path, arrays):
    np.savez(path, **{**arrays, "ratings": np.array([{}], dtype=object)})


def spoil_with_another_format(path, arrays):
    header = {**json.loads(str(arrays["header"])), "format": 99}
    np.savez(path, **{**arrays, "header": np.array(json.dumps(header))})


def spoil_by_leaving_out(path, arrays):
    np.savez(path, **{k: v for k, v in arrays.items() if k != "configurations"})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_with_a_pickle, "is not a dataset"),
        (spoil_with_another_format, "has format 99"),
        (spoil_by_leaving_out, "is not a dataset"),
        (lambda path, _: path.write_text("garbage"), "is not a dataset"),
        (lambda path, _: path.write_bytes(path.read_bytes()[:200]), "is not a dataset"),
        (lambda path, _: path.unlink(), "cannot be read: No such file"),
    ],
)
def test_other_files_are_refused_in_one_line(dataset, tmp_path, spoil, message):
    path = tmp_path / "replay.npz"
    dataset.save(path)
    with np.load(path) as file:
        arrays = dict(file)
    spoil(path, arrays)

    with pytest.raises(ConfigError, match=message) as refused:
        ReplayDataset.load(path)
    assert "\n" not in str(refused.value)


def test_a_dataset_that_cannot_be_written(dataset, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        dataset.save(tmp_path / "file" / "replay.npz")
