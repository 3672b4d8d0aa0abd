"""Which recorded image stands in the Event, where a run is replayed from recorded images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ophyd import Component as Cpt
from ophyd import Device, Signal


class Given(Protocol):
    """What the last region was answered with."""

    @property
    def source(self) -> str:
        """Uid of the run that the images were recorded in."""

    @property
    def number(self) -> int:
        """Number of their Event there, from 1."""

    @property
    def distance(self) -> int:
        """Steps on the grid from the configuration that was asked for."""

    @property
    def same_place(self) -> bool:
        """Whether they were taken at the very place."""

    @property
    def use(self) -> int:
        """1 the first time that they are given."""


class ReplayedImage(Device):
    """Reads which recorded images the last region was answered with.

    Parameters
    ----------
    given : callable
        Tells it.
    """

    run = Cpt(Signal, value="")
    seq_num = Cpt(Signal, value=0)
    distance_steps = Cpt(Signal, value=0)
    same_place = Cpt(Signal, value=0)
    use = Cpt(Signal, value=0)

    def __init__(self, *, given: Callable[[], Given], name: str, **kwargs: Any) -> None:
        self._given = given
        super().__init__(name=name, **kwargs)

    def read(self) -> dict[str, Any]:
        """Ask, then read."""
        given = self._given()
        self.run.put(given.source)
        self.seq_num.put(given.number)
        self.distance_steps.put(given.distance)
        self.same_place.put(int(given.same_place))
        self.use.put(given.use)
        return dict(super().read())

    def describe(self) -> dict[str, Any]:
        """Describe the numbers with their units."""
        description = dict(super().describe())
        description[self.distance_steps.name]["units"] = "steps"
        return description
