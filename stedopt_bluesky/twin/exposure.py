"""What one frame asks for, and the microscope's constants: plain data of the photophysics."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from stedopt_bluesky.twin.rescue import RescueRule

# Time in which the scanner returns to the start of a line, in s: assumed, as for galvanometers.
LINE_FLYBACK_S = 0.2e-3

# The largest scan: int16 counts of 8192² pixels are 128 MiB.
MAX_SCAN_PIXELS = 8192

# What a beam-scanning microscope could at all be asked for; keeps every sum finite.
_EXPOSURE_LIMITS = (
    ("x_m", -1.0, 1.0),
    ("y_m", -1.0, 1.0),
    ("pixel_size_m", 1e-10, 1e-3),
    ("dwelltime_s", 1e-9, 10.0),
    ("line_steps", 1, 1000),
    ("excitation_W", 0.0, 10.0),
    ("depletion_W", 0.0, 10.0),
)


@dataclass(frozen=True)
class Exposure:
    """One frame of one scan.

    Parameters
    ----------
    x_m, y_m : float
        Centre of the scanned field in the sample's coordinates, in m (0 = sample's centre).
    pixel_size_m : float
        Side of a pixel, in m.
    shape : tuple of int
        Pixels (ny, nx).
    dwelltime_s : float
        Time on a pixel, per pass, in s.
    line_steps : int
        Passes over each line; their counts add up.
    excitation_W, depletion_W : float
        Average powers at the back aperture, in W.
    rescue : RescueRule, optional
        When a pixel is left before its time is over; none: never.

    Raises
    ------
    ValueError
        When a number is not finite or not in its range; the message names it.
    """

    x_m: float
    y_m: float
    pixel_size_m: float
    shape: tuple[int, int]
    dwelltime_s: float
    line_steps: int
    excitation_W: float
    depletion_W: float
    rescue: RescueRule | None = None

    def __post_init__(self) -> None:
        for name, low, high in _EXPOSURE_LIMITS:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be {low:g} … {high:g}, got {value}")
        if len(self.shape) != 2 or not all(1 <= n <= MAX_SCAN_PIXELS for n in self.shape):
            raise ValueError(f"shape must be two numbers 1 … {MAX_SCAN_PIXELS}, got {self.shape}")

    @property
    def time_on_pixel_s(self) -> float:
        """Time on a pixel in all passes together, in s."""
        return self.dwelltime_s * self.line_steps


@dataclass(frozen=True)
class Optics:
    """Microscope constants. Defaults: ×100 1.4 NA oil, 640/775 nm, one APD at 685/70 nm.

    Parameters
    ----------
    confocal_fwhm_m : float
        FWHM of the effective focus without depletion, in m. pySTED: 220 nm.
    pedestal : float
        Share of the peak that stays in a confocal-wide pedestal under depletion. Assumed,
        small: pySTED's doughnut leaves next to none.
    zero_residual : float
        Depletion left in the doughnut's centre, per depletion saturation power: the centre
        fades as ``exp(-zero_residual·P_dep/P_sat)``. pySTED, zero of 0.5 % of the crest: 0.0061.
    repetition_rate_Hz : float
        Laser pulses per second (Abberior Expert Line: 40 MHz).
    detection_efficiency : float
        Counted per emitted photons: collection, filters, pinhole, gate and APD. Assumed.
    dark_rate_per_s, background_rate_per_s : float
        Counts per second of the closed detector, and of room light with lasers off.
    scatter_excitation_per_J, scatter_depletion_per_J : float
        Counts per joule of excitation and depletion light: scattering, autofluorescence,
        anti-Stokes excitation. Assumed: 8 000/s at 10 µW and 22 500/s at 150 mW.
    saturation_rate_per_s : float
        Highest count rate of the APD, one over its dead time (about 25 ns).

    Raises
    ------
    ValueError
        When a number is not finite or not in its range.
    """

    confocal_fwhm_m: float = 220e-9
    pedestal: float = 0.005
    zero_residual: float = 0.0061
    repetition_rate_Hz: float = 40e6
    detection_efficiency: float = 0.01
    dark_rate_per_s: float = 500.0
    background_rate_per_s: float = 1500.0
    scatter_excitation_per_J: float = 8e8
    scatter_depletion_per_J: float = 1.5e5
    saturation_rate_per_s: float = 40e6

    def __post_init__(self) -> None:
        for constant in fields(self):
            value = getattr(self, constant.name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{constant.name} must be finite and not negative, got {value}")
        for name in ("confocal_fwhm_m", "saturation_rate_per_s"):
            if getattr(self, name) == 0:
                raise ValueError(f"{name} must be above 0")
        for name in ("pedestal", "detection_efficiency"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name} must be at most 1, got {getattr(self, name)}")


def scan_time_s(exposure: Exposure) -> float:
    """Time for the frame, in s: pixels, passes and a flyback after each pass of a line."""
    ny, nx = exposure.shape
    return ny * exposure.line_steps * (nx * exposure.dwelltime_s + LINE_FLYBACK_S)
