"""The whole configuration of an experiment, checked across its sections."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from stedopt_bluesky.config.channels import (
    ChannelConfig,
    DetectionConfig,
    OpticsConfig,
    RescueConfig,
)
from stedopt_bluesky.config.checks import (
    check_bands,
    check_channels,
    check_distinct,
    check_fields,
    check_light,
    check_overview,
    check_powers,
    check_rescue,
    check_stacks,
    check_uncaging,
)
from stedopt_bluesky.config.errors import ConfigError, FieldError, one_line, shown
from stedopt_bluesky.config.expert import ExpertConfig
from stedopt_bluesky.config.lasers import DepletionConfig, ExcitationConfig, LaserConfig
from stedopt_bluesky.config.live import LiveConfig
from stedopt_bluesky.config.microscope import MicroscopeConfig, SampleConfig
from stedopt_bluesky.config.parameters import IMAGING_PARAMETERS, ParameterConfig
from stedopt_bluesky.config.places import (
    RectangleConfig,
    RegionConfig,
    StageConfig,
    TimeLapseConfig,
)
from stedopt_bluesky.config.sections import (
    MAX_CONFIGURATIONS,
    BanditConfig,
    CatalogConfig,
    ChoiceConfig,
    ImagingConfig,
    LimitsConfig,
    ObjectiveConfig,
    OverviewConfig,
    PriorConfig,
    QualityConfig,
    Section,
)
from stedopt_bluesky.config.uncaging import CalciumConfig, UncagingConfig
from stedopt_bluesky.parameters import ParameterSpace, pixels_along

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
    catalog: CatalogConfig = CatalogConfig()
    live: LiveConfig = LiveConfig()
    detection: DetectionConfig = DetectionConfig()
    optics: OpticsConfig = OpticsConfig()
    rescue: RescueConfig = RescueConfig()
    stage: StageConfig = StageConfig()
    time_lapse: TimeLapseConfig = TimeLapseConfig()
    quality: QualityConfig = QualityConfig()
    choice: ChoiceConfig = ChoiceConfig()
    expert: ExpertConfig = ExpertConfig()
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
        check_distinct("parameters", [p.name for p in self.parameters])
        check_distinct("objectives", [o.name for o in self.objectives])
        for check in (
            check_channels,
            check_bands,
            check_fields,
            check_stacks,
            check_rescue,
            check_uncaging,
            check_powers,
            check_light,
        ):
            check(self)
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
        check_overview(self)
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

    def values_of(self, name: str) -> tuple[float, ...]:
        """Values of a field of section ``imaging`` in the grid; the fixed one where it has none.

        Parameters
        ----------
        name : str
            One of `IMAGING_PARAMETERS`, in its unit.
        """
        optimised = [p.parameter.values for p in self.parameters if p.name == name]
        return optimised[0] if optimised else (float(getattr(self.imaging, name)),)

    @property
    def most_pixels(self) -> int:
        """Pixels along a side of the region with the most of them in the grid."""
        return pixels_along(
            max(self.values_of("region_size_um")), min(self.values_of("pixel_size_nm"))
        )

    @property
    def sizes_change(self) -> bool:
        """Whether images of the grid differ in size."""
        return any(p.name in ("region_size_um", "pixel_size_nm") for p in self.parameters)

    @property
    def fixed_parameters(self) -> dict[str, float]:
        """Parameters that are told and not optimised, by name, each in its unit."""
        told: dict[str, float | None] = {}
        imaging = self.imaging
        for name in IMAGING_PARAMETERS:
            told[name] = float(getattr(imaging, name))
        for channel in (None, *self.channels):
            prefix = f"{channel.name}_" if channel else ""
            detection = channel.detection if channel else self.detection
            for name in ("gate_delay_ns", "gate_width_ns", "spectral_min_nm", "spectral_max_nm"):
                told[prefix + name] = getattr(detection, name)
            rescue = channel.rescue if channel else self.rescue
            told |= {f"{prefix}rescue_{name}": value for name, value in rescue}
            if channel:
                told[f"{prefix}excitation_power_uW"] = channel.excitation_power_uW
                told[f"{prefix}depletion_power_mW"] = channel.depletion_power_mW
        told |= {"pinhole_um": self.optics.pinhole_um, "focus_um": self.optics.focus_um}
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
