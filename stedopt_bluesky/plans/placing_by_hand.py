"""Have a person say which regions of a field are imaged, between its overview and its images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from bluesky import plan_stubs as bps
from bluesky.utils import MsgGenerator

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.devices.expert_surveyor import ExpertSurveyor, FieldToSurvey
from stedopt_bluesky.plans.asking import Patience, recorded
from stedopt_bluesky.plans.survey import Lay

REGIONS_STREAM = "regions"


@dataclass(frozen=True)
class ExpertSurvey:
    """A person who is asked for regions, how long is waited, and what proposes them.

    Parameters
    ----------
    surveyor : ExpertSurveyor
        Whom the answer comes from.
    lay : Lay
        Proposes regions, which are taken where nobody answers in time.
    patience : Patience
        How long is waited.
    """

    surveyor: ExpertSurveyor
    lay: Lay
    patience: Patience = field(default_factory=Patience)

    @property
    def size_um(self) -> float:
        """Side of the regions, µm."""
        return self.lay.size_um

    def too_few(self, found: int) -> str:
        """Say what is missing where there are fewer regions than images."""
        return self.lay.too_few(found)

    def ask(
        self,
        overview: npt.NDArray[np.int16],
        pixel_size_nm: float,
        stage_um: tuple[float, float],
        *,
        number: int,
        wanted: int,
        check: Callable[[Sequence[Region]], None],
    ) -> MsgGenerator[tuple[Sequence[Region], bool]]:
        """Ask, wait and record the answer, an Event of stream ``regions``; nothing is lit.

        Parameters
        ----------
        overview : ndarray, shape (Y, X)
            Photon counts.
        pixel_size_nm : float
            Of the overview, nm.
        stage_um : tuple of float
            Where the stage is, (x, y), µm.
        number : int
            Of the field, from 1.
        wanted : int
            Images that are still to be taken.
        check : callable
            Refuses regions that cannot be imaged.

        Returns
        -------
        sequence of Region
            In the order of imaging, each as often as it is imaged.
        bool
            Whether the person has said so.

        Raises
        ------
        NobodyAnsweredError
            When nobody did in time and the run is to end then.
        """

        def propose(threshold: float) -> tuple[npt.NDArray[np.bool_], Sequence[Region]]:
            mask = self.lay.foreground(overview, pixel_size_nm, threshold)
            laid = self.lay(overview, pixel_size_nm, stage_um, threshold)
            return mask, list(dict.fromkeys(laid))

        proposed = self.lay(overview, pixel_size_nm, stage_um)
        once = tuple(dict.fromkeys(proposed))
        asked = FieldToSurvey(
            number,
            overview,
            pixel_size_nm,
            stage_um,
            self.size_um,
            -(-wanted // self.lay.images_per_region),
            propose,
            check,
            spines=self.lay.lays_spines,
        )
        try:
            yield from bps.abs_set(self.surveyor, asked, suggestion=once)
            yield from self.patience.wait_for(self.surveyor, "the proposed regions are taken")
        finally:
            places = self.surveyor.withdraw()
        if places is None:
            self.patience.check(f"chose regions of field {number}")
            return proposed, False
        yield from recorded(self.surveyor, REGIONS_STREAM)
        return [r for r in places.regions for _ in range(self.lay.images_per_region)], True
