"""Images of the twin with the rating that its truth gives them: what shipped networks learn.

Every image has a region, a dye, a strength of labelling, a microscope and imaging parameters
of its own, drawn over the full range of each, and is rated by how well it resolves the known
structure (`stedopt_bluesky.twin.reference`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, uniform_filter
from skimage.filters import threshold_otsu

from stedopt_bluesky.acquisition import Image
from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.config.errors import allowed_text
from stedopt_bluesky.networks.datasets import RatedImages, joined
from stedopt_bluesky.twin.exposure import Exposure, Optics
from stedopt_bluesky.twin.fluorophores import FLUOROPHORES
from stedopt_bluesky.twin.photophysics import expose
from stedopt_bluesky.twin.reference import resolved_detail, structure_window
from stedopt_bluesky.twin.samples import SAMPLE_NAMES, Sample, make_sample
from stedopt_bluesky.twin.scan_geometry import FWHM_PER_SIGMA

PIXEL_SIZE_NM = 20.0  # the paper's: 20 to 25 nm
SPECIMEN_M = 20e-6
IMAGES_PER_SPECIMEN = 40
# As `overview.minimum_foreground`: least share of a region that must show structure.
LEAST_FOREGROUND = 0.1
# Blur of a confocal overview of 160-nm pixels.
OVERVIEW_M = 400e-9
# Full ranges: from less than anybody uses to the limits of the demonstration's lasers.
EXCITATION_W = (0.2e-6, 30e-6)
DEPLETION_W = (2e-3, 380e-3)
DWELLTIME_S = (1e-6, 100e-6)
CONFOCAL_SHARE = 0.08  # images without depletion
# Labelling, background and scatter from a third of the usual to three times as much.
LABELLING = (0.3, 3.0)
CONFOCAL_FWHM_M = (200e-9, 250e-9)
PEDESTAL = (0.0, 0.03)
# Smoothed afterwards, as images are that come from an archive or through a camera's filter.
SMOOTHED_SHARE, SMOOTHED_PX = 0.12, (0.5, 6.0)
# Most random settings give an image that shows nothing; of those that rate below 0.1 so many are
# kept, so that bad images do not outnumber all others.
BAD, BAD_KEPT = 0.1, 0.4


@dataclass(frozen=True)
class TwinRatings:
    """What is to be imaged and rated.

    Parameters
    ----------
    structures : tuple of str
        Of the twin, in turn.
    images : int
        In all.
    seed : int
        Specimen k is drawn from ``default_rng([seed, k])``: other seeds, other specimens.
    size_px : int
        Side of an image.
    """

    structures: tuple[str, ...]
    images: int
    seed: int
    size_px: int = 128

    def __post_init__(self) -> None:
        for name in self.structures:
            if name not in SAMPLE_NAMES:
                raise ConfigError(f"structure = {name!r}: {allowed_text(name, SAMPLE_NAMES)}")
        if not self.structures:
            raise ConfigError(f"structure: at least one of {', '.join(SAMPLE_NAMES)}")
        if self.images < 1:
            raise ConfigError(f"images = {self.images}: at least 1")
        if not 32 <= self.size_px <= 512:
            raise ConfigError(f"size = {self.size_px}: 32 to 512 pixels a side")


def rate_twin_images(
    task: TwinRatings, advance: Callable[[int], None] = lambda _: None
) -> RatedImages:
    """Image and rate.

    Parameters
    ----------
    task : TwinRatings
        What.
    advance : callable
        Told the number of images that have just been taken: 1.
    """
    parts: list[RatedImages] = []
    taken, number = 0, 0
    while taken < task.images:
        structure = task.structures[number % len(task.structures)]
        wanted = min(IMAGES_PER_SPECIMEN, task.images - taken)
        part = _one_specimen(task, structure, number, wanted, advance)
        parts.append(part)
        taken, number = taken + len(part), number + 1
    return joined(parts)


def _one_specimen(
    task: TwinRatings, structure: str, number: int, wanted: int, advance: Callable[[int], None]
) -> RatedImages:
    rng = np.random.default_rng([task.seed, number])
    sample = make_sample(structure, int(rng.integers(2**32)), SPECIMEN_M)
    sample = replace(sample, density=sample.density * np.float32(_log_uniform(rng, LABELLING)))
    places = structured_places(sample, task.size_px)
    images: list[Image] = []
    ratings: list[float] = []
    while len(images) < wanted:
        sample.survival[:] = 1  # regions may overlap: each image is of fresh dye
        image, rating = _one_image(rng, sample, rng.choice(places), task.size_px)
        if np.isnan(rating) or (rating < BAD and rng.random() > BAD_KEPT):
            continue
        images.append(image)
        ratings.append(rating)
        advance(1)
    return RatedImages(
        images,
        np.array(ratings),
        (structure,) * wanted,
        (f"{structure} {task.seed}.{number}",) * wanted,
        tuple(f"{structure} {task.seed}.{number}.{i}" for i in range(wanted)),
    )


def structured_places(sample: Sample, size_px: int) -> npt.NDArray[np.float64]:
    """Centres of regions that show structure, in m, shape (R, 2) as (x, y)."""
    step = sample.pixel_size_m
    seen = gaussian_filter(sample.density, OVERVIEW_M / FWHM_PER_SIGMA / step)
    foreground = (seen > threshold_otsu(seen)).astype(np.float32)
    side = round(size_px * PIXEL_SIZE_NM * 1e-9 / step)
    cover = uniform_filter(foreground, side)
    inside = slice(side // 2 + 1, len(cover) - side // 2 - 1)
    cover = cover[inside, inside]
    # A sparse sample has few such regions: then its fullest ones.
    least = min(LEAST_FOREGROUND, float(np.quantile(cover, 0.9)))
    rows, columns = np.nonzero(cover >= least)
    centres = np.stack([columns, rows], axis=1) + inside.start + 0.5 - len(seen) / 2
    return np.asarray(centres * step, dtype=np.float64)


def _one_image(
    rng: np.random.Generator, sample: Sample, place: npt.NDArray[np.float64], size_px: int
) -> tuple[Image, float]:
    """Image a region with random parameters, and rate the image by the truth."""
    x_m, y_m = (float(v) for v in place)
    pixel_size_m = PIXEL_SIZE_NM * 1e-9
    shape = (size_px, size_px)
    structure = structure_window(sample, x_m, y_m, shape, pixel_size_m)
    depletion_W = 0.0 if rng.random() < CONFOCAL_SHARE else float(rng.uniform(*DEPLETION_W))
    exposure = Exposure(
        x_m=x_m,
        y_m=y_m,
        pixel_size_m=pixel_size_m,
        shape=shape,
        dwelltime_s=_log_uniform(rng, DWELLTIME_S),
        line_steps=1,
        excitation_W=_log_uniform(rng, EXCITATION_W),
        depletion_W=depletion_W,
    )
    dye = FLUOROPHORES[str(rng.choice(sorted(FLUOROPHORES)))]
    image: Image = expose(sample, exposure, dye, _some_optics(rng), rng)
    if rng.random() < SMOOTHED_SHARE:
        image = gaussian_filter(image.astype(np.float32), rng.uniform(*SMOOTHED_PX))
    return image, resolved_detail(image, structure, pixel_size_m)


def _some_optics(rng: np.random.Generator) -> Optics:
    """Microscopes differ: in focus, in background and in how dark the doughnut's middle is."""
    usual, factor = Optics(), lambda: _log_uniform(rng, LABELLING)
    return replace(
        usual,
        confocal_fwhm_m=float(rng.uniform(*CONFOCAL_FWHM_M)),
        pedestal=float(rng.uniform(*PEDESTAL)),
        background_rate_per_s=usual.background_rate_per_s * factor(),
        scatter_excitation_per_J=usual.scatter_excitation_per_J * factor(),
        scatter_depletion_per_J=usual.scatter_depletion_per_J * factor(),
    )


def _log_uniform(rng: np.random.Generator, ends: Sequence[float]) -> float:
    return float(np.exp(rng.uniform(np.log(ends[0]), np.log(ends[1]))))
