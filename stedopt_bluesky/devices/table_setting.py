"""Settings that are one row of the table of Imspector's paths each."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from ophyd import Device, Signal

from stedopt_bluesky.devices.setting import Setting
from stedopt_bluesky.imspector import paths
from stedopt_bluesky.imspector.instrument import CHANNEL, Instrument
from stedopt_bluesky.imspector.paths import UnknownLayoutError


class TableSetting(Setting):
    """A number of the table, checked, then written to Imspector.

    Parameters
    ----------
    row : str
        Name of the row of :data:`~stedopt_bluesky.imspector.paths.TABLE`.
    axis : str
        Axis of a row that has one.
    index : int, optional
        Element of a row that is a list, from 0; left out: the first one.
    """

    parent: TableDevice

    def __init__(
        self, *, row: str, axis: str = "", index: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(integer=paths.ROWS[row].kind is int, **kwargs)
        self.row = row
        self.axis = axis
        self.index = index

    def put(self, value: Any, **kwargs: Any) -> None:
        """Check the value, write it to Imspector, then remember it.

        Raises
        ------
        LimitError
            Before anything is written.
        """
        self.check_value(value)
        self.parent.write_row(self, float(value))
        super().put(value, **kwargs)

    def read_back(self) -> None:
        """Take what Imspector has; an Imspector that has no such setting is left alone."""
        with contextlib.suppress(UnknownLayoutError, RuntimeError, IndexError):
            # Past the check and the writing: it is what it is.
            Signal.put(self, self.parent.row_value(self), force=True)


class TableDevice(Device):
    """Settings of the table that hold for the same configurations and the same channel.

    Until they are set, they are as Imspector has them.

    Parameters
    ----------
    instrument : Instrument
        Where the settings go.
    configurations : sequence of str
        Names of the configurations that they are written to.
    channel : int
        Number of the channel, from 0.
    prefix : str
        Stands before the settings' names in documents, as ``"orange_"``.
    """

    def __init__(
        self,
        *,
        instrument: Instrument,
        configurations: Sequence[str],
        channel: int = CHANNEL,
        prefix: str = "",
        name: str,
        **kwargs: Any,
    ) -> None:
        self._instrument = instrument
        self._configurations = tuple(configurations)
        self._channel = channel
        super().__init__(name=name, **kwargs)
        for setting in self.settings:
            # Documents name the parameters as the configuration does.
            setting.name = prefix + setting.attr_name
            setting.read_back()

    @property
    def settings(self) -> tuple[TableSetting, ...]:
        """All settings."""
        signals = (getattr(self, name) for name in self.component_names)
        return tuple(signal for signal in signals if isinstance(signal, TableSetting))

    def fix(self, values: Mapping[str, float], also: Sequence[str] = ()) -> None:
        """Set what is not optimised.

        Parameters
        ----------
        values : mapping
            Value of each setting, by its name without the prefix.
        also : sequence of str
            Names of further configurations that they are written to, this once.

        Raises
        ------
        LimitError
            Before the value is written.
        """
        for name, value in values.items():
            setting: TableSetting = getattr(self, name)
            setting.put(value)
            for configuration in also:
                self.write_to(configuration, setting, float(value))

    def write_row(self, setting: TableSetting, value: float) -> None:
        """Write a setting to the configurations that it holds for."""
        for configuration in self._configurations:
            self.write_to(configuration, setting, value)

    def write_to(self, configuration: str, setting: TableSetting, value: float) -> None:
        """Write a setting to one configuration."""
        self._instrument.set_value(configuration, setting.row, value, **self._where(setting))

    def row_value(self, setting: TableSetting) -> Any:
        """Value of a setting in the last of its configurations."""
        return self._instrument.value(self._configurations[-1], setting.row, **self._where(setting))

    def _where(self, setting: TableSetting) -> dict[str, object]:
        where: dict[str, object] = {"channel": self._channel, "axis": setting.axis}
        return where if setting.index is None else {**where, "index": setting.index}
