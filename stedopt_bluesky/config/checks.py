"""Checks across the sections of a configuration: channels, powers, light, overview, uncaging."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stedopt_bluesky.config.errors import FieldError
from stedopt_bluesky.config.parameters import split_parameter

if TYPE_CHECKING:
    from stedopt_bluesky.config.experiment import ExperimentConfig
    from stedopt_bluesky.config.lasers import ExcitationConfig

# A spine's head of 0.5 µm is a few pixels of this size.
LARGEST_FOR_SPINES_NM = 200.0
# Of one channel: 256 MiB of 16-bit counts, which a program holds a few times while it sums frames
# and stores images; the most that a served twin sends at once, too.
MOST_PIXELS_OF_A_SCAN = 2**27


def check_channels(config: ExperimentConfig) -> None:
    """Refuse parameters of channels that there are not, and lasers that are told twice."""
    names = [channel.name for channel in config.channels]
    check_distinct("channels", names)
    for i, entry in enumerate(config.parameters):
        channel, own = split_parameter(entry.name)
        if channel and channel not in names:
            raise FieldError(
                f"parameters.{i}.name",
                entry.name,
                f"there is no channel {channel!r}, only {', '.join(names) or 'the first one'}",
            )
        follows = channel and own == "depletion_power_mW"
        if follows and config.channel(channel).depletion_power_mW is None:
            raise FieldError(
                f"parameters.{i}.name",
                entry.name,
                f"the channel has the first one's power; give it its own, {own}",
            )
    lasers: dict[int, tuple[str, object]] = {}
    for where, laser in config.lasers:
        other = lasers.setdefault(laser.laser, (where, laser))
        if other[1] != laser or where.endswith("depletion") != other[0].endswith("depletion"):
            raise FieldError(
                f"{where}.laser",
                laser.laser,
                f"another one than {other[0]}.laser, or all the same as there",
            )


def check_bands(config: ExperimentConfig) -> None:
    """Refuse a grid in which a detector's band would be empty."""
    values = {p.name: p.parameter.values for p in config.parameters}
    sections = [("", "detection", config.detection)]
    for i, channel in enumerate(config.channels):
        sections.append((f"{channel.name}_", f"channels.{i}.detection", channel.detection))
    for prefix, where, detection in sections:
        low = max(values.get(f"{prefix}spectral_min_nm", ()), default=detection.spectral_min_nm)
        high = min(values.get(f"{prefix}spectral_max_nm", ()), default=detection.spectral_max_nm)
        if low is not None and high is not None and not low < high:
            raise ValueError(
                f"{where}: spectral_min_nm reaches {low:g}, spectral_max_nm {high:g} nm: each "
                "below the other, in all configurations of the grid"
            )


def check_fields(config: ExperimentConfig) -> None:
    """Refuse a grid with a region larger than those that are laid over the sample."""
    largest_um = config.imaging.region_size_um
    for i, entry in enumerate(config.parameters):
        for field, value in entry.ends:
            if entry.name == "region_size_um" and value > largest_um:
                raise FieldError(
                    f"parameters.{i}.{field}",
                    value,
                    f"at most {largest_um:g} µm (imaging.region_size_um): regions are laid so "
                    "large, and a smaller one is imaged in the middle of its place",
                )


def check_stacks(config: ExperimentConfig) -> None:
    """Refuse scans of the grid that are too large to be kept in memory and sent."""
    field, most = "imaging.frames", max(config.values_of("frames"))
    for i, entry in enumerate(config.parameters):
        if entry.name == "frames":
            field = f"parameters.{i}.{entry.ends[1][0]}"
    _check_stack(field, most, config.most_pixels)
    if config.uncaging.enabled:
        calcium = config.calcium
        for name in ("baseline_frames", "response_frames"):
            _check_stack(f"calcium.{name}", getattr(calcium, name), calcium.pixels)


def _check_stack(field: str, frames: float, pixels: int) -> None:
    if frames * pixels**2 > MOST_PIXELS_OF_A_SCAN:
        raise FieldError(
            field,
            frames,
            f"at most {MOST_PIXELS_OF_A_SCAN // pixels**2} of {pixels} × {pixels} pixels, "
            f"{MOST_PIXELS_OF_A_SCAN:,} pixels in a scan",
        )


