"""The microscope as a detector: confocal 1, STED (one or more), confocal 2."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ophyd import Component as Cpt
from ophyd import Device, Signal
from ophyd.status import Status

from stedopt_bluesky.acquisition import ImageSet
from stedopt_bluesky.devices.background import complete_in_background, settled
from stedopt_bluesky.devices.image_store import ImageStore, StoresArrays
from stedopt_bluesky.devices.laser import Laser
from stedopt_bluesky.devices.light_budget import LightBudget, LightLimits
from stedopt_bluesky.devices.parameter_tree import as_text
from stedopt_bluesky.devices.progress import AcquisitionStatus
from stedopt_bluesky.devices.scanner import Scanner
from stedopt_bluesky.devices.stage import Stage
from stedopt_bluesky.imspector.instrument import Instrument
from stedopt_bluesky.imspector.scan import Scans, ScanStoppedError
from stedopt_bluesky.parameters import pixels_along

CONFOCAL = "confocal"
STED = "sted"

# Stands in an array where the image, smaller than the run's largest one, has no pixel.
NO_PIXEL = -1

# A scan may take this many times its pixels' time (flyback, settling) plus a margin
# before it is given up: a 224 × 224 image at 10 µs has 0.5 s of pixels.
_DEADLINE_FACTOR = 3.0
_DEADLINE_MARGIN_S = 10.0


@dataclass(frozen=True)
class Light:
    """The light of one channel.

    Parameters
    ----------
    excitation, depletion : Laser
        Whose powers the STED image has.
    confocal_excitation_power_uW : float
        Excitation power of the two confocal images at the back aperture, µW, fixed.
    channel : str
        The channel's name; ``""``: the first one.
    """

    excitation: Laser
    depletion: Laser
    confocal_excitation_power_uW: float
    channel: str = ""


def deadline_s(scan_s: float) -> float:
    """Longest time to wait for the end of a scan that spends so much time on its pixels, s."""
    return _DEADLINE_FACTOR * scan_s + _DEADLINE_MARGIN_S


class Microscope(StoresArrays, Device):
    """Images one region: confocal 1, STED (one or more), confocal 2.

    Images go to HDF5 and into documents as stream assets; an exposure bleaches
    the sample, so that the device is not rewindable. Where the size of an image is optimised,
    all arrays have the largest one's shape; an image lies in the first rows and columns of its
    own, `image_pixels` of each, and the rest is `NO_PIXEL`.

    Parameters
    ----------
    instrument : Instrument
        What is scanned with.
    lights : sequence of Light
        Of each channel, in the order of Imspector's channels; the first one's name is ``""``.
    scanner : Scanner
        Field and speed.
    stage : Stage
        Where the sample is.
    confocal_dwelltime_us : float
        Pixel dwelltime of the confocal images, µs, fixed.
    sted_images : int
        STED images between the two confocal ones.
    limits : LightLimits
        Of the light on the sample; nothing that would exceed one is begun.
    folder : Path
        Where image files are made.
    """

    frame_index = Cpt(Signal, value=0)
    image_pixels = Cpt(Signal, value=0)
    exposure_s = Cpt(Signal, value=0.0)
    acquisition_s = Cpt(Signal, value=0.0)
    excitation_dose_uJ = Cpt(Signal, value=0.0)
    depletion_dose_mJ = Cpt(Signal, value=0.0)
    lit_um = Cpt(Signal, value=0.0)
    imspector_parameters = Cpt(Signal, value="", kind="config")
    rewindable = Cpt(Signal, value=False, kind="omitted")

    def __init__(
        self,
        *,
        instrument: Instrument,
        lights: Sequence[Light],
        scanner: Scanner,
        stage: Stage,
        confocal_dwelltime_us: float,
        sted_images: int,
        limits: LightLimits = LightLimits(),  # noqa: B008  frozen
        folder: Path,
        name: str,
        **kwargs: Any,
    ) -> None:
        self._instrument = instrument
        self._lights = tuple(lights)
        self._scanner = scanner
        self._stage = stage
        self._confocal_dwelltime_us = confocal_dwelltime_us
        self.budget = LightBudget(limits)
        self._scans = Scans(instrument, self._step)
        self._store = ImageStore(folder)
        super().__init__(name=name, **kwargs)
        sted = [(f"sted{i}", STED) for i in range(1, sted_images + 1)]
        self._shots = [("confocal1", CONFOCAL), *sted, ("confocal2", CONFOCAL)]
        # Shape of the arrays that the run's file has for the images of a configuration.
        self._room: dict[str, tuple[int, int]] = {CONFOCAL: (0, 0), STED: (0, 0)}
        # Shape of this region's images.
        self._shape: dict[str, tuple[int, int]] = {}
        self._acquisition: AcquisitionStatus | None = None
        self.images: ImageSet | None = None
        # Why the plan is suspended, and waits for a person; empty: it is not.
        self.suspended = ""

    def stage(self) -> list[object]:
        """Set the confocal images, connect to Imspector's signals, make the image file."""
        staged = super().stage()
        try:
            self._prepare()
        except BaseException:
            self.unstage()
            raise
        return staged

    def _prepare(self) -> None:
        self.images = None
        self._set_confocal_powers()
        self._instrument.set_value(CONFOCAL, "dwelltime_us", self._confocal_dwelltime_us)
        self._instrument.set_value(CONFOCAL, "line_steps", 1)
        most = self._scanner.most_pixels
        for configuration in self._room:
            self._room[configuration] = self._instrument.image_shape(configuration)
            if most is not None and configuration in (CONFOCAL, STED):
                self._room[configuration] = (most, most)
        self.imspector_parameters.put(as_text(self._instrument.parameters(STED)))
        self._store.open({key: (shape, np.int16) for key, shape in self._shapes().items()})
        self.budget.begin_run()
        self._scans.connect()

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the arrays of one region, by data key."""
        return {
            self._key(light, shot): self._room[configuration]
            for light in self._lights
            for shot, configuration in self._shots
        }

    def _check_scans(self) -> None:
        """Refuse what Imspector would scan otherwise than is reckoned and stored, before any light.

        Somebody may have changed it in Imspector's window.

        Raises
        ------
        ValueError
            When a number of pixels is not one that the run's arrays have room for, or not that of
            the other images of the region; or a dwelltime, a number of line steps or of frames
            is not what was set.
        """
        for configuration, shape in self._shape.items():
            if why := self._why_no_room(configuration, shape):
                raise ValueError(
                    f"{configuration} image of {shape[0]} × {shape[1]} pixels: {why} in this run"
                )
        scanner, value = self._scanner, self._instrument.value
        expected = {
            (STED, "dwelltime_us"): float(scanner.dwelltime_us.get()),
            (STED, "line_steps"): int(scanner.line_steps.get()),
            (CONFOCAL, "dwelltime_us"): self._confocal_dwelltime_us,
            (CONFOCAL, "line_steps"): 1,
        }
        found = {key: value(*key) for key in expected}
        expected |= {(STED, "frames"): int(scanner.frames.get()), (CONFOCAL, "frames"): 1}
        found |= {(c, "frames"): self._instrument.frames(c) for c in (STED, CONFOCAL)}
        for (configuration, name), wanted in expected.items():
            if not math.isclose(found[configuration, name], wanted, rel_tol=1e-6):
                raise ValueError(
                    f"{configuration} scan: {name} is {found[configuration, name]:g} in Imspector, "
                    f"{wanted:g} was set"
                )

    def _why_no_room(self, configuration: str, shape: tuple[int, int]) -> str:
        most = self._scanner.most_pixels
        room = self._room[configuration]
        if most is None or configuration not in (CONFOCAL, STED):
            return "" if shape == room else f"{room[0]} × {room[1]}"
        if max(shape) > most:
            return f"at most {most} × {most}"
        set_to = pixels_along(self._scanner.size_um.get(), self._scanner.pixel_size_nm.get())
        # Imspector may round otherwise than the twin, but all images of a region alike.
        if abs(shape[0] - set_to) > 1 or {self._shape[c] for c in (CONFOCAL, STED)} != {
            (shape[0], shape[0])
        }:
            return f"{set_to} × {set_to} for this region"
        return ""

    def _key(self, light: Light, shot: str) -> str:
        """Name of an image in documents, as ``microscope_orange_sted1``."""
        return "_".join(filter(None, (self.name, light.channel, shot)))

    def _set_confocal_powers(self) -> None:
        for number, light in enumerate(self._lights):
            power_uW = light.confocal_excitation_power_uW
            self._instrument.set_power(CONFOCAL, light.excitation.line, power_uW, number)

    def interlock_open(self) -> str:
        """Say why the interlock lets nothing be imaged, with all lasers off; "" when it does."""
        why = self._instrument.interlock_open()
        if why:
            self._instrument.lasers_off()
        return why

    def trigger(self) -> Status:
        """Image the region; done when Imspector has reported the end of the last scan.

        Done, without images, also when the microscope is unstaged meanwhile: nobody waits
        for them then, and a failure would take the place of the reason why the plan ended.

        Raises
        ------
        RuntimeError
            When the microscope is not staged.
        """
        if not self._store.is_open:
            raise RuntimeError(f"{self.name} is not staged")
        self.images = None
        self._shape = {c: self._instrument.image_shape(c) for c in self._room}
        expected_s = sum(self._scan_s(configuration) for _, configuration in self._shots)
        expected_s += self._more_light()[0]
        self._acquisition = status = AcquisitionStatus(self, expected_s)
        return complete_in_background(self, self._acquire, status)

    def _step(self) -> None:
        if self._acquisition is not None:
            self._acquisition.step()

    def _acquire(self) -> None:
        start = time.monotonic()
        self._check_scans()
        self._reckon()
        # Anew for every region: somebody may have zeroed them in Imspector's window.
        self._set_confocal_powers()
        for light in self._lights:
            light.excitation.apply()
            light.depletion.apply()
        try:
            images = self._expose()
        except ScanStoppedError:
            return
        self.acquisition_s.put(time.monotonic() - start)
        self._store.write(self._padded(images))
        self.image_pixels.put(len(images[self._key(self._lights[0], self._shots[0][0])]))
        self.frame_index.put(self._store.index)
        self._sum_up(images)

    def _padded(
        self, images: Mapping[str, npt.NDArray[np.int16]]
    ) -> dict[str, npt.NDArray[np.int16]]:
        """Fill images up to the shapes of the run's arrays."""
        padded = {}
        for key, shape in self._shapes().items():
            image = images[key]
            if image.shape != shape:
                margins = [(0, room - side) for room, side in zip(shape, image.shape, strict=True)]
                image = np.pad(image, margins, constant_values=NO_PIXEL)
            padded[key] = image
        return padded

    def _expose(self) -> dict[str, npt.NDArray[np.int16]]:
        """Take all images of a region, by data key."""
        images: dict[str, npt.NDArray[np.int16]] = {}
        for shot, configuration in self._shots:
            images |= self._shoot(shot, configuration)
        return images

    def _shoot(self, shot: str, configuration: str) -> dict[str, npt.NDArray[np.int16]]:
        """Scan once; the images of all channels, by data key."""
        frames = int(self._scanner.frames.get()) if configuration == STED else 1
        images = self._scans.acquire(configuration, deadline_s(self._scan_s(configuration)), frames)
        return {self._key(light, shot): images[n] for n, light in enumerate(self._lights)}

    def _sum_up(self, images: Mapping[str, npt.NDArray[np.int16]]) -> None:
        """Put the images together for who rates them."""
        first, *others = (self._image_set(light, images) for light in self._lights)
        further = {
            light.channel: channel for light, channel in zip(self._lights[1:], others, strict=True)
        }
        self.images = dataclasses.replace(first, channels=further)

    def _image_set(self, light: Light, images: Mapping[str, npt.NDArray[np.int16]]) -> ImageSet:
        """Put the images of a channel together."""
        confocal1, *sted, confocal2 = (images[self._key(light, shot)] for shot, _ in self._shots)
        return ImageSet(
            confocal1=confocal1,
            sted=tuple(sted),
            confocal2=confocal2,
            pixel_size_nm=self._scanner.pixel_size_nm.get(),
            dwelltime_us=self._scanner.dwelltime_us.get(),
            line_steps=int(self._scanner.line_steps.get()),
            frames=int(self._scanner.frames.get()),
            excitation_power_uW=light.excitation.power.get(),
            depletion_power_mW=light.depletion.power.get(),
        )

    def _reckon(self) -> None:
        """Reckon what the sample will get, and book it.

        Raises
        ------
        LightLimitError
            When it would be more than allowed.
        """
        image_s, confocal_s = self._scan_s(STED), 2 * self._scan_s(CONFOCAL)
        sted_s = image_s * (len(self._shots) - 2)
        channels = len(self._lights)
        excitation_uJ = sum(
            light.excitation.power.get() * sted_s / channels
            + light.confocal_excitation_power_uW * confocal_s / channels
            for light in self._lights
        )
        depletion_mJ = (
            sum(light.depletion.power.get() for light in self._lights) * sted_s / channels
        )
        more_s, more_uJ = self._more_light()
        excitation_uJ += more_uJ
        # Of the sample, however stage and scanner share the way. A scanner that was never moved
        # stands in the middle.
        shift_x_um, shift_y_um = self._stage.shift_um
        place_um = (
            np.nan_to_num(self._scanner.x_um.get()) + self._stage.stage_x_um.get() + shift_x_um,
            np.nan_to_num(self._scanner.y_um.get()) + self._stage.stage_y_um.get() + shift_y_um,
        )
        size_um = max(float(self._scanner.size_um.get()), self._more_light_um())
        self.budget.spend(place_um, size_um, image_s, excitation_uJ * 1e-3 + depletion_mJ)
        self.lit_um.put(size_um)
        self.exposure_s.put(sted_s + confocal_s + more_s)
        self.excitation_dose_uJ.put(excitation_uJ)
        self.depletion_dose_mJ.put(depletion_mJ)

    def _more_light(self) -> tuple[float, float]:
        """Time, s, and energy, µJ, of what else is done to a region."""
        return 0.0, 0.0

    def _more_light_um(self) -> float:
        """Side of the square around the region's centre that this light falls into, µm."""
        return 0.0

    def _scan_s(self, configuration: str) -> float:
        """Time that the beam spends on the pixels of a scan, s."""
        pixels = math.prod(self._shape[configuration]) * len(self._lights)
        if configuration == CONFOCAL:
            return pixels * self._confocal_dwelltime_us * 1e-6
        scans = int(self._scanner.line_steps.get()) * int(self._scanner.frames.get())
        return pixels * self._scanner.dwelltime_us.get() * 1e-6 * scans

    def describe(self) -> dict[str, Any]:
        """Describe scalars with their units, and the images as stream assets."""
        description = super().describe()
        for signal in (self.exposure_s, self.acquisition_s):
            description[signal.name]["units"] = "s"
        description[self.image_pixels.name]["units"] = "pixels"
        description[self.lit_um.name]["units"] = "µm"
        description[self.excitation_dose_uJ.name]["units"] = "µJ"
        description[self.depletion_dose_mJ.name]["units"] = "mJ"
        return description

    def unstage(self) -> list[object]:
        """Abandon a scan in progress, lasers off, close the file; each whatever fails."""
        # Last in, first out. An acquisition that has not noticed the stop might set the
        # lasers' powers after they were switched off: it is waited for.
        with contextlib.ExitStack() as always:
            always.callback(self._store.close)
            always.callback(self._scans.disconnect)
            always.callback(self._instrument.lasers_off)
            always.callback(settled, self._acquisition)
            always.callback(self._scans.stop)
            return super().unstage()
