"""Which decision an image belongs to."""

from __future__ import annotations

from ophyd import Component as Cpt
from ophyd import Device

from stedopt_bluesky.devices.setting import Setting


class ImageLabel(Device):
    """Iteration and index of the configuration of the image in progress, for its Event."""

    iteration = Cpt(Setting, integer=True)
    configuration_index = Cpt(Setting, integer=True)
