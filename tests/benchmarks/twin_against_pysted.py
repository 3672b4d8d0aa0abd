"""The twin's closed forms against the published simulator pySTED, curve by curve.

Both image the same objects with the same powers in the same run: a point for the FWHM, one
molecule for the brightness, an even field of molecules for the photobleaching. pySTED has
the dye of its authors' gym-sted at 640/775 nm; the twin has its ATTO647N, whose
photobleaching was fitted to that dye, and the detection efficiency that pySTED's own
parameters amount to. Needs the extra ``pysted``.

Run ``python -m tests.benchmarks.twin_against_pysted --out DIR``.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.twin.fluorophores import FLUOROPHORES
from stedopt_bluesky.twin.photophysics import (
    Exposure,
    Optics,
    expose,
    molecular_rate_per_s,
)
from stedopt_bluesky.twin.samples import Sample

FloatArray = npt.NDArray[np.float64]

PIXEL_SIZE_M = 20e-9
FINE_PIXEL_SIZE_M = 10e-9  # for widths down to 50 nm
DWELLTIME_S = 10e-6
DYE = FLUOROPHORES["ATTO647N"]

# pySTED's side: gym-sted's far-red dye and detector, at the wavelengths of an Abberior Expert Line.
EXCITATION_M, DEPLETION_M, EMISSION_M = 640e-9, 775e-9, 690e-9
LIFETIME_S, GATE_DELAY_S, GATE_WIDTH_S = 3.5e-9, 750e-12, 8e-9
TRANSMISSION, COLLECTED, DETECTED = 0.85, 0.1, 0.5

DEPLETION_mW = np.array([0.0, 10, 25, 50, 75, 100, 150, 200, 250, 300])
EXCITATION_uW = np.array([0.65, 2.0, 5.0, 10.0, 15.0, 20.0, 26.8])


@dataclass(frozen=True)
class Curve:
    """One quantity by one power, on both simulators.

    Parameters
    ----------
    title, axis, quantity : str
        Titles of the figure and of its axes.
    power, twin, pysted : ndarray, shape (n,)
        Power and values.
    relative : bool
        Deviations relative to pySTED's value, or as a plain difference.
    """

    title: str
    axis: str
    quantity: str
    power: FloatArray
    twin: FloatArray
    pysted: FloatArray
    relative: bool = True

    def deviation(self) -> FloatArray:
        """Deviation of the twin from pySTED at every power, shape (n,)."""
        difference = self.twin - self.pysted
        return difference / self.pysted if self.relative else difference


def pysted_microscope() -> Any:
    """pySTED's microscope; no caching on disk, and every power must be a float."""
    from pysted import base

    nm = [round(wavelength * 1e9) for wavelength in (EXCITATION_M, EMISSION_M, DEPLETION_M)]
    dye = base.Fluorescence(
        EMISSION_M,
        qy=DYE.quantum_yield,
        sigma_abs={nm[0]: 2.14e-20, nm[2]: 3.5e-25},
        sigma_ste={nm[2]: 3.0e-22},
        tau=LIFETIME_S,
        tau_vib=1e-12,
        tau_tri=1.2e-6,
        k0=0,
        k1=1.3e-15,
        b=1.6,
        triplet_dynamic_frac=0,  # the key that pySTED reads, other than its documentation
    )
    return base.Microscope(
        base.GaussianBeam(EXCITATION_M),
        base.DonutBeam(DEPLETION_M, zero_residual=0.005, anti_stoke=False),
        base.Detector(
            noise=True,
            det_delay=GATE_DELAY_S,
            det_width=GATE_WIDTH_S,
            pcef=COLLECTED,
            pdef=DETECTED,
        ),
        # pySTED looks wavelengths up after truncating to whole nm, where 690e-9 becomes 689.
        base.Objective(transmission={int(n): TRANSMISSION for m in nm for n in (m - 1, m)}),
        dye,
    )


def twin_optics() -> Optics:
    """Twin's optics with pySTED's detection: collection, gate, and no background."""
    pulse_s = 1 / Optics().repetition_rate_Hz
    seen = math.exp(-GATE_DELAY_S / LIFETIME_S) - math.exp(
        -(GATE_DELAY_S + GATE_WIDTH_S) / LIFETIME_S
    )
    gate = seen / (1 - math.exp(-pulse_s / LIFETIME_S))
    # pySTED turns excitations into watts with depletion photons and back with emitted ones.
    photons = EMISSION_M / DEPLETION_M
    return dataclasses.replace(
        Optics(),
        detection_efficiency=COLLECTED * DETECTED * TRANSMISSION * gate * photons,
        saturation_rate_per_s=1e15,  # pySTED's detector has no dead time
        dark_rate_per_s=0.0,
        background_rate_per_s=0.0,
        scatter_excitation_per_J=0.0,
        scatter_depletion_per_J=0.0,
    )


