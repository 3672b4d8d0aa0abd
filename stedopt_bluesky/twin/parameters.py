"""The twin's parameters: a measurement's tree, the hardware's, and how they hang together.

The names and types are those of a measurement of Imspector 16.3.10599; of its devices
only those that matter to a scan are here. What follows from what (`couple`):

- ``psz`` or ``len`` of an axis was set: ``res = round(len / psz)``; ``len`` stays as set,
  the field that is scanned is ``res * psz``.
- only ``res`` was set: ``len = res * psz``.
- ``res_used``, ``total`` and ``repetitions_used`` are derived; setting them is no error
  (programs write whole dictionaries back) and has no effect.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stedopt_bluesky.twin.instrument import LaserUnit
from stedopt_bluesky.twin.rescue import MOST_LOWER_COUNTS
from stedopt_bluesky.twin.value_tree import ParameterError

# A build of 16.3 whose real parameter trees these were held against; "twin" says who speaks.
VERSION = "16.3.10599-twin"

# Imspector has this many line steps and pixel steps.
STEPS = 8

# Where scanner and stage stand at the start, in m. Not at zero, as on a real instrument:
# who takes a global position for a relative one shall notice.
START_POSITION_M = {
    "x": 0.3e-6,
    "y": -0.2e-6,
    "coarse_x": 1.5e-3,
    "coarse_y": -0.8e-3,
    "coarse_z": 2.0e-3,
}

DRIVERS = {
    "ExpControl": "AIFpgaV3 Driver",
    "Interlock": "Interlock module",
    "OlympusIX": "Olympus IX83/BX63 Microscope",
    "Pinhole": "Thorlabs MPH16 Pinhole",
}


def measurement_parameters(lasers: Sequence[LaserUnit], channels: Sequence[str]) -> dict[str, Any]:
    """Make the tree of a new measurement: 10 × 10 µm, 20-nm pixels, 10 µs, all lasers off.

    Parameters
    ----------
    lasers : sequence of LaserUnit
        The lasers, in the order of the tree's lists.
    channels : sequence of str
        Names of the channels; each channel makes one stack.
    """
    return {
        "ExpControl": {
            "is_active": True,
            "measurement": {
                "channels": [_channel(name, lasers) for name in channels],
                "ignore_laser_power_setpoints": False,
                "lasers": [
                    {**_laser(laser), "polarization": {"angle": 0.0, "type": 1}} for laser in lasers
                ],
                "line_steps": _steps(1),
                "pixel_steps": _steps(1e-5),
                "sync_source": {"frequency": 40e6, "master": "internal"},
            },
            "prop_driver": DRIVERS["ExpControl"],
            "prop_version": 5,
            "scan": {"range": _scan_range()},
        },
        "Interlock": {
            "is_active": True,
            "prop_driver": DRIVERS["Interlock"],
            "prop_version": 0,
        },
        "Measurement": {
            "axes": {
                "bidirectional_scan": False,
                "num_synced": 2,
                "permanent_add": False,
                "scan_axes": ["ExpControl X", "ExpControl Y", "None", "None"],
            }
        },
        "OlympusIX": {
            "is_active": True,
            "prop_driver": DRIVERS["OlympusIX"],
            "prop_version": 2,
            "scanrange": {
                "z": {"g_off": 0.0, "len": 0.0, "off": 0.0, "z-stabilizer": {"enabled": False}}
            },
            "stage": {
                "pos_x": START_POSITION_M["coarse_x"],
                "pos_y": START_POSITION_M["coarse_y"],
            },
        },
        "Pinhole": {
            "is_active": True,
            "pinhole_size": 5e-5,
            "prop_driver": DRIVERS["Pinhole"],
            "prop_version": 1,
        },
        "prop_version": 2,
        "spec_version": VERSION,
    }


def hardware_parameters(lasers: Sequence[LaserUnit]) -> dict[str, Any]:
    """Make the hardware tree: the drivers, and which lasers there are."""
    tree: dict[str, Any] = {name: {"prop_driver": driver} for name, driver in DRIVERS.items()}
    tree["ExpControl"]["devices"] = {
        "lasers": {
            "lasers": [
                {
                    "id": laser.id,
                    "name": laser.calibration_name,
                    "power_ctrl": {"calib_name": laser.calibration_name},
                    "pulsed": True,
                    "wavelength": laser.wavelength_nm * 1e-9,
                }
                for laser in lasers
            ]
        }
    }
    return tree


def couple(before: Mapping[str, Any], after: dict[str, Any]) -> None:
    """Complete a changed measurement tree in place (rules: see the module).

    Raises
    ------
    ParameterError
        When a number is outside its range.
    """
    _check_ranges(after)
    measurement = after["ExpControl"]["measurement"]
    for name, zero in (("line_steps", 0), ("pixel_steps", 0.0)):
        steps = measurement[name]
        steps["repetitions_used"] = steps["repetitions"]
        steps["total"] = steps_total(steps, zero)
    old, new = before["ExpControl"]["scan"]["range"], after["ExpControl"]["scan"]["range"]
    for axis in ("x", "y", "z", "t", "coarse_x", "coarse_y", "coarse_z"):
        _couple_axis(old[axis], new[axis], ("ExpControl", "scan", "range", axis))
    stage = after["OlympusIX"]["stage"]
    stage["pos_x"], stage["pos_y"] = new["coarse_x"]["g_off"], new["coarse_y"]["g_off"]


def steps_total(steps: Mapping[str, Any], zero: float = 0) -> Any:
    """Sum the durations of the active steps and multiply by the repetitions.

    Line steps count scanned lines per image line, pixel steps are seconds per pixel.
    """
    active = zip(steps["step_active"], steps["step_duration"], strict=True)
    return steps["repetitions"] * sum((d for is_on, d in active if is_on), zero)


def _couple_axis(old: Mapping[str, Any], new: dict[str, Any], steps: tuple[str, ...]) -> None:
    if new["psz"] != old["psz"] or new["len"] != old["len"]:
        # Half a pixel and more counts as one.
        new["res"] = math.floor(new["len"] / new["psz"] + 0.5)
        if new["res"] < 1:
            raise ParameterError(
                (*steps, "len"), f"{new['len']} is less than a pixel of {new['psz']}"
            )
    elif new["res"] != old["res"]:
        new["len"] = new["res"] * new["psz"]
    new["res_used"] = new["res"]


def _check_ranges(tree: Mapping[str, Any]) -> None:
    control = tree["ExpControl"]
    base = ("ExpControl", "measurement")
    for name in ("line_steps", "pixel_steps"):
        steps = control["measurement"][name]
        _check((*base, name, "repetitions"), steps["repetitions"], _at_least_one)
        for i, duration in enumerate(steps["step_duration"]):
            _check((*base, name, "step_duration", str(i)), duration, _positive)
    for axis, values in control["scan"]["range"].items():
        if isinstance(values, dict):
            for key, rule in (("psz", _positive), ("len", _positive), ("res", _at_least_one)):
                _check(("ExpControl", "scan", "range", axis, key), values[key], rule)
    holders = [("lasers", control["measurement"]["lasers"])]
    for c, channel in enumerate(control["measurement"]["channels"]):
        holders.append((f"channels/{c}/lasers", channel["lasers"]))
        for key, rule in (("delay", _not_negative), ("width", _positive)):
            _check((*base, "channels", str(c), "gating", key), channel["gating"][key], rule)
        number = channel["rescue"]["LTh_num_times"]
        _check((*base, "channels", str(c), "rescue", "LTh_num_times"), number, _up_to_four)
        for k, counts in enumerate(channel["rescue"]["LTh_thresholds"]):
            steps = (*base, "channels", str(c), "rescue", "LTh_thresholds", str(k))
            _check(steps, counts, _few_counts)
    for where, lasers in holders:
        for i, laser in enumerate(lasers):
            steps = (*base, *where.split("/"), str(i), "power", "calibrated")
            _check(steps, laser["power"]["calibrated"], _percent)
    _check(("Pinhole", "pinhole_size"), tree["Pinhole"]["pinhole_size"], _positive)


def _check(steps: tuple[str, ...], value: float, rule: Callable[[float], str | None]) -> None:
    if (wrong := rule(value)) is not None:
        raise ParameterError(steps, f"{value} {wrong}")


def _positive(value: float) -> str | None:
    return None if value > 0 else "is not positive"


def _not_negative(value: float) -> str | None:
    return None if value >= 0 else "is negative"


def _at_least_one(value: float) -> str | None:
    return None if value >= 1 else "is less than 1"


def _few_counts(value: float) -> str | None:
    if 0 <= value <= MOST_LOWER_COUNTS:
        return None
    return f"is outside 0 ... {MOST_LOWER_COUNTS} counts, more than this twin reckons with"


def _up_to_four(value: float) -> str | None:
    return None if 0 <= value <= 4 else "is outside 0 ... 4 thresholds"


def _percent(value: float) -> str | None:
    return None if 0 <= value <= 100 else "is outside 0 ... 100 % of the calibrated power"


def _power(laser: LaserUnit) -> dict[str, Any]:
    # "raw" is the modulator's voltage; the twin leaves it alone.
    return {
        "calibrated": 0.0,
        "calibration_used": laser.calibration_name,
        "raw": 0.0,
        "units_used": "%",
    }


def _laser(laser: LaserUnit) -> dict[str, Any]:
    return {"active": False, "id": laser.id, "power": _power(laser)}


def _channel(name: str, lasers: Sequence[LaserUnit]) -> dict[str, Any]:
    return {
        "detsel": {
            "detector": "DET0",
            # ET685/70, the far-red band of the paper's microscope, in m.
            "spectral_range": {"center": 6.85e-7, "max": 7.2e-7, "min": 6.5e-7, "width": 7e-8},
        },
        "dwelltime": 1e-5,
        "gating": {"active": False, "delay": 0.75e-9, "use_steps": False, "width": 8e-9},
        "lasers": [{**_laser(laser), "warnings": ""} for laser in lasers],
        "name": name,
        "rescue": {
            "LTh_auto": True,
            "LTh_num_times": 0,
            "LTh_thresholds": [0] * 4,
            "LTh_times": [0.0] * 4,
            "UTh_auto": True,
            "UTh_threshold": 0,
            "blank_if_higher": False,
            "is_pmt": False,
            "probe_channel": "",
            "probe_mode": 0,
            "rescue_allowed": True,
            "rescue_mode": 0,
            "signal_level": 0.0,
            "strength": 0.0,
            "warnings": "",
        },
    }


def _steps(duration: float) -> dict[str, Any]:
    return {
        "active": True,
        "interleave": False,
        "repetitions": 1,
        "repetitions_used": 1,
        "step_active": [True] + [False] * (STEPS - 1),
        "step_duration": [duration] * STEPS,
        "total": duration,
    }


def _axis(pixel: float, pixels: int, position_m: float = 0.0) -> dict[str, Any]:
    return {
        "g_off": position_m,
        "keep_pixel_size": True,
        "len": pixels * pixel,
        "off": 0.0,
        "psz": pixel,
        "res": pixels,
        "res_used": pixels,
    }


def _scan_range() -> dict[str, Any]:
    """Make the scanner's ranges; lengths in m, those of ``t`` without a meaning."""
    return {
        "coarse_x": _axis(2e-8, 500, START_POSITION_M["coarse_x"]),
        "coarse_y": _axis(2e-8, 500, START_POSITION_M["coarse_y"]),
        "coarse_z": _axis(2e-8, 500, START_POSITION_M["coarse_z"]),
        "scanmode": "xy",
        "t": _axis(1.0, 1),
        "x": _axis(2e-8, 500, START_POSITION_M["x"]),
        "y": _axis(2e-8, 500, START_POSITION_M["y"]),
        "z": _axis(3e-8, 100),
    }
