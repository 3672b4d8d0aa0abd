"""What is labelled in the sample: each dye with its own map of fluorophores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from stedopt_bluesky.twin.exposure import Exposure
from stedopt_bluesky.twin.fluorophores import Fluorophore
from stedopt_bluesky.twin.photophysics import Brightness
from stedopt_bluesky.twin.samples import Sample


class Activity(Protocol):
    """What makes a label brighter or darker with time: an indicator in a living cell."""

    def brightness(self, scan_time_s: float) -> Brightness | None:
        """Factor on each map pixel's brightness at a scan time, shape (H, W); None: 1.

        The scan time is that of the frame's middle. What is not an array gives its parts as
        one does, by rows and columns.
        """

    def exposed(
        self, exposure: Exposure, powers_W: Mapping[float, float], scan_time_s: float
    ) -> None:
        """Take note of a frame, when it began and of its light by wavelength, nm to W."""


@dataclass(frozen=True, eq=False)
class Label:
    """One dye of the sample.

    Parameters
    ----------
    sample : Sample
        Where its fluorophores are; photobleaches.
    fluorophore : Fluorophore
        The dye.
    activity : Activity, optional
        What changes its brightness with time.
    """

    sample: Sample
    fluorophore: Fluorophore
    activity: Activity | None = None
