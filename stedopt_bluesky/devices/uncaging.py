"""The microscope as a detector that uncages: Ca²⁺ frames, a pulse and frames between two STEDs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ophyd import Component as Cpt
from ophyd import Signal
from ophyd.status import Status

from stedopt_bluesky.acquisition import CalciumFrames
from stedopt_bluesky.devices.light_budget import LightLimitError
from stedopt_bluesky.devices.microscope import CONFOCAL, STED, Microscope, deadline_s
from stedopt_bluesky.devices.uncaging_spot import UncagingSpot
from stedopt_bluesky.imspector.scan import ScanStoppedError

CALCIUM = "calcium"
UNCAGING = "uncaging"

# The pulse is one pixel of this size: nothing is scanned, and no pixel is smaller than a scanner's
# step.
SPOT_NM = 100.0


class PulseRefusedError(LightLimitError):
    """A pulse that must not be given where the spot is, or as strong as it is."""


@dataclass(frozen=True)
class PulseSettings:
    """Settings of the pulse that are not optimised.

    Parameters
    ----------
    pulse_ms : float
        Its length, ms.
    energy_limit_uJ : float
        Most energy of a pulse, µJ.
    reach_um : float
        Farthest position of the spot along each axis, µm.
    """

    pulse_ms: float
    energy_limit_uJ: float
    reach_um: float


@dataclass(frozen=True)
class CalciumSettings:
    """Settings of the Ca²⁺ frames.

    Parameters
    ----------
    laser : str
        Name of the instrument's laser that excites the indicator.
    power_uW : float
        Its power, µW.
    size_um, pixel_size_nm : float
        Side of a frame, µm, and of a pixel, nm.
    dwelltime_us : float
        Pixel dwelltime, µs.
    frame_s : float
        Time from one frame to the next, s.
    baseline_frames, response_frames : int
        Frames before and after the pulse.
    """

    laser: str
    power_uW: float
    size_um: float
    pixel_size_nm: float
    dwelltime_us: float
    frame_s: float
    baseline_frames: int
    response_frames: int


class UncagingMicroscope(Microscope):
    """Images a spine and uncages near it.

    Confocal 1, STED, Ca²⁺ frames, the pulse, Ca²⁺ frames, STED, confocal 2. No light falls on
    the sample when the pulse could not be given.

    Parameters
    ----------
    spot : UncagingSpot
        Power and place of the pulse.
    pulse : PulseSettings
        The pulse.
    calcium : CalciumSettings
        The frames.
    **kwargs
        Those of :class:`~stedopt_bluesky.devices.microscope.Microscope`, with two STED images.

    Raises
    ------
    ValueError
        When there are not two STED images.
    """

    uncaging_energy_uJ = Cpt(Signal, value=0.0)

    def __init__(
        self,
        *,
        spot: UncagingSpot,
        pulse: PulseSettings,
        calcium: CalciumSettings,
        **kwargs: Any,
    ) -> None:
        self._spot = spot
        self._pulse_settings = pulse
        self._calcium = calcium
        super().__init__(**kwargs)
        if len(self._shots) != 4:
            raise ValueError(f"sted_images = {len(self._shots) - 2}: 2 with uncaging")
        self._room[CALCIUM] = (0, 0)
        self._paused = False
        self._baseline_key = f"{self.name}_baseline"
        self._response_key = f"{self.name}_response"

    def trigger(self) -> Status:
        """Image and uncage; see :meth:`Microscope.trigger`."""
        self._paused = False
        return super().trigger()

    def pause(self) -> None:
        """Give no pulse any more in this exposure; the RunEngine calls it at every pause."""
        self._paused = True

    def _prepare(self) -> None:
        calcium, instrument = self._calcium, self._instrument
        instrument.set_value(CALCIUM, "dwelltime_us", calcium.dwelltime_us)
        instrument.set_value(CALCIUM, "line_steps", 1)
        instrument.set_field(CALCIUM, calcium.size_um, calcium.pixel_size_nm)
        instrument.set_field(UNCAGING, SPOT_NM / 1000, SPOT_NM)
        instrument.set_value(UNCAGING, "dwelltime_us", self._pulse_settings.pulse_ms * 1000)
        instrument.set_value(UNCAGING, "line_steps", 1)
        super()._prepare()

    def _set_confocal_powers(self) -> None:
        super()._set_confocal_powers()
        self._instrument.set_power(CALCIUM, self._calcium.laser, self._calcium.power_uW)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        frame = self._room[CALCIUM]
        return {
            **super()._shapes(),
            self._baseline_key: (self._calcium.baseline_frames, *frame),
            self._response_key: (self._calcium.response_frames, *frame),
        }

    def _reckon(self) -> None:
        """Check the pulse, then reckon all the light; no light before that.

        Raises
        ------
        LightLimitError
            When the pulse or all the light would be more than allowed.
        """
        self.check_pulse()
        super()._reckon()

    def check_pulse(self) -> None:
        """Refuse a pulse that must not be given.

        Raises
        ------
        PulseRefusedError
            When it has too much energy, or the spot is outside of the field, or the axis is
            not known to be free so far from the head: there may be a dendrite.
        """
        spot, settings = self._spot, self._pulse_settings
        self._instrument.lasers[spot.line].check(spot.power.get())
        energy_uJ = spot.power.get() * settings.pulse_ms * 1e-3
        # The comparisons refuse what is not a number, too.
        if not energy_uJ <= settings.energy_limit_uJ:
            raise PulseRefusedError(
                f"a pulse of {energy_uJ:.3g} µJ: at most {settings.energy_limit_uJ:g} µJ is "
                "allowed (uncaging.energy_limit_uJ)"
            )
        x_um, y_um = spot.position_um
        where = f"uncaging spot at ({x_um:.4g}, {y_um:.4g}) µm"
        if not max(abs(x_um), abs(y_um)) <= settings.reach_um:
            raise PulseRefusedError(
                f"{where}: the field ends {settings.reach_um:g} µm from its middle"
            )
        distance_um, free_um = spot.distance_um.get(), spot.free_um.get()
        if not distance_um <= free_um + 1e-9:
            raise PulseRefusedError(
                f"{where}, {distance_um:g} µm from the head: the axis is free up to "
                f"{free_um:.3g} µm; beyond may be a dendrite"
            )

    def _more_light(self) -> tuple[float, float]:
        calcium = self._calcium
        pixels = math.prod(self._shape[CALCIUM])
        frames = calcium.baseline_frames + calcium.response_frames
        frames_s = frames * pixels * calcium.dwelltime_us * 1e-6
        pulse_s = self._pulse_settings.pulse_ms * 1e-3
        energy_uJ = self._spot.power.get() * pulse_s
        self.uncaging_energy_uJ.put(energy_uJ)
        return frames_s + pulse_s, calcium.power_uW * frames_s + energy_uJ

    def _more_light_um(self) -> float:
        # The frames are around the spine's head, and the pulse is at a distance from it.
        distance_um = float(self._spot.distance_um.get())
        return max(self._calcium.size_um, 2 * distance_um + SPOT_NM / 1000)

    def _expose(self) -> dict[str, npt.NDArray[np.int16]]:
        (confocal1, _), (before, _), (after, _), (confocal2, _) = self._shots
        x_um, y_um = self._spot.position_um
        for axis, head_um, spot_um in (
            ("x", self._spot.head_x_um.get(), x_um),
            ("y", self._spot.head_y_um.get(), y_um),
        ):
            self._instrument.set_value(CALCIUM, "offset_um", head_um, axis=axis)
            self._instrument.set_value(UNCAGING, "offset_um", spot_um, axis=axis)
        images = self._shoot(confocal1, CONFOCAL) | self._shoot(before, STED)
        images[self._baseline_key] = self._frames(self._calcium.baseline_frames)
        self._give_pulse()
        images[self._response_key] = self._frames(self._calcium.response_frames)
        images |= self._shoot(after, STED) | self._shoot(confocal2, CONFOCAL)
        return images

    def _frames(self, frames: int) -> npt.NDArray[np.int16]:
        self._instrument.set_frames(CALCIUM, frames)
        return self._scans.acquire_frames(CALCIUM, deadline_s(frames * self._calcium.frame_s))

    def _give_pulse(self) -> None:
        """Give the pulse; the laser is off in its configuration but for that time."""
        spot = self._spot
        if self._paused:
            raise ScanStoppedError("paused before the pulse: it is not given")
        try:
            self._instrument.set_power(UNCAGING, spot.line, spot.power.get())
            self._scans.acquire(UNCAGING, deadline_s(self._pulse_settings.pulse_ms * 1e-3))
        finally:
            self._instrument.set_power(UNCAGING, spot.line, 0.0)

    def _sum_up(self, images: Mapping[str, npt.NDArray[np.int16]]) -> None:
        super()._sum_up(images)
        assert self.images is not None  # noqa: S101  just put together
        frames = CalciumFrames(images[self._baseline_key], images[self._response_key])
        self.images = dataclasses.replace(self.images, calcium=frames)

    def describe(self) -> dict[str, Any]:
        """Describe scalars with their units, images and frames as stream assets."""
        description = super().describe()
        description[self.uncaging_energy_uJ.name]["units"] = "µJ"
        return description
