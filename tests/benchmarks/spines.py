"""How many spines of the twin are found on an overview, and how many candidates are none.

Run with ``python -m tests.benchmarks.spines`` (`--seeds N`, default 8): overviews as the preset
`uncaging` takes them. A candidate within 0.4 µm of a head, one to one, is that spine.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.optimize import linear_sum_assignment

from stedopt_bluesky.config import preset
from stedopt_bluesky.objectives.spines import find_cells, find_spines, with_free_axis
from stedopt_bluesky.twin.exposure import Exposure, Optics
from stedopt_bluesky.twin.fluorophores import FLUOROPHORES
from stedopt_bluesky.twin.photophysics import LitLabel, expose_labels
from stedopt_bluesky.twin.specimens import dendrites_with_indicator

SAME_UM = 0.4


def main(seeds: int = 8) -> None:
    """Image so many fields, find, compare, and print a line."""
    config = preset("uncaging")
    size_um, pixel_nm = config.overview.size_um, config.overview.pixel_size_nm
    power_W = config.overview.excitation_power_uW * 1e-6
    dwelltime_s = config.overview.dwelltime_us * 1e-6
    pixels = round(size_um * 1000 / pixel_nm)
    true = found = right = free = 0
    off_um: list[float] = []
    angles: list[float] = []
    for seed in range(seeds):
        dye = FLUOROPHORES[config.microscope.fluorophore]
        _, label = dendrites_with_indicator(seed, size_um * 1e-6, config.uncaging.cells, dye)
        exposure = Exposure(
            0.0, 0.0, pixel_nm * 1e-9, (pixels, pixels), dwelltime_s, 1, power_W, 0.0
        )
        lit = LitLabel(label.sample, label.fluorophore, power_W, 0.0)
        image = expose_labels(exposure, [lit], Optics(), np.random.default_rng(seed))
        cells = find_cells(image, pixel_nm)
        candidates = find_spines(image, pixel_nm, 3.0, cells)
        free += sum(spine.free_um >= 3 for spine in with_free_axis(candidates, cells, 3.0))
        spines = label.activity.dendrites.spines
        heads = np.array([(s.x_m, s.y_m) for s in spines]) * 1e6
        places = np.array([(c.x_um, c.y_um) for c in candidates])
        away = np.hypot(*(heads[:, None] - places[None]).transpose(2, 0, 1))
        pairs = [
            (i, j)
            for i, j in zip(*linear_sum_assignment(np.minimum(away, 10)), strict=True)
            if away[i, j] < SAME_UM
        ]
        true, found, right = true + len(spines), found + len(candidates), right + len(pairs)
        off_um += [away[i, j] for i, j in pairs]
        for i, j in pairs:
            s, c = spines[i], candidates[j]
            along = np.clip(s.axis_x * c.axis_x + s.axis_y * c.axis_y, -1, 1)
            angles.append(float(np.degrees(np.arccos(along))))
    print(
        f"{seeds} overviews, {true} spines: precision {right / found:.1%}, "
        f"recall {right / true:.1%}, heads off by {np.median(off_um) * 1000:.0f} nm and axes by "
        f"{np.median(angles):.0f}° (medians); {free / seeds:.0f} with a free axis each"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    main(parser.parse_args().seeds)
