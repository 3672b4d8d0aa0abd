"""The scanner: where, how finely and how long."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device, Kind, Signal

from stedopt_bluesky.devices.setting import Setting
from stedopt_bluesky.imspector.instrument import Instrument


class Scanner(Device):
    """Field and speed of the scan of a region.

    Dwelltime, line steps and frames are the STED image's; field, pixel size and offset
    hold for all images of a region.

    Parameters
    ----------
    instrument : Instrument
        Where the settings go.
    sted : str
        Name of the configuration of the STED images.
    configurations : sequence of str
        Names of all configurations that image a region.
    reach_um : float
        Farthest offset of a region's centre, µm.
    most_pixels : int, optional
        Pixels along a side of the largest image of a run, which room is made for; left out: of
        an image as the scanner is set when the run begins.
    """

    dwelltime_us = Cpt(Setting, write="_set_dwelltime", unit="µs", low=1.0, high=1000.0)
    line_steps = Cpt(Setting, write="_set_line_steps", unit="lines", low=1, high=64, integer=True)
    frames = Cpt(Setting, write="_set_frames", unit="frames", low=1, high=100, integer=True)
    x_um = Cpt(Setting, write="_set_x", unit="µm")
    y_um = Cpt(Setting, write="_set_y", unit="µm")
    size_um = Cpt(Setting, write="_set_size", unit="µm", low=0.5, high=200.0, kind=Kind.config)
    pixel_size_nm = Cpt(
        Setting, write="_set_pixel_size", unit="nm", low=5.0, high=2000.0, kind=Kind.config
    )
    scan_mode = Cpt(Signal, value="", kind=Kind.config)

    def __init__(
        self,
        *,
        instrument: Instrument,
        sted: str,
        configurations: Sequence[str],
        reach_um: float,
        most_pixels: int | None = None,
        name: str,
        **kwargs: Any,
    ) -> None:
        self._instrument = instrument
        self._sted = sted
        self._configurations = tuple(configurations)
        self.most_pixels = most_pixels
        super().__init__(name=name, **kwargs)
        # Documents name the parameters as the configuration does.
        self.dwelltime_us.name = "dwelltime_us"
        self.line_steps.name = "line_steps"
        self.frames.name = "frames"
        self.size_um.name = "region_size_um"
        self.pixel_size_nm.name = "pixel_size_nm"
        self.x_um.name = "region_x_um"
        self.y_um.name = "region_y_um"
        for offset in (self.x_um, self.y_um):
            offset.low, offset.high = -reach_um, reach_um
        # As Imspector has them, until they are set: past the check and the writing.
        Signal.put(self.frames, instrument.frames(sted), force=True)
        # What is imaged are planes of x and y, whatever the field.
        self.scan_mode.put(str(instrument.value(sted, "scan_mode")))

    def _set_dwelltime(self, value: float) -> None:
        self._instrument.set_value(self._sted, "dwelltime_us", value)

    def _set_line_steps(self, value: float) -> None:
        self._instrument.set_value(self._sted, "line_steps", value)

    def _set_frames(self, value: float) -> None:
        self._instrument.set_frames(self._sted, int(value))

    def _set_x(self, value: float) -> None:
        for configuration in self._configurations:
            self._instrument.set_value(configuration, "offset_um", value, axis="x")

    def _set_y(self, value: float) -> None:
        for configuration in self._configurations:
            self._instrument.set_value(configuration, "offset_um", value, axis="y")

    def _set_size(self, value: float) -> None:
        self._set_field(value, self.pixel_size_nm.get())

    def _set_pixel_size(self, value: float) -> None:
        self._set_field(self.size_um.get(), value)

    def _set_field(self, size_um: float, pixel_size_nm: float) -> None:
        # Either may be set first; the field is written once both are known.
        if not (math.isnan(size_um) or math.isnan(pixel_size_nm)):
            for configuration in self._configurations:
                self._instrument.set_field(configuration, size_um, pixel_size_nm)
