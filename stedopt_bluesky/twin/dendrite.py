"""Generator of dendrites with spines: what a cytosolic Ca²⁺ indicator fills, and where spines are.

Each dendrite belongs to a cell of its own. Sizes are those of electron microscopy:

- spine density: 1 to 3 per µm on CA1 dendrites in all directions (Harris & Stevens, J. Neurosci.
  9:2982, 1989); about 1 per µm is taken here, those that stick out to the sides;
- heads: 0.05 µm³ on average there, a sphere of 0.46 µm; taken as log-normal about 0.5 µm;
- necks: 0.66 ± 0.37 µm long, 0.2 µm thick (Arellano et al., Front. Neurosci. 1:131, 2007);
  taken as log-normal about 0.6 µm;
- shafts: 0.8 to 1.2 µm thick, as spiny dendrites are; assumed.

The indicator fills them evenly: a map pixel holds what a column of cytosol above it does. Its
concentration is chosen for counts as in the paper's frames, above 5 photons a pixel in spines at
rest, and is given in molecules as bright as the indicator is at rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.twin.structures import (
    LABEL_SPREAD_M,
    FloatMap,
    curved_path,
    deposit,
    dyes_about,
)

FloatArray = npt.NDArray[np.float64]

CYTOSOL_PIXEL_SIZE_M = 40e-9  # fine enough for a neck of 0.2 µm in a confocal focus
SPINES_PER_M = 1.0e6
HEAD_DIAMETER_M, HEAD_SPREAD, HEAD_RANGE_M = 0.5e-6, 0.25, (0.3e-6, 0.9e-6)
NECK_LENGTH_M, NECK_SPREAD, NECK_RANGE_M = 0.6e-6, 0.45, (0.2e-6, 1.6e-6)
NECK_RADIUS_M = 0.1e-6
SHAFT_RADIUS_M = (0.4e-6, 0.6e-6)
# A spine leans by so much against the perpendicular of its dendrite, in rad: assumed.
LEAN = 0.35
# A shaft is cut into pieces of this length: each has its own thickness and Ca²⁺.
PIECE_M = 0.5e-6
# Spines nearer to the edge than this are left out: their surroundings could not be imaged.
EDGE_M = 1.0e-6
# Indicator molecules, as bright as EGFP, per m³ of cytosol: 13 µM. At rest GCaMP6s has a
# seventeenth of the brightness that it has with Ca²⁺; cells express tens to a hundred µM.
INDICATOR_PER_M3 = 8.0e21
# Cells express an indicator differently (standard deviation of the logarithm): assumed.
EXPRESSION_SPREAD = 0.15
NOTHING = -1


@dataclass(frozen=True)
class DendriticSpine:
    """One spine.

    Parameters
    ----------
    x_m, y_m : float
        Centre of its head, in m, 0 in the middle of the field.
    axis_x, axis_y : float
        Unit vector from the dendrite to the head.
    head_diameter_m, neck_length_m : float
        Sizes, in m.
    cell : int
        Number of its cell, from 0.
    """

    x_m: float
    y_m: float
    axis_x: float
    axis_y: float
    head_diameter_m: float
    neck_length_m: float
    cell: int


@dataclass(frozen=True, eq=False)
class Dendrites:
    """Dendrites of several cells, one each, on a square map of H × H pixels.

    Parameters
    ----------
    indicator : ndarray of float32, shape (H, H)
        Indicator molecules per map pixel.
    compartments : ndarray of int16, shape (H, H)
        What a pixel belongs to: the number of a spine, or that of a piece of a shaft plus the
        number of spines; -1 outside of all cells.
    pixel_size_m : float
        Side of a map pixel, in m.
    spines : tuple of DendriticSpine, length S
        In order along the dendrites, cell by cell.
    piece_x_m, piece_y_m : ndarray, shape (P,)
        Centres of the shafts' pieces, in m.
    piece_cell : ndarray of int, shape (P,)
        Their cells.
    cells : int
        Number of cells.
    """

    indicator: FloatMap
    compartments: npt.NDArray[np.int16]
    pixel_size_m: float
    spines: tuple[DendriticSpine, ...]
    piece_x_m: FloatArray
    piece_y_m: FloatArray
    piece_cell: npt.NDArray[np.int64]
    cells: int


class _Canvas:
    """Thickness of cytosol on a map, and to what it belongs; the thickest thing wins."""

    def __init__(self, pixels: int, pixel_size_m: float) -> None:
        self.thickness_m = np.zeros((pixels, pixels), np.float32)
        self.owner = np.full((pixels, pixels), NOTHING, np.int16)
        self._pixel_m = pixel_size_m
        self._half_m = pixels * pixel_size_m / 2

    def rod(
        self, start: tuple[float, float], end: tuple[float, float], radius_m: float, owner: int
    ) -> None:
        """Draw a round rod between two points, in m; a ball where they are the same."""
        (x0, y0), (x1, y1) = start, end
        rows, y = self._span(min(y0, y1) - radius_m, max(y0, y1) + radius_m)
        columns, x = self._span(min(x0, x1) - radius_m, max(x0, x1) + radius_m)
        if not (y.size and x.size):
            return
        dx, dy = x1 - x0, y1 - y0
        along = ((x - x0)[None, :] * dx + (y - y0)[:, None] * dy) / max(dx**2 + dy**2, 1e-30)
        along = np.clip(along, 0, 1)
        away2 = ((x - x0)[None, :] - along * dx) ** 2 + ((y - y0)[:, None] - along * dy) ** 2
        thick = 2 * np.sqrt(np.maximum(radius_m**2 - away2, 0)).astype(np.float32)
        mine = thick > self.thickness_m[rows, columns]
        self.thickness_m[rows, columns][mine] = thick[mine]
        self.owner[rows, columns][mine] = owner

    def _span(self, low_m: float, high_m: float) -> tuple[slice, FloatArray]:
        """Pixels between two positions, and where their centres are."""
        pixels = len(self.owner)
        first = max(math.floor((low_m + self._half_m) / self._pixel_m), 0)
        last = min(math.ceil((high_m + self._half_m) / self._pixel_m), pixels)
        index = np.arange(first, max(last, first), dtype=np.float64)
        centres: FloatArray = (index + 0.5) * self._pixel_m - self._half_m
        return slice(first, max(last, first)), centres


def make_dendrites(
    seed: int, field_m: float, cells: int, pixel_size_m: float = CYTOSOL_PIXEL_SIZE_M
) -> Dendrites:
    """Generate dendrites that cross the field, one above the other.

    Parameters
    ----------
    seed : int
        Same seed, same dendrites, bit for bit.
    field_m : float
        Side of the field, in m.
    cells : int
        How many dendrites, each of its own cell.
    pixel_size_m : float
        Side of a map pixel, in m.

    Raises
    ------
    ValueError
        When there is no cell, or a dendrite has less than 8 µm of the field for itself.
    """
    if cells < 1:
        raise ValueError(f"cells = {cells}: at least 1")
    if field_m / cells < 8e-6:
        raise ValueError(
            f"cells = {cells}: at most {math.floor(field_m / 8e-6)} in a field of "
            f"{field_m * 1e6:g} µm, 8 µm each"
        )
    canvas = _Canvas(round(field_m / pixel_size_m), pixel_size_m)
    rngs = [np.random.default_rng([seed, cell]) for cell in range(cells)]
    shafts = [_shaft(rng, cell, cells, field_m) for cell, rng in enumerate(rngs)]
    spines = [
        spine
        for cell, (rng, shaft) in enumerate(zip(rngs, shafts, strict=True))
        for spine in _spines(rng, shaft, cell, field_m)
    ]
    number = len(spines)
    for x, y, radius in shafts:
        for i in range(len(radius)):
            canvas.rod((x[i], y[i]), (x[i + 1], y[i + 1]), float(radius[i]), number)
            number += 1
    for i, spine in enumerate(spines):
        head = (spine.x_m, spine.y_m)
        radius_m = spine.head_diameter_m / 2
        back_m = radius_m + spine.neck_length_m
        foot = (head[0] - back_m * spine.axis_x, head[1] - back_m * spine.axis_y)
        canvas.rod(foot, head, NECK_RADIUS_M, i)
        canvas.rod(head, head, radius_m, i)
    expression = [rng.lognormal(0.0, EXPRESSION_SPREAD) for rng in rngs]
    cell_of = np.array(
        [s.cell for s in spines]
        + [cell for cell, (_, _, radius) in enumerate(shafts) for _ in radius]
    )
    # The last entry is what no cell owns, index -1.
    level = np.append(np.array(expression)[cell_of], 0.0).astype(np.float32)
    per_thickness = np.float32(INDICATOR_PER_M3 * pixel_size_m**2)
    return Dendrites(
        indicator=canvas.thickness_m * level[canvas.owner] * per_thickness,
        compartments=canvas.owner,
        pixel_size_m=pixel_size_m,
        spines=tuple(spines),
        piece_x_m=np.concatenate([(x[1:] + x[:-1]) / 2 for x, _, _ in shafts]),
        piece_y_m=np.concatenate([(y[1:] + y[:-1]) / 2 for _, y, _ in shafts]),
        piece_cell=cell_of[len(spines) :],
        cells=cells,
    )


def make_receptors(dendrites: Dendrites, seed: int, pixels: int, pixel_size_m: float) -> FloatMap:
    """Label receptors in the spines' heads: one to four nanodomains each, as `synapses` has them.

    Parameters
    ----------
    dendrites : Dendrites
        Where the spines are.
    seed : int
        Of the nanodomains and fluorophores.
    pixels : int
        Side of the map, in pixels.
    pixel_size_m : float
        Side of a map pixel, in m.

    Returns
    -------
    ndarray of float32, shape (pixels, pixels)
        Fluorophores per map pixel.
    """
    rng = np.random.default_rng(seed)
    density = np.zeros((pixels, pixels), np.float32)
    heads = np.array([(s.x_m, s.y_m) for s in dendrites.spines]).reshape(-1, 2).T
    domains = dyes_about(rng, (heads[0], heads[1]), 2.0, 90e-9)
    deposit(density, dyes_about(rng, domains, 90.0, 35e-9), pixel_size_m)
    # Receptors outside of synapses, and antibodies that stick anywhere: 3 per µm², as elsewhere.
    half = pixels * pixel_size_m / 2
    x, y = rng.uniform(-half, half, (2, rng.poisson(3e12 * (2 * half) ** 2)))
    deposit(density, dyes_about(rng, (x, y), 3.0, LABEL_SPREAD_M), pixel_size_m)
    return density


# x and y of the points along a shaft, in m, and the radius of each piece between them.
_Shaft = tuple[FloatArray, FloatArray, FloatArray]


def _shaft(rng: np.random.Generator, cell: int, cells: int, field_m: float) -> _Shaft:
    """One dendrite that crosses the field from left to right in its own strip of it."""
    path = curved_path(rng, field_m, PIECE_M, bend_per_m=0.06e6)
    # Turned so that it runs along x on the whole, put into the middle of its strip.
    middle = len(path.x_m) // 2
    turn = rng.normal(0.0, 0.1) - math.atan2(path.y_m[-1] - path.y_m[0], path.x_m[-1] - path.x_m[0])
    cos, sin = math.cos(turn), math.sin(turn)
    x, y = path.x_m - path.x_m[middle], path.y_m - path.y_m[middle]
    x, y = cos * x - sin * y, sin * x + cos * y
    strip_m = field_m / cells
    y += (cell + 0.5) * strip_m - field_m / 2 + rng.normal(0.0, 0.05) * strip_m
    inside = (np.abs(x) < field_m / 2) & (np.abs(y) < field_m / 2)
    x, y = x[inside], y[inside]
    # The thickness changes over some 3 µm, and from cell to cell.
    waves = np.sin(np.cumsum(rng.normal(0.0, 0.4, max(len(x) - 1, 0))))
    low, high = SHAFT_RADIUS_M
    mean = rng.uniform(low + 0.05e-6, high - 0.05e-6)
    return x, y, np.clip(mean + 0.05e-6 * waves, low, high)


def _spines(
    rng: np.random.Generator, shaft: _Shaft, cell: int, field_m: float
) -> list[DendriticSpine]:
    """Spines of one dendrite, in order along it, on either side."""
    x, y, radius = shaft
    spines = []
    limit = field_m / 2 - EDGE_M
    for i in np.repeat(np.arange(len(radius)), rng.poisson(SPINES_PER_M * PIECE_M, len(radius))):
        share = rng.uniform()
        side = rng.choice((-1.0, 1.0))
        heading = math.atan2(y[i + 1] - y[i], x[i + 1] - x[i])
        angle = heading + side * math.pi / 2 + np.clip(rng.normal(0.0, LEAN), -1.0, 1.0)
        head = np.clip(rng.lognormal(math.log(HEAD_DIAMETER_M), HEAD_SPREAD), *HEAD_RANGE_M)
        neck = np.clip(rng.lognormal(math.log(NECK_LENGTH_M), NECK_SPREAD), *NECK_RANGE_M)
        away = radius[i] + neck + head / 2
        axis = (math.cos(angle), math.sin(angle))
        at = (
            x[i] + share * (x[i + 1] - x[i]) + away * axis[0],
            y[i] + share * (y[i + 1] - y[i]) + away * axis[1],
        )
        if max(abs(at[0]), abs(at[1])) < limit:
            spines.append(
                DendriticSpine(float(at[0]), float(at[1]), *axis, float(head), float(neck), cell)
            )
    return spines
