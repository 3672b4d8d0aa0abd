"""Where each setting lives in Imspector's parameter tree, for each layout of the tree.

`TABLE` has one row per setting. Its name is this package's, unit included; the
row says where Imspector keeps it, how many of Imspector's own units (SI; powers
in percent of the calibrated power) one of ours is, and of which type it is.

The layout of Imspector 16.3 was seen in a real measurement of 16.3.10599 and in
a dump of a configuration of 16.3.13800; that of Imspector 0.13 (2018) is what
the program published with Durand et al. (2018) uses, and was not seen by us.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

LayoutName = Literal["16.3", "0.13"]

_CHANNEL = "ExpControl/measurement/channels/{channel}"
_RANGE = "ExpControl/scan/range"

# Lists with the lasers of each channel and of the whole measurement, as 16.3 has them.
CHANNELS = "ExpControl/measurement/channels"
LASERS = "ExpControl/measurement/lasers"
# Whether the powers that are set are left aside.
IGNORE_POWERS = "ExpControl/measurement/ignore_laser_power_setpoints"
# Status tree: whether a measurement runs.
PROGRESS = "Measurement/timing/progress"

XY_SCAN_MODE = "xy"
XY_SCAN_AXES = ["ExpControl X", "ExpControl Y", "None", "None"]
XYT_SCAN_AXES = ["ExpControl X", "ExpControl Y", "ExpControl T", "None"]


@dataclass(frozen=True)
class ParameterPath:
    """One setting.

    Parameters
    ----------
    name : str
        This package's name, with its unit as a suffix.
    kind : type
        Of the value, or of each value of a list: float, int, bool or str.
    imspector_16_3 : str
        Path in Imspector 16.3, with ``{channel}``, ``{laser}`` and ``{axis}`` to be filled in.
    imspector_0_13 : str
        Path in Imspector 0.13 (2018); empty where none is known.
    scale : float
        Imspector's value of one unit of ours.
    is_list : bool
        The path holds a list; it is set back whole, since some versions ignore an element.
    writable : bool
        False for what Imspector derives, and for what is only read.
    """

    name: str
    kind: type[float] | type[int] | type[bool] | type[str]
    imspector_16_3: str
    imspector_0_13: str = ""
    scale: float = 1.0
    is_list: bool = False
    writable: bool = True

    def template(self, layout: LayoutName) -> str:
        """Path in a layout, not yet filled in; empty where none is known."""
        return self.imspector_16_3 if layout == "16.3" else self.imspector_0_13


def _same(
    name: str,
    kind: type[float] | type[int] | type[bool] | type[str],
    path: str,
    scale: float = 1.0,
    *,
    writable: bool = True,
) -> ParameterPath:
    """Make a row of a path that both layouts have."""
    return ParameterPath(name, kind, path, path, scale, writable=writable)


TABLE = (
    # Lasers: of a channel, and of the whole measurement.
    ParameterPath(
        "laser_power_percent",
        float,
        f"{_CHANNEL}/lasers/{{laser}}/power/calibrated",
        "ExpControl/lasers/power_calibrated/{laser}/value/calibrated",
    ),
    ParameterPath("laser_active", bool, f"{_CHANNEL}/lasers/{{laser}}/active"),
    ParameterPath(
        "general_laser_power_percent",
        float,
        "ExpControl/measurement/lasers/{laser}/power/calibrated",
    ),
    ParameterPath("general_laser_active", bool, "ExpControl/measurement/lasers/{laser}/active"),
    # Detection.
    ParameterPath("detector", str, f"{_CHANNEL}/detsel/detector"),
    ParameterPath("spectral_min_nm", float, f"{_CHANNEL}/detsel/spectral_range/min", scale=1e-9),
    ParameterPath("spectral_max_nm", float, f"{_CHANNEL}/detsel/spectral_range/max", scale=1e-9),
    ParameterPath("gate_active", bool, f"{_CHANNEL}/gating/active"),
    ParameterPath("gate_delay_ns", float, f"{_CHANNEL}/gating/delay", scale=1e-9),
    ParameterPath("gate_width_ns", float, f"{_CHANNEL}/gating/width", scale=1e-9),
    ParameterPath("pinhole_um", float, "Pinhole/pinhole_size", scale=1e-6),
    # Scan: how long. The first of eight steps is the one that is used.
    ParameterPath(
        "dwelltime_us",
        float,
        "ExpControl/measurement/pixel_steps/step_duration",
        "ExpControl/scan/dwelltime",
        scale=1e-6,
        is_list=True,
    ),
    ParameterPath(
        "line_steps",
        int,
        "ExpControl/measurement/line_steps/step_duration",
        "ExpControl/gating/linesteps/step_values",
        is_list=True,
    ),
    ParameterPath("line_repetitions", int, "ExpControl/measurement/line_steps/repetitions"),
    # Scan: where, how finely, how often.
    ParameterPath("scan_mode", str, f"{_RANGE}/scanmode"),
    ParameterPath("scan_axes", str, "Measurement/axes/scan_axes", is_list=True),
    _same("pixel_size_nm", float, f"{_RANGE}/{{axis}}/psz", 1e-9),
    _same("field_um", float, f"{_RANGE}/{{axis}}/len", 1e-6),
    _same("pixels", int, f"{_RANGE}/{{axis}}/res", writable=False),
    _same("offset_um", float, f"{_RANGE}/{{axis}}/off", 1e-6),
    _same("scanner_position_um", float, f"{_RANGE}/{{axis}}/g_off", 1e-6),
    _same("frames", int, f"{_RANGE}/t/res"),
    # Stage and focus.
    ParameterPath("stage_um", float, f"{_RANGE}/coarse_{{axis}}/g_off", scale=1e-6),
    ParameterPath("stage_at_x_um", float, "OlympusIX/stage/pos_x", scale=1e-6, writable=False),
    ParameterPath("stage_at_y_um", float, "OlympusIX/stage/pos_y", scale=1e-6, writable=False),
    ParameterPath("focus_um", float, "OlympusIX/scanrange/z/off", scale=1e-6),
    ParameterPath("autofocus", bool, "OlympusIX/scanrange/z/z-stabilizer/enabled"),
    # RESCue and DyMIN. Thresholds are counts, times percent of the pixel's dwelltime: that was read
    # off a configuration of 16.3.13800, see `stedopt_bluesky.twin.rescue`. Which channel probes
    # (probe_channel), and blank_if_higher, stay as Imspector has them.
    ParameterPath("rescue_mode", int, f"{_CHANNEL}/rescue/rescue_mode"),
    ParameterPath("rescue_probe_mode", int, f"{_CHANNEL}/rescue/probe_mode"),
    ParameterPath("rescue_signal_level", float, f"{_CHANNEL}/rescue/signal_level"),
    ParameterPath("rescue_strength", float, f"{_CHANNEL}/rescue/strength"),
    ParameterPath("rescue_lower_auto", bool, f"{_CHANNEL}/rescue/LTh_auto"),
    ParameterPath("rescue_lower_thresholds", int, f"{_CHANNEL}/rescue/LTh_num_times"),
    ParameterPath("rescue_lower_threshold", int, f"{_CHANNEL}/rescue/LTh_thresholds", is_list=True),
    ParameterPath("rescue_lower_time_percent", float, f"{_CHANNEL}/rescue/LTh_times", is_list=True),
    ParameterPath("rescue_upper_auto", bool, f"{_CHANNEL}/rescue/UTh_auto"),
    ParameterPath("rescue_upper_threshold", int, f"{_CHANNEL}/rescue/UTh_threshold"),
)

ROWS: Mapping[str, ParameterPath] = MappingProxyType({row.name: row for row in TABLE})

# What one of them is, as it stands in a path.
_PLACES = {"channel": r"\d+", "laser": r"(?P<laser>\d+)", "axis": "[xyz]"}


class UnknownLayoutError(ValueError):
    """An Imspector whose parameter tree is not known."""


@dataclass(frozen=True)
class Layout:
    """Imspector's parameter tree in one of its layouts.

    Parameters
    ----------
    name : {"16.3", "0.13"}
        The version that it was seen in.
    """

    name: LayoutName

    def path(self, setting: str, **where: object) -> str:
        """Path of a setting.

        Parameters
        ----------
        setting : str
            Name of a row of `TABLE`.
        **where
            Its ``channel``, ``laser`` or ``axis``, as far as the row has one.

        Raises
        ------
        UnknownLayoutError
            When this layout has no path for the setting.
        KeyError
            When there is no such setting, or part of the place is missing.
        """
        template = ROWS[setting].template(self.name)
        if not template:
            raise UnknownLayoutError(f"{setting}: no path is known in Imspector {self.name}")
        return template.format(**where)

    @cached_property
    def _patterns(self) -> tuple[tuple[ParameterPath, re.Pattern[str]], ...]:
        patterns = []
        for row in TABLE:
            if template := row.template(self.name):
                pattern = template.format(**_PLACES) + (r"(/\d+)?" if row.is_list else "")
                patterns.append((row, re.compile(pattern)))
        return tuple(patterns)

    def find(self, path: str) -> tuple[ParameterPath, int | None] | None:
        """Return the row that a path belongs to, and the number of the laser in it; or None."""
        for row, pattern in self._patterns:
            if (match := pattern.fullmatch(path)) is not None:
                laser = match.groupdict().get("laser")
                return row, None if laser is None else int(laser)
        return None


def layout_for(version: str) -> Layout:
    """Return the layout of the tree of an Imspector, by the version that it reports.

    Raises
    ------
    UnknownLayoutError
        When no layout is known for the version.
    """
    if re.match(r"16(\.|$)", version):
        return Layout("16.3")
    if re.match(r"0\.1[0-9](\.|$)", version):
        return Layout("0.13")
    raise UnknownLayoutError(
        f"Imspector {version!r}: the parameter trees of 16.x and of 0.1x (2018) are known"
    )
