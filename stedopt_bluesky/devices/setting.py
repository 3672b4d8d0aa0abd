"""A number on the instrument: checked, written, then remembered."""

from __future__ import annotations

import math
from typing import Any

from ophyd import Signal
from ophyd.status import Status
from ophyd.utils import LimitError

from stedopt_bluesky.parameters import as_number


class Setting(Signal):
    """Signal whose value is checked against limits before its device writes it.

    Parameters
    ----------
    write : str
        Name of the parent device's method that takes the value to the instrument;
        ``""`` for a number that is only recorded.
    unit : str
        Unit of the value, shown in the descriptor.
    low, high : float
        What is allowed, both ends included. A device narrows them in its ``__init__``.
    integer : bool
        Whether only whole numbers are allowed.
    """

    def __init__(
        self,
        *,
        write: str = "",
        unit: str = "",
        low: float = 0.0,
        high: float = math.inf,
        integer: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(value=0 if integer else math.nan, **kwargs)
        self._write = write
        self._integer = integer
        self.unit = unit
        self.low = low
        self.high = high

    @property
    def limits(self) -> tuple[float, float]:
        """What is allowed, (low, high), in the setting's unit."""
        return (self.low, self.high)

    @property
    def position(self) -> float:
        """The value, where Bluesky's ``%wa`` and ``mvr`` look for it."""
        return float(self.get())

    def check_value(self, value: Any) -> None:
        """Refuse what must not be written.

        Raises
        ------
        LimitError
            When the value is not a number, not finite or outside the limits.
        """
        number = as_number(value)
        if (
            number is None
            or not math.isfinite(number)
            or not self.low <= number <= self.high
            or (self._integer and not number.is_integer())
        ):
            shown = repr(value) if number is None else f"{number:g}"
            kind = "a whole number from " if self._integer else ""
            unit = f" {self.unit}" if self.unit else ""
            raise LimitError(
                f"{self.name} = {shown}{unit}: {kind}{self.low:g} to {self.high:g}{unit} is allowed"
            )

    def put(self, value: Any, **kwargs: Any) -> None:
        """Check the value, write it to the instrument, then remember it.

        Raises
        ------
        LimitError
            Before anything is written.
        """
        self.check_value(value)
        if self._write:
            getattr(self.parent, self._write)(float(value))
        super().put(int(value) if self._integer else float(value), **kwargs)

    def set(self, value: Any, *, timeout: Any = None, settle_time: Any = None) -> Status:
        """Write the value; the instrument has it when this returns."""
        self.put(value)
        status = Status(self)
        status.set_finished()
        return status

    def stop(self, *, success: bool = False) -> None:
        """Stop the device that it belongs to, if that can be stopped.

        The RunEngine stops what a plan has moved, at every pause and at the end: a laser
        whose power was set by the setting goes off as one that was set itself.
        """
        if self._write:
            self.parent.stop(success=success)

    def describe(self) -> dict[str, Any]:
        """Descriptor with the unit and the limits."""
        description = super().describe()
        dtype = "integer" if self._integer else "number"
        description[self.name] |= {"dtype": dtype, "shape": [], "units": self.unit}
        if math.isfinite(self.high):
            limits = {"low": self.low, "high": self.high}
            description[self.name]["limits"] = {"control": limits}
        return description
