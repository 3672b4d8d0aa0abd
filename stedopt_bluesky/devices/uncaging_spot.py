"""The uncaging spot: how strong, how far from a spine's head, and which spine's."""

from __future__ import annotations

from typing import Any

from ophyd import Component as Cpt
from ophyd import Device

from stedopt_bluesky.acquisition import Spine
from stedopt_bluesky.devices.setting import Setting
from stedopt_bluesky.imspector.instrument import Instrument


class UncagingSpot(Device):
    """Power and distance of a pulse, and the spine that it is near to.

    Nothing is sent when they are set: the microscope gives the pulse, after its checks.

    Parameters
    ----------
    instrument : Instrument
        Whose laser it is.
    line : str
        Name of the instrument's laser.
    reach_um : float
        Farthest position of a spine along each axis, µm.
    """

    power = Cpt(Setting, unit="", kind="hinted")
    distance_um = Cpt(Setting, unit="µm", low=0.3, high=5.0, kind="hinted")
    head_x_um = Cpt(Setting, unit="µm")
    head_y_um = Cpt(Setting, unit="µm")
    axis_x = Cpt(Setting, low=-1.0, high=1.0)
    axis_y = Cpt(Setting, low=-1.0, high=1.0)
    free_um = Cpt(Setting, unit="µm")

    def __init__(
        self, *, instrument: Instrument, line: str, reach_um: float, name: str, **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        laser = instrument.lasers[line]
        self.line = line
        # Documents name the parameters as the configuration does.
        self.power.name = "uncaging_power_uW"
        self.power.unit = laser.calibration.unit
        self.power.high = laser.power_limit
        self.distance_um.name = "uncaging_distance_um"
        for key in ("head_x_um", "head_y_um", "axis_x", "axis_y", "free_um"):
            getattr(self, key).name = f"spine_{key}"
        for offset in (self.head_x_um, self.head_y_um):
            offset.low, offset.high = -reach_um, reach_um

    def place(self, spine: Spine) -> list[tuple[Setting, float]]:
        """What a spine means: settings and their values."""
        return [
            (self.head_x_um, spine.x_um),
            (self.head_y_um, spine.y_um),
            (self.axis_x, spine.axis_x),
            (self.axis_y, spine.axis_y),
            (self.free_um, spine.free_um),
        ]

    @property
    def position_um(self) -> tuple[float, float]:
        """Where the spot is, (x, y), µm."""
        distance = self.distance_um.get()
        return (
            self.head_x_um.get() + distance * self.axis_x.get(),
            self.head_y_um.get() + distance * self.axis_y.get(),
        )
