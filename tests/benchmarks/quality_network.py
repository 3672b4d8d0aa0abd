"""The quality networks: error, fine-tuning, real images, and what an image costs.

``python -m tests.benchmarks.quality_network [--images N]``. The test images are of specimens
that no network was trained on or stopped by; nuclear pores are a structure that none has seen.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from stedopt_bluesky.experiments.rated_images import TwinRatings, rate_twin_images
from stedopt_bluesky.experiments.shipped_weights import TEST_SEED
from stedopt_bluesky.networks.datasets import RatedImages
from stedopt_bluesky.networks.evaluation import evaluate_quality
from stedopt_bluesky.networks.mask import score_mask
from stedopt_bluesky.networks.quality import QualityNetwork, masked_mean
from stedopt_bluesky.networks.quality_training import QualityRecipe, train_quality
from stedopt_bluesky.networks.rater import QualityRater, use_threads
from stedopt_bluesky.networks.tensors import load_tensors
from stedopt_bluesky.networks.weights import Weights, WeightsInfo, find_weights, load_weights

TEST_IMAGES = 480
STRUCTURES = ("actin", "tubulin", "synapses", "pores")
NETWORKS = ("general", "actin", "tubulin")
UNSEEN = "pores"
# Specimens of the fine-tuning images: neither in training nor in the tests.
FINE_TUNING_SEED = 5
FINE_TUNING = (24, 48, 96, 192)
REAL = Path(__file__).parents[2].parent / "shared" / "data" / "actin"
TIMED_PX, REPEATS = 224, 40
BATCH = 16


def errors(images: int) -> None:
    """Print RMSE and rank correlation of every network on every structure."""
    print(f"{images} images of 128² and {images // 4} of 224² pixels a structure.\n")
    print("| network | structure | RMSE | rank correlation | RMSE at 224² |")
    print("|---|---|---|---|---|")
    sets = {
        name: (
            rate_twin_images(TwinRatings((name,), images, TEST_SEED)),
            rate_twin_images(TwinRatings((name,), images // 4, TEST_SEED + 1, 224)),
        )
        for name in STRUCTURES
    }
    for network in NETWORKS:
        rater = QualityRater.named(network)
        for structure, (small, large) in sets.items():
            if network not in ("general", structure):
                continue
            found, at_224 = evaluate_quality(rater, small), evaluate_quality(rater, large)
            label = f"{structure} (never seen)" if structure == UNSEEN else structure
            print(
                f"| {network} | {label} | {found.rmse:.3f} | {found.rank_correlation:.3f} "
                f"| {at_224.rmse:.3f} |",
                flush=True,
            )


def fine_tuning(images: int) -> None:
    """Print what few images of a new structure do to the general network."""
    print(f"\nFine-tuning the general network on images of {UNSEEN}, a fifth of them held back to")
    print("stop by; from random weights the same.\n")
    print("| images | RMSE, fine-tuned | RMSE, from random weights | s |")
    print("|---|---|---|---|")
    general = load_weights(find_weights("general", "quality"), "quality")
    test = rate_twin_images(TwinRatings((UNSEEN,), images, TEST_SEED))
    pool = rate_twin_images(TwinRatings((UNSEEN,), FINE_TUNING[-1] + 200, FINE_TUNING_SEED))
    # Few of each specimen, as they come from many runs.
    order = np.random.default_rng(0).permutation(len(pool))
    print(f"| 0 | {evaluate_quality(QualityRater(general), test).rmse:.3f} | | |")
    for count in FINE_TUNING:
        part = _apart(pool.part(order[:count]))
        begun = time.monotonic()
        tuned = _trained(part, general, learning_rate=0.0005)
        took = time.monotonic() - begun
        anew = _trained(part, None, learning_rate=0.002)
        row = [f"{evaluate_quality(rater, test).rmse:.3f}" for rater in (tuned, anew)]
        print(f"| {count} | {row[0]} | {row[1]} | {took:.0f} |", flush=True)


def _apart(images: RatedImages) -> RatedImages:
    """Take each image as of a specimen of its own, as an expert's few images are."""
    return RatedImages(
        images.images, images.ratings, images.structures, ("",) * len(images), images.names
    )


def _trained(dataset: RatedImages, start: Weights | None, learning_rate: float) -> QualityRater:
    recipe = QualityRecipe(
        epochs=40, patience=12, batch=16, learning_rate=learning_rate, halve_every=10
    )
    trained = train_quality(dataset, recipe, start=start)
    info = WeightsInfo("quality", "tuned", "0", whitening=trained.whitening)
    return QualityRater(Weights(info, trained.tensors, "", Path("tuned")))


def real_images() -> None:
    """Print the scores of real images, and of the same made worse in known ways."""
    import tifffile

    print("\nReal images (FLClab, MIT); a tenth of the photons and a blur of 4 px are made.\n")
    print("| image | network | as it is | a tenth of the photons | blurred by 4 px |")
    print("|---|---|---|---|---|")
    for path in sorted(REAL.glob("*.tif*")):
        image = tifffile.imread(path)
        rng = np.random.default_rng(0)
        thinned = rng.binomial(image, 0.1)
        blurred = gaussian_filter(image.astype(np.float32), 4.0)
        own = "tubulin" if path.stem == "tubulin" else "actin"
        for network in ("general", own):
            rater = QualityRater.named(network)
            cells = [f"{rater(shown):.2f}" for shown in (image, thinned, blurred)]
            print(f"| {path.name} | {network} | {' | '.join(cells)} |", flush=True)


def speed() -> None:
    """Print what the rating of an image costs, against the plain network in the same run."""
    use_threads(2)
    weights = load_weights(find_weights("general", "quality"), "quality")
    rater = QualityRater(weights)
    whiten = weights.info.whitening
    assert whiten is not None
    plain = QualityNetwork().eval()
    load_tensors(plain, weights.tensors, "general")
    rng = np.random.default_rng(0)
    images = [
        rng.poisson(8 * rng.random((TIMED_PX,) * 2) ** 4).astype(np.int16) for _ in range(BATCH)
    ]

    def eager(image: np.ndarray) -> float:
        counts = image.astype(np.float32)
        with torch.no_grad():
            maps = plain(torch.from_numpy(whiten(counts))[None, None])
            mask = torch.from_numpy(score_mask(counts).astype(np.float32))[None]
            return float(masked_mean(maps, mask)[0])

    times = {"this rater": [], "plain eager network": [], f"this rater, {BATCH} at once": []}
    for _ in range(REPEATS):  # in turn, so that other work on the machine meets all alike
        for name, call, count in (
            ("this rater", lambda: rater(images[0]), 1),
            ("plain eager network", lambda: eager(images[0]), 1),
            (f"this rater, {BATCH} at once", lambda: rater.rate(images), BATCH),
        ):
            begun = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - begun) / count)
    print(f"\nOne image of {TIMED_PX}² pixels, mask included, two threads, {REPEATS} repeats.\n")
    print("| | median, ms | best, ms |")
    print("|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {statistics.median(values):.1f} | {min(values):.1f} |")
    alone = [rater(image) for image in images]
    together = [rated.score for rated in rater.rate(images)]
    worst = max(abs(a - b) for a, b in zip(alone, together, strict=True))
    print(f"\nLargest difference of a score alone and among {BATCH}: {worst:.1e}")


def main(images: int = TEST_IMAGES) -> None:
    """Print all tables."""
    speed()
    print()
    errors(images)
    fine_tuning(images)
    if REAL.is_dir():
        real_images()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=TEST_IMAGES)
    main(parser.parse_args().images)
