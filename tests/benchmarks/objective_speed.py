"""What the objectives cost, in ms per region.

Run with ``OMP_NUM_THREADS=1 python -m tests.benchmarks.objective_speed``. The score of the quality
objectives costs nothing here: what a network costs is measured with the networks.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter

import numpy as np
from scipy.ndimage import gaussian_filter

from stedopt_bluesky.acquisition import CalciumFrames, ImageSet
from stedopt_bluesky.objectives import OBJECTIVES, make_rater

SIDES = (224, 512)
REPEATS = 30


def simulated_images(side: int) -> ImageSet:
    """Filaments of emitters behind a confocal and a STED point-spread function, int16 counts.

    The filaments run along x, 60 pixels apart, as far as lines of profiles want them; 25 + 75
    Ca²⁺ frames of the same size.
    """
    rng = np.random.default_rng(0)
    rows = np.arange(side)[:, None]
    emitters = (rng.random((side, side)) < 0.3) * (np.abs(rows % 60 - 30) < 2)

    def frame(fwhm_px: float, photons: float) -> np.ndarray:
        expected = gaussian_filter(emitters * 1.0, fwhm_px / 2.3548, mode="wrap")
        return rng.poisson(expected / expected.max() * photons + 0.5).astype(np.int16)

    calcium = CalciumFrames(*(np.stack([frame(12, 60)] * frames) for frames in (25, 75)))
    return ImageSet(
        frame(12, 60),
        (frame(4, 40), frame(4, 35)),
        frame(12, 45),
        pixel_size_nm=20.0,
        dwelltime_us=10.0,
        excitation_power_uW=10.0,
        depletion_power_mW=150.0,
        calcium=calcium,
    )


def median_ms(function: Callable[[], object]) -> float:
    """Median time of a call, in ms, after one that fills the caches."""
    function()
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        function()
        times.append(perf_counter() - start)
    return 1e3 * statistics.median(times)


def main() -> None:
    """Print the table."""
    regions = [simulated_images(side) for side in SIDES]
    rows = {name: [name] for name in OBJECTIVES} | {"all, masks shared": list(OBJECTIVES)}
    print("| objective | " + " | ".join(f"{side}² (ms)" for side in SIDES) + " |")
    print("|---|" + "---|" * len(SIDES))
    for label, names in rows.items():
        rater = make_rater(names, score=lambda image: 0.5)
        cells = [f"{median_ms(lambda r=rater, i=images: r(i)):.2f}" for images in regions]
        print(f"| {label} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
