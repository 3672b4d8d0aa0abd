"""Training: the loss against its formula, what is learnt, and going on after a break."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.networks.clouds import Clouds, on_offer
from stedopt_bluesky.networks.datasets import DatasetError
from stedopt_bluesky.networks.history import TrainingError
from stedopt_bluesky.networks.preference import PreferenceNetwork, PreferenceScorer
from stedopt_bluesky.networks.preference_evaluation import evaluate_choices, evaluate_preference
from stedopt_bluesky.networks.preference_training import (
    FEW_CLOUDS,
    PreferenceRecipe,
    _Pairs,
    recipe_for,
    train_preference,
)
from stedopt_bluesky.networks.tensors import tensors_of
from stedopt_bluesky.networks.weights import (
    ObjectiveScale,
    WeightsError,
    WeightsInfo,
    save_weights,
)

NAMES, UNITS = ("quality", "photobleaching", "imaging_time_s"), ("", "", "s")


def worth(cloud):
    """Bleaching hurts beyond 0.4: no linear rule."""
    return cloud[:, 0] - 2 * np.maximum(cloud[:, 1] - 0.4, 0) - 0.02 * cloud[:, 2:].sum(axis=1)


def make_clouds(count=60, objectives=2, seed=0, options=40):
    rng = np.random.default_rng(seed)
    scale = np.array([1.0, 1.0, 5.0])[:objectives]
    values = tuple(rng.uniform(size=(options, objectives)) * scale for _ in range(count))
    chosen = np.array([int(np.argmax(worth(cloud))) for cloud in values])
    return Clouds(values, chosen, NAMES[:objectives], UNITS[:objectives])


def same(a, b):
    return set(a) == set(b) and all(np.array_equal(a[name], b[name]) for name in a)


SHORT = PreferenceRecipe(epochs=4)


@pytest.fixture(scope="module")
def clouds():
    return make_clouds()


# --- loss and pairs -----------------------------------------------------------------------------


def mean_loss(tensors, chosen, others):
    """The paper's ranking loss, with the sign of its program's margin, in plain numpy."""

    def scores(options):
        x = np.asarray(options, np.float64)
        for name in ("f1", "f2"):
            x = np.maximum(x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"], 0)
        return (x @ tensors["out.weight"].T + tensors["out.bias"])[:, 0]

    return np.maximum(scores(others) - scores(chosen) + 0.1, 0).mean()


def test_pairs_are_of_one_cloud_and_of_what_was_on_offer():
    cloud = np.array([[1.0, 0.0], [2.0, 1.0], [math.nan, 1.0], [3.0, 5.0]])
    other = np.array([[7.0, 7.0], [8.0, 9.0]])
    clouds = Clouds((cloud, other), np.array([1, 0]), NAMES[:2], UNITS[:2])
    scales = (ObjectiveScale("quality", "", 1.0, 2.0), ObjectiveScale("photobleaching", "", 0, 1))
    pairs = _Pairs(clouds, scales, [0, 1])
    assert len(pairs) == 3
    ((chosen, others),) = pairs.batches(128)
    assert chosen.tolist() == [[0.5, 1], [0.5, 1], [3, 7]]
    assert others.tolist() == [[0, 0], [1, 5], [3.5, 9]]


@given(st.integers(1, 9), st.integers(0, 99))
def test_an_epoch_has_each_pair_once(size, seed):
    clouds = make_clouds(5, options=7)
    pairs = _Pairs(clouds, [ObjectiveScale(n, "", 0, 1) for n in NAMES[:2]], [0, 1])
    order = np.random.default_rng(seed).permutation(len(pairs))
    batches = list(pairs.batches(size, order))
    assert [len(b[1]) for b in batches[:-1]] == [size] * (len(batches) - 1)
    seen = sorted(map(tuple, np.concatenate([b[1] for b in batches]).tolist()))
    rejected = [
        np.delete(v, row, axis=0) for v, row in zip(clouds.values, clouds.chosen, strict=True)
    ]
    expected = np.concatenate(rejected).astype(np.float32)
    assert seen == sorted(map(tuple, expected.tolist()))


# --- the training -------------------------------------------------------------------------------


@pytest.mark.parametrize("objectives", [2, 3])
def test_a_preference_is_learnt(objectives):
    clouds = make_clouds(200, objectives)
    trained = train_preference(clouds, PreferenceRecipe(learning_rate=0.003))
    fresh = make_clouds(200, objectives, seed=1)
    found = evaluate_preference(trained.scorer, fresh)
    linear = evaluate_choices(
        lambda c: c[:, 0] - 0.37 * c[:, 1], fresh, range(objectives), np.ones(objectives)
    )
    assert found.top1 > 0.75
    assert found.top1 > linear.top1 + 0.1
    assert found.median_distance == 0
    assert trained.evaluation == evaluate_preference(trained.scorer, trained.test)


def test_few_choices_are_all_learnt_from():
    clouds = make_clouds(10)
    recipe = recipe_for(len(clouds), {"epochs": 60, "seed": 3, "patience": None})
    trained = train_preference(clouds, recipe)
    assert len(trained.history) == 60
    assert (len(trained.training), trained.held_out) == (10, False)
    assert trained.evaluation.clouds == 10
    assert trained.evaluation.top1 >= 0.9


def test_many_have_the_published_recipe_and_what_is_told_is_kept():
    assert recipe_for(FEW_CLOUDS, {"patience": None}) == PreferenceRecipe()
    told = {"learning_rate": 0.002, "patience": 5}
    few = recipe_for(FEW_CLOUDS - 1, told)
    assert few == PreferenceRecipe(**told, holds_out=False)


def test_inputs_are_whitened_one_by_one_and_keep_their_units():
    clouds = make_clouds(30, 3)
    trained = train_preference(clouds, SHORT)
    offered = np.concatenate(trained.training.values)
    assert [(o.name, o.unit) for o in trained.objectives] == list(zip(NAMES, UNITS, strict=True))
    np.testing.assert_allclose([o.offset for o in trained.objectives], offered.mean(axis=0))
    np.testing.assert_allclose([o.scale for o in trained.objectives], offered.std(axis=0))


def test_the_unit_of_an_objective_does_not_matter(tmp_path):
    """Seconds or milliseconds: the same choices."""
    clouds = make_clouds(30, 3)
    factor = np.array([1, 1, 1024.0])  # a power of two: no rounding
    scaled = Clouds(tuple(v * factor for v in clouds.values), clouds.chosen, NAMES, ("", "", "ms"))
    a, b = (train_preference(c, SHORT) for c in (clouds, scaled))
    assert [e.validation_loss for e in a.history] == [e.validation_loss for e in b.history]
    cloud = clouds.values[0]
    np.testing.assert_allclose(a.scorer.scores(cloud), b.scorer.scores(cloud * factor), rtol=1e-9)


def test_the_same_seed_gives_the_same_network_whatever_torch_has_drawn(clouds):
    torch.manual_seed(1)
    first = train_preference(clouds, SHORT)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = train_preference(clouds, SHORT)
    assert same(first.tensors, second.tensors)
    assert first.history == second.history
    assert torch.equal(before, torch.get_rng_state())
    other = train_preference(clouds, dataclasses.replace(SHORT, seed=1))
    assert not same(first.tensors, other.tensors)


def test_what_is_not_on_offer_is_not_learnt_from(clouds):
    """Options with a NaN may be there or not."""
    nothing = np.array([[math.nan, math.nan], [0.9, math.nan]])
    more = Clouds(
        tuple(np.concatenate([v, nothing]) for v in clouds.values),
        clouds.chosen,
        clouds.objectives,
        clouds.units,
    )
    assert same(train_preference(clouds, SHORT).tensors, train_preference(more, SHORT).tensors)


def test_the_best_epoch_is_kept_and_training_ends_when_nothing_is_gained():
    noise = make_clouds(12, seed=3)
    chance = np.random.default_rng(0).integers(40, size=12)
    told = []
    recipe = PreferenceRecipe(epochs=60, patience=3, learning_rate=0.01)
    trained = train_preference(
        Clouds(noise.values, chance, noise.objectives, noise.units), recipe, observe=told.append
    )
    assert told == trained.history
    best = [epoch.number for epoch in trained.history if epoch.best]
    assert len(trained.history) == best[-1] + 3 < 60
    pairs = _Pairs(trained.validation, trained.objectives, [0, 1])
    ((chosen, others),) = pairs.batches(len(pairs))
    loss = mean_loss(trained.tensors, chosen, others)
    assert loss == pytest.approx(min(e.validation_loss for e in trained.history), rel=1e-5)


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_an_interrupted_training_ends_as_one_that_was_not(clouds, tmp_path, stop_after):
    whole = train_preference(clouds, SHORT)
    path = tmp_path / "training.checkpoint"

    def interrupt(epoch):
        if epoch.number == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_preference(clouds, SHORT, checkpoint=path, observe=interrupt)
    told = []
    resumed = train_preference(clouds, SHORT, checkpoint=path, observe=told.append)
    assert [epoch.number for epoch in told] == list(range(stop_after + 1, 5))
    assert same(whole.tensors, resumed.tensors)
    assert whole.history == resumed.history


def test_a_checkpoint_of_other_clouds_is_refused(clouds, tmp_path):
    path = tmp_path / "training.checkpoint"
    train_preference(clouds, SHORT, checkpoint=path)
    with pytest.raises(WeightsError, match="data = "):
        train_preference(make_clouds(seed=9), SHORT, checkpoint=path)
    with pytest.raises(WeightsError, match=r"margin = 0\.1, this one has 0\.2"):
        train_preference(clouds, dataclasses.replace(SHORT, margin=0.2), checkpoint=path)


# --- fine-tuning --------------------------------------------------------------------------------


@pytest.fixture
def start(clouds, tmp_path):
    trained = train_preference(clouds, SHORT)
    info = WeightsInfo("preference", "start", "1", objectives=trained.objectives)
    return save_weights(tmp_path / "start.safetensors", trained.tensors, info)


def test_fine_tuning_begins_with_the_network_and_keeps_its_inputs(start):
    fresh = make_clouds(40, 3, seed=5)  # with an objective that the network does not know
    tuned = train_preference(
        fresh, dataclasses.replace(SHORT, epochs=1, learning_rate=1e-12), start=start
    )
    assert tuned.objectives == start.info.objectives
    for name, tensor in start.tensors.items():
        np.testing.assert_allclose(tuned.tensors[name], tensor, atol=1e-6)
    cloud = fresh.values[0][:, :2]
    np.testing.assert_allclose(
        tuned.scorer.scores(cloud), PreferenceScorer(start).scores(cloud), atol=1e-5
    )


def test_fine_tuning_on_other_objectives_or_units_is_refused(start):
    clouds = make_clouds(10)
    other = Clouds(clouds.values, clouds.chosen, ("snr", "photobleaching"), ("", ""))
    with pytest.raises(DatasetError, match="no objective 'quality' that the network chooses by"):
        train_preference(other, SHORT, start=start)
    percent = Clouds(clouds.values, clouds.chosen, clouds.objectives, ("%", ""))
    with pytest.raises(DatasetError, match="quality in 'no unit', the clouds have it in '%'"):
        train_preference(percent, SHORT, start=start)


# --- what cannot be trained ---------------------------------------------------------------------


def test_an_objective_that_is_always_the_same_is_refused(clouds):
    constant = tuple(np.column_stack([v, np.full(len(v), 0.3)]) for v in clouds.values)
    with pytest.raises(DatasetError, match="imaging_time_s is the same in all options"):
        train_preference(Clouds(constant, clouds.chosen, NAMES, UNITS), SHORT)


def test_a_loss_beyond_all_bounds_is_told(clouds):
    with pytest.raises(TrainingError, match="epoch 1: the error is not finite any more"):
        train_preference(clouds, dataclasses.replace(SHORT, learning_rate=1e30))


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("epochs", 0, "epochs = 0: at least 1"),
        ("patience", 0, "patience = 0"),
        ("batch", 0, "batch = 0"),
        ("learning_rate", 0, "learning_rate = 0: above 0"),
        ("learning_rate", math.inf, "learning_rate = inf"),
        ("margin", -0.1, r"margin = -0\.1: above 0"),
        ("margin", math.nan, "margin = nan"),
        ("seed", -1, "seed = -1"),
    ],
)
def test_recipes_that_are_none(field, value, says):
    with pytest.raises(TrainingError, match=says):
        PreferenceRecipe(**{field: value})


# --- evaluation ---------------------------------------------------------------------------------


def test_evaluation_by_hand():
    values = (
        np.array([[0.0, 0.0], [1.0, 0.0], [0.3, 0.4]]),  # picks 1; 0 was chosen: distance 1
        np.array([[0.0, 0.0], [0.3, 0.4]]),  # picks 1, and so was chosen
        np.array([[9.0, math.nan], [0.3, 0.4], [0.0, 0.0]]),  # picks 1; 2 was chosen: 0.5
        np.array([[0.5, 0.5], [0.5, 0.5]]),  # picks 0; its equal was chosen
    )
    clouds = Clouds(values, np.array([0, 1, 2, 1]), NAMES[:2], UNITS[:2])
    found = evaluate_choices(lambda cloud: cloud[:, 0], clouds, [0, 1], np.ones(2))
    assert (found.clouds, found.top1, found.median_distance) == (4, 0.5, 0.25)
    assert found.mean_distance == pytest.approx(1.5 / 4)


def test_distances_of_objectives_with_a_unit_are_in_standard_deviations(tmp_path):
    scales = (ObjectiveScale("quality", "", 0, 3.0), ObjectiveScale("imaging_time_s", "s", 0, 2.0))
    tensors = tensors_of(PreferenceNetwork(2))
    tensors = {name: np.zeros_like(t) for name, t in tensors.items()}  # all equal: picks the first
    info = WeightsInfo("preference", "zero", "1", objectives=scales)
    scorer = PreferenceScorer(save_weights(tmp_path / "zero.safetensors", tensors, info))
    values = (np.array([[1.0, 0.2, 5.0], [7.0, 0.6, 5.0]]),)
    clouds = Clouds(
        values, np.array([1]), ("imaging_time_s", "quality", "snr"), ("s", "", "")
    )  # 6 s are 3 standard deviations; 0.4 of quality are 0.4
    assert evaluate_preference(scorer, clouds).mean_distance == pytest.approx(math.hypot(3, 0.4))


@given(st.integers(0, 2**32 - 1))
def test_an_evaluation_does_not_depend_on_the_order_of_the_columns(seed):
    rng = np.random.default_rng(seed)
    clouds = make_clouds(5, 3, seed=seed)
    order = rng.permutation(3)
    turned = Clouds(
        tuple(v[:, order] for v in clouds.values),
        clouds.chosen,
        tuple(NAMES[i] for i in order),
        tuple(UNITS[i] for i in order),
    )
    scorer = train_preference(make_clouds(3, 3), PreferenceRecipe(epochs=1)).scorer
    a, b = evaluate_preference(scorer, clouds), evaluate_preference(scorer, turned)
    assert a == dataclasses.replace(b, mean_distance=a.mean_distance)
    assert a.mean_distance == pytest.approx(b.mean_distance)
    assert all(on_offer(v).all() for v in clouds.values)