def width_m(profile: FloatArray, pixel_size_m: float) -> float:
    """Full width at half maximum by linear interpolation, in m."""
    half = profile.max() / 2
    above = np.flatnonzero(profile >= half)
    first, last = above[0], above[-1]
    left = first - (profile[first] - half) / (profile[first] - profile[first - 1])
    right = last + (profile[last] - half) / (profile[last] - profile[last + 1])
    return float((right - left) * pixel_size_m)


def fwhm_curve(microscope: Any, optics: Optics) -> Curve:
    """Width of a point's image against depletion power: a bright, unbleached point."""
    density = np.zeros((129, 129), np.float32)
    density[64, 64] = 2e3  # some 25 000 counts in the centre, below the largest int16
    bleachless = dataclasses.replace(
        DYE, bleaching_excitation_per_s=0.0, bleaching_depletion_per_s=0.0
    )
    rng = np.random.default_rng(0)
    twin, reference = [], []
    for power_mW in DEPLETION_mW:
        focus = microscope.get_effective(FINE_PIXEL_SIZE_M, 5e-6, float(power_mW) / 1e3)
        reference.append(width_m(focus[len(focus) // 2], FINE_PIXEL_SIZE_M))
        plan = _exposure(power_mW / 1e3, 5e-6, 65, FINE_PIXEL_SIZE_M, 20 * DWELLTIME_S)
        sample = Sample("point", "one point", density, FINE_PIXEL_SIZE_M)
        image = expose(sample, plan, bleachless, optics, rng).astype(float)
        twin.append(width_m(image[32], FINE_PIXEL_SIZE_M))
    return Curve(
        "Effective resolution",
        "depletion power (mW)",
        "FWHM (nm)",
        DEPLETION_mW,
        1e9 * np.array(twin),
        1e9 * np.array(reference),
    )


def brightness_curve(microscope: Any, optics: Optics, depletion_W: float) -> Curve:
    """Detected photons per second from one molecule in the centre against excitation power."""
    from scipy.constants import c, h

    per_watt = COLLECTED * DETECTED * EMISSION_M / (h * c)
    reference = [
        microscope.get_effective(PIXEL_SIZE_M, float(p) * 1e-6, depletion_W).max() * per_watt
        for p in EXCITATION_uW
    ]
    twin = [molecular_rate_per_s(p * 1e-6, depletion_W, DYE, optics) for p in EXCITATION_uW]
    return Curve(
        f"Brightness at {1e3 * depletion_W:.0f} mW of depletion",
        "excitation power (µW)",
        "counts per ms and molecule",
        EXCITATION_uW,
        np.array(twin) / 1e3,
        np.array(reference) / 1e3,
    )


def bleaching_curve(
    microscope: Any, optics: Optics, excitation_W: FloatArray, depletion_W: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Photobleached share of an even field after one image, on the twin and on pySTED.

    The photobleaching of one run of pySTED is random per molecule: 20 per pixel on 32²
    pixels leave a standard error of 0.004 at most.
    """
    from pysted import base

    molecules, pixels = 20, 64
    middle = slice(pixels // 2 - 16, pixels // 2 + 16)
    focus = microscope.cache(PIXEL_SIZE_M)[0]
    twin, reference = [], []
    for seed, (excitation, depletion) in enumerate(zip(excitation_W, depletion_W, strict=True)):
        datamap = base.Datamap(np.full((pixels, pixels), molecules), PIXEL_SIZE_M)
        datamap.set_roi(focus, "max")
        _, left, _ = microscope.get_signal_and_bleach(
            datamap,
            PIXEL_SIZE_M,
            DWELLTIME_S,
            float(excitation),
            float(depletion),
            bleach=True,
            update=False,
            seed=seed + 1,  # without a seed every run bleaches alike
        )
        offset = (left["base"].shape[0] - pixels) // 2
        field = left["base"][offset : offset + pixels, offset : offset + pixels]
        reference.append(1 - field[middle, middle].mean() / molecules)
        sample = Sample("even", "even", np.ones((pixels, pixels), np.float32), PIXEL_SIZE_M)
        plan = _exposure(depletion, excitation, pixels, PIXEL_SIZE_M, DWELLTIME_S)
        expose(sample, plan, DYE, optics, np.random.default_rng(0))
        twin.append(1 - float(sample.survival[middle, middle].mean()))
    return np.array(twin), np.array(reference)


def _exposure(
    depletion_W: float, excitation_W: float, pixels: int, pixel_size_m: float, dwelltime_s: float
) -> Exposure:
    """Square scan around the sample's centre."""
    return Exposure(
        x_m=0.0,
        y_m=0.0,
        pixel_size_m=pixel_size_m,
        shape=(pixels, pixels),
        dwelltime_s=dwelltime_s,
        line_steps=1,
        excitation_W=excitation_W,
        depletion_W=depletion_W,
    )


def all_curves(microscope: Any, optics: Optics) -> list[Curve]:
    """Every comparison."""
    by_depletion = bleaching_curve(
        microscope, optics, np.full(DEPLETION_mW.shape, 5e-6), DEPLETION_mW / 1e3
    )
    by_excitation = bleaching_curve(
        microscope, optics, EXCITATION_uW * 1e-6, np.full(EXCITATION_uW.shape, 0.15)
    )
    bleached = "photobleached share"
    return [
        fwhm_curve(microscope, optics),
        brightness_curve(microscope, optics, 0.0),
        brightness_curve(microscope, optics, 0.15),
        Curve(
            "Photobleaching at 5 µW, 10 µs",
            "depletion power (mW)",
            bleached,
            DEPLETION_mW,
            *by_depletion,
            relative=False,
        ),
        Curve(
            "Photobleaching at 150 mW, 10 µs",
            "excitation power (µW)",
            bleached,
            EXCITATION_uW,
            *by_excitation,
            relative=False,
        ),
    ]


def seconds_per_image(microscope: Any, optics: Optics, pixels: int) -> tuple[float, float]:
    """Time for one STED image with photobleaching, on the twin and on pySTED, in s."""
    from pysted import base

    datamap = base.Datamap(np.ones((pixels, pixels), int), PIXEL_SIZE_M)
    datamap.set_roi(microscope.cache(PIXEL_SIZE_M)[0], "max")
    sample = Sample("even", "even", np.ones((pixels, pixels), np.float32), PIXEL_SIZE_M)
    plan = _exposure(0.15, 5e-6, pixels, PIXEL_SIZE_M, DWELLTIME_S)

    def timed(action: Callable[[], object]) -> float:
        start = time.perf_counter()
        action()
        return time.perf_counter() - start

    twin = min(
        timed(lambda: expose(sample, plan, DYE, optics, np.random.default_rng(0))) for _ in range(5)
    )
    reference = timed(
        lambda: microscope.get_signal_and_bleach(
            datamap, PIXEL_SIZE_M, DWELLTIME_S, 5e-6, 0.15, bleach=True, update=False, seed=1
        )
    )
    return twin, reference


def draw(curves: list[Curve], path: Path) -> None:
    """Figure of all curves side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(curves), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, curve in zip(figure.subplots(1, len(curves)), curves, strict=True):
        axes.plot(curve.power, curve.pysted, "o", color="0.35", label="pySTED 0.0.4")
        axes.plot(curve.power, curve.twin, "-", color="tab:red", label="twin")
        axes.set(title=curve.title, xlabel=curve.axis, ylabel=curve.quantity, ylim=(0, None))
        axes.title.set_fontsize("medium")
        axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def table(curves: list[Curve]) -> str:
    """Markdown table of the largest deviation of each curve, and where it is."""
    rows = [
        "| curve | quantity | largest deviation | where | twin | pySTED |",
        "|---|---|---|---|---|---|",
    ]
    for curve in curves:
        deviation = curve.deviation()
        i = int(np.argmax(np.abs(deviation)))
        shown = f"{100 * deviation[i]:+.1f} %" if curve.relative else f"{deviation[i]:+.3f}"
        rows.append(
            f"| {curve.title} | {curve.quantity} | {shown} | {curve.axis} {curve.power[i]:g} "
            f"| {curve.twin[i]:.3g} | {curve.pysted[i]:.3g} |"
        )
    return "\n".join(rows)


def main(out_dir: Path) -> list[Curve]:
    """Compare, print the table, write ``twin_against_pysted.png``; return the curves."""
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    microscope, optics = pysted_microscope(), twin_optics()
    curves = all_curves(microscope, optics)
    print(table(curves))
    twin, reference = seconds_per_image(microscope, optics, 96)
    print(f"\none 96×96 STED image: twin {1e3 * twin:.1f} ms, pySTED {1e3 * reference:.0f} ms")
    draw(curves, out_dir / "twin_against_pysted.png")
    return curves


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the figure")
    main(parser.parse_args().out)
