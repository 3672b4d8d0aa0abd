"""The whole configuration of an experiment, checked across its sections."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from stedopt_bluesky.config.channels import (
    ChannelConfig,
    DetectionConfig,
    OpticsConfig,
    RescueConfig,
)
from stedopt_bluesky.config.errors import ConfigError, FieldError, one_line, shown
from stedopt_bluesky.config.lasers import DepletionConfig, ExcitationConfig, LaserConfig
from stedopt_bluesky.config.places import (
    RectangleConfig,
    RegionConfig,
    StageConfig,
    TimeLapseConfig,
)
from stedopt_bluesky.config.sections import (
    MAX_CONFIGURATIONS,
    BanditConfig,
    ChoiceConfig,
    ImagingConfig,
    LimitsConfig,
    MicroscopeConfig,
    ObjectiveConfig,
    OverviewConfig,
    ParameterConfig,
    PriorConfig,
    QualityConfig,
    SampleConfig,
    Section,
    split_parameter,
)
from stedopt_bluesky.config.uncaging import CalciumConfig, UncagingConfig
from stedopt_bluesky.parameters import ParameterSpace

# A spine's head of 0.5 µm is a few pixels of this size.
LARGEST_FOR_SPINES_NM = 200.0
# The strategies that begin with the observations of earlier experiments.
LEARN_FROM_PRIOR = ("kernel_ts", "kernel_ucb")


class ExperimentConfig(Section):
    """Everything that a run needs to know. See ``stedopt config`` for a commented file."""

    preset: str = Field(
        "",
        description="Preset that this file changes: what is left out here is as in the preset.",
    )
    operator: str = Field("", description="Who runs the experiment, to search by.")
    images: Annotated[int, Field(ge=1, le=100_000)] = Field(
        60, description="Regions to image, 1 to 100,000."
    )
    seed: Annotated[int, Field(ge=0, lt=2**53)] = Field(
        0, description="Seed of every random draw, not negative."
    )
    sample: SampleConfig = SampleConfig()
    microscope: MicroscopeConfig = MicroscopeConfig()
    excitation: ExcitationConfig = ExcitationConfig()
    depletion: DepletionConfig = DepletionConfig()
    imaging: ImagingConfig = ImagingConfig()
    overview: OverviewConfig = OverviewConfig()
    uncaging: UncagingConfig = UncagingConfig()
    calcium: CalciumConfig = CalciumConfig()
    limits: LimitsConfig = LimitsConfig()
    detection: DetectionConfig = DetectionConfig()
    optics: OpticsConfig = OpticsConfig()
    rescue: RescueConfig = RescueConfig()
    stage: StageConfig = StageConfig()
    time_lapse: TimeLapseConfig = TimeLapseConfig()
    quality: QualityConfig = QualityConfig()
    choice: ChoiceConfig = ChoiceConfig()
    bandit: BanditConfig = BanditConfig()
    prior: PriorConfig = PriorConfig()
    parameters: tuple[ParameterConfig, ...] = Field(
        min_length=1,
        strict=False,
        description="The optimised parameters; the grid is their product.",
    )
    objectives: tuple[ObjectiveConfig, ...] = Field(
        min_length=1, strict=False, description="The objectives and their weights."
    )
    channels: tuple[ChannelConfig, ...] = Field(
        (), strict=False, description="Further channels, imaged together with the first one."
    )
    regions: tuple[RegionConfig, ...] = Field(
        (), strict=False, description="Regions chosen by hand; none: laid over an overview."
    )
    rectangles: tuple[RectangleConfig, ...] = Field(
        (), strict=False, description="Rectangles drawn by hand, to be filled with regions."
    )
    regions_file: str = Field(
        "",
        description="CSV of regions (x_um, y_um) or rectangles (and width_um, height_um), in place "
        "of them; a relative path counts from this file's folder.",
    )

    # The file is read where the configuration's own file is (config/files.py).
    @field_validator("regions_file")
    @classmethod
    def _file(cls, name: str) -> str:
        if name:
            raise ValueError("only in a configuration file, with which it is read")
        return name

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_distinct("parameters", [p.name for p in self.parameters])
        _check_distinct("objectives", [o.name for o in self.objectives])
        self._check_channels()
        self._check_uncaging()
        self._check_powers()
        self._check_light()
        size = math.prod(len(p.parameter.values) for p in self.parameters)
        if size > MAX_CONFIGURATIONS:
            raise ValueError(
                f"parameters: the grid has {size:,} configurations: at most {MAX_CONFIGURATIONS:,}"
            )
        if self.bandit.norm_bound is not None and self.bandit.adaptation != "published":
            raise FieldError(
                "bandit.norm_bound",
                self.bandit.norm_bound,
                "only with bandit.adaptation = 'published'; empirical_bayes finds its own",
            )
        if (self.prior.runs or self.prior.csv) and self.bandit.strategy not in LEARN_FROM_PRIOR:
            raise FieldError(
                "bandit.strategy",
                self.bandit.strategy,
                f"with prior knowledge {' or '.join(LEARN_FROM_PRIOR)}",
            )
        bandwidth = self.bandit.bandwidth
        if bandwidth is not None and len(bandwidth) != len(self.parameters):
            raise FieldError(
                "bandit.bandwidth", bandwidth, f"one per parameter, {len(self.parameters)}"
            )
        if self.overview.size_um < self.imaging.region_size_um:
            raise FieldError(
                "overview.size_um",
                self.overview.size_um,
                f"at least one region, {self.imaging.region_size_um:g} µm",
            )
        if self.choice.network != "auto" and self.choice.rule != "network":
            raise FieldError("choice.network", self.choice.network, "only with rule = 'network'")
        if self.choice.rule == "local":
            names = [o.name for o in self.objectives]
            for needed in ("response_size_ratio", "df_over_f_peak"):
                if needed not in names:
                    raise FieldError("choice.rule", "local", f"only with objective {needed}")
        if self.choice.rule == "weighted" and not any(o.weight for o in self.objectives):
            raise ValueError("objectives: weight = 0 for all: at least one above 0")
        return self

    def _check_uncaging(self) -> None:
        """Refuse what does not go together with uncaging, or without it."""
        uncaging, imaging = self.uncaging, self.imaging
        if uncaging.enabled and self.channels:
            raise FieldError("channels", self.channels[0].name, "none with uncaging")
        if uncaging.enabled and self.time_lapse.images_per_region > 1:
            raise FieldError(
                "time_lapse.images_per_region",
                self.time_lapse.images_per_region,
                "1 with uncaging",
            )
        optimised = [p.name for p in self.parameters if p.name.startswith("uncaging_")]
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
        if self.overview.pixel_size_nm > LARGEST_FOR_SPINES_NM:
            raise FieldError(
                "overview.pixel_size_nm",
                self.overview.pixel_size_nm,
                f"at most {LARGEST_FOR_SPINES_NM:g} nm with uncaging, for spines to be seen",
            )
        most_uW = max(
            [uncaging.power_uW]
            + [p.ends[1][1] for p in self.parameters if p.name == "uncaging_power_uW"]
        )
        energy_uJ = most_uW * uncaging.pulse_ms * 1e-3
        if energy_uJ > uncaging.energy_limit_uJ:
            raise FieldError(
                "uncaging.energy_limit_uJ",
                uncaging.energy_limit_uJ,
                f"at least {_rounded_up(energy_uJ):g} µJ, the strongest pulse of the grid",
            )

    def _check_powers(self) -> None:
        """Refuse every power that a laser's limit or its calibration does not allow."""
        for field, parameter, power in self._powers():
            pulsed = self._pulses.get(parameter)
            channel, own = ("", parameter) if pulsed else split_parameter(parameter)
            if pulsed or own == "excitation_power_uW":
                where, excitation = pulsed or self.excitation_of(channel)
                limit, lowest = excitation.power_limit_uW, excitation.calibration_power_uW[0]
                self._check_power(field, power, limit, lowest, where, "uW")
            elif own == "depletion_power_mW":
                where, depletion = self.depletion_of(channel)
                limit, lowest = depletion.power_limit_mW, depletion.calibration_power_mW[0]
                self._check_power(field, power, limit, lowest, where, "mW")

    @property
    def _pulses(self) -> dict[str, tuple[str, UncagingConfig | CalciumConfig]]:
        """Lasers around a pulse by their power, each with the section that it is in."""
        return {
            "uncaging_power_uW": ("uncaging", self.uncaging),
            "calcium_power_uW": ("calcium", self.calcium),
        }

    def _powers(self) -> Iterator[tuple[str, str, float]]:
        """Yield each field with the parameter that it is a value of, and the value."""
        imaging, excitation, depletion = self.imaging, "excitation_power_uW", "depletion_power_mW"
        yield f"imaging.{excitation}", excitation, imaging.excitation_power_uW
        yield f"imaging.{depletion}", depletion, imaging.depletion_power_mW
        confocal = f"confocal_{excitation}"
        yield f"imaging.{confocal}", excitation, imaging.confocal_excitation_power_uW
        # Spines are seen by the indicator that fills them.
        seen_by = "calcium_power_uW" if self.uncaging.enabled else excitation
        yield f"overview.{excitation}", seen_by, self.overview.excitation_power_uW
        if self.uncaging.enabled:
            yield "uncaging.power_uW", "uncaging_power_uW", self.uncaging.power_uW
            yield "calcium.power_uW", "calcium_power_uW", self.calcium.power_uW
        for i, channel in enumerate(self.channels):
            own = f"{channel.name}_{excitation}"
            yield f"channels.{i}.{excitation}", own, channel.excitation_power_uW
            yield f"channels.{i}.{confocal}", own, channel.confocal_excitation_power_uW
            if channel.depletion_power_mW is not None:
                power = channel.depletion_power_mW
                yield f"channels.{i}.{depletion}", f"{channel.name}_{depletion}", power
        for i, entry in enumerate(self.parameters):
            for end, value in entry.ends:
                yield f"parameters.{i}.{end}", entry.name, value

    @property
    def fixed_parameters(self) -> dict[str, float]:
        """Parameters that are told and not optimised, by name, each in its unit."""
        told: dict[str, float | None] = {}
        imaging = self.imaging
        for name in ("excitation_power_uW", "depletion_power_mW", "dwelltime_us", "line_steps"):
            told[name] = float(getattr(imaging, name))
        for channel in (None, *self.channels):
            prefix = f"{channel.name}_" if channel else ""
            detection = channel.detection if channel else self.detection
            for name in ("gate_delay_ns", "gate_width_ns", "spectral_min_nm", "spectral_max_nm"):
                told[prefix + name] = getattr(detection, name)
            if channel:
                told[f"{prefix}excitation_power_uW"] = channel.excitation_power_uW
                told[f"{prefix}depletion_power_mW"] = channel.depletion_power_mW
        told |= {"pinhole_um": self.optics.pinhole_um, "focus_um": self.optics.focus_um}
        told["rescue_signal_level"] = self.rescue.signal_level
        told["rescue_strength"] = self.rescue.strength
        if self.uncaging.enabled:
            told["uncaging_power_uW"] = self.uncaging.power_uW
            told["uncaging_distance_um"] = self.uncaging.distance_um
        optimised = {p.name for p in self.parameters}
        return {n: v for n, v in told.items() if v is not None and n not in optimised}

    def channel(self, name: str) -> ChannelConfig:
        """Return a further channel by its name; KeyError when there is none."""
        return {channel.name: channel for channel in self.channels}[name]

    def excitation_of(self, channel: str) -> tuple[str, ExcitationConfig]:
        """Excitation laser of a channel, ``""`` for the first one, and the section it is in."""
        own = self.channel(channel).excitation if channel else None
        return ("excitation", self.excitation) if own is None else (f"{channel}.excitation", own)

    def depletion_of(self, channel: str) -> tuple[str, DepletionConfig]:
        """Depletion laser of a channel, ``""`` for the first one, and the section it is in."""
        own = self.channel(channel).depletion if channel else None
        return ("depletion", self.depletion) if own is None else (f"{channel}.depletion", own)

    def _check_channels(self) -> None:
        """Refuse parameters of channels that there are not, and lasers that are told twice."""
        names = [channel.name for channel in self.channels]
        _check_distinct("channels", names)
        for i, entry in enumerate(self.parameters):
            channel, own = split_parameter(entry.name)
            if channel and channel not in names:
                raise FieldError(
                    f"parameters.{i}.name",
                    entry.name,
                    f"there is no channel {channel!r}, only {', '.join(names) or 'the first one'}",
                )
            follows = channel and own == "depletion_power_mW"
            if follows and self.channel(channel).depletion_power_mW is None:
                raise FieldError(
                    f"parameters.{i}.name",
                    entry.name,
                    f"the channel has the first one's power; give it its own, {own}",
                )
        lasers: dict[int, tuple[str, object]] = {}
        for where, laser in self.lasers:
            other = lasers.setdefault(laser.laser, (where, laser))
            if other[1] != laser or where.endswith("depletion") != other[0].endswith("depletion"):
                raise FieldError(
                    f"{where}.laser",
                    laser.laser,
                    f"another one than {other[0]}.laser, or all the same as there",
                )

    @property
    def lasers(self) -> list[tuple[str, LaserConfig]]:
        """Lasers of all channels and of uncaging, each with the section that it is in."""
        found: list[tuple[str, LaserConfig]] = [
            ("excitation", self.excitation),
            ("depletion", self.depletion),
        ]
        if self.uncaging.enabled:
            found += [("calcium", self.calcium), ("uncaging", self.uncaging)]
        for i, channel in enumerate(self.channels):
            if channel.excitation is not None:
                found.append((f"channels.{i}.excitation", channel.excitation))
            if channel.depletion is not None:
                found.append((f"channels.{i}.depletion", channel.depletion))
        return found

    @staticmethod
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

    def _check_light(self) -> None:
        """Refuse a grid of which a configuration would exceed a limit of the light."""
        longest_s, dose_mJ = self._most_light()
        limits = self.limits
        dwelltimes = [("imaging.dwelltime_us", self.imaging.dwelltime_us)] + [
            (f"parameters.{i}.{field}", value)
            for i, entry in enumerate(self.parameters)
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

    def _most_light(self) -> tuple[float, float]:
        """Longest STED image, s, and largest dose of a region, mJ, of all the grid."""
        imaging, highest = self.imaging, {p.name: p.parameter.values[-1] for p in self.parameters}

        def most(name: str, otherwise: float) -> float:
            return highest.get(name, otherwise)

        dwelltime_us = most("dwelltime_us", imaging.dwelltime_us)
        channel_s = dwelltime_us * 1e-6 * most("line_steps", imaging.line_steps) * imaging.pixels**2
        confocal_s = 2 * imaging.confocal_dwelltime_us * 1e-6 * imaging.pixels**2
        depletion_mW = most("depletion_power_mW", imaging.depletion_power_mW)
        # Of each channel the powers: excitation, µW; depletion, mW; confocal excitation, µW.
        powers = [
            (
                most("excitation_power_uW", imaging.excitation_power_uW),
                depletion_mW,
                imaging.confocal_excitation_power_uW,
            )
        ]
        for channel in self.channels:
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
        if self.uncaging.enabled:
            calcium, pulse_s = self.calcium, self.uncaging.pulse_ms * 1e-3
            frames = calcium.baseline_frames + calcium.response_frames
            frames_s = frames * calcium.dwelltime_us * 1e-6 * calcium.pixels**2
            pulse_uW = most("uncaging_power_uW", self.uncaging.power_uW)
            dose_mJ += (calcium.power_uW * frames_s + pulse_uW * pulse_s) * 1e-3
        return channel_s * len(powers), dose_mJ

    @property
    def space(self) -> ParameterSpace:
        """The grid of configurations."""
        return ParameterSpace([p.parameter for p in self.parameters])

    def updated(self, changes: Mapping[str, Any]) -> ExperimentConfig:
        """Copy with changed fields, checked again; keys may be dotted (``"sample.name"``).

        Raises
        ------
        ConfigError
            When a value is not allowed.
        """
        data = self.model_dump(exclude_none=True)
        for key, value in changes.items():
            *sections, field = key.split(".")
            node: Any = data
            for section in sections:
                node = node.setdefault(section, {})
                if not isinstance(node, dict):
                    raise ConfigError(
                        f"{key} = {shown(value)}: {section} has no fields to be changed alone"
                    )
            node[field] = value
        return parse_config(data)


def _rounded_up(value: float) -> float:
    """Round up to three digits: a limit of that much is taken."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return math.ceil(value / step) * step


def parse_config(data: Mapping[str, Any], source: str = "") -> ExperimentConfig:
    """Check plain data and make a configuration of it.

    Parameters
    ----------
    data : mapping
        As read from TOML, or from a run's start document.
    source : str
        Where the data come from; begins the message of an error.

    Raises
    ------
    ConfigError
        One line that names the field, its value and what is allowed.
    """
    try:
        return ExperimentConfig.model_validate(data)
    except ValidationError as error:
        prefix = f"{source}: " if source else ""
        raise ConfigError(prefix + one_line(error, ExperimentConfig, data)) from None


def _check_distinct(field: str, names: list[str]) -> None:
    repeated = sorted({n for n in names if names.count(n) > 1})
    if repeated:
        raise ValueError(f"{field}: {repeated[0]!r} is there twice: each name once")
