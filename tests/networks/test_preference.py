"""Scores against torch and against a plain evaluation; equal options have equal scores."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.networks.preference import PASS, PreferenceNetwork, PreferenceScorer
from stedopt_bluesky.networks.tensors import tensors_of
from stedopt_bluesky.networks.weights import (
    ObjectiveScale,
    WeightsError,
    WeightsInfo,
    save_weights,
    shipped_names,
)
from stedopt_bluesky.objectives import OBJECTIVES

NAMES = ("quality", "photobleaching", "imaging_time_s", "resolution_nm", "frc")


def save(path, count, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tensors = tensors_of(PreferenceNetwork(count))
    scales = tuple(ObjectiveScale(NAMES[i], "", 0.1 * i, 0.5 + i) for i in range(count))
    return save_weights(path, tensors, WeightsInfo("preference", "x", "1", objectives=scales))


@pytest.fixture(scope="module")
def scorers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preference")
    return {n: PreferenceScorer(save(folder / f"{n}.safetensors", n, seed=n)) for n in range(1, 6)}


def test_the_layout_is_the_published_one():
    shapes = {name: tensor.shape for name, tensor in tensors_of(PreferenceNetwork(2)).items()}
    assert shapes == {
        "f1.weight": (10, 2),
        "f1.bias": (10,),
        "f2.weight": (10, 10),
        "f2.bias": (10,),
        "out.weight": (1, 10),
        "out.bias": (1,),
    }


@pytest.mark.parametrize("count", range(1, 6))
def test_scores_are_those_of_torch_in_double_precision(scorers, count):
    scorer = scorers[count]
    values = np.random.default_rng(0).normal(size=(300, count))
    network = PreferenceNetwork(count).double()
    network.load_state_dict(
        {name: torch.from_numpy(np.array(t)) for name, t in scorer.weights.tensors.items()}
    )
    whitened = (values - [o.offset for o in scorer.objectives]) / [
        o.scale for o in scorer.objectives
    ]
    with torch.inference_mode():
        expected = network(torch.from_numpy(whitened)).numpy()
    scores = scorer.scores(values)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, expected, rtol=1e-12, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_an_options_score_depends_on_nothing_but_the_option(scorers, seed, count):
    """To the last bit: else which of two equal options is chosen would be left to rounding."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(97, count))
    order = rng.permutation(97)
    scores = scorers[count].scores(values)
    np.testing.assert_array_equal(scorers[count].scores(values[order]), scores[order])
    np.testing.assert_array_equal(scorers[count].scores(values[5:6]), scores[5:6])


def test_more_options_than_one_pass(scorers):
    values = np.random.default_rng(1).normal(size=(2 * PASS + 3, 2))
    parts = [scorers[2].scores(part) for part in np.array_split(values, 7)]
    np.testing.assert_array_equal(scorers[2].scores(values), np.concatenate(parts))


def test_where_an_objective_is_nan_there_is_no_score(scorers):
    values = np.array([[0.5, 0.2], [math.nan, 0.2], [0.5, math.nan], [0.1, 0.1]])
    assert np.isnan(scorers[2].scores(values)).tolist() == [False, True, True, False]
    assert scorers[2].scores(np.empty((0, 2))).shape == (0,)


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 3), (2, 3, 2)])
def test_options_of_another_shape_are_refused(scorers, shape):
    with pytest.raises(ValueError, match=r"expected options of shape \(G, 2\)"):
        scorers[2].scores(np.zeros(shape))


def test_tensors_of_another_number_of_objectives_are_refused(tmp_path):
    weights = save(tmp_path / "two.safetensors", 2)
    info = WeightsInfo("preference", "x", "1", objectives=(ObjectiveScale("q", "", 0, 1),))
    with pytest.raises(WeightsError, match=r"f1.weight has shape \(10, 2\), expected \(10, 1\)"):
        PreferenceScorer(save_weights(tmp_path / "one.safetensors", weights.tensors, info))


def test_by_name(tmp_path):
    path = tmp_path / "mine.safetensors"
    save(path, 3)
    assert [o.name for o in PreferenceScorer.named(str(path)).objectives] == list(NAMES[:3])


# --- the shipped networks ---------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped_names("preference"))
def test_a_shipped_network_likes_what_is_better(name):
    """Over the usual ranges, more quality never lowers the score; less of the rest neither."""
    scorer = PreferenceScorer.named(name)
    found = [OBJECTIVES[o.name].objective for o in scorer.objectives]
    assert [o.unit for o in scorer.objectives] == [objective.unit for objective in found]
    axes = [np.linspace(*objective.range, 41 if n < 2 else 21) for n, objective in enumerate(found)]
    grid = np.meshgrid(*axes, indexing="ij")
    options = np.stack([axis.ravel() for axis in grid], axis=1)
    scores = scorer.scores(options).reshape(grid[0].shape)
    for axis, objective in enumerate(found):
        direction = 1 if objective.direction == "maximise" else -1
        assert (direction * np.diff(scores, axis=axis) > 0).all(), objective.name


def test_networks_of_two_and_of_three_objectives_are_shipped():
    assert shipped_names("preference") == (
        "quality-bleaching",
        "quality-bleaching-time",
        "quality-last-bleaching",
    )
