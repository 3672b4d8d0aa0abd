"""The microscope as a detector: confocal 1, STED (one or more), confocal 2."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
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
from stedopt_bluesky.devices.scanner import Scanner
from stedopt_bluesky.imspector.instrument import Instrument
from stedopt_bluesky.imspector.scan import Scans, ScanStoppedError

CONFOCAL = "confocal"
STED = "sted"

# A scan may take this many times its pixels' time (flyback, settling) plus a margin
# before it is given up: a 224 × 224 image at 10 µs has 0.5 s of pixels.
_DEADLINE_FACTOR = 3.0
_DEADLINE_MARGIN_S = 10.0


@dataclass(frozen=True)
class ConfocalSettings:
    """Fixed settings of the two confocal images.

    Parameters
    ----------
    excitation_power_uW : float
        Excitation power at the back aperture, µW.
    dwelltime_us : float
        Pixel dwelltime, µs.
    """

    excitation_power_uW: float
    dwelltime_us: float


def deadline_s(shape: tuple[int, int], dwelltime_us: float, line_steps: int = 1) -> float:
    """Longest time to wait for the end of a scan of ``shape`` (Y, X) pixels, s."""
    exposure = math.prod(shape) * dwelltime_us * 1e-6 * line_steps
    return _DEADLINE_FACTOR * exposure + _DEADLINE_MARGIN_S


class Microscope(StoresArrays, Device):
    """Images one region: confocal 1, STED (one or more), confocal 2.

    Images go to HDF5 and into documents as stream assets; an exposure bleaches
    the sample, so that the device is not rewindable.

    Parameters
    ----------
    instrument : Instrument
        What is scanned with.
    excitation, depletion : Laser
        Whose powers the STED image has.
    scanner : Scanner
        Field and speed.
    confocal : ConfocalSettings
        Of the confocal images.
    sted_images : int
        STED images between the two confocal ones.
    limits : LightLimits
        Of the light on the sample; nothing that would exceed one is begun.
    folder : Path
        Where image files are made.
    """

    frame_index = Cpt(Signal, value=0)
    exposure_s = Cpt(Signal, value=0.0)
    acquisition_s = Cpt(Signal, value=0.0)
    excitation_dose_uJ = Cpt(Signal, value=0.0)
    depletion_dose_mJ = Cpt(Signal, value=0.0)
    rewindable = Cpt(Signal, value=False, kind="omitted")

    def __init__(
        self,
        *,
        instrument: Instrument,
        excitation: Laser,
        depletion: Laser,
        scanner: Scanner,
        confocal: ConfocalSettings,
        sted_images: int,
        limits: LightLimits = LightLimits(),  # noqa: B008  frozen
        folder: Path,
        name: str,
        **kwargs: Any,
    ) -> None:
        self._instrument = instrument
        self._excitation = excitation
        self._depletion = depletion
        self._scanner = scanner
        self._confocal = confocal
        self._budget = LightBudget(limits)
        self._scans = Scans(instrument)
        self._store = ImageStore(folder)
        super().__init__(name=name, **kwargs)
        sted = [f"{name}_sted{i}" for i in range(1, sted_images + 1)]
        self._shots = [
            (f"{name}_confocal1", CONFOCAL),
            *((key, STED) for key in sted),
            (f"{name}_confocal2", CONFOCAL),
        ]
        self._acquisition: Status | None = None
        self.images: ImageSet | None = None

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
        self._instrument.set_power(
            CONFOCAL, self._excitation.line, self._confocal.excitation_power_uW
        )
        self._instrument.set_dwelltime(CONFOCAL, self._confocal.dwelltime_us)
        self._instrument.set_line_steps(CONFOCAL, 1)
        self._store.open({key: (shape, np.int16) for key, shape in self._shapes().items()})
        self._budget.begin_run()
        self._scans.connect()

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the arrays of one region, by data key."""
        return {key: self._instrument.image_shape(shot) for key, shot in self._shots}

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
        self._acquisition = complete_in_background(self, self._acquire)
        return self._acquisition

    def _acquire(self) -> None:
        start = time.monotonic()
        self._reckon()
        self._excitation.apply()
        self._depletion.apply()
        try:
            images = self._expose()
        except ScanStoppedError:
            return
        self.acquisition_s.put(time.monotonic() - start)
        self._store.write(images)
        self.frame_index.put(self._store.index)
        self._sum_up(images)

    def _expose(self) -> dict[str, npt.NDArray[np.int16]]:
        """Take all images of a region, by data key."""
        return {key: self._shoot(configuration) for key, configuration in self._shots}

    def _shoot(self, configuration: str) -> npt.NDArray[np.int16]:
        return self._scans.acquire(configuration, self._deadline_s(configuration))

    def _sum_up(self, images: Mapping[str, npt.NDArray[np.int16]]) -> None:
        """Put the images together for who rates them."""
        confocal1, *sted, confocal2 = (images[key] for key, _ in self._shots)
        dwelltime_us, line_steps = self._scanner.dwelltime_us.get(), self._scanner.line_steps.get()
        excitation_uW, depletion_mW = self._excitation.power.get(), self._depletion.power.get()
        self.images = ImageSet(
            confocal1=confocal1,
            sted=tuple(sted),
            confocal2=confocal2,
            pixel_size_nm=self._scanner.pixel_size_nm.get(),
            dwelltime_us=dwelltime_us,
            line_steps=int(line_steps),
            excitation_power_uW=excitation_uW,
            depletion_power_mW=depletion_mW,
        )

    def _reckon(self) -> None:
        """Reckon what the sample will get, and book it.

        Raises
        ------
        LightLimitError
            When it would be more than allowed.
        """
        sted_pixels, confocal_pixels = (
            math.prod(self._instrument.image_shape(name)) for name in (STED, CONFOCAL)
        )
        excitation_uW, depletion_mW = self._excitation.power.get(), self._depletion.power.get()
        image_s = (
            sted_pixels
            * self._scanner.dwelltime_us.get()
            * 1e-6
            * int(self._scanner.line_steps.get())
        )
        sted_s = image_s * (len(self._shots) - 2)
        confocal_s = 2 * confocal_pixels * self._confocal.dwelltime_us * 1e-6
        excitation_uJ = excitation_uW * sted_s + self._confocal.excitation_power_uW * confocal_s
        depletion_mJ = depletion_mW * sted_s
        more_s, more_uJ = self._more_light()
        excitation_uJ += more_uJ
        place_um = (self._scanner.x_um.get(), self._scanner.y_um.get())
        self._budget.spend(place_um, image_s, excitation_uJ * 1e-3 + depletion_mJ)
        self.exposure_s.put(sted_s + confocal_s + more_s)
        self.excitation_dose_uJ.put(excitation_uJ)
        self.depletion_dose_mJ.put(depletion_mJ)

    def _more_light(self) -> tuple[float, float]:
        """Time, s, and energy, µJ, of what else is done to a region."""
        return 0.0, 0.0

    def _deadline_s(self, configuration: str) -> float:
        shape = self._instrument.image_shape(configuration)
        if configuration == CONFOCAL:
            return deadline_s(shape, self._confocal.dwelltime_us)
        dwelltime_us, line_steps = self._scanner.dwelltime_us.get(), self._scanner.line_steps.get()
        return deadline_s(shape, dwelltime_us, int(line_steps))

    def describe(self) -> dict[str, Any]:
        """Describe scalars with their units, and the images as stream assets."""
        description = super().describe()
        for signal in (self.exposure_s, self.acquisition_s):
            description[signal.name]["units"] = "s"
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