def check_rescue(config: ExperimentConfig) -> None:
    """Refuse settings of RESCue that do not go together, or that nothing switches on."""
    optimised = {p.name: (f"parameters.{i}", p) for i, p in enumerate(config.parameters)}
    sections = [("", "rescue", config.rescue)]
    for i, channel in enumerate(config.channels):
        sections.append((f"{channel.name}_", f"channels.{i}.rescue", channel.rescue))
    for prefix, where, rescue in sections:
        told: dict[str, _Told] = {}
        for name, value in rescue:
            if found := optimised.get(f"{prefix}rescue_{name}"):
                (low_field, low), (high_field, high) = found[1].ends
                told[name] = _Told(f"{found[0]}.{low_field}", low, f"{found[0]}.{high_field}", high)
            elif value is not None:
                told[name] = _Told(f"{where}.{name}", value, f"{where}.{name}", value)
        _check_rescue(where, told)


@dataclass(frozen=True)
class _Told:
    """Lowest and highest value of a setting, each with the field that says it."""

    low_field: str
    low: float
    high_field: str
    high: float


def _check_rescue(where: str, told: Mapping[str, _Told]) -> None:
    """Check what is told of one channel's RESCue."""
    if told and "mode" not in told:
        first = next(iter(told.values()))
        raise FieldError(
            first.high_field, first.high, f"only with {where}.mode, which switches RESCue on"
        )
    lower = [name for name in told if name.startswith("lower_")]
    if not lower:
        return
    for name in ("signal_level", "strength"):
        if name in told:
            raise FieldError(
                told[name].high_field,
                told[name].high,
                f"for automatic thresholds, not together with {where}.{lower[0]}",
            )
    if "lower_thresholds" not in told:
        entry = told[lower[0]]
        raise FieldError(
            entry.high_field, entry.high, f"only with {where}.lower_thresholds, their number"
        )
    number = told["lower_thresholds"]
    most = int(number.high)
    needed = [
        f"lower_{what}_{k + 1}" for k in range(most) for what in ("threshold", "time_percent")
    ]
    for name in needed:
        if name not in told:
            raise FieldError(number.high_field, number.high, f"{where}.{name} is needed with it")
    for name in lower:
        if name not in (*needed, "lower_thresholds"):
            raise FieldError(
                told[name].high_field,
                told[name].high,
                f"left out, with at most {most} lower thresholds ({number.high_field})",
            )
    for one, other in itertools.pairwise(name for name in needed if "time" in name):
        if not told[one].high < told[other].low:
            raise FieldError(
                told[other].low_field,
                told[other].low,
                f"above {told[one].high:g} %, the time before it ({told[one].high_field})",
            )


def check_powers(config: ExperimentConfig) -> None:
    """Refuse every power that a laser's limit or its calibration does not allow."""
    for field, parameter, power in _powers(config):
        pulsed = _pulses(config).get(parameter)
        channel, own = ("", parameter) if pulsed else split_parameter(parameter)
        if pulsed or own == "excitation_power_uW":
            where, excitation = pulsed or config.excitation_of(channel)
            limit, lowest = excitation.power_limit_uW, excitation.calibration_power_uW[0]
            _check_power(field, power, limit, lowest, where, "uW")
        elif own == "depletion_power_mW":
            where, depletion = config.depletion_of(channel)
            limit, lowest = depletion.power_limit_mW, depletion.calibration_power_mW[0]
            _check_power(field, power, limit, lowest, where, "mW")


def _pulses(config: ExperimentConfig) -> dict[str, tuple[str, ExcitationConfig]]:
    """Lasers around a pulse by their power, each with the section that it is in."""
    return {
        "uncaging_power_uW": ("uncaging", config.uncaging),
        "calcium_power_uW": ("calcium", config.calcium),
    }


