"""The devices of one microscope that a plan needs, together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stedopt_bluesky.devices.decision import Decision
from stedopt_bluesky.devices.label import ImageLabel
from stedopt_bluesky.devices.laser import Laser
from stedopt_bluesky.devices.microscope import Microscope
from stedopt_bluesky.devices.overview import Overview
from stedopt_bluesky.devices.rating import Rating
from stedopt_bluesky.devices.scanner import Scanner
from stedopt_bluesky.devices.setting import Setting


@dataclass(frozen=True)
class Station:
    """Everything that a plan moves, triggers and reads.

    Parameters
    ----------
    excitation, depletion : Laser
        Powers of the STED image.
    scanner : Scanner
        Field and speed.
    microscope : Microscope
        Images a region.
    overview : Overview
        Images the field.
    decision : Decision
        Where somebody chooses.
    label : ImageLabel
        Which decision the image in progress belongs to.
    rating : Rating
        Where somebody rates.
    """

    excitation: Laser
    depletion: Laser
    scanner: Scanner
    microscope: Microscope
    overview: Overview
    decision: Decision
    label: ImageLabel
    rating: Rating

    @property
    def settings(self) -> Mapping[str, Setting]:
        """What can be optimised, by the parameter's name."""
        settings = (
            self.excitation.power,
            self.depletion.power,
            self.scanner.dwelltime_us,
            self.scanner.line_steps,
        )
        return {setting.name: setting for setting in settings}
