"""The preference networks: how often, and how nearly, they choose what somebody chose.

``python -m tests.benchmarks.preference_networks [--seeds N]``. First a published network is the
teacher of 625 simulated clouds of 728 options, as many as the paper had, divided 501/62/62: does
the recipe find its preference again? Then the shipped networks on runs of other samples than
those that they were trained on.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.experiments.shipped_preference import PREFERENCE, expert_of, held_out_clouds
from stedopt_bluesky.experiments.synthetic_clouds import STAGES, CloudTask, draw_clouds
from stedopt_bluesky.networks.clouds import Clouds
from stedopt_bluesky.networks.preference import PreferenceScorer
from stedopt_bluesky.networks.preference_evaluation import (
    Evaluation,
    evaluate_choices,
    evaluate_preference,
)
from stedopt_bluesky.networks.preference_training import PreferenceRecipe, train_preference
from stedopt_bluesky.networks.published import import_preference

FloatArray = npt.NDArray[np.float64]
Score = Callable[[FloatArray], FloatArray]

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "preference"
TEACHER = SHARED / "2obj-2018-07-02-00-32-44"
CLOUDS, GRID = 625, (7, 8, 13)  # 728 options
RUNS = -(-CLOUDS // len(STAGES))
# Seeds of runs: what is learnt from, and as many that no network has seen.
LEARNT_SEED, UNSEEN_SEED = 11, 12
HEAD = "| who chooses | clouds | top-1 | median distance | mean distance |"
RULE = "|---|---|---|---|---|"


def row(name: str, found: Sequence[Evaluation]) -> str:
    """Make a line of a table from one evaluation or several of as many clouds."""
    top1, median, mean = (
        [getattr(one, field) for one in found]
        for field in ("top1", "median_distance", "mean_distance")
    )
    range_ = f" ({min(top1):.1%} to {max(top1):.1%})" if len(found) > 1 else ""
    return (
        f"| {name} | {found[0].clouds} | {np.mean(top1):.1%}{range_} | {np.mean(median):.3f} "
        f"| {np.mean(mean):.3f} |"
    )


def baselines() -> dict[str, Score]:
    """Who chooses without having learnt: the figures of science.md have the same three."""
    rng = np.random.default_rng(0)
    return {
        "linear rule q - 0.37 b": lambda cloud: cloud[:, 0] - 0.37 * cloud[:, 1],
        "highest quality": lambda cloud: cloud[:, 0],
        "at random": lambda cloud: rng.random(len(cloud)),
    }


def taught(seeds: int) -> None:
    """Print how well trainings with several seeds find the teacher's preference again."""
    if not TEACHER.is_dir():
        print(f"The published network is not at {TEACHER}: no table of it.\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        teacher = PreferenceScorer(import_preference(TEACHER, Path(folder) / "2.safetensors"))

    def choose(cloud: FloatArray) -> int:
        return int(np.argmax(teacher.scores(cloud)))

    clouds, unseen = (
        draw_clouds(CloudTask(RUNS, seed, grid=GRID), lambda _: choose).part(range(CLOUDS))
        for seed in (LEARNT_SEED, UNSEEN_SEED)
    )
    begun = time.perf_counter()
    trained = [train_preference(clouds, PreferenceRecipe(seed=seed)) for seed in range(seeds)]
    seconds = (time.perf_counter() - begun) / seeds
    epochs = np.mean([len(one.history) for one in trained])
    print(
        f"Teacher: the published 2-objective network. {seeds} trainings, {epochs:.0f} epochs and "
        f"{seconds:.1f} s each.\n"
    )
    print(HEAD)
    print(RULE)
    print(row("trained, test clouds", [one.evaluation for one in trained]))
    on_unseen = [evaluate_preference(one.scorer, unseen) for one in trained]
    print(row("trained, other runs", on_unseen))
    for name, score in baselines().items():
        print(row(name, [evaluate_choices(score, unseen, [0, 1], np.ones(2))]))
    print(flush=True)


def shipped(name: str) -> None:
    """Print how well a shipped network chooses as the synthetic expert does."""
    recipe = PREFERENCE[name]
    expert, scorer = expert_of(recipe.clouds), PreferenceScorer.named(name)
    drawn, by_rule = held_out_clouds(PREFERENCE[name], expert)
    print(f"Shipped: {name}. The expert hesitates; in the second part he does not.\n")
    print(HEAD)
    print(RULE)
    widths = np.array([1.0 if o.unit == "" else o.scale for o in scorer.objectives])

    def found(score: Score, clouds: Clouds) -> list[Evaluation]:
        return [evaluate_choices(score, clouds, range(len(widths)), widths)]

    for label, clouds in (("", drawn), (", no hesitation", by_rule)):
        print(row(f"network{label}", found(scorer.scores, clouds)))
        if clouds is drawn:
            print(row("the expert's own rule", found(expert.worth, clouds)))
        for other, score in baselines().items():
            print(row(f"{other}{label}", found(score, clouds)))
    print(flush=True)


def main(seeds: int = 5) -> None:
    """Print all tables."""
    taught(seeds)
    for name in PREFERENCE:
        shipped(name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="trainings of the first table")
    main(**vars(parser.parse_args()))