def _powers(config: ExperimentConfig) -> Iterator[tuple[str, str, float]]:
    """Yield each field with the parameter that it is a value of, and the value."""
    imaging, excitation, depletion = config.imaging, "excitation_power_uW", "depletion_power_mW"
    yield f"imaging.{excitation}", excitation, imaging.excitation_power_uW
    yield f"imaging.{depletion}", depletion, imaging.depletion_power_mW
    confocal = f"confocal_{excitation}"
    yield f"imaging.{confocal}", excitation, imaging.confocal_excitation_power_uW
    # Spines are seen by the indicator that fills them.
    seen_by = "calcium_power_uW" if config.uncaging.enabled else excitation
    yield f"overview.{excitation}", seen_by, config.overview.excitation_power_uW
    if config.uncaging.enabled:
        yield "uncaging.power_uW", "uncaging_power_uW", config.uncaging.power_uW
        yield "calcium.power_uW", "calcium_power_uW", config.calcium.power_uW
    for i, channel in enumerate(config.channels):
        own = f"{channel.name}_{excitation}"
        yield f"channels.{i}.{excitation}", own, channel.excitation_power_uW
        yield f"channels.{i}.{confocal}", own, channel.confocal_excitation_power_uW
        if channel.depletion_power_mW is not None:
            power = channel.depletion_power_mW
            yield f"channels.{i}.{depletion}", f"{channel.name}_{depletion}", power
    for i, entry in enumerate(config.parameters):
        for end, value in entry.ends:
            yield f"parameters.{i}.{end}", entry.name, value


def _check_power(
    field: str, power: float, limit: float, lowest: float, laser: str, unit: str
) -> None:
    shown_unit = unit.replace("u", "µ")
    if power > limit:
        raise FieldError(
            field, power, f"at most {limit:g} {shown_unit} ({laser}.power_limit_{unit})"
        )
    if 0 < power < lowest:
        raise FieldError(
            field,
            power,
            f"0, or at least {lowest:g} {shown_unit} ({laser}.calibration_power_{unit})",
        )


def check_light(config: ExperimentConfig) -> None:
    """Refuse a grid of which a configuration would exceed a limit of the light."""
    longest_s, dose_mJ = _most_light(config)
    limits = config.limits
    dwelltimes = [("imaging.dwelltime_us", config.imaging.dwelltime_us)] + [
        (f"parameters.{i}.{field}", value)
        for i, entry in enumerate(config.parameters)
        if entry.name == "dwelltime_us"
        for field, value in entry.ends
    ]
    for field, dwelltime_us in dwelltimes:
        if limits.dwelltime_us is not None and dwelltime_us > limits.dwelltime_us:
            raise FieldError(
                field, dwelltime_us, f"at most {limits.dwelltime_us:g} µs (limits.dwelltime_us)"
            )
    for field, limit, most, unit, what in (
        ("sted_image_s", limits.sted_image_s, longest_s, "s", "longest STED image of the grid"),
        (
            "region_dose_mJ",
            limits.region_dose_mJ,
            dose_mJ,
            "mJ",
            "largest dose of the grid on a region",
        ),
        ("run_dose_mJ", limits.run_dose_mJ, dose_mJ, "mJ", "largest dose of one image"),
    ):
        if limit is not None and limit < most:
            raise FieldError(
                f"limits.{field}", limit, f"at least {_rounded_up(most):g} {unit}, the {what}"
            )


def _most_light(config: ExperimentConfig) -> tuple[float, float]:
    """Longest STED image, s, and largest dose of a region, mJ, of all the grid."""
    imaging, highest = config.imaging, {p.name: p.parameter.values[-1] for p in config.parameters}

    def most(name: str, otherwise: float) -> float:
        return highest.get(name, otherwise)

    dwelltime_us, line_steps, frames = (
        max(config.values_of(name)) for name in ("dwelltime_us", "line_steps", "frames")
    )
    pixels = config.most_pixels**2
    channel_s = dwelltime_us * 1e-6 * line_steps * frames * pixels
    confocal_s = 2 * imaging.confocal_dwelltime_us * 1e-6 * pixels
    depletion_mW = max(config.values_of("depletion_power_mW"))
    # Of each channel the powers: excitation, µW; depletion, mW; confocal excitation, µW.
    powers = [
        (
            max(config.values_of("excitation_power_uW")),
            depletion_mW,
            imaging.confocal_excitation_power_uW,
        )
    ]
    for channel in config.channels:
        own_mW = channel.depletion_power_mW
        powers.append(
            (
                most(f"{channel.name}_excitation_power_uW", channel.excitation_power_uW),
                depletion_mW
                if own_mW is None
                else most(f"{channel.name}_depletion_power_mW", own_mW),
                channel.confocal_excitation_power_uW,
            )
        )
    dose_mJ = sum(
        (excitation_uW * 1e-3 + own_mW) * channel_s * imaging.sted_images
        + confocal_uW * 1e-3 * confocal_s
        for excitation_uW, own_mW, confocal_uW in powers
    )
    if config.uncaging.enabled:
        calcium, pulse_s = config.calcium, config.uncaging.pulse_ms * 1e-3
        calcium_frames = calcium.baseline_frames + calcium.response_frames
        frames_s = calcium_frames * calcium.dwelltime_us * 1e-6 * calcium.pixels**2
        pulse_uW = most("uncaging_power_uW", config.uncaging.power_uW)
        dose_mJ += (calcium.power_uW * frames_s + pulse_uW * pulse_s) * 1e-3
    return channel_s * len(powers), dose_mJ


