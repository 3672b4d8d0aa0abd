"""Somebody chooses an option; the choice and its cloud become an Event."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ophyd import Component as Cpt
from ophyd import Device, Signal
from ophyd.status import Status

from stedopt_bluesky.acquisition import Choice, Options
from stedopt_bluesky.devices.background import complete_in_background
from stedopt_bluesky.devices.image_store import ImageStore, StoresArrays

Choose = Callable[[Options], Choice]
_OF_A_CHOICE = ("chosen_by", "took_s", "suggested_index", "suggested_by", "taken_back", "shown")


class Decision(StoresArrays, Device):
    """Set a cloud of options, and it is done when one of them has been chosen.

    The cloud (float64, G × M) goes to HDF5 as a stream asset; iteration, index, who chose and how
    that came about (see :class:`~stedopt_bluesky.acquisition.Choice`) are scalars of the Event.

    Parameters
    ----------
    configurations : int
        Number of configurations G.
    objectives : int
        Number of objectives M.
    folder : Path
        Where files of clouds are made.
    """

    iteration = Cpt(Signal, value=0)
    index = Cpt(Signal, value=0)
    chosen_by = Cpt(Signal, value="")
    took_s = Cpt(Signal, value=0.0)
    suggested_index = Cpt(Signal, value=-1)
    suggested_by = Cpt(Signal, value="")
    taken_back = Cpt(Signal, value=0)
    shown = Cpt(Signal, value="")
    rewindable = Cpt(Signal, value=False, kind="omitted")

    def __init__(
        self, *, configurations: int, objectives: int, folder: Path, name: str, **kwargs: Any
    ) -> None:
        self._shape = (configurations, objectives)
        self._store = ImageStore(folder)
        super().__init__(name=name, **kwargs)
        self._key = f"{name}_cloud"

    def stage(self) -> list[object]:
        """Make the file of clouds."""
        staged = super().stage()
        try:
            self._store.open({self._key: (self._shape, np.float64)})
        except BaseException:
            self.unstage()
            raise
        return staged

    def check_value(self, options: Any) -> None:
        """Refuse what is not a cloud of options of this size.

        Raises
        ------
        ValueError
            When the cloud's shape is another.
        """
        if options.values.shape != self._shape:
            raise ValueError(
                f"expected a cloud of options of shape {self._shape}, got {options.values.shape}"
            )

    def set(self, options: Options, *, choose: Choose) -> Status:
        """Have ``choose`` pick one of the options, in a thread; done when it has.

        The status fails with ``IndexError`` when the choice is not one of the options,
        and with ``TypeError`` when it is no whole number.
        """
        self.check_value(options)

        def decide() -> None:
            choice = choose(options)
            # Refuses 1.5, which is no option either.
            index = operator.index(choice.index)
            if not 0 <= index < len(options.values):
                raise IndexError(
                    f"{choice.chosen_by} chose option {index}: "
                    f"0 to {len(options.values) - 1} are there"
                )
            self._store.write({self._key: np.ascontiguousarray(options.values, np.float64)})
            self.iteration.put(options.iteration)
            self.index.put(index)
            for name in _OF_A_CHOICE:
                getattr(self, name).put(getattr(choice, name))

        return complete_in_background(self, decide)

    def unstage(self) -> list[object]:
        """Close the file of clouds."""
        try:
            self._store.close()
        finally:
            unstaged = super().unstage()
        return unstaged
