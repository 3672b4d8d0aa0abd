"""From a measurement's parameters to what is scanned: where, how long, with which powers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stedopt_bluesky.twin.detection import Detection
from stedopt_bluesky.twin.instrument import LaserUnit
from stedopt_bluesky.twin.parameters import steps_total
from stedopt_bluesky.twin.photophysics import Exposure
from stedopt_bluesky.twin.rescue import RescueRule, rescue_of

FRAME_AXES = ("ExpControl X", "ExpControl Y")
TIME_AXIS = "ExpControl T"
# Four avalanche photodiodes.
DETECTORS = ("DET0", "DET1", "DET2", "DET3")
# The cover glass rises by so much per metre of the stage, along x and y: 0.5 to 1 mrad is usual.
TILT = (1e-3, -0.5e-3)
# 2 GiB of int16 counts: more is a mistake in the parameters, not an image.
MAX_STACK_PIXELS = 2**30


@dataclass(frozen=True)
class ChannelScan:
    """One channel of a scan.

    Parameters
    ----------
    name : str
        The channel's name, for example ``"Ch1"``.
    powers_W : mapping
        Power at the back aperture per laser id, in W; only the lasers that emit.
    excitation_W, depletion_W : float
        Of all lasers that excite, as far as their light is scattered into the detector's band,
        and of all that deplete, in W.
    detection : Detection
        How its light is detected.
    rescue : RescueRule or None
        When a pixel is left early.
    """

    name: str
    powers_W: Mapping[str, float]
    excitation_W: float
    depletion_W: float
    detection: Detection
    rescue: RescueRule | None


@dataclass(frozen=True)
class ScanPlan:
    """All that a scan needs, taken from the parameters at its start.

    Parameters
    ----------
    x_m, y_m : float
        Centre of the field in the sample's coordinates, in m.
    pixel_size_m : float
        Side of a pixel, in m.
    shape : tuple of int
        Lines and pixels of a frame (Y, X).
    dwelltime_s : float
        Dwelltime of a pixel in one line step, in s.
    line_steps : int
        How often every line is scanned.
    channels : tuple of ChannelScan
        Scanned one after the other in every frame.
    axes : tuple of str
        The four scan axes, for example ``("ExpControl X", "ExpControl Y", "None", "None")``.
    sizes : tuple of int
        Pixels along the four axes.
    lengths, offsets : tuple of float
        Length and corner along the four axes, in m; 1 and 0 where there is no axis.
    """

    x_m: float
    y_m: float
    pixel_size_m: float
    shape: tuple[int, int]
    dwelltime_s: float
    line_steps: int
    channels: tuple[ChannelScan, ...]
    axes: tuple[str, ...]
    sizes: tuple[int, ...]
    lengths: tuple[float, ...]
    offsets: tuple[float, ...]

    @property
    def frames(self) -> int:
        """How often the field is scanned."""
        return self.sizes[2] * self.sizes[3]

    def exposure(self, channel: ChannelScan, lines: int) -> Exposure:
        """Exposure of the first ``lines`` lines of a frame."""
        # Centre of these lines against the centre of the frame.
        shift_m = (lines - self.shape[0]) / 2 * self.pixel_size_m
        return Exposure(
            x_m=self.x_m,
            y_m=self.y_m + shift_m,
            pixel_size_m=self.pixel_size_m,
            shape=(lines, self.shape[1]),
            dwelltime_s=self.dwelltime_s,
            line_steps=self.line_steps,
            excitation_W=channel.excitation_W,
            depletion_W=channel.depletion_W,
            rescue=channel.rescue,
        )


def plan_scan(
    tree: Mapping[str, Any],
    start: Mapping[str, Any],
    lasers: Sequence[LaserUnit],
    detectors: Sequence[str] | None = DETECTORS,
) -> ScanPlan:
    """Read a scan from a measurement's parameters.

    The field's centre in the sample is the scanner's ``off``, plus how far the scanner's
    ``g_off`` and the stage (``coarse_x``, ``coarse_y``) are from where they started: at the
    start, the middle of the sample is in the middle of the field.

    Parameters
    ----------
    tree : mapping
        The measurement's parameters.
    start : mapping
        The parameters that the twin started with.
    lasers : sequence of LaserUnit
        All lasers.
    detectors : sequence of str or None
        All detectors; None: whatever is named.

    Raises
    ------
    RuntimeError
        When the parameters ask for a scan that the twin does not simulate.
    """
    ranges, begin = tree["ExpControl"]["scan"]["range"], start["ExpControl"]["scan"]["range"]
    measurement = tree["ExpControl"]["measurement"]
    axes = tuple(tree["Measurement"]["axes"]["scan_axes"])
    _check_simulated(axes, ranges)
    x, y, t = ranges["x"], ranges["y"], ranges["t"]
    timed = [axis == TIME_AXIS for axis in axes[2:]]
    field_m = (x["res"] * x["psz"], y["res"] * y["psz"])

    pinhole_m = float(tree["Pinhole"]["pinhole_size"])
    defocus_m = _defocus_m(tree, start)

    def centre_m(axis: str) -> float:
        coarse = f"coarse_{axis}"
        moved: float = ranges[coarse]["g_off"] - begin[coarse]["g_off"]
        return float(ranges[axis]["off"] + ranges[axis]["g_off"] - begin[axis]["g_off"] + moved)

    plan = ScanPlan(
        x_m=centre_m("x"),
        y_m=centre_m("y"),
        pixel_size_m=x["psz"],
        shape=(y["res"], x["res"]),
        dwelltime_s=_steps_used(measurement["pixel_steps"], "pixel_steps"),
        line_steps=int(_steps_used(measurement["line_steps"], "line_steps")),
        channels=tuple(
            _channel(channel, lasers, detectors, pinhole_m, defocus_m)
            for channel in measurement["channels"]
        ),
        axes=axes,
        sizes=(x["res"], y["res"], *(t["res"] if on else 1 for on in timed)),
        lengths=(*field_m, *(t["res"] * t["psz"] if on else 1.0 for on in timed)),
        offsets=(x["off"] - field_m[0] / 2, y["off"] - field_m[1] / 2, 0.0, 0.0),
    )
    _check_possible(plan)
    return plan


def _check_simulated(axes: tuple[str, ...], ranges: Mapping[str, Any]) -> None:
    known = axes[:2] == FRAME_AXES and set(axes[2:]) <= {TIME_AXIS, "None"}
    if not known or axes[2:].count(TIME_AXIS) > 1 or ranges["scanmode"] != "xy":
        raise RuntimeError(
            f"scan mode {ranges['scanmode']!r} along {axes} is not simulated: the twin scans 'xy' "
            f"along {FRAME_AXES} and, where wanted, {TIME_AXIS!r}"
        )
    x, y = ranges["x"]["psz"], ranges["y"]["psz"]
    # A thousandth: what a rounded conversion from nm may differ by.
    if abs(x - y) > 1e-3 * x:
        raise RuntimeError(f"pixels must be square on the twin, got {x} m by {y} m")


def _check_possible(plan: ScanPlan) -> None:
    """Refuse at the start what would fail in the acquisition's thread."""
    pixels = math.prod(plan.sizes)
    if pixels > MAX_STACK_PIXELS:
        raise RuntimeError(
            f"a stack of {plan.sizes} is too large: at most {MAX_STACK_PIXELS} pixels"
        )
    try:
        for channel in plan.channels:
            plan.exposure(channel, plan.shape[0])
    except ValueError as error:
        raise RuntimeError(f"this scan is not simulated: {error}") from error