def check_overview(config: ExperimentConfig) -> None:
    """Refuse an overview that has no room for a region, or a margin that leaves none."""
    overview, size_um = config.overview, config.imaging.region_size_um
    if overview.size_um < size_um:
        raise FieldError(
            "overview.size_um", overview.size_um, f"at least one region, {size_um:g} µm"
        )
    # An image has whole pixels: of its side, less than a pixel may be missing.
    pixel_um = overview.pixel_size_nm / 1000
    side_um = math.floor(overview.size_um / pixel_um + 1e-9) * pixel_um
    most_um = max(0.0, math.floor((side_um - size_um) / 2 * 1000 + 1e-6) / 1000)
    if overview.margin_um > most_um:
        raise FieldError(
            "overview.margin_um",
            overview.margin_um,
            f"at most {most_um:g} µm, for one region of {size_um:g} µm to have room in the "
            "overview",
        )


def check_uncaging(config: ExperimentConfig) -> None:
    """Refuse what does not go together with uncaging, or without it."""
    uncaging, imaging = config.uncaging, config.imaging
    if uncaging.enabled and config.channels:
        raise FieldError("channels", config.channels[0].name, "none with uncaging")
    if uncaging.enabled and config.time_lapse.images_per_region > 1:
        raise FieldError(
            "time_lapse.images_per_region",
            config.time_lapse.images_per_region,
            "1 with uncaging",
        )
    optimised = [p.name for p in config.parameters if p.name.startswith("uncaging_")]
    if not uncaging.enabled:
        if optimised:
            raise FieldError("uncaging.enabled", False, f"true with parameter {optimised[0]}")
        return
    if imaging.sted_images != 2:
        raise FieldError(
            "imaging.sted_images",
            imaging.sted_images,
            "2 with uncaging.enabled: one before the pulse, one after it",
        )
    if config.overview.pixel_size_nm > LARGEST_FOR_SPINES_NM:
        raise FieldError(
            "overview.pixel_size_nm",
            config.overview.pixel_size_nm,
            f"at most {LARGEST_FOR_SPINES_NM:g} nm with uncaging, for spines to be seen",
        )
    for field in ("margin_um", "minimum_signal"):
        if value := getattr(config.overview, field):
            raise FieldError(
                f"overview.{field}", value, "0 with uncaging, where spines are imaged, not tiles"
            )
    most_uW = max(
        [uncaging.power_uW]
        + [p.ends[1][1] for p in config.parameters if p.name == "uncaging_power_uW"]
    )
    energy_uJ = most_uW * uncaging.pulse_ms * 1e-3
    if energy_uJ > uncaging.energy_limit_uJ:
        raise FieldError(
            "uncaging.energy_limit_uJ",
            uncaging.energy_limit_uJ,
            f"at least {_rounded_up(energy_uJ):g} µJ, the strongest pulse of the grid",
        )


def _rounded_up(value: float) -> float:
    """Round up to three digits: a limit of that much is taken."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return math.ceil(value / step) * step


def check_distinct(field: str, names: list[str]) -> None:
    """Refuse a name that is there twice."""
    repeated = sorted({n for n in names if names.count(n) > 1})
    if repeated:
        raise ValueError(f"{field}: {repeated[0]!r} is there twice: each name once")
