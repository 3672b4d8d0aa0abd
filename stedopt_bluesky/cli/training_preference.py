"""``stedopt train preference``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stedopt_bluesky import __version__
from stedopt_bluesky.cli.output import console, print_json
from stedopt_bluesky.cli.training import (
    Source,
    Watch,
    history_json,
    print_lines,
    rounded,
    save_curve,
    start_weights,
    train_with_progress,
)
from stedopt_bluesky.config import ConfigError

if TYPE_CHECKING:
    from stedopt_bluesky.networks.clouds import Clouds
    from stedopt_bluesky.networks.preference_training import TrainedPreference
    from stedopt_bluesky.networks.weights import Weights

_LOSS = "ranking loss"


@dataclass(frozen=True)
class PreferenceRequest:
    """What ``stedopt train preference`` was asked for; see its ``--help``."""

    source: Source
    start: str | None
    name: str | None
    recipe: Mapping[str, Any]
    chosen_by: tuple[str, ...]
    objectives: tuple[str, ...]
    figure: Path | None
    again: str


def train_preference_network(request: PreferenceRequest, *, as_json: bool) -> None:
    """Train a preference network, write it, and show how well it chooses.

    Raises
    ------
    ConfigError, CatalogError, DatasetError, TrainingError, WeightsError
        When something in the request is wrong.
    """
    source = request.source
    source.check(request.figure)
    for name in ("chosen_by", "objectives"):
        if getattr(request, name) and not source.of_runs:
            option = {"chosen_by": "chosen-by", "objectives": "objective"}[name]
            raise ConfigError(
                f"{option} = {getattr(request, name)[0]!r}: only with --runs or --from-catalog"
            )
    start = start_weights(request.start, "preference")
    clouds = _clouds(request)
    with console.status("loading the libraries ..."):
        from stedopt_bluesky.networks.preference_training import recipe_for, train_preference
    recipe = recipe_for(len(clouds), request.recipe)
    watch = Watch()
    trained = train_with_progress(
        source,
        recipe.epochs,
        request.again,
        _LOSS,
        lambda observe: train_preference(
            clouds, recipe, start=start, checkpoint=source.checkpoint, observe=observe
        ),
    )
    took_s = watch.seconds
    weights = _save(request, trained, start)
    source.checkpoint.unlink(missing_ok=True)
    title = f"{weights.info.name}: {len(trained.training)} clouds, {len(trained.history)} epochs"
    figure = save_curve(source.figure(request.figure), trained.history, title, _LOSS)
    found = trained.evaluation
    if as_json:
        print_json(
            {
                "weights": str(source.out.resolve()),
                **weights.identity,
                "objectives": [asdict(objective) for objective in trained.objectives],
                "clouds": {
                    "training": len(trained.training),
                    "validation": len(trained.validation) if trained.held_out else 0,
                    "test": len(trained.test) if trained.held_out else 0,
                },
                **history_json(trained.history, took_s),
                "evaluation": asdict(found),
                "figure": figure,
            }
        )
        return
    whose = "test clouds" if trained.held_out else "clouds, all of which it was trained on"
    print_lines(
        ("objectives", ", ".join(objective.name for objective in trained.objectives)),
        ("top-1", f"{found.top1:.1%} of {found.clouds} {whose}: the very option chosen"),
        ("distance", f"{found.median_distance:.3g} in the median, {found.mean_distance:.3g} mean"),
        ("network", str(source.out)),
        ("picture", figure or ""),
        ("training", f"{len(trained.history)} epochs, {took_s:.1f} s"),
    )


def _clouds(request: PreferenceRequest) -> Clouds:
    source = request.source
    if not source.of_runs:
        from stedopt_bluesky.networks.clouds import read_clouds

        with console.status("reading the clouds ..."):
            return read_clouds(source.paths[0])
    with console.status("reading the runs ..."):
        records = source.records()
        from stedopt_bluesky.records.training_data import clouds_of

        return clouds_of(
            records,
            chosen_by=request.chosen_by or None,
            objectives=request.objectives or None,
        )


def _evaluated(trained: TrainedPreference) -> dict[str, Any]:
    """Say in a file's metadata how well the network chooses, and where."""
    found = trained.evaluation
    if not trained.held_out:
        return {
            "validation_clouds": 0,
            "test_clouds": 0,
            "training_top1": rounded(found.top1),
            "training_median_distance": rounded(found.median_distance),
        }
    return {
        "validation_clouds": len(trained.validation),
        "test_clouds": found.clouds,
        "test_top1": rounded(found.top1),
        "test_median_distance": rounded(found.median_distance),
    }


def _save(request: PreferenceRequest, trained: TrainedPreference, start: Weights | None) -> Weights:
    from stedopt_bluesky.networks.weights import WeightsInfo, save_weights

    return save_weights(
        request.source.out,
        trained.tensors,
        WeightsInfo(
            kind="preference",
            name=request.name or request.source.out.stem,
            version=__version__,
            objectives=trained.objectives,
            training={
                "clouds": len(trained.training),
                "sha256": trained.training.fingerprint(),
                "fine_tuned_from": start.identity if start else {},
                "epochs": len(trained.history),
                "seed": request.recipe["seed"],
                **_evaluated(trained),
            },
            source=f"trained by stedopt_bluesky {__version__}",
        ),
    )
