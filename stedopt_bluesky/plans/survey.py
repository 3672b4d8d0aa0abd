"""The overview of a field, and the regions that are laid over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from bluesky import plan_stubs as bps
from bluesky.utils import FailedStatus, MsgGenerator

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.devices.station import Station
from stedopt_bluesky.plans.acquire import arrive
from stedopt_bluesky.plans.exposure import not_rewound, until_done
from stedopt_bluesky.plans.suspend import suspend_while_open, suspended_by


class Lay(Protocol):
    """Lays regions over an overview."""

    @property
    def size_um(self) -> float:
        """Side of the regions, µm."""

    @property
    def images_per_region(self) -> int:
        """How often each region is imaged before the next one has its turn."""

    @property
    def lays_spines(self) -> bool:
        """Whether regions are spines."""

    def __call__(
        self,
        overview: npt.NDArray[np.int16],
        pixel_size_nm: float,
        stage_um: tuple[float, float],
        threshold: float = 1.0,
        /,
    ) -> Sequence[Region]:
        """Return the regions, in the order in which they are imaged.

        With a threshold of the foreground in units of the automatic one.
        """

    def foreground(
        self, overview: npt.NDArray[np.int16], pixel_size_nm: float, threshold: float = 1.0, /
    ) -> npt.NDArray[np.bool_]:
        """Return what counts as foreground of an overview (Y, X)."""

    def too_few(self, found: int) -> str:
        """Say what is missing where there are fewer regions than images."""


class BlankOverviewError(RuntimeError):
    """An overview without a difference between its pixels: no sample looks like that."""


def take_overview(
    station: Station, field_um: tuple[float, float]
) -> MsgGenerator[npt.NDArray[np.int16] | None]:
    """Take the overview of a field and record it in stream ``overview``.

    Parameters
    ----------
    station : Station
        The devices.
    field_um : tuple of float
        Stage position (x, y), µm, from where the stage stood.

    Returns
    -------
    ndarray of int16, shape (Y, X), or None
        Photon counts; None when the plan is only looked at (``check_limits``), not run.

    Raises
    ------
    BlankOverviewError
        When all its pixels are the same.
    """
    overview, stage = station.overview, station.stage

    def take() -> MsgGenerator[Any]:
        yield from bps.mv(stage.stage_x_um, field_um[0], stage.stage_y_um, field_um[1])
        yield from arrive(station)
        # Not abandoned after a pause: no laser is switched off that the overview needs.
        status = yield from bps.trigger(overview, wait=True)
        yield from until_done(status)
        yield from bps.create("overview")
        reading = yield from bps.read(overview)
        yield from bps.read(stage)
        yield from bps.save()
        return reading

    while True:
        yield from suspend_while_open(station.microscope)
        try:
            reading = yield from not_rewound(take())
            break
        except FailedStatus as failure:
            # A confocal image of the whole field is little light: it is taken again.
            if not (why := suspended_by(failure)):
                raise
            yield from suspend_while_open(station.microscope, why)
    if reading is None or overview.image is None:
        return None
    low, high = int(overview.image.min()), int(overview.image.max())
    if low == high:
        raise BlankOverviewError(
            f"every pixel of the overview has {low} counts: is the detector on, the shutter open?"
        )
    return overview.image


def survey(
    station: Station, field_um: tuple[float, float], lay: Lay
) -> MsgGenerator[Sequence[Region] | None]:
    """Take the overview of a field, see `take_overview`, and lay regions over it.

    Returns
    -------
    sequence of Region or None
        None when the plan is only looked at (``check_limits``), not run.
    """
    image = yield from take_overview(station, field_um)
    if image is None:
        return None
    return lay(image, station.overview.settings.pixel_size_nm, field_um)
