"""The sample stage and the focus: from one field to the next."""

from __future__ import annotations

import math
from typing import Any

from ophyd import Component as Cpt
from ophyd import Kind, Signal
from ophyd.status import Status

from stedopt_bluesky.devices.background import complete_in_background
from stedopt_bluesky.devices.table_setting import TableDevice, TableSetting

# A stage that stands farther from where it was sent has not arrived, µm.
ARRIVED_UM = 1.0


class StageError(RuntimeError):
    """A stage that has not reached its place, or a focus that is lost."""


class Stage(TableDevice):
    """Stage and focus; positions of the stage count from where it stands when a session begins.

    Triggering looks whether the stage is where it was sent, and whether the autofocus holds.

    Parameters
    ----------
    autofocus : bool
        Whether the microscope's autofocus follows the sample; switched on at the first move.
    reach_um : float
        Farthest move of the stage from its origin, µm.
    origin_um : tuple of float, optional
        Stage's position (x, y) that counts as zero, µm, in the stage's own coordinates; left out:
        where it stands.
    """

    stage_x_um = Cpt(TableSetting, row="stage_um", axis="x", unit="µm", kind=Kind.normal)
    stage_y_um = Cpt(TableSetting, row="stage_um", axis="y", unit="µm", kind=Kind.normal)
    focus_um = Cpt(
        TableSetting, row="focus_um", unit="µm", low=-100.0, high=100.0, kind=Kind.config
    )

    def __init__(
        self,
        *,
        autofocus: bool,
        reach_um: float,
        origin_um: tuple[float, float] | None = None,
        name: str,
        **kwargs: Any,
    ) -> None:
        self.autofocus = autofocus
        super().__init__(name=name, **kwargs)
        axes = (self.stage_x_um, self.stage_y_um)
        # A microscope without a stage that is known of does not move.
        stands_um = [0.0 if math.isnan(setting.get()) else setting.get() for setting in axes]
        self.origin_um = (stands_um[0], stands_um[1])
        self.first_origin_um = self.origin_um if origin_um is None else origin_um
        for setting in axes:
            setting.low, setting.high = -reach_um, reach_um
            Signal.put(setting, 0.0, force=True)
        if origin_um is not None:
            self.count_from(origin_um)
        self._moved = False

    def count_from(self, origin_um: tuple[float, float]) -> None:
        """Count positions from another place; nothing moves.

        Parameters
        ----------
        origin_um : tuple of float
            Stage's position (x, y) that counts as zero from now on, µm, in its own coordinates.
        """
        before_um, self.origin_um = self.origin_um, origin_um
        axes = (self.stage_x_um, self.stage_y_um)
        for setting, was_um, zero_um in zip(axes, before_um, origin_um, strict=True):
            Signal.put(setting, round(setting.get() + was_um - zero_um, 6), force=True)

    @property
    def shift_um(self) -> tuple[float, float]:
        """How far, (x, y), positions count from elsewhere than at first, µm."""
        (x_um, y_um), (first_x_um, first_y_um) = self.origin_um, self.first_origin_um
        return x_um - first_x_um, y_um - first_y_um

    def _origin_um(self, axis: str) -> float:
        return self.origin_um["xy".index(axis)]

    def write_row(self, setting: TableSetting, value: float) -> None:
        """Send the stage to a place, counted from the origin, or move the focus."""
        if setting.row != "stage_um":
            super().write_row(setting, value)
            return
        if value == setting.get():
            return  # a stage that stands there is left alone
        super().write_row(setting, self._origin_um(setting.axis) + value)
        self._moved = True
        if self.autofocus:
            for configuration in self._configurations:
                self._instrument.set_value(configuration, "autofocus", True)

    def trigger(self) -> Status:
        """Look whether the stage has arrived and the focus holds; done when that is known."""
        return complete_in_background(self, self._check)

    def _check(self) -> None:
        """Compare with where the stage is.

        Raises
        ------
        StageError
            When it is somewhere else, or the autofocus is off.
        """
        if not self._moved:
            return
        configuration = self._configurations[-1]
        for setting in (self.stage_x_um, self.stage_y_um):
            target_um = self._origin_um(setting.axis) + setting.get()
            found_um = self._instrument.value(configuration, f"stage_at_{setting.axis}_um")
            if not abs(found_um - target_um) <= ARRIVED_UM:
                raise StageError(
                    f"the stage was sent to {setting.axis} = {target_um:.1f} µm and stands at "
                    f"{found_um:.1f} µm"
                )
        if self.autofocus and not self._instrument.value(configuration, "autofocus"):
            raise StageError("the autofocus is off: the focus was lost")
