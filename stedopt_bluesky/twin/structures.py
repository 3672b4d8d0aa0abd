"""Generators of biological structure: where the fluorophores of a sample sit.

Each generator throws fluorophores one by one (labelling is a point process, and its
graininess is what STED shows) and counts them per map pixel. Sizes are the biology's:

- F-actin rings every 180-190 nm along axons (Xu, Zhong & Zhuang, Science 339:452, 2013);
- microtubules of 25 nm, about 60 nm wide with two antibodies (Weber et al., PNAS 75:1820, 1978);
- PSD95 in 1-4 nanodomains of about 80 nm per synapse (Nair et al., J. Neurosci. 33:13204, 2013);
- nuclear pores: eight corners on a ring of 107 nm (Thevathasan et al., Nat. Methods 16:1045, 2019).

Numbers of structures per area and of fluorophores per structure are chosen for the look and
the counts of real STED images; they are assumptions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

FloatArray = npt.NDArray[np.float64]
FloatMap = npt.NDArray[np.float32]

Points = tuple[FloatArray, FloatArray]  # x and y, in m

BEND_LENGTH_M = 2e-6  # length over which the curvature of a line changes: assumed
LABEL_SPREAD_M = 12e-9  # standard deviation of a dye about its target: size of the label


@dataclass(frozen=True)
class Path:
    """A smoothly curved line, sampled at a fixed step; all arrays have shape (steps,).

    Parameters
    ----------
    x_m, y_m : ndarray
        Positions, in m, 0 in the middle of the field.
    heading : ndarray
        Direction, in rad.
    """

    x_m: FloatArray
    y_m: FloatArray
    heading: FloatArray

    def within(self, field_m: float, margin_m: float) -> Path:
        """Part of the line that lies in the field or within a margin of it."""
        limit = field_m / 2 + margin_m
        near = (np.abs(self.x_m) < limit) & (np.abs(self.y_m) < limit)
        return Path(self.x_m[near], self.y_m[near], self.heading[near])

    def beside(self, along_m: FloatArray, across_m: FloatArray) -> Points:
        """Positions at given distances along and across the line at each of its points."""
        cos, sin = np.cos(self.heading), np.sin(self.heading)
        x = self.x_m + along_m * cos - across_m * sin
        return x, self.y_m + along_m * sin + across_m * cos

    def repeated(self, times: npt.NDArray[np.int64]) -> Path:
        """Line with every point repeated a given number of times."""
        return Path(*(np.repeat(values, times) for values in (self.x_m, self.y_m, self.heading)))


def curved_path(rng: np.random.Generator, field_m: float, step_m: float, bend_per_m: float) -> Path:
    """Line through a random point of the field, long enough to cross it.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    field_m : float
        Side of the field, in m.
    step_m : float
        Distance between the line's points, in m.
    bend_per_m : float
        Standard deviation of the curvature, in rad per m.
    """
    half = math.ceil(0.75 * field_m / step_m)
    smooth = BEND_LENGTH_M / step_m
    curvature = gaussian_filter1d(rng.standard_normal(2 * half + 1), smooth, mode="wrap")
    # A Gaussian mean of white noise has the standard deviation (2σ√π)^(-1/2).
    curvature *= bend_per_m * math.sqrt(2 * smooth * math.sqrt(math.pi))
    heading = np.cumsum(curvature * step_m)
    heading += rng.uniform(0, 2 * math.pi) - heading[half]
    x, y = np.cumsum(np.cos(heading) * step_m), np.cumsum(np.sin(heading) * step_m)
    start_x, start_y = rng.uniform(-field_m / 2, field_m / 2, 2)
    return Path(x + (start_x - x[half]), y + (start_y - y[half]), heading)


def deposit(density: FloatMap, points: Points, pixel_size_m: float) -> None:
    """Add points to the square map that counts them; points outside are dropped."""
    pixels = len(density)
    x, y = points
    column = np.floor(x / pixel_size_m + pixels / 2).astype(np.int64)
    row = np.floor(y / pixel_size_m + pixels / 2).astype(np.int64)
    inside = (column >= 0) & (column < pixels) & (row >= 0) & (row < pixels)
    np.add.at(density, (row[inside], column[inside]), np.float32(1))


def dyes_about(rng: np.random.Generator, sites: Points, mean: float, spread_m: float) -> Points:
    """Fluorophores about their sites: a geometric number with the mean given, normal spread."""
    x, y = sites
    number = rng.geometric(1 / mean, x.size)
    x, y = np.repeat(x, number), np.repeat(y, number)
    return x + spread_m * rng.standard_normal(x.size), y + spread_m * rng.standard_normal(y.size)


def _number_of_lines(field_m: float, length_per_area_per_m: float) -> int:
    """Lines that give a length per area; about 0.9 field sides of each lie in the field."""
    return max(1, round(length_per_area_per_m * field_m / 0.9))


def _empty(rng: np.random.Generator, pixels: int, pixel_size_m: float) -> FloatMap:
    """Map with nothing but antibodies that stick anywhere: 3 per µm², 3 dyes each."""
    density = np.zeros((pixels, pixels), np.float32)
    half = pixels * pixel_size_m / 2
    x, y = rng.uniform(-half, half, (2, rng.poisson(3e12 * (2 * half) ** 2)))
    deposit(density, dyes_about(rng, (x, y), 3.0, LABEL_SPREAD_M), pixel_size_m)
    return density


def actin(rng: np.random.Generator, pixels: int, pixel_size_m: float) -> FloatMap:
    """Axons with F-actin rings every 180-190 nm, seen from above, shape (pixels, pixels)."""
    field = pixels * pixel_size_m
    density = _empty(rng, pixels, pixel_size_m)
    for _ in range(_number_of_lines(field, 0.45e6)):
        period = rng.uniform(182e-9, 188e-9)
        rings = curved_path(rng, field, period, bend_per_m=0.15e6)
        sites = _axon_sites(rng, rings.within(field, 1e-6), period)
        deposit(density, dyes_about(rng, sites, 10.0, LABEL_SPREAD_M), pixel_size_m)
        # Actin patches: one site in 500 is a bright blob of 100-150 nm.
        chosen = rng.uniform(size=sites[0].size) < 1 / 500
        patches = (sites[0][chosen], sites[1][chosen])
        deposit(density, dyes_about(rng, patches, 200.0, 50e-9), pixel_size_m)
    return density


def _axon_sites(rng: np.random.Generator, rings: Path, period_m: float) -> Points:
    """Labelled actin of one axon, given its rings: a bar of 2R each, denser at its ends.

    Axons differ in width, in brightness and in the share of their actin that is periodic.
    """
    if not rings.x_m.size:
        return rings.x_m, rings.y_m
    # The width changes over some six rings, about 1 µm.
    swelling = gaussian_filter1d(rng.standard_normal(rings.x_m.size), 6.0, mode="wrap")
    radius = rng.lognormal(math.log(0.2e-6), 0.45) * np.exp(1.2 * swelling)
    radius = np.clip(radius, 0.06e-6, 0.6e-6)
    # The label follows the ring's circumference: one bundle every 65 nm or so.
    number = rng.poisson(rng.uniform(0.6, 1.4) * 2 * math.pi * radius / 65e-9)
    total = int(number.sum())
    across = np.repeat(radius, number) * np.cos(rng.uniform(0, 2 * math.pi, total))
    in_ring = rng.uniform(size=total) < rng.uniform(0.6, 0.9)
    along = np.where(
        in_ring, 15e-9 * rng.standard_normal(total), period_m * rng.uniform(-0.5, 0.5, total)
    )
    return rings.repeated(number).beside(along, across)


def tubulin(rng: np.random.Generator, pixels: int, pixel_size_m: float) -> FloatMap:
    """Microtubules: a mesh of long thin filaments, shape (pixels, pixels)."""
    field = pixels * pixel_size_m
    density = _empty(rng, pixels, pixel_size_m)
    for _ in range(_number_of_lines(field, 2.0e6)):
        sites = curved_path(rng, field, 40e-9, bend_per_m=0.07e6).within(field, 0.1e-6)
        # 22 nm: a filament with two layers of antibodies is some 60 nm wide.
        dyes = dyes_about(rng, (sites.x_m, sites.y_m), 9.0, 22e-9)
        deposit(density, dyes, pixel_size_m)
    return density


def synapses(rng: np.random.Generator, pixels: int, pixel_size_m: float) -> FloatMap:
    """PSD95-like puncta of one to four nanodomains along dendrites, shape (pixels, pixels)."""
    field = pixels * pixel_size_m
    density = _empty(rng, pixels, pixel_size_m)
    for _ in range(_number_of_lines(field, 0.25e6)):
        # One synapse per µm of dendrite, on a spine 0.3-1.2 µm to either side of the shaft.
        spines = curved_path(rng, field, 1e-6, bend_per_m=0.1e6).within(field, 1.5e-6)
        number = spines.x_m.size
        side = rng.choice((-1.0, 1.0), number) * rng.uniform(0.3e-6, 1.2e-6, number)
        x, y = spines.beside(rng.uniform(-0.5e-6, 0.5e-6, number), side)
        # Nanodomains lie within the 200-400 nm of a postsynaptic density.
        domains = dyes_about(rng, (x, y), 2.0, 90e-9)
        deposit(density, dyes_about(rng, domains, 90.0, 35e-9), pixel_size_m)
    return density


def pores(rng: np.random.Generator, pixels: int, pixel_size_m: float) -> FloatMap:
    """Nuclear pores on nuclei of 10 µm, seen from above, shape (pixels, pixels).

    No shipped quality network was trained on them: the structure on which those are tested.
    """
    half = pixels * pixel_size_m / 2
    density = _empty(rng, pixels, pixel_size_m)
    # A nucleus on every (15 µm)², 6 pores per µm² on each: assumed.
    nuclei = rng.uniform(-half, half, (2, max(1, rng.poisson((2 * half / 15e-6) ** 2))))
    for x, y in nuclei.T:
        number = rng.poisson(6e12 * math.pi * 5e-6**2)
        angle, distance = (
            rng.uniform(0, 2 * math.pi, number),
            5e-6 * np.sqrt(rng.uniform(size=number)),
        )
        turn = rng.uniform(0, 2 * math.pi, (number, 1)) + np.arange(8) * math.pi / 4
        corner_x = (x + distance * np.cos(angle))[:, None] + 53.5e-9 * np.cos(turn)
        corner_y = (y + distance * np.sin(angle))[:, None] + 53.5e-9 * np.sin(turn)
        labelled = rng.uniform(size=turn.shape) < 0.7  # labels miss some corners: usual
        sites = (corner_x[labelled], corner_y[labelled])
        deposit(density, dyes_about(rng, sites, 12.0, LABEL_SPREAD_M), pixel_size_m)
    return density
