"""The confocal overview on which regions are laid."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ophyd import Component as Cpt
from ophyd import Device, Signal
from ophyd.status import Status

from stedopt_bluesky.devices.background import complete_in_background, settled
from stedopt_bluesky.devices.image_store import ImageStore, StoresArrays
from stedopt_bluesky.devices.microscope import deadline_s
from stedopt_bluesky.devices.parameter_tree import as_text
from stedopt_bluesky.devices.progress import AcquisitionStatus
from stedopt_bluesky.imspector.instrument import Instrument
from stedopt_bluesky.imspector.scan import Scans, ScanStoppedError

OVERVIEW = "overview"


@dataclass(frozen=True)
class OverviewSettings:
    """Settings of the overview.

    Parameters
    ----------
    size_um : float
        Side, µm.
    pixel_size_nm : float
        Pixel size, nm.
    excitation_power_uW : float
        Excitation power at the back aperture, µW.
    dwelltime_us : float
        Pixel dwelltime, µs.
    """

    size_um: float
    pixel_size_nm: float
    excitation_power_uW: float
    dwelltime_us: float


class Overview(StoresArrays, Device):
    """Takes one confocal image of the whole field.

    Parameters
    ----------
    instrument : Instrument
        What is scanned with.
    excitation : str
        Name of the instrument's excitation laser.
    settings : OverviewSettings
        Field, power and speed.
    folder : Path
        Where image files are made.
    """

    imspector_parameters = Cpt(Signal, value="", kind="config")

    def __init__(
        self,
        *,
        instrument: Instrument,
        excitation: str,
        settings: OverviewSettings,
        folder: Path,
        name: str,
        **kwargs: Any,
    ) -> None:
        self._instrument = instrument
        self._laser = excitation
        self._scans = Scans(instrument, self._step)
        self._store = ImageStore(folder)
        super().__init__(name=name, **kwargs)
        self.settings = settings
        self.key = f"{name}_image"
        self.image: npt.NDArray[np.int16] | None = None
        self._acquisition: AcquisitionStatus | None = None

    def stage(self) -> list[object]:
        """Set field, power and speed, connect to Imspector's signals, make the image file."""
        staged = super().stage()
        try:
            self._prepare()
        except BaseException:
            self.unstage()
            raise
        return staged

    def _prepare(self) -> None:
        self.image = None
        settings = self.settings
        self._set_power()
        self._instrument.set_value(OVERVIEW, "dwelltime_us", settings.dwelltime_us)
        self._instrument.set_value(OVERVIEW, "line_steps", 1)
        self._instrument.set_field(OVERVIEW, settings.size_um, settings.pixel_size_nm)
        self.imspector_parameters.put(as_text(self._instrument.parameters(OVERVIEW)))
        self._store.open({self.key: (self._instrument.image_shape(OVERVIEW), np.int16)})
        self._scans.connect()

    def _set_power(self) -> None:
        power_uW = self.settings.excitation_power_uW
        self._instrument.set_power(OVERVIEW, self._laser, power_uW)

    def trigger(self) -> Status:
        """Take the overview; done when Imspector has reported the end of the scan.

        Done, without an image, also when it is unstaged meanwhile: see
        :meth:`Microscope.trigger <stedopt_bluesky.devices.microscope.Microscope.trigger>`.

        Raises
        ------
        RuntimeError
            When it is not staged.
        """
        if not self._store.is_open:
            raise RuntimeError(f"{self.name} is not staged")
        self.image = None
        self._acquisition = status = AcquisitionStatus(self, self._scan_s)
        return complete_in_background(self, self._acquire, status)

    def _step(self) -> None:
        if self._acquisition is not None:
            self._acquisition.step()

    @property
    def _scan_s(self) -> float:
        """Time that the beam spends on the pixels of all channels, s."""
        pixels = math.prod(self._instrument.image_shape(OVERVIEW)) * self._instrument.channels
        return pixels * self.settings.dwelltime_us * 1e-6

    def _acquire(self) -> None:
        deadline = deadline_s(self._scan_s)
        self._set_power()
        try:
            # Regions are laid over the first channel.
            image = self._scans.acquire(OVERVIEW, deadline)[0]
        except ScanStoppedError:
            return
        self._store.write({self.key: image})
        self.image = image

    def unstage(self) -> list[object]:
        """Abandon a scan in progress, laser off, close the file; each whatever fails."""
        # Last in, first out.
        with contextlib.ExitStack() as always:
            always.callback(self._store.close)
            always.callback(self._scans.disconnect)
            always.callback(self._instrument.set_power, OVERVIEW, self._laser, 0.0)
            always.callback(settled, self._acquisition)
            always.callback(self._scans.stop)
            return super().unstage()
