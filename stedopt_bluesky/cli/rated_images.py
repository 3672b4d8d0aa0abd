"""``stedopt experiment rated-images``."""

from __future__ import annotations

from pathlib import Path

from stedopt_bluesky.cli.interrupts import EXIT_CODES, INTERRUPTED
from stedopt_bluesky.cli.output import console, fail, print_json, stdout
from stedopt_bluesky.config import ConfigError


def write_rated_images(
    folder: Path, structures: tuple[str, ...], images: int, seed: int, size: int, *, as_json: bool
) -> None:
    """Image the twin, rate the images, and write them as a dataset.

    Raises
    ------
    ConfigError, DatasetError
        When something in the request is wrong, or the folder holds anything.
    """
    if seed < 0:
        raise ConfigError(f"seed = {seed}: at least 0")
    _check_folder(folder)
    with console.status("loading the twin ..."):
        from stedopt_bluesky.experiments.progress import ExperimentProgress
        from stedopt_bluesky.experiments.rated_images import TwinRatings, rate_twin_images
        from stedopt_bluesky.networks.datasets import write_folder
    task = TwinRatings(structures, images, seed, size)
    try:
        with ExperimentProgress(console, "images", images) as progress:
            dataset = rate_twin_images(task, progress)
    except KeyboardInterrupt:
        fail("interrupted by the user (Ctrl-C): nothing was written", EXIT_CODES[INTERRUPTED])
    write_folder(folder, dataset)
    low, middle, high = (
        float(dataset.ratings.min()),
        float(dataset.ratings.mean()),
        float(dataset.ratings.max()),
    )
    if as_json:
        print_json(
            {
                "folder": str(folder.resolve()),
                "images": len(dataset),
                "structures": list(structures),
                "specimens": len(set(dataset.specimens)),
                "rating": {"min": low, "mean": middle, "max": high},
                "sha256": dataset.fingerprint(),
            }
        )
        return
    stdout.print(
        f"{len(dataset)} images of {len(set(dataset.specimens))} specimens in {folder}, "
        f"rated {low:.2f} to {high:.2f}, {middle:.2f} on average",
        markup=False,
    )


def _check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be written, before minutes of imaging."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"folder = {str(folder)!r}: is a file")
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f"folder = {str(folder)!r}: is not empty; name a new one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"folder = {str(folder)!r}: {error.strerror or error}") from None
