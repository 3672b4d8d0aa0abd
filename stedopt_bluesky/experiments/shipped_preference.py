"""Train the preference networks that come with the package; part of ``make weights``.

``python -m stedopt_bluesky.experiments.shipped_preference [NAME ...]``: each learns the choices of
a synthetic expert (`synthetic_expert`) from clouds of simulated runs (`synthetic_clouds`) and is
evaluated on runs of other samples. The same numbers come out on the same kind of machine.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stedopt_bluesky import __version__
from stedopt_bluesky.experiments.synthetic_clouds import STAGES, CloudTask, draw_clouds
from stedopt_bluesky.experiments.synthetic_expert import SyntheticExpert
from stedopt_bluesky.networks.clouds import Clouds, joined
from stedopt_bluesky.networks.history import Epoch
from stedopt_bluesky.networks.preference_evaluation import Evaluation, evaluate_preference
from stedopt_bluesky.networks.preference_training import (
    PreferenceRecipe,
    TrainedPreference,
    train_preference,
)
from stedopt_bluesky.networks.weights import SUFFIX, Weights, WeightsInfo, save_weights

SHIPPED = Path(__file__).parents[1] / "networks" / "shipped"
# Seeds of the runs: none is in both.
TRAINING_SEED, TEST_SEED = 1, 2
TEST_RUNS = 70  # 630 clouds: the standard error of a top-1 is 2 %
RULE = "quality first, photobleaching above 40 % hurts more and more, of equals the faster"
RULE_LAST = "quality of both STED images, photobleaching above 40 % hurts more and more"


@dataclass(frozen=True)
class Recipe:
    """What one shipped network is trained on, and how."""

    clouds: CloudTask
    training: PreferenceRecipe


# Simulated runs are cheap: there are eight times as many pairs as in the paper, in batches of
# eight times as many at twice its learning rate.
TRAINING = PreferenceRecipe(epochs=40, patience=12, batch=1024, learning_rate=0.002)
# 3,600 clouds where the paper has 625, 7,200 where it has 7,620: with fewer than 1,500 a network
# did not always prefer the faster of equals.
PREFERENCE = {
    "quality-bleaching": Recipe(CloudTask(400, TRAINING_SEED), TRAINING),
    "quality-bleaching-time": Recipe(CloudTask(800, TRAINING_SEED, with_time=True), TRAINING),
    "quality-last-bleaching": Recipe(CloudTask(800, TRAINING_SEED, with_last=True), TRAINING),
}


def expert_of(task: CloudTask) -> SyntheticExpert:
    """Make the expert who looks at the objectives of a task."""
    return SyntheticExpert(third="quality_last" if task.with_last else "imaging_time_s")


# Clouds of two options from anywhere in the usual ranges. In a run's cloud only the best is chosen:
# which of two bad options is the better one, the network would not learn from runs alone.
COMPARISONS = 200_000


def comparisons(task: CloudTask, expert: SyntheticExpert) -> Clouds:
    """Clouds of two options each, drawn evenly over the objectives' usual ranges."""
    rng = np.random.default_rng(
        [task.seed, task.runs]
    )  # runs are drawn from [seed, 0 ... runs - 1]
    low, high = np.array([objective.range for objective in task.objectives]).T
    values = rng.uniform(low, high, (COMPARISONS, 2, len(low)))
    chosen = np.array([expert.day(rng)(cloud) for cloud in values])
    names, units = zip(*((o.name, o.unit) for o in task.objectives), strict=True)
    return Clouds(tuple(values), chosen, names, units)


def held_out_clouds(
    recipe: Recipe, expert: SyntheticExpert, runs: int = TEST_RUNS
) -> tuple[Clouds, Clouds]:
    """Clouds of runs that no network was trained on, and the same chosen from by the rule alone.

    The rule alone neither hesitates nor has moods: what is left is the network's own error.
    """
    drawn = draw_clouds(replace(recipe.clouds, runs=runs, seed=TEST_SEED), expert.day)
    by_rule = np.array([int(np.argmax(expert.worth(cloud))) for cloud in drawn.values])
    return drawn, Clouds(drawn.values, by_rule, drawn.objectives, drawn.units)


def train_shipped(name: str, folder: Path = SHIPPED) -> Weights:
    """Train one of the networks and write it."""
    recipe = PREFERENCE[name]
    expert = expert_of(recipe.clouds)
    runs = draw_clouds(recipe.clouds, expert.day)
    clouds = joined([runs, comparisons(recipe.clouds, expert)])
    begun = time.monotonic()

    def tell(epoch: Epoch) -> None:
        print(
            f"{name}: epoch {epoch.number} of {recipe.training.epochs}, loss "
            f"{epoch.training_loss:.6f} in training, {epoch.validation_loss:.6f} in validation, "
            f"{time.monotonic() - begun:.0f} s",
            flush=True,
        )

    target = folder / f"preference-{name}{SUFFIX}"
    checkpoint = target.with_suffix(".checkpoint")
    trained = train_preference(clouds, recipe.training, checkpoint=checkpoint, observe=tell)
    drawn, by_rule = held_out_clouds(recipe, expert)
    found = evaluate_preference(trained.scorer, drawn)
    against_rule = evaluate_preference(trained.scorer, by_rule)
    info = _info(name, recipe, trained, found, against_rule)
    weights = save_weights(target, trained.tensors, info)
    checkpoint.unlink(missing_ok=True)
    return weights


def _info(
    name: str,
    recipe: Recipe,
    trained: TrainedPreference,
    found: Evaluation,
    against_rule: Evaluation,
) -> WeightsInfo:
    told: dict[str, Any] = {
        "data": "choices of a synthetic expert from clouds of simulated runs",
        "rule": RULE_LAST if recipe.clouds.with_last else RULE,
        "runs": recipe.clouds.runs,
        "clouds": len(trained.training),
        "clouds_of_two_options": sum(len(cloud) == 2 for cloud in trained.training.values),
        "stages": list(STAGES),
        "seed": TRAINING_SEED,
        "sha256": trained.training.fingerprint(),
        "epochs": next(e.number for e in reversed(trained.history) if e.best),
        "validation_clouds": len(trained.validation),
        "test_clouds": found.clouds,
        "test_top1": round(found.top1, 4),
        "test_median_distance": round(found.median_distance, 4),
        "test_mean_distance": round(found.mean_distance, 4),
        "test_top1_without_hesitation": round(against_rule.top1, 4),
    }
    return WeightsInfo(
        kind="preference",
        name=name,
        version=__version__,
        objectives=trained.objectives,
        training=told,
        licence="BSD-3-Clause",
        source="trained by stedopt_bluesky on its synthetic expert",
    )


def main(names: list[str]) -> None:
    """Train the named networks, all of them when none is named."""
    for name in names or list(PREFERENCE):
        weights = train_shipped(name)
        print(f"{weights.path.name}: top-1 {weights.info.training['test_top1']:.3f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
