"""The replay experiment of the paper's Fig. 1: many trials, and what they come to.

Numbers per strategy, over all trials: the cumulative regret of failures with its bootstrap
interval and growth exponent, the share of images at each configuration, and the error of what
the strategy believes of the configuration that Kernel TS chose most often in the same trial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.bandit.regret import (
    bootstrap_interval,
    cumulative_regret,
    failures,
    growth_exponent,
)
from stedopt_bluesky.experiments.dataset import ReplayDataset
from stedopt_bluesky.experiments.trials import ReplayExperiment, Trial

FloatArray = npt.NDArray[np.float64]

# The relevant region is the best third of the configurations, by the mean of all their images:
# the paper's is four of its twelve powers, those of the largest objective.
RELEVANT_SHARE = 1 / 3
# An image fails that is worse than this share of those of the relevant region: 19 of 20 images
# taken there are good, and regret does not grow where nobody can do better.
FAILING_SHARE = 0.05
# Whose favourite configuration the estimates are compared at.
_FAVOURITE_OF = "kernel_ts"


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """What all images together tell, which no trial knows.

    Parameters
    ----------
    means : ndarray, shape (G,)
        Mean rating of each configuration, in the objective's unit; NaN without a valid one.
    relevant : tuple of int
        Rows of the relevant region, ascending.
    threshold : float
        Worst rating that is no failure, in the objective's unit.
    failure_rates : ndarray, shape (G,)
        Share of each configuration's images that fail.
    """

    means: FloatArray
    relevant: tuple[int, ...]
    threshold: float
    failure_rates: FloatArray


@dataclass(frozen=True, eq=False)
class StrategyResult:
    """One strategy, over R trials of T images.

    Parameters
    ----------
    name : str
        Of the strategy.
    regret, regret_low, regret_high : ndarray, shape (T,)
        Mean cumulative number of failures, and its 95 % bootstrap interval (NaN with one
        trial).
    exponent : float
        Growth of the mean regret as t^exponent over the second half; NaN below 4 images.
    chosen : ndarray, shape (G,)
        Mean number of images of a trial at each configuration.
    relevant_share : float
        Share of all images that were taken in the relevant region.
    errors : ndarray, shape (R,)
        Absolute error of the estimate at the favourite configuration of the trial, in the
        objective's unit; NaN where the strategy has no image of it.
    """

    name: str
    regret: FloatArray
    regret_low: FloatArray
    regret_high: FloatArray
    exponent: float
    chosen: FloatArray
    relevant_share: float
    errors: FloatArray


@dataclass(frozen=True, eq=False)
class ReplayReport:
    """A replay experiment for tables, pictures and scripts.

    Parameters
    ----------
    experiment : ReplayExperiment
        What was replayed.
    trials : int
        Per strategy.
    truth : GroundTruth
        What all images together tell.
    results : tuple of StrategyResult
        In the order asked for.
    """

    experiment: ReplayExperiment
    trials: int
    truth: GroundTruth
    results: tuple[StrategyResult, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``; NaN becomes null."""
        experiment, truth = self.experiment, self.truth
        return {
            "objective": {
                "name": experiment.objective.name,
                "unit": experiment.objective.unit,
                "direction": experiment.objective.direction,
            },
            "seed": experiment.seed,
            "trials": self.trials,
            "images": experiment.images,
            "configurations": [
                {
                    **experiment.space.configuration(g),
                    "images": len(queue),
                    "mean": _number(truth.means[g]),
                    "failure_rate": float(truth.failure_rates[g]),
                    "relevant": g in truth.relevant,
                }
                for g, queue in enumerate(experiment.queues)
            ],
            "threshold": truth.threshold,
            "strategies": {r.name: _result_json(r) for r in self.results},
        }


