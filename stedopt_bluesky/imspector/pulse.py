"""Lasers that may only give a pulse: one pixel, not for long, in a configuration of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stedopt_bluesky.imspector import paths
from stedopt_bluesky.imspector.api import Configuration
from stedopt_bluesky.imspector.paths import Layout


@dataclass(frozen=True)
class PulseRule:
    """When a laser may be on at all.

    Parameters
    ----------
    laser : int
        Its number.
    configuration : str
        Name of the only configuration in which it may be on.
    longest_s : float
        Longest time that it may be on in one scan, s.
    energy_limit_uJ : float
        Most energy of one scan, µJ.
    to_power_uW : callable
        From the percentage of the calibrated power to the power, µW.

    Raises
    ------
    ValueError
        When the time is not positive and finite, or the name is empty.
    """

    laser: int
    configuration: str
    longest_s: float
    energy_limit_uJ: float = math.inf
    to_power_uW: Callable[[float], float] = float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.longest_s) and self.longest_s > 0):
            raise ValueError(
                f"laser {self.laser}: longest pulse = {self.longest_s} s: above 0, finite"
            )
        if not self.configuration:
            raise ValueError(f"laser {self.laser}: the name of its configuration is empty")

    def why_not(
        self,
        configuration: Configuration,
        lists: Sequence[tuple[str, list[dict[str, Any]]]],
        layout: Layout,
    ) -> str:
        """Say why a scan with this laser on must not begin; ``""``: it may, or it is off.

        Parameters
        ----------
        configuration : Configuration
            What would be scanned.
        lists : sequence of (path, lasers)
            All its lists of lasers.
        layout : Layout
            Of its parameters.
        """
        on = [at for at, lasers in lists if _is_on(lasers, self.laser)]
        if not on:
            return ""
        which = f"laser {self.laser} is on ({on[0]})"
        if configuration.name() != self.configuration:
            return f"{which} in {configuration.name()!r}, it may only be in {self.configuration!r}"
        for at, lasers in lists:
            for number in range(len(lasers)):
                if number != self.laser and _is_on(lasers, number):
                    return f"{which} together with laser {number} ({at}): alone is allowed"
        percent = max(lasers[self.laser]["power"]["calibrated"] for at, lasers in lists if at in on)
        reasons = (
            self._too_wide(configuration, layout),
            self._too_much(configuration, layout, percent),
        )
        return next((f"{which} {reason}" for reason in reasons if reason), "")

    @staticmethod
    def _too_wide(configuration: Configuration, layout: Layout) -> str:
        pixels = [
            int(configuration.parameters(layout.path("pixels", axis=axis))) for axis in ("x", "y")
        ]
        if pixels != [1, 1]:
            return f"for {pixels[0]} × {pixels[1]} pixels: one pixel is allowed"
        axes = list(configuration.parameters(layout.path("scan_axes")))
        if axes != paths.XY_SCAN_AXES:
            return f"along {', '.join(map(str, axes))}: one pixel in the plane is allowed"
        return ""

    def _too_much(self, configuration: Configuration, layout: Layout, percent: float) -> str:
        pulse_s = _time_on_pixel_s(configuration, layout)
        # A billionth: what a sum of floats may be off by.
        if not pulse_s <= self.longest_s * (1 + 1e-9):
            return f"for {pulse_s:.3g} s: at most {self.longest_s:.3g} s is allowed"
        try:
            energy_uJ = self.to_power_uW(percent) * pulse_s
        except ValueError as error:  # a power that was not measured
            return f"with {percent:g} %: {error}"
        if not energy_uJ <= self.energy_limit_uJ * (1 + 1e-9):
            return f"with {energy_uJ:.3g} µJ: at most {self.energy_limit_uJ:.3g} µJ is allowed"
        return ""


def _is_on(lasers: list[dict[str, Any]], number: int) -> bool:
    if number >= len(lasers):
        return False
    laser = lasers[number]
    # Not a number: not known to be off.
    return bool(laser["active"]) and not laser["power"]["calibrated"] <= 0


def _time_on_pixel_s(configuration: Configuration, layout: Layout) -> float:
    """Time on a pixel in all steps, repetitions, frames and channels of a scan, s."""
    measurement = "ExpControl/measurement"
    times = 1.0
    for name in ("pixel_steps", "line_steps"):
        times *= _total(configuration.parameters(f"{measurement}/{name}"))
    frames = max(1, int(configuration.parameters(layout.path("frames"))))
    return times * frames * len(configuration.parameters(paths.CHANNELS))


def _total(steps: Mapping[str, Any]) -> float:
    """Sum of the steps that may be used: the first one, and every active one."""
    durations, active = steps["step_duration"], list(steps["step_active"])
    used = [d for i, d in enumerate(durations) if i == 0 or (i < len(active) and active[i])]
    return float(sum(used)) * max(1, int(steps["repetitions"]))
