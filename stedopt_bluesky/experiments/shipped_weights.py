"""Train the quality networks that come with the package: ``make weights``.

``python -m stedopt_bluesky.experiments.shipped_weights general actin tubulin``, in this order: the
networks of one structure are the general one, fine-tuned. The same numbers come out on the same
kind of machine.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from stedopt_bluesky import __version__
from stedopt_bluesky.experiments.rated_images import PIXEL_SIZE_NM, TwinRatings, rate_twin_images
from stedopt_bluesky.networks.history import Epoch
from stedopt_bluesky.networks.quality_training import QualityRecipe, TrainedQuality, train_quality
from stedopt_bluesky.networks.weights import (
    SUFFIX,
    Weights,
    WeightsInfo,
    load_weights,
    save_weights,
)

SHIPPED = Path(__file__).parents[1] / "networks" / "shipped"
# Seeds of the specimens: none is in two of these.
TRAINING_SEED, VALIDATION_SEED, TEST_SEED = 1, 2, 3
VALIDATION_IMAGES = 960
RATING = (
    "squared correlation of image and known fluorophores, details of 40 to 160 nm, "
    "stedopt_bluesky.twin.reference"
)


@dataclass(frozen=True)
class Recipe:
    """What one shipped network is trained on, and how."""

    structures: tuple[str, ...]
    images: int
    training: QualityRecipe
    start: str = ""


# Twin images are many and cheap, so that a smaller batch and an earlier end than the paper's
# come to the same: every image is seen some twenty times.
QUALITY = {
    "general": Recipe(
        ("actin", "tubulin", "synapses"),
        6000,
        QualityRecipe(epochs=30, patience=10, batch=48, halve_every=7),
    ),
    "actin": Recipe(
        ("actin",),
        2400,
        QualityRecipe(epochs=10, patience=5, batch=48, learning_rate=0.0005, halve_every=3),
        start="general",
    ),
    "tubulin": Recipe(
        ("tubulin",),
        2400,
        QualityRecipe(epochs=10, patience=5, batch=48, learning_rate=0.0005, halve_every=3),
        start="general",
    ),
}


def train_shipped(name: str, folder: Path = SHIPPED) -> Weights:
    """Train one of the networks and write it."""
    recipe = QUALITY[name]
    start = (
        load_weights(folder / f"quality-{recipe.start}{SUFFIX}", "quality")
        if recipe.start
        else None
    )
    training = rate_twin_images(TwinRatings(recipe.structures, recipe.images, TRAINING_SEED))
    validation = rate_twin_images(
        TwinRatings(recipe.structures, VALIDATION_IMAGES, VALIDATION_SEED)
    )
    begun = time.monotonic()

    def tell(epoch: Epoch) -> None:
        print(
            f"{name}: epoch {epoch.number} of {recipe.training.epochs}, RMSE "
            f"{epoch.training_loss:.4f} in training, {epoch.validation_loss:.4f} in validation, "
            f"{time.monotonic() - begun:.0f} s",
            flush=True,
        )

    target = folder / f"quality-{name}{SUFFIX}"
    trained = train_quality(
        training,
        recipe.training,
        validation=validation,
        start=start,
        checkpoint=target.with_suffix(".checkpoint"),
        observe=tell,
    )
    weights = save_weights(target, trained.tensors, _info(name, recipe, trained))
    target.with_suffix(".checkpoint").unlink(missing_ok=True)
    return weights


def _info(name: str, recipe: Recipe, trained: TrainedQuality) -> WeightsInfo:
    return WeightsInfo(
        kind="quality",
        name=name,
        version=__version__,
        structure=name,
        pixel_size_nm=PIXEL_SIZE_NM,
        whitening=trained.whitening,
        training={
            "data": "images of this project's digital twin",
            "rating": RATING,
            "structures": list(recipe.structures),
            "images": recipe.images,
            "seed": TRAINING_SEED,
            "sha256": trained.training.fingerprint(),
            "fine_tuned_from": recipe.start,
            "epochs": next(e.number for e in reversed(trained.history) if e.best),
            "validation_images": VALIDATION_IMAGES,
            "validation_rmse": round(trained.rmse, 4),
        },
        licence="BSD-3-Clause",
        source="trained by stedopt_bluesky on its digital twin",
    )


def main(names: list[str]) -> None:
    """Train the named networks, all of them when none is named."""
    from stedopt_bluesky.networks.rater import use_threads

    use_threads()
    for name in names or list(QUALITY):
        weights = train_shipped(name)
        print(f"{weights.path.name}: {weights.info.training['validation_rmse']}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
