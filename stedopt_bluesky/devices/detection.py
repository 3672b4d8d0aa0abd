"""How a channel detects: gate, band and pinhole, and the light it saves where nothing is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ophyd import Component as Cpt
from ophyd import Kind

from stedopt_bluesky.devices.table_setting import TableDevice, TableSetting

# Limits of thresholds: Imspector's own upper ones do not fit into 15 bits.
_COUNTS: dict[str, Any] = {"unit": "counts", "low": 1, "high": 65535}
_PERCENT: dict[str, Any] = {"unit": "%", "low": 0.1, "high": 99.9}


class Detection(TableDevice):
    """Gate and spectral band of one channel.

    Setting the gate's delay or width also switches the gate on.
    """

    gate_delay_ns = Cpt(TableSetting, row="gate_delay_ns", unit="ns", high=25.0, kind=Kind.config)
    gate_width_ns = Cpt(
        TableSetting, row="gate_width_ns", unit="ns", low=0.1, high=25.0, kind=Kind.config
    )
    spectral_min_nm = Cpt(
        TableSetting, row="spectral_min_nm", unit="nm", low=300.0, high=1000.0, kind=Kind.config
    )
    spectral_max_nm = Cpt(
        TableSetting, row="spectral_max_nm", unit="nm", low=300.0, high=1000.0, kind=Kind.config
    )

    def write_to(self, configuration: str, setting: TableSetting, value: float) -> None:
        """Write a setting to one configuration."""
        super().write_to(configuration, setting, value)
        if setting.row in ("gate_delay_ns", "gate_width_ns"):
            self._instrument.set_value(configuration, "gate_active", True, channel=self._channel)

    def use_detector(self, detector: str, also: Sequence[str] = ()) -> None:
        """Detect with the detector of that name, as ``"DET1"``; in further configurations too."""
        for configuration in (*self._configurations, *also):
            self._instrument.set_value(configuration, "detector", detector, channel=self._channel)


class Pinhole(TableDevice):
    """The pinhole, which all channels share."""

    pinhole_um = Cpt(
        TableSetting, row="pinhole_um", unit="µm", low=1.0, high=500.0, kind=Kind.config
    )


# Rows that Imspector's automatic lower thresholds follow.
_FOLLOWED = ("rescue_signal_level", "rescue_strength")


class Rescue(TableDevice):
    """RESCue or DyMIN of one channel: less light on pixels without signal.

    Modes, signal level and strength are in Imspector's own units, as its window shows them.
    Setting a lower threshold, its time or their number also ends that Imspector sets the lower
    ones by itself; setting the upper threshold does so for that one. Setting signal level or
    strength lets it do so again, since the lower ones follow these two.
    """

    rescue_mode = Cpt(TableSetting, row="rescue_mode", high=10, kind=Kind.config)
    rescue_probe_mode = Cpt(TableSetting, row="rescue_probe_mode", high=10, kind=Kind.config)
    rescue_signal_level = Cpt(TableSetting, row="rescue_signal_level", high=1e6, kind=Kind.config)
    rescue_strength = Cpt(TableSetting, row="rescue_strength", high=1e3, kind=Kind.config)
    rescue_lower_thresholds = Cpt(
        TableSetting, row="rescue_lower_thresholds", high=4, kind=Kind.config
    )
    rescue_lower_threshold_1 = Cpt(
        TableSetting, row="rescue_lower_threshold", index=0, **_COUNTS, kind=Kind.config
    )
    rescue_lower_threshold_2 = Cpt(
        TableSetting, row="rescue_lower_threshold", index=1, **_COUNTS, kind=Kind.config
    )
    rescue_lower_threshold_3 = Cpt(
        TableSetting, row="rescue_lower_threshold", index=2, **_COUNTS, kind=Kind.config
    )
    rescue_lower_threshold_4 = Cpt(
        TableSetting, row="rescue_lower_threshold", index=3, **_COUNTS, kind=Kind.config
    )
    rescue_lower_time_percent_1 = Cpt(
        TableSetting, row="rescue_lower_time_percent", index=0, **_PERCENT, kind=Kind.config
    )
    rescue_lower_time_percent_2 = Cpt(
        TableSetting, row="rescue_lower_time_percent", index=1, **_PERCENT, kind=Kind.config
    )
    rescue_lower_time_percent_3 = Cpt(
        TableSetting, row="rescue_lower_time_percent", index=2, **_PERCENT, kind=Kind.config
    )
    rescue_lower_time_percent_4 = Cpt(
        TableSetting, row="rescue_lower_time_percent", index=3, **_PERCENT, kind=Kind.config
    )
    rescue_upper_threshold = Cpt(
        TableSetting, row="rescue_upper_threshold", **_COUNTS, kind=Kind.config
    )

    def write_to(self, configuration: str, setting: TableSetting, value: float) -> None:
        """Write a setting to one configuration."""
        for side in ("lower", "upper"):
            if setting.row.startswith(f"rescue_{side}_"):
                # First, so that Imspector does not set the threshold again.
                automatic = f"rescue_{side}_auto"
                self._instrument.set_value(configuration, automatic, False, channel=self._channel)
        if setting.row in _FOLLOWED:
            # Else nothing would follow them.
            self._instrument.set_value(
                configuration, "rescue_lower_auto", True, channel=self._channel
            )
        super().write_to(configuration, setting, value)

    def write_row(self, setting: TableSetting, value: float) -> None:
        """Write a setting to the configurations that it holds for."""
        super().write_row(setting, value)
        if setting.row in _FOLLOWED:
            # What Imspector has made of them is what a run's descriptors must say.
            for other in self.settings:
                if other.row.startswith("rescue_lower_"):
                    other.read_back()