def _steps_used(steps: Mapping[str, Any], name: str) -> float:
    """Total of the active steps; the first step alone where steps are switched off."""
    total = float(steps_total(steps) if steps["active"] else steps["step_duration"][0])
    if not total > 0:
        raise RuntimeError(f"no step of {name} is active: nothing would be scanned")
    return total


def _defocus_m(tree: Mapping[str, Any], start: Mapping[str, Any]) -> float:
    """Distance of the sample from the plane of focus.

    Where the twin starts, the sample is in focus. Its cover glass is tilted; the z-stabilizer
    follows it, and the focus' offset adds to that.
    """
    z = tree["OlympusIX"]["scanrange"]["z"]
    ranges, begin = tree["ExpControl"]["scan"]["range"], start["ExpControl"]["scan"]["range"]
    moved_m = [ranges[axis]["g_off"] - begin[axis]["g_off"] for axis in ("coarse_x", "coarse_y")]
    height_m = sum(slope * moved for slope, moved in zip(TILT, moved_m, strict=True))
    stage_m = float(ranges["coarse_z"]["g_off"] - begin["coarse_z"]["g_off"])
    if z["z-stabilizer"]["enabled"]:
        height_m, stage_m = 0.0, 0.0
    return float(z["off"] + stage_m - height_m)


def _channel(
    tree: Mapping[str, Any],
    lasers: Sequence[LaserUnit],
    detectors: Sequence[str] | None,
    pinhole_m: float,
    defocus_m: float,
) -> ChannelScan:
    on = {s["id"]: s["power"]["calibrated"] for s in tree["lasers"] if s["active"]}
    powers_W = {unit.id: unit.power_at(on[unit.id]) for unit in lasers if on.get(unit.id, 0.0) > 0}
    if detectors is not None and tree["detsel"]["detector"] not in detectors:
        raise RuntimeError(
            f"{tree['name']}: there is no detector {tree['detsel']['detector']!r}, only "
            f"{', '.join(detectors)}"
        )
    band, gate = tree["detsel"]["spectral_range"], tree["gating"]
    detection = Detection(
        low_nm=band["min"] * 1e9,
        high_nm=band["max"] * 1e9,
        gate_s=(gate["delay"], gate["width"]) if gate["active"] else None,
        pinhole_m=pinhole_m,
        defocus_m=defocus_m,
    )
    total_W = {"excitation": 0.0, "depletion": 0.0}
    for unit in lasers:
        scattered = detection.scattered(unit.wavelength_nm) if unit.role == "excitation" else 1.0
        total_W[unit.role] += scattered * powers_W.get(unit.id, 0.0)
    return ChannelScan(
        tree["name"],
        powers_W,
        total_W["excitation"],
        total_W["depletion"],
        detection,
        rescue_of(tree),
    )
