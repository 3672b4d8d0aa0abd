"""``stedopt train quality``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from stedopt_bluesky import __version__
from stedopt_bluesky.cli.output import console, print_json, stdout
from stedopt_bluesky.cli.training import (
    Source,
    Watch,
    counting,
    history_json,
    print_lines,
    rounded,
    save_curve,
    start_weights,
    train_with_progress,
)
from stedopt_bluesky.config import ConfigError

if TYPE_CHECKING:
    from stedopt_bluesky.networks.datasets import RatedImages
    from stedopt_bluesky.networks.evaluation import QualityEvaluation
    from stedopt_bluesky.networks.quality_training import TrainedQuality
    from stedopt_bluesky.networks.weights import Weights

# What a network of images of several structures, or of unknown ones, is for.
_GENERAL = "general"


@dataclass(frozen=True)
class QualityRequest:
    """What ``stedopt train quality`` was asked for; see its ``--help``."""

    source: Source
    start: str | None
    name: str | None
    structure: str | None
    pixel_size_nm: float | None
    recipe: Mapping[str, Any]
    whitening: str | None
    rated_by: tuple[str, ...]
    figure: Path | None
    again: str


def train_quality_network(request: QualityRequest, *, as_json: bool) -> None:
    """Train a quality network, write it, and show how good it is.

    Raises
    ------
    ConfigError, CatalogError, DatasetError, TrainingError, WeightsError
        When something in the request is wrong.
    """
    from stedopt_bluesky.networks.quality_recipe import QualityRecipe

    source = request.source
    source.check(request.figure)
    if request.rated_by and not source.of_runs:
        raise ConfigError(f"rated-by = {request.rated_by[0]!r}: only with --runs or --from-catalog")
    if request.start and request.whitening:
        raise ConfigError(
            f"whitening = {request.whitening!r}: not together with --from, which keeps its own"
        )
    if request.pixel_size_nm is not None and not 0 < request.pixel_size_nm < 1e6:
        raise ConfigError(f"pixel-size-nm = {request.pixel_size_nm:g}: above 0, in nm")
    recipe = QualityRecipe(**request.recipe, whitening=request.whitening or "anscombe")  # type: ignore[arg-type]
    start = start_weights(request.start, "quality")
    dataset = _dataset(source, request.rated_by)
    pixel_size_nm = _pixel_size_nm(request, dataset, start)
    with console.status("loading the libraries ..."):
        from stedopt_bluesky.networks.quality_training import train_quality
        from stedopt_bluesky.networks.rater import use_threads

        use_threads()
    watch = Watch()
    trained = train_with_progress(
        source,
        recipe.epochs,
        request.again,
        "RMSE",
        lambda observe: train_quality(
            dataset, recipe, start=start, checkpoint=source.checkpoint, observe=observe
        ),
    )
    took_s = watch.seconds
    evaluation = _evaluate(_network(trained), trained.validation)
    before = _evaluate(start, trained.validation) if start else None
    weights = _save(request, trained, evaluation, start, pixel_size_nm)
    source.checkpoint.unlink(missing_ok=True)
    title = f"{weights.info.name}: {len(trained.training)} images, {len(trained.history)} epochs"
    figure = save_curve(source.figure(request.figure), trained.history, title, "RMSE", evaluation)
    if as_json:
        print_json(
            {
                "weights": str(source.out.resolve()),
                **weights.identity,
                "structure": weights.info.structure,
                "images": {
                    "training": len(trained.training),
                    "validation": len(trained.validation),
                },
                **history_json(trained.history, took_s),
                "evaluation": evaluation.as_json(),
                "before": before.as_json() if before else None,
                "figure": figure,
            }
        )
        return
    stdout.print(_table(evaluation))
    stdout.print()
    print_lines(
        ("RMSE", f"{evaluation.rmse:.4f} on {len(evaluation.scores)} validation images"),
        ("rank", f"{evaluation.rank_correlation:.3f} (Spearman's correlation)"),
        ("before", f"RMSE {before.rmse:.4f}, rank {before.rank_correlation:.3f}" if before else ""),
        ("network", str(source.out)),
        ("picture", figure or ""),
        ("training", f"{len(trained.history)} epochs, {took_s:.1f} s"),
    )


def _dataset(source: Source, rated_by: tuple[str, ...]) -> RatedImages:
    if not source.of_runs:
        from stedopt_bluesky.networks.datasets import read_folder

        with counting("reading the images") as advance:
            return read_folder(source.paths[0], advance)
    with console.status("reading the runs ..."):
        records = source.records()
        from stedopt_bluesky.records.training_data import rated_images_of

        return rated_images_of(records, rated_by=rated_by or None)


def _pixel_size_nm(request: QualityRequest, dataset: RatedImages, start: Weights | None) -> float:
    """Pixel size as it was asked for, as the files tell it, or of the network to begin with."""
    from stedopt_bluesky.image_files import ImageFileError, agreed_pixel_size_nm

    told_nm, stored_nm = request.pixel_size_nm, dataset.pixel_size_nm
    try:
        whose = "the runs" if request.source.of_runs else str(request.source.paths[0])
        agreed_nm = agreed_pixel_size_nm(whose, told_nm, stored_nm)
    except ImageFileError as error:
        raise ConfigError(f"pixel-size-nm = {told_nm:g}: {error}") from None
    return agreed_nm or (start.info.pixel_size_nm if start else 0.0)


def _network(trained: TrainedQuality) -> Weights:
    from stedopt_bluesky.networks.weights import Weights, WeightsInfo

    info = WeightsInfo("quality", "in training", "", whitening=trained.whitening)
    return Weights(info, trained.tensors, "", Path("the network in training"))


def _evaluate(weights: Weights, validation: RatedImages) -> QualityEvaluation:
    """Put a network to work on the validation images, as its users will."""
    from stedopt_bluesky.networks.evaluation import evaluate_quality
    from stedopt_bluesky.networks.rater import QualityRater

    with counting("rating the validation images") as advance:
        return evaluate_quality(QualityRater(weights), validation, advance)


def _save(
    request: QualityRequest,
    trained: TrainedQuality,
    evaluation: QualityEvaluation,
    start: Weights | None,
    pixel_size_nm: float,
) -> Weights:
    from stedopt_bluesky.networks.weights import WeightsInfo, save_weights

    source = request.source
    return save_weights(
        source.out,
        trained.tensors,
        WeightsInfo(
            kind="quality",
            name=request.name or source.out.stem,
            version=__version__,
            structure=request.structure or _structure(trained.training),
            pixel_size_nm=pixel_size_nm,
            whitening=trained.whitening,
            training={
                "images": len(trained.training),
                "sha256": trained.training.fingerprint(),
                "fine_tuned_from": start.identity if start else {},
                "epochs": len(trained.history),
                "seed": request.recipe["seed"],
                "validation_images": len(trained.validation),
                "validation_rmse": rounded(evaluation.rmse),
                "validation_rank_correlation": rounded(evaluation.rank_correlation),
            },
            source=f"trained by stedopt_bluesky {__version__}",
        ),
    )


def _structure(dataset: RatedImages) -> str:
    """What the images show, where it is one and the same."""
    structures = set(dataset.structures)
    return structures.pop() or _GENERAL if len(structures) == 1 else _GENERAL


def _table(evaluation: QualityEvaluation) -> Table:
    table = Table(
        title="Validation images",
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 2, 0, 0),
    )
    for heading in ("rating", "images", "RMSE", "bias"):
        table.add_column(heading, justify="right")
    for part in evaluation.bins:
        errors = (f"{part.rmse:.3f}", f"{part.bias:+.3f}") if part.images else ("", "")
        table.add_row(f"{part.low:.1f} to {part.high:.1f}", str(part.images), *errors)
    whole = (f"{evaluation.rmse:.3f}", f"{evaluation.bias:+.3f}")
    table.add_row("all", str(len(evaluation.scores)), *whole)
    return table
