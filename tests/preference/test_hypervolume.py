"""The rule that maps the front: against brute force, against botorch, and at its edges."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.acquisition import Objective, Options
from stedopt_bluesky.config import preset
from stedopt_bluesky.preference.hypervolume import HypervolumeRule, largest_improvement
from stedopt_bluesky.session.decisions import make_choose, objectives_of


def objectives(count, directions=None):
    directions = directions or ["maximise"] * count
    return tuple(Objective(f"y{j}", "", d, (0.0, 1.0)) for j, d in enumerate(directions))


def options(values, imaged=(), iteration=0):
    values = np.asarray(values, float)
    names = tuple(f"y{j}" for j in range(values.shape[1]))
    return Options(
        values, np.arange(float(len(values)))[:, None], iteration, names, ("p",), tuple(imaged)
    )


def choose(values, imaged=(), directions=None, seed=0, iteration=0):
    rule = HypervolumeRule(objectives(np.shape(values)[1], directions), seed)
    return rule(options(values, imaged, iteration)).index


def volume_by_inclusion_exclusion(points, reference):
    """Volume of a union of boxes, from the volumes of all their intersections."""
    points = [p for p in points if (p > reference).all()]
    total = 0.0
    for subset in range(1, 2 ** len(points)):
        chosen = [p for i, p in enumerate(points) if subset >> i & 1]
        sign = 1 if len(chosen) % 2 else -1
        total += sign * np.prod(np.min(chosen, axis=0) - reference)
    return total


# --- the largest improvement ----------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 8), st.integers(0, 5), st.integers(0, 2**31))
def test_largest_improvement_equals_brute_force(dimensions, candidates, imaged, seed):
    rng = np.random.default_rng(seed)
    # Steps of 0.1 make equal coordinates and repeated points, dominated ones are among both,
    # and some lie under the reference point.
    offered = rng.integers(0, 11, (candidates, dimensions)) / 10
    seen = rng.integers(0, 11, (imaged, dimensions)) / 10
    reference = np.full(dimensions, 0.15)
    before = volume_by_inclusion_exclusion(seen, reference)
    gained = [volume_by_inclusion_exclusion([*seen, c], reference) - before for c in offered]
    best = largest_improvement(offered, seen, reference)
    if max(gained) <= 1e-12:
        assert best is None
    else:
        assert gained[best] == pytest.approx(max(gained), rel=1e-9)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_choice_equals_botorchs_hypervolume(dimensions):
    torch = pytest.importorskip("torch")
    pytest.importorskip("botorch")
    from botorch.utils.multi_objective.hypervolume import Hypervolume
    from botorch.utils.multi_objective.pareto import is_non_dominated

    rng = np.random.default_rng(dimensions)
    values = rng.random((60, dimensions))
    imaged = tuple(range(10))
    table = torch.as_tensor(values)
    front = table[is_non_dominated(table)]
    nadir = front.min(dim=0).values
    volume = Hypervolume(nadir - 0.1 * (front.max(dim=0).values - nadir))

    def of(rows):
        some = table[list(rows)]
        return volume.compute(some[is_non_dominated(some)])

    gained = [of({*imaged, row}) for row in range(len(values))]
    assert choose(values, imaged) == int(np.argmax(gained))


# --- the rule ---------------------------------------------------------------------------------


def test_it_fills_the_widest_gap_of_the_front():
    values = [[0.0, 1.0], [0.2, 0.9], [0.7, 0.7], [0.9, 0.2], [1.0, 0.0]]
    assert choose(values, imaged=(0, 1, 4)) == 2


def test_directions_are_respected():
    values = np.array([[0.0, 1.0], [0.2, 0.9], [0.7, 0.7], [0.9, 0.2], [1.0, 0.0]])
    turned = np.stack([values[:, 0], 5 - 3 * values[:, 1]], axis=1)
    for imaged in ((), (0, 4), (0, 2, 4), (1, 2)):
        directions = ["maximise", "minimise"]
        assert choose(values, imaged) == choose(turned, imaged, directions)


@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_the_choice_is_on_the_front_and_new_while_the_front_has_new_ones(seed, count, imaged):
    rng = np.random.default_rng(seed)
    values = rng.random((30, count))
    chosen = choose(values, tuple(range(imaged)), seed=3)
    dominated = [(values > row).all(axis=1).any() for row in values]
    if count > 1 and imaged < 30:
        assert chosen >= imaged  # values are drawn, so no two options are equal
    if not all(dominated[i] or i < imaged for i in range(30)):
        assert count == 1 or not dominated[chosen]


def test_nothing_imaged_gives_the_largest_box():
    assert choose([[0.0, 1.0], [0.6, 0.6], [1.0, 0.0]]) == 1


def test_options_that_are_nan_are_not_on_offer_whoever_has_been_imaged():
    nan = math.nan
    values = [[nan, nan], [0.3, 0.4], [nan, 2.0], [nan, nan]]
    assert choose(values) == 1
    assert choose(values, imaged=(0, 2)) == 1
    assert choose(values, imaged=(1,)) == 1
    with pytest.raises(ValueError, match="none of the 2 options"):
        choose([[nan, nan], [1.0, nan]])


def test_one_objective_is_the_best_value_imaged_or_not():
    assert choose([[0.1], [0.9], [0.5]], imaged=(1,)) == 1
    assert choose([[0.1], [0.9], [0.5]], imaged=(1,), directions=["minimise"]) == 0


def test_a_known_objective_takes_part():
    quality = Objective("quality", "", "maximise", (0.0, 1.0))
    time = Objective("imaging_time_s", "s", "minimise", (0.0, 5.0), modelled=False)
    rule = HypervolumeRule((quality, time), 0)
    # Equal quality gains: the faster of two unseen ones adds more.
    cloud = options([[0.2, 1.0], [0.8, 4.0], [0.8, 3.0], [1.0, 5.0]], imaged=(0, 3))
    assert rule(cloud).index == 2


def test_when_the_front_is_imaged_the_next_layer_is_drawn_and_can_be_repeated():
    front = [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]
    layer = [[0.0, 0.9], [0.4, 0.4], [0.9, 0.0]]
    values = [*front, *layer, [0.0, 0.1]]
    chosen = [choose(values, (0, 1, 2), iteration=t) for t in range(40)]
    assert set(chosen) == {3, 4, 5}
    assert chosen == [choose(values, (0, 1, 2), iteration=t) for t in range(40)]
    every = {choose(values, range(7), iteration=t) for t in range(40)}
    assert every == {0, 1, 2}


def test_equal_options_all_imaged_but_one():
    assert choose([[1.0, 1.0]] * 3, imaged=(0, 2)) == 1


def test_the_cloud_is_left_as_it_is_and_who_chose_is_named():
    cloud = options(np.random.default_rng(0).random((20, 2)), imaged=tuple(range(20)))
    cloud.values.flags.writeable = False
    before = cloud.values.copy()
    choice = HypervolumeRule(objectives(2), 0)(cloud)
    assert choice.chosen_by == "hypervolume_rule"
    np.testing.assert_array_equal(cloud.values, before)


def test_it_is_chosen_by_its_name_in_the_configuration():
    config = preset("classical").updated({"choice.rule": "hypervolume"})
    rule = make_choose(config)
    assert rule == HypervolumeRule(objectives_of(config), config.seed)
    values = np.random.default_rng(1).random((9, len(rule.objectives)))
    cloud = dataclasses.replace(
        options(values), objectives=tuple(o.name for o in objectives_of(config))
    )
    assert 0 <= rule(cloud).index < 9
