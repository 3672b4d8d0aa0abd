"""Spines to uncage at, found on the overview or given, with as much free axis as is needed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Spine
from stedopt_bluesky.objectives.spines import find_cells, find_spines, with_free_axis

# A person writes a position of the stage with so many digits, µm.
_SAME_PLACE_UM = 1e-3


class SpineRefusedError(RuntimeError):
    """A spine of a person's list at which a pulse of the grid must not be given."""


@dataclass(frozen=True)
class SpineSites:
    """Which spines are uncaged, in which order.

    Those that are found are taken in an order of which every beginning is spread evenly over
    the field's dendrites: first and last images are then of the same cells. Those of a list
    are taken in its order, each at its own position of the stage.

    Parameters
    ----------
    size_um : float
        Side of the region around each head, µm.
    farthest_um : float
        Largest distance of a spot from a head, µm: so far its axis must be free.
    given : tuple of Spine
        A person's list; empty: spines are found.
    """

    size_um: float
    farthest_um: float
    given: tuple[Spine, ...] = ()

    # A spine is uncaged once.
    images_per_region: ClassVar[int] = 1
    lays_spines: ClassVar[bool] = True

    def __call__(
        self,
        overview: npt.NDArray[np.int16],
        pixel_size_nm: float,
        stage_um: tuple[float, float],
        threshold: float = 1.0,
        /,
    ) -> list[Spine]:
        """Return the spines of an overview (Y, X), taken with the stage at (x, y), µm.

        With a threshold of the foreground in units of the automatic one.

        Raises
        ------
        SpineRefusedError
            When the axis of a spine of the list is not free as far as is needed.
        """
        cells = find_cells(overview, pixel_size_nm, threshold)
        if self.given:
            numbered = [(i, s) for i, s in enumerate(self.given, start=1) if is_at(s, stage_um)]
            looked_at = with_free_axis([s for _, s in numbered], cells, self.farthest_um)
            for (number, _), spine in zip(numbered, looked_at, strict=True):
                if spine.free_um < self.farthest_um:
                    raise SpineRefusedError(
                        f"spine {number} of the list, at ({spine.x_um:g}, {spine.y_um:g}) µm: its "
                        f"axis is free up to {spine.free_um:.3g} µm, {self.farthest_um:g} µm are "
                        "needed; there is structure, or the field ends"
                    )
            return _at(looked_at, stage_um)
        found = find_spines(overview, pixel_size_nm, self.size_um, cells)
        looked_at = with_free_axis(found, cells, self.farthest_um)
        usable = [spine for spine in looked_at if spine.free_um >= self.farthest_um]
        return _at(spread(usable), stage_um)

    def foreground(
        self, overview: npt.NDArray[np.int16], pixel_size_nm: float, threshold: float = 1.0, /
    ) -> npt.NDArray[np.bool_]:
        """Return whatever shines in an overview (Y, X)."""
        return find_cells(overview, pixel_size_nm, threshold).structure

    def too_few(self, found: int) -> str:
        """Say what is missing."""
        if self.given:
            at = " at this position of the stage" if found < len(self.given) else ""
            return f"the list has {found} spines{at}; plan fewer images"
        return (
            f"only {found} spines are found whose axis is free up to {self.farthest_um:g} µm; plan "
            "fewer images, or smaller distances"
        )


def is_at(spine: Spine, stage_um: tuple[float, float]) -> bool:
    """Whether a spine is in the field of a position (x, y) of the stage, µm."""
    away_um = math.dist((spine.stage_x_um, spine.stage_y_um), stage_um)
    return away_um <= _SAME_PLACE_UM


def _at(spines: Sequence[Spine], stage_um: tuple[float, float]) -> list[Spine]:
    x_um, y_um = stage_um
    return [dataclasses.replace(s, stage_x_um=x_um, stage_y_um=y_um) for s in spines]


def spread(spines: Sequence[Spine]) -> list[Spine]:
    """Order in which every beginning is spread evenly over the whole.

    The van der Corput sequence of their positions: the first, the middle, the quarters, ...
    """
    places = [(_mirrored(i), i) for i in range(1 << max(len(spines) - 1, 0).bit_length())]
    order = np.argsort([place for place, i in places if i < len(spines)], kind="stable")
    # order[k] is the spine of the k-th smallest fraction; its inverse visits them spread out.
    return [spines[int(k)] for k in np.argsort(order, kind="stable")]


def _mirrored(number: int) -> float:
    """Bits of a number behind the point in reverse: 1/2, 1/4, 3/4, 1/8 ... from 1 on."""
    fraction, unit = 0.0, 0.5
    while number:
        fraction += unit * (number & 1)
        number >>= 1
        unit /= 2
    return fraction
