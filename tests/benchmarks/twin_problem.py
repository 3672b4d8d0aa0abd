"""The twin's fixed-cell preset as a problem whose optimum is known.

Every configuration images the same regions of the twin's sample, each unbleached, and is
rated by the preset's objectives. Its mean over the regions is what it is worth, and an image
in a trial is one of its regions drawn anew: the scatter of a trial is that of the twin, not
a normal law, and what is worth most is worth most of these very images. The imaging time is
known and left out: methods are compared by what they learn.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import ImageSet
from stedopt_bluesky.config import ExperimentConfig, preset
from stedopt_bluesky.objectives import make_rater
from stedopt_bluesky.session import objectives_of
from stedopt_bluesky.twin.fluorophores import FLUOROPHORES
from stedopt_bluesky.twin.photophysics import Exposure, Optics, expose
from stedopt_bluesky.twin.samples import make_sample
from tests.benchmarks.problems import Problem

FloatArray = npt.NDArray[np.float64]

NAME = "twin, fixed cells"
REGIONS = 8
IMAGES = 100
# Around a region, so that no beam looks beyond the sample's edge.
MARGIN_UM = 1.5
CACHE = Path("bench") / "twin_fixed_far_red.npz"


@dataclass(frozen=True, eq=False)
class TwinProblem(Problem):
    """A problem whose images are drawn from ones that the twin has made.

    Parameters
    ----------
    regions : ndarray, shape (G, K, M)
        Scaled objectives of every configuration in every region.
    """

    regions: FloatArray

    def measured(self, index: int, noise: FloatArray) -> FloatArray:
        """Objectives of one of the regions; a standard normal number says which."""
        part = NormalDist().cdf(float(noise[0]))
        count = self.regions.shape[1]
        return self.regions[index, min(int(part * count), count - 1)]


@functools.cache
def make_twin_problem() -> TwinProblem:
    """Make the problem; the twin's images are made once and kept in `CACHE`.

    An image without a valid value counts as the worst of its objective: it was paid for.
    """
    config = preset("classical")
    objectives = [o for o in objectives_of(config) if o.modelled]
    raw = _table(config, tuple(o.name for o in objectives))
    signs = np.array([1 if o.direction == "maximise" else -1 for o in objectives])
    turned = raw * signs
    turned = np.where(np.isnan(turned), np.nanmin(turned, axis=(0, 1)), turned)
    means = turned.mean(axis=1)
    low, high = means.min(axis=0), means.max(axis=0)
    scaled = (turned - low) / (high - low)
    noise = tuple(float(s) for s in np.sqrt(scaled.var(axis=1, ddof=1).mean(axis=0)))
    return TwinProblem(NAME, config.space, scaled.mean(axis=1), IMAGES, noise, scaled)


def _table(config: ExperimentConfig, names: tuple[str, ...]) -> FloatArray:
    """Objectives of every configuration in every region, in their units, (G, K, M)."""
    shape = (config.space.size, REGIONS, len(names))
    if CACHE.exists():
        stored = np.load(CACHE, allow_pickle=False)
        same = (tuple(stored["names"]), stored["table"].shape) == (names, shape)
        if same and np.array_equal(stored["grid"], config.space.grid):
            return stored["table"]
    table = np.stack([_rated(config, names, seed) for seed in range(REGIONS)], axis=1)
    CACHE.parent.mkdir(exist_ok=True)
    np.savez(CACHE, table=table, names=names, grid=config.space.grid)
    return table


def _rated(config: ExperimentConfig, names: tuple[str, ...], seed: int) -> FloatArray:
    """Objectives of every configuration in one region, in their units, (G, M)."""
    imaging = config.imaging
    sample = make_sample(config.sample.name, seed, (imaging.region_size_um + 2 * MARGIN_UM) * 1e-6)
    dye, optics = FLUOROPHORES[config.microscope.fluorophore], Optics()
    rate = make_rater(names)
    rng = np.random.default_rng([seed, 3])

    def scan(
        excitation_uW: float, depletion_mW: float, dwelltime_us: float
    ) -> npt.NDArray[np.int16]:
        exposure = Exposure(
            0.0, 0.0, imaging.pixel_size_nm * 1e-9, (imaging.pixels,) * 2,
            dwelltime_us * 1e-6, imaging.line_steps, excitation_uW * 1e-6, depletion_mW * 1e-3,
        )  # fmt: skip
        return expose(sample, exposure, dye, optics, rng)

    confocal = (imaging.confocal_excitation_power_uW, 0.0, imaging.confocal_dwelltime_us)
    rows = []
    for index in range(config.space.size):
        sample.survival[:] = 1.0
        chosen = config.space.configuration(index)
        powers = (chosen["excitation_power_uW"], chosen["depletion_power_mW"])
        before = scan(*confocal)
        sted = scan(*powers, chosen["dwelltime_us"])
        images = ImageSet(
            before, (sted,), scan(*confocal), imaging.pixel_size_nm, chosen["dwelltime_us"],
            imaging.line_steps,
        )  # fmt: skip
        rated = rate(images)
        rows.append([rated[name] for name in names])
    return np.array(rows)
