"""Kernel TS as an optimizer of bluesky-adaptive, in its own plans and a real RunEngine."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from stedopt_bluesky.acquisition import Choice, Objective
from stedopt_bluesky.bandit import KernelTS, RandomPolicy
from stedopt_bluesky.bandit.adaptive import AdaptiveOptimizer
from stedopt_bluesky.parameters import Parameter, ParameterSpace

SPACE = ParameterSpace(
    [
        Parameter.linear("depletion_power_mW", "mW", 59, 360, 8),
        Parameter.linear("dwelltime_us", "µs", 5, 100, 6),
    ]
)
QUALITY = Objective("quality", "", "maximise", (0, 1), noise_bounds=(0.001, 0.1))
BLEACHING = Objective("photobleaching", "", "minimise", (0, 1), noise_bounds=(0.001, 0.1))
TIME = Objective("time_s", "s", "minimise", (0, 5), modelled=False)
SECONDS = SPACE.grid[:, 1] * 0.04
NAMES = ("quality", "photobleaching")


def measured(point):
    """Synthetic sample: quality rises with power and time up to a bound, and so does bleaching."""
    power, dwell = point["depletion_power_mW"] / 360, point["dwelltime_us"] / 100
    quality = math.exp(-(((power - 0.6) / 0.3) ** 2) - ((dwell - 0.4) / 0.3) ** 2)
    return {"quality": quality, "photobleaching": 0.8 * power * dwell}


def utility(values):
    return values[..., 0] - 0.5 * values[..., 1]


def expert(options):
    # Of a strategy that prescribes, all rows but the one on offer are NaN.
    return Choice(int(np.nanargmax(utility(options.values))), "hidden_preference")


def optimizer(kind=KernelTS, seed=3, **options):
    return AdaptiveOptimizer(kind(SPACE, [QUALITY, BLEACHING], seed), expert, **options)


def outcomes_of(suggestions):
    return [{"_id": s["_id"], **measured(s)} for s in suggestions]


def run(agent, images, batch=1):
    """Configurations suggested in ``images // batch`` steps."""
    rows = []
    for _ in range(images // batch):
        suggestions = agent.suggest(batch)
        rows += [SPACE.index({n: s[n] for n in SPACE.names}) for s in suggestions]
        agent.ingest(outcomes_of(suggestions))
    return rows


def test_satisfies_the_protocols_of_bluesky_adaptive():
    protocols = pytest.importorskip("bluesky_adaptive.protocols")
    agent = optimizer()
    for protocol in (
        protocols.Optimizer,
        protocols.CanRegisterSuggestions,
        protocols.TrialFaultAware,
        protocols.SupportsStoppingCriteria,
        protocols.Checkpointable,
    ):
        assert isinstance(agent, protocol)


@pytest.fixture
def problem(run_engine, documents):
    """Function that makes a problem on simulated hardware: two actuators and two sensors."""
    protocols = pytest.importorskip("bluesky_adaptive.protocols")
    from ophyd import Signal
    from ophyd.sim import SynSignal

    actuators = [Signal(name=p.name, value=p.values[0]) for p in SPACE]

    def read(name):
        return lambda: measured({a.name: a.get() for a in actuators})[name]

    sensors = [SynSignal(func=read(name), name=name) for name in NAMES]

    def evaluate(uid, suggestions):
        """Read the outcomes out of the documents, in the order of acquisition."""
        starts = {doc["uid"]: doc for name, doc in documents if name == "start"}
        streams = {d["uid"]: d["run_start"] for name, d in documents if name == "descriptor"}
        events = [d for name, d in documents if name == "event" and streams[d["descriptor"]] == uid]
        order = starts[uid]["blop_acquisition_order"]
        assert sorted(order) == sorted(s["_id"] for s in suggestions)
        return [
            {"_id": i, **{name: event["data"][name] for name in NAMES}}
            for i, event in zip(order, events, strict=True)
        ]

    def make(agent, evaluation=evaluate):
        return protocols.OptimizationProblem(agent, actuators, sensors, evaluation)

    return make


def regret(documents):
    """What the suggested configurations missed of the best utility, summed."""
    table = np.array([list(measured(SPACE.configuration(g)).values()) for g in range(len(SPACE))])
    taken = [
        [doc["data"][name] for name in NAMES]
        for kind, doc in documents
        if kind == "event" and "suggestion_ids" in doc["data"]
    ]
    assert len(taken) == 30
    return float(np.sum(utility(table).max() - utility(np.array(taken))))


def test_optimize_in_a_run_engine_is_better_than_random(run_engine, documents, problem):
    from bluesky_adaptive.plans import optimize

    regrets = {}
    for kind in (KernelTS, RandomPolicy):
        regrets[kind] = []
        for seed in range(6):
            documents.clear()
            agent = optimizer(kind, seed)
            run_engine(optimize(problem(agent), iterations=30))
            regrets[kind].append(regret(documents))
            assert agent.strategy.iteration == 30
    # 0.38 with these seeds, one of which is late to find the peak. On a processor that rounds in
    # another way they are other runs: of six drawn from sixty seeds 0.29, and in 99.9 % below 0.5.
    assert np.mean(regrets[KernelTS]) < 0.5 * np.mean(regrets[RandomPolicy])
    assert all(np.less(regrets[KernelTS], regrets[RandomPolicy]))


def test_optimize_takes_the_decisions_of_the_bare_strategy(run_engine, documents, problem):
    from bluesky_adaptive.plans import optimize

    strategy = KernelTS(SPACE, [QUALITY, BLEACHING], 3)
    rows = []
    for _ in range(6):
        rows.append(expert(strategy.suggest()).index)
        values = measured(SPACE.configuration(rows[-1]))
        strategy.ingest(rows[-1], values)
    run_engine(optimize(problem(optimizer()), iterations=6))
    events = [d["data"] for n, d in documents if n == "event" and "suggestion_ids" in d["data"]]
    assert [SPACE.index({n: e[n] for n in SPACE.names}) for e in events] == rows


def test_optimize_in_batches_until_the_budget_is_spent(run_engine, documents, problem):
    from bluesky_adaptive.plans import optimize

    agent = optimizer(images=10)
    run_engine(optimize(problem(agent), iterations=None, n_points=4))
    assert agent.strategy.iteration == 12
    assert agent.should_stop() == (True, "12 of 10 images were taken")
    mean, _ = agent.strategy.posterior()
    for identifier, parameters, outcomes in agent.get_best_points():
        assert 0 <= identifier < 12
        assert outcomes == pytest.approx(measured(parameters))
        assert mean[SPACE.index(parameters), 0] == pytest.approx(outcomes["quality"], abs=0.1)


def test_a_failed_acquisition_counts_and_is_not_learned(run_engine, problem):
    from bluesky_adaptive.plans import optimize

    def fail(uid, suggestions):
        raise RuntimeError("no foreground")

    agent = optimizer()
    before = agent.strategy.posterior()
    with pytest.raises(RuntimeError, match="no foreground"):
        run_engine(optimize(problem(agent, fail), iterations=3))
    assert agent.strategy.iteration == 1
    np.testing.assert_array_equal(agent.strategy.posterior(), before)
    assert agent.get_best_points() == []
    run_engine(optimize(problem(agent), iterations=1))
    assert agent.strategy.iteration == 2


def test_optimize_goes_on_from_its_checkpoint_identically(run_engine, problem, tmp_path):
    from bluesky_adaptive.plans import optimize

    path = tmp_path / "optimizer.json"
    agent = optimizer(checkpoint_path=path)
    run_engine(optimize(problem(agent), iterations=5, n_points=2, checkpoint_interval=5))
    resumed = AdaptiveOptimizer.from_checkpoint(
        path, KernelTS(SPACE, [QUALITY, BLEACHING], 3), expert
    )
    assert resumed.get_best_points() == agent.get_best_points()
    for one, other in zip(agent.suggest(3), resumed.suggest(3), strict=True):
        assert one == other
    np.testing.assert_array_equal(resumed.strategy.posterior(), agent.strategy.posterior())
    assert run(resumed, 6, 2) == run(agent, 6, 2)
    assert [p.name for p in tmp_path.iterdir()] == ["optimizer.json"]


def test_checkpoint_keeps_what_is_pending_invalid_or_external(tmp_path):
    agent = optimizer(checkpoint_path=tmp_path / "c.json")
    run(agent, 3)
    agent.ingest([{"_id": ("run", 7), **SPACE.configuration(5), "quality": math.nan}])
    first, second = agent.suggest(2)
    agent.checkpoint()
    resumed = AdaptiveOptimizer.from_checkpoint(
        tmp_path / "c.json", KernelTS(SPACE, [QUALITY, BLEACHING], 3), expert
    )
    for one in (agent, resumed):
        one.ingest(outcomes_of([second]))
        one.register_failures([first])
    assert agent.suggest() == resumed.suggest()
    resumed.checkpoint()
    assert "NaN" not in (tmp_path / "c.json").read_text()


def test_what_is_no_checkpoint_of_this_is_refused(tmp_path):
    path = tmp_path / "c.json"
    agent = optimizer(checkpoint_path=path)
    agent.checkpoint()
    content = json.loads(path.read_text())

    def resume(strategy):
        return AdaptiveOptimizer.from_checkpoint(path, strategy, expert)

    objectives = [QUALITY, BLEACHING]
    with pytest.raises(ValueError, match="seed is 3, here it is 4"):
        resume(KernelTS(SPACE, objectives, 4))
    with pytest.raises(ValueError, match="strategy is 'KernelTS', here it is 'RandomPolicy'"):
        resume(RandomPolicy(SPACE, objectives, 3))
    with pytest.raises(ValueError, match="objectives is"):
        resume(KernelTS(SPACE, objectives[::-1], 3))
    with pytest.raises(ValueError, match="parameters is"):
        resume(KernelTS(ParameterSpace(SPACE.parameters[:1]), objectives, 3))
    for text in ("", "[]", "{}", json.dumps(content | {"format": "other"}), "\x80"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"c\.json cannot be gone on from"):
            resume(KernelTS(SPACE, objectives, 3))
    with pytest.raises(FileNotFoundError):
        AdaptiveOptimizer.from_checkpoint(tmp_path / "no", KernelTS(SPACE, objectives, 3), expert)
    with pytest.raises(ValueError, match="checkpoint_path"):
        optimizer().checkpoint()


def test_a_batch_has_a_draw_of_its_own_for_each_image():
    agent = optimizer()
    run(agent, 4)
    strategy = agent.strategy
    expected = [expert(strategy.suggest(draw)).index for draw in range(4)]
    batch = agent.suggest(4)
    assert [SPACE.index({n: s[n] for n in SPACE.names}) for s in batch] == expected
    assert [s["_id"] for s in batch] == [4, 5, 6, 7]
    one_by_one = optimizer()
    run(one_by_one, 4)
    assert [one_by_one.suggest()[0] for _ in range(4)] == batch


def test_who_chooses_sees_the_number_of_the_image_and_what_is_under_way():
    seen = []

    def choose(options):
        seen.append((options.iteration, options.imaged))
        return Choice(7 * len(seen), "test")

    agent = AdaptiveOptimizer(KernelTS(SPACE, [QUALITY, BLEACHING], 0), choose)
    agent.ingest(outcomes_of(agent.suggest(2)))
    agent.suggest(2)
    assert [iteration for iteration, _ in seen] == [0, 1, 2, 3]
    assert seen[1][1] == (7,)
    assert seen[3][1][-1] == 21


def test_strategies_of_one_draw_suggest_one_point():
    agent = optimizer(RandomPolicy)
    assert len(agent.suggest()) == len(agent.suggest(1)) == 1
    with pytest.raises(ValueError, match="num_points must be 1: RandomPolicy"):
        agent.suggest(2)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        agent.suggest(0)


def test_batches_of_botorch():
    pytest.importorskip("botorch")
    from stedopt_bluesky.bandit.botorch_ts import BoTorchTS

    agent = AdaptiveOptimizer(BoTorchTS(SPACE, [QUALITY, BLEACHING], 0), expert)
    rows = run(agent, 4, 2)
    assert rows[0] != rows[1]
    assert agent.strategy.iteration == 4


def test_points_from_elsewhere_are_learned():
    agent, strategy = optimizer(), KernelTS(SPACE, [QUALITY, BLEACHING], 3)
    for row in (4, 17):
        parameters = SPACE.configuration(row)
        point = {**parameters, **measured(parameters)}
        agent.ingest([point if row == 4 else {"_id": "baseline", **point}])
        strategy.ingest(row, measured(parameters))
    np.testing.assert_array_equal(agent.strategy.posterior(), strategy.posterior())
    (manual,) = agent.register_suggestions([{"_id": "mine", **SPACE.configuration(9)}])
    assert manual == {"_id": 0, **SPACE.configuration(9)}
    agent.ingest([{"_id": 0, "quality": 0.5, "photobleaching": None}])
    assert agent.strategy.iteration == 3
    assert {identifier for identifier, *_ in agent.get_best_points()} <= {None, "baseline"}


def test_best_points_are_the_front_of_the_means():
    agent = optimizer()
    for row, quality, bleaching in [
        (1, 0.2, 0.1),
        (2, 0.9, 0.5),
        (2, 0.7, 0.7),  # mean 0.8, 0.6
        (3, 0.85, 0.7),
        (4, 0.5, 0.65),  # dominated by the mean of 2
        (5, 1.0, None),  # never had all its objectives
    ]:
        values = {"quality": quality, "photobleaching": bleaching}
        agent.ingest(
            [{"_id": f"image {agent.strategy.iteration}", **SPACE.configuration(row)} | values]
        )
    found = [(name, SPACE.index(p), o) for name, p, o in agent.get_best_points()]
    assert [(name, row) for name, row, _ in found] == [
        ("image 0", 1),
        ("image 2", 2),
        ("image 3", 3),
    ]
    assert found[1][2] == pytest.approx({"quality": 0.8, "photobleaching": 0.6})


def test_one_objective_has_one_best_point_and_known_objectives_may_be_left_out():
    agent = AdaptiveOptimizer(KernelTS(SPACE, ["quality"], 0), lambda o: Choice(3, "test"))
    for row in (3, 8):
        agent.ingest([{**SPACE.configuration(row), "quality": 0.5}])
    assert [SPACE.index(p) for _, p, _ in agent.get_best_points()] == [3]
    strategy = KernelTS(SPACE, [QUALITY, TIME], 0, deterministic={"time_s": SECONDS})
    agent = AdaptiveOptimizer(strategy, lambda o: Choice(3, "test"))
    agent.ingest([{**agent.suggest()[0], "quality": 0.5}])
    assert agent.get_best_points()[0][2] == {"quality": 0.5}
    agent.ingest([{**agent.suggest()[0], "quality": 0.5, "time_s": 2.0}])
    assert agent.get_best_points()[0][2] == {"quality": 0.5, "time_s": 2.0}


PLACE = SPACE.configuration(3)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"_id": 0, "qualty": 0.5}, r"unknown \['qualty'\]"),
        ({"_id": 0, "quality": math.inf}, "quality must not be infinite"),
        ({"_id": 0, "dwelltime_us": 5.1, "quality": 0.5}, "not on the grid"),
        ({"_id": 0, **SPACE.configuration(3), "quality": 0.5}, "not what it suggested"),
        ({"_id": 2, "quality": 0.5}, "before"),
        ({"_id": "other", "quality": 0.5}, "expected the parameters"),
        ({"quality": 0.5}, "expected the parameters"),
    ],
)
def test_wrong_points_change_nothing(point, message):
    agent = AdaptiveOptimizer(
        KernelTS(SPACE, [QUALITY, BLEACHING], 0), lambda options: Choice(40, "test")
    )
    good, other, _ = agent.suggest(3)
    agent.register_failures([{"_id": 2}])
    before = agent.strategy.suggest().values
    with pytest.raises(ValueError, match=message):
        agent.ingest([*outcomes_of([other]), point])
    with pytest.raises(ValueError, match="one outcome"):
        agent.ingest(outcomes_of([good, good]))
    assert agent.strategy.iteration == 1
    np.testing.assert_array_equal(agent.strategy.suggest().values, before)
    agent.ingest(outcomes_of([other, good]))


def test_only_pending_suggestions_can_fail():
    agent = optimizer()
    (suggestion,) = agent.suggest()
    for bad in ([{"_id": 1}], [suggestion, suggestion], [PLACE]):
        with pytest.raises(ValueError, match=r"pending, each once, are \[0\]"):
            agent.register_failures(bad)
    agent.register_failures([suggestion])
    assert agent.strategy.iteration == 1
    with pytest.raises(ValueError, match="pending"):
        agent.register_failures([suggestion])
    with pytest.raises(ValueError, match="not on the grid"):
        agent.register_suggestions([PLACE, PLACE | {"dwelltime_us": 5.1}])
    assert agent.suggest()[0]["_id"] == 1


def test_bad_settings_are_refused():
    used = KernelTS(SPACE, ["quality"], 0)
    used.ingest(0, [0.5])
    with pytest.raises(ValueError, match="ingested 1 images"):
        AdaptiveOptimizer(used, expert)
    with pytest.raises(ValueError, match="images must be at least 1"):
        optimizer(images=0)
    with pytest.raises(ValueError, match="different names"):
        AdaptiveOptimizer(KernelTS(SPACE, ["dwelltime_us"], 0), expert)
    assert optimizer().should_stop() == (False, None)