def ground_truth(
    experiment: ReplayExperiment, relevant: int | None, threshold: float | None
) -> GroundTruth:
    """Find the relevant region, and what a failure is.

    Parameters
    ----------
    experiment : ReplayExperiment
        With the ratings of all images.
    relevant : int or None
        Configurations in the relevant region, 1 … G; None: `RELEVANT_SHARE` of them.
    threshold : float or None
        Worst rating that is no failure; None: such that `FAILING_SHARE` of the valid images
        of the relevant region fail.
    """
    queues, maximise = experiment.queues, experiment.objective.direction == "maximise"
    means = np.array([_mean(queue) for queue in queues])
    order = np.argsort(-means if maximise else means, kind="stable")  # NaN comes last
    count = max(1, round(RELEVANT_SHARE * len(queues))) if relevant is None else relevant
    region = tuple(sorted(int(g) for g in order[:count]))
    if threshold is None:
        good = np.concatenate([queues[g] for g in region])
        share = FAILING_SHARE if maximise else 1 - FAILING_SHARE
        threshold = float(np.nanquantile(good, share))
    failed = [_failed(queue, experiment, threshold) for queue in queues]
    return GroundTruth(means, region, threshold, np.array([f.mean() for f in failed]))


def report_replay(
    experiment: ReplayExperiment, truth: GroundTruth, trials: Mapping[str, Sequence[Trial]]
) -> ReplayReport:
    """Sum up the trials of each strategy.

    Parameters
    ----------
    experiment : ReplayExperiment
        What was replayed.
    truth : GroundTruth
        Of the same experiment.
    trials : mapping of strategy's name to sequence of Trial
        As many of each, in the order of their numbers.
    """
    size = experiment.space.size
    favourites = {name: [_favourite(t, size) for t in of_one] for name, of_one in trials.items()}
    results = []
    for name, of_one in trials.items():
        common = favourites.get(_FAVOURITE_OF, favourites[name])
        results.append(_result(name, of_one, common, experiment, truth))
    return ReplayReport(experiment, len(next(iter(trials.values()))), truth, tuple(results))


def experiment_of(
    dataset: ReplayDataset, objective: str, *, images: int, seed: int, repeats: int
) -> ReplayExperiment:
    """Make the experiment of a dataset and one of its objectives.

    Raises
    ------
    ConfigError
        When the images were not rated by the objective.
    """
    return ReplayExperiment(
        space=dataset.space,
        objective=dataset.objective(objective),
        queues=dataset.queues(objective),
        images=images,
        seed=seed,
        repeats=repeats,
    )


def _result(
    name: str,
    trials: Sequence[Trial],
    favourites: Sequence[int],
    experiment: ReplayExperiment,
    truth: GroundTruth,
) -> StrategyResult:
    curves = cumulative_regret([_failed(t.values, experiment, truth.threshold) for t in trials])
    low, high = bootstrap_interval(curves, seed=experiment.seed)
    mean = curves.mean(axis=0)
    size = experiment.space.size
    chosen = np.mean([np.bincount(t.configurations, minlength=size) for t in trials], axis=0)
    errors = [
        abs(trial.estimates[g] - truth.means[g])
        for trial, g in zip(trials, favourites, strict=True)
    ]
    return StrategyResult(
        name=name,
        regret=mean,
        regret_low=low,
        regret_high=high,
        exponent=growth_exponent(mean) if len(mean) >= 4 else math.nan,
        chosen=chosen,
        relevant_share=float(chosen[list(truth.relevant)].sum() / chosen.sum()),
        errors=np.array(errors),
    )


def _failed(
    values: FloatArray, experiment: ReplayExperiment, threshold: float
) -> npt.NDArray[np.bool_]:
    objective = experiment.objective
    return failures(values[:, np.newaxis], [objective], {objective.name: threshold})


def _favourite(trial: Trial, size: int) -> int:
    """Configuration chosen most often; of equals the first on the grid."""
    return int(np.bincount(trial.configurations, minlength=size).argmax())


def _mean(values: FloatArray) -> float:
    valid = values[~np.isnan(values)]
    return float(valid.mean()) if valid.size else math.nan


def _result_json(result: StrategyResult) -> dict[str, Any]:
    errors = result.errors[~np.isnan(result.errors)]
    return {
        "regret": [float(v) for v in result.regret],
        "regret_low": [_number(v) for v in result.regret_low],
        "regret_high": [_number(v) for v in result.regret_high],
        "growth_exponent": _number(result.exponent),
        "images_per_configuration": [float(v) for v in result.chosen],
        "relevant_share": result.relevant_share,
        "estimation_error_mean": _number(_mean(result.errors)),
        "estimation_error_median": float(np.median(errors)) if errors.size else None,
        "estimation_errors": [_number(v) for v in result.errors],
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
