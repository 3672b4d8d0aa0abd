"""The benchmarks' problems equal BoTorch's test functions, and what is rated is as stated."""

import itertools

import numpy as np
import pytest

from tests.benchmarks import problems
from tests.benchmarks.problems import RECIPES, make_problem, utility
from tests.benchmarks.trials import Task, Trial, run_trial, run_trials


@pytest.fixture
def double():
    """Doubles by default: Hartmann's constants would be single precision."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("botorch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)


@pytest.mark.parametrize(
    ("name", "other", "options"),
    [
        ("Branin", "Branin", {}),
        ("BraninCurrin", "BraninCurrin", {}),
        ("DTLZ2", "DTLZ2", {"dim": 3, "num_objectives": 2}),
        ("VehicleSafety", "VehicleSafety", {}),
        ("Hartmann6", "Hartmann", {"dim": 6}),
    ],
)
def test_values_equal_botorch_on_the_same_grid(name, other, options, double):
    import botorch.test_functions as functions
    from botorch.test_functions import multi_objective

    kind = getattr(functions, other, None) or getattr(multi_objective, other)
    function = kind(**options, dtype=double.float64)
    problem = make_problem(name)
    np.testing.assert_allclose(
        [(p.values[0], p.values[-1]) for p in problem.space], function.bounds.T.numpy()
    )
    # Ours are turned to be maximised.
    raw = -function(double.tensor(problem.space.grid)).numpy().reshape(problem.space.size, -1)
    np.testing.assert_allclose(RECIPES[name].function(problem.space.grid), raw, rtol=1e-10)
    scaled = (raw - raw.min(axis=0)) / np.ptp(raw, axis=0)
    np.testing.assert_allclose(problem.values, scaled, atol=1e-10)


def test_sted_toy_by_hand():
    x = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    quality, remaining = problems.sted_toy(x).T
    # No depletion: 250 nm wide; excitation 0.05, dwelltime 0.1: SNR of √0.3.
    dim = 1 / (1 + np.exp(8)) / (1 + np.exp((3 - np.sqrt(0.3)) / 0.7)) / (1 + (3 / 45) ** 6)
    np.testing.assert_allclose(quality[0], dim)
    sharp = 1 / (1 + np.exp((250 / np.sqrt(21) - 90) / 20))
    bright = 1 / (1 + np.exp(-(np.sqrt(30) - 3) / 0.7)) / (1 + (60 / 45) ** 6)
    np.testing.assert_allclose(quality[1], sharp * bright)
    np.testing.assert_allclose(remaining, [np.exp(-0.006), np.exp(-2.8)])


@pytest.mark.parametrize("name", RECIPES)
def test_all_objectives_go_from_0_to_1_and_the_best_costs_nothing(name):
    problem = make_problem(name)
    np.testing.assert_array_equal(problem.values.min(axis=0), 0)
    np.testing.assert_array_equal(problem.values.max(axis=0), 1)
    assert problem.regret.min() == 0
    assert problem.hypervolume(np.arange(problem.space.size)) == pytest.approx(1)
    assert problem.space.size == np.prod(RECIPES[name].shape)


def test_utility_is_the_worst_objective_and_a_little_of_all():
    np.testing.assert_allclose(utility(np.array([[0.2, 0.6], [1.0, 1.0]])), [0.24, 1.1])
    np.testing.assert_allclose(utility(np.array([[0.2], [1.0]])), [0.2, 1.0])


def test_hypervolume_by_hand():
    problem = make_problem("DTLZ2")
    reference = problem.reference

    def dominated(row):
        no_worse = (problem.values >= row).all(axis=1)
        return (no_worse & (problem.values > row).any(axis=1)).any()

    front = [row for row in problem.values if not dominated(row)]
    np.testing.assert_allclose(reference, np.min(front, axis=0) - 0.1)
    best = 0.0
    for (a, b), (c, _) in itertools.pairwise([*sorted(map(tuple, front), reverse=True), (0, 0)]):
        best += max(a - max(c, reference[0]), 0) * (b - reference[1])
    one = int(problem.utility.argmax())
    expected = np.prod(problem.values[one] - reference) / best
    assert problem.hypervolume([one]) == pytest.approx(expected)


@pytest.mark.parametrize(("name", "regret"), [("STED toy", 41.5), ("BraninCurrin", 52.1)])
def test_random_costs_what_others_measured(name, regret):
    problem = make_problem(name)
    draws = np.random.default_rng(0).integers(0, problem.space.size, (20, problem.images))
    # 20 seeds of a standard deviation of 1.5: two standard errors of two such means.
    assert problem.regret[draws].sum(axis=1).mean() == pytest.approx(regret, abs=1.0)


# --- trials -----------------------------------------------------------------------------------


class Fixed:
    """Images one configuration and keeps what it learns."""

    def __init__(self, index):
        self.index = index
        self.learnt = []

    def decide(self):
        return self.index

    def learn(self, index, values):
        self.learnt.append(values)


def test_the_noise_of_a_seed_is_the_same_for_every_method():
    problem = make_problem("DTLZ2")
    methods = {0: [Fixed(3), Fixed(40)], 1: [Fixed(3)]}
    for seed, group in methods.items():
        for method in group:
            trial = run_trial(Task("DTLZ2", "fixed", seed), lambda *_, m=method: m, images=50)
            assert trial.indices == (method.index,) * 50
    noise = [
        np.array(method.learnt) - problem.values[method.index]
        for group in methods.values()
        for method in group
    ]
    np.testing.assert_allclose(noise[0], noise[1], atol=1e-12)
    assert not np.allclose(noise[0], noise[2])
    # 100 numbers: their standard deviation is within 4 of its standard errors, 7 % each.
    assert noise[0].std() == pytest.approx(problems.NOISE, rel=0.28)


def test_stored_trials_are_not_run_again(tmp_path):
    out = tmp_path / "trials.jsonl"
    ran = []

    def run(task):
        ran.append(task)
        return Trial(task.problem, task.method, task.seed, (task.seed, 7), 0.5)

    tasks = [Task("DTLZ2", "fixed", seed) for seed in range(3)]
    first = run_trials(tasks[:2], run, out=out)
    both = run_trials(tasks, run, out=out)
    assert ran == tasks
    assert both[:2] == first
    assert run_trials(tasks[::-1], run, out=out) == both[::-1]
