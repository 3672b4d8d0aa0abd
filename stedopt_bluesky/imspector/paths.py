"""Where each setting lives in Imspector's parameter tree.

Paths of Imspector 16.3, seen in a real measurement of version 16.3.10599.
Imspector's own units (SI; power in percent of the calibrated power) appear
here and in :mod:`~stedopt_bluesky.imspector.instrument`, nowhere above.
"""

from __future__ import annotations

CHANNELS = "ExpControl/measurement/channels"
# The lasers of the whole measurement, each with a power of its own.
LASERS = "ExpControl/measurement/lasers"
# A list with one duration (s) per pixel step; the first one is the dwelltime.
PIXEL_STEPS = "ExpControl/measurement/pixel_steps/step_duration"
# A list with one number of repetitions per line step; the first one is used.
LINE_STEPS = "ExpControl/measurement/line_steps/step_duration"
SCAN_MODE = "ExpControl/scan/range/scanmode"
SCAN_AXES = "Measurement/axes/scan_axes"
# Status tree: whether a measurement runs.
PROGRESS = "Measurement/timing/progress"

XY_SCAN_MODE = "xy"
XY_SCAN_AXES = ["ExpControl X", "ExpControl Y", "None", "None"]


def laser_power(channel: int, laser: int) -> str:
    """Power of a laser in a channel, % of the calibrated power."""
    return f"{CHANNELS}/{channel}/lasers/{laser}/power/calibrated"


def laser_active(channel: int, laser: int) -> str:
    """Whether a laser is on in a channel."""
    return f"{CHANNELS}/{channel}/lasers/{laser}/active"


def pixel_size(axis: str) -> str:
    """Pixel size along ``"x"`` or ``"y"``, m."""
    return f"ExpControl/scan/range/{axis}/psz"


def scan_length(axis: str) -> str:
    """Length of the scanned field along ``"x"`` or ``"y"``, m."""
    return f"ExpControl/scan/range/{axis}/len"


def scan_pixels(axis: str) -> str:
    """Pixels along ``"x"`` or ``"y"``: Imspector's own rounding of length over pixel size."""
    return f"ExpControl/scan/range/{axis}/res"


def scan_offset(axis: str) -> str:
    """Offset of the scanned field's centre along ``"x"`` or ``"y"``, m."""
    return f"ExpControl/scan/range/{axis}/off"
