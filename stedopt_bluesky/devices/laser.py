"""A laser of the STED image: its power at the objective's back aperture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device
from ophyd.status import Status

from stedopt_bluesky.devices.setting import Setting
from stedopt_bluesky.imspector.instrument import CHANNEL, Instrument


class Laser(Device):
    """Power of one laser in the STED configuration.

    Settable itself (``bps.mv(excitation, 5.0)``) with the power in the
    laser's unit; powers above the limit raise before anything is sent.

    Parameters
    ----------
    instrument : Instrument
        Where the power goes.
    line : str
        Name of the instrument's laser.
    configuration : str
        Name of the configuration whose power is set.
    data_key : str
        Name of the power in documents, with its unit, for example ``"depletion_power_mW"``.
    channels : sequence of int
        Numbers of the channels that have this power.
    """

    power = Cpt(Setting, write="_set_power", unit="", kind="hinted")

    def __init__(
        self,
        *,
        instrument: Instrument,
        line: str,
        configuration: str,
        data_key: str,
        channels: Sequence[int] = (CHANNEL,),
        name: str,
        **kwargs: Any,
    ) -> None:
        self._instrument = instrument
        self._line = instrument.lasers[line]
        self._configuration = configuration
        self._channels = tuple(channels)
        super().__init__(name=name, **kwargs)
        self.power.name = data_key
        self.power.unit = self._line.calibration.unit
        self.power.high = self._line.power_limit

    def _set_power(self, power: float) -> None:
        for channel in self._channels:
            self._instrument.set_power(self._configuration, self._line.name, power, channel)

    @property
    def line(self) -> str:
        """Name of the instrument's laser, which the device's own name need not be."""
        return self._line.name

    @property
    def limits(self) -> tuple[float, float]:
        """Allowed powers, in the laser's unit."""
        return self.power.limits

    def check_value(self, value: Any) -> None:
        """Refuse a power outside the limits (also under ``check_limits``)."""
        self.power.check_value(value)

    def set(self, value: float) -> Status:
        """Set the power, in the laser's unit."""
        return self.power.set(value)

    def apply(self) -> None:
        """Write the set power once more: a pause switches the laser off (:meth:`stop`)."""
        self._set_power(self.power.get())

    def stop(self, *, success: bool = False) -> None:
        """Switch the laser off; the RunEngine calls it at every pause and at the end of a plan.

        The set power is kept, and written again by the next acquisition.
        """
        self._set_power(0.0)
