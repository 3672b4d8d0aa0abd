"""The whole configuration of an experiment, checked across its sections."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from stedopt_bluesky.config.errors import ConfigError, one_line
from stedopt_bluesky.config.sections import (
    MAX_CONFIGURATIONS,
    PARAMETER_UNITS,
    BanditConfig,
    ChoiceConfig,
    DepletionConfig,
    ExcitationConfig,
    ImagingConfig,
    MicroscopeConfig,
    ObjectiveConfig,
    OverviewConfig,
    ParameterConfig,
    SampleConfig,
    Section,
)
from stedopt_bluesky.parameters import ParameterSpace


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
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        0, description="Seed of every random draw, not negative."
    )
    sample: SampleConfig = SampleConfig()
    microscope: MicroscopeConfig = MicroscopeConfig()
    excitation: ExcitationConfig = ExcitationConfig()
    depletion: DepletionConfig = DepletionConfig()
    imaging: ImagingConfig = ImagingConfig()
    overview: OverviewConfig = OverviewConfig()
    choice: ChoiceConfig = ChoiceConfig()
    bandit: BanditConfig = BanditConfig()
    parameters: tuple[ParameterConfig, ...] = Field(
        min_length=1, description="The optimised parameters; the grid is their product."
    )
    objectives: tuple[ObjectiveConfig, ...] = Field(
        min_length=1, description="The objectives and their weights."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_distinct("parameters", [p.name for p in self.parameters])
        _check_distinct("objectives", [o.name for o in self.objectives])
        self._check_limits()
        size = math.prod(len(p.parameter.values) for p in self.parameters)
        if size > MAX_CONFIGURATIONS:
            raise ValueError(
                f"parameters: the grid has {size:,} configurations: at most {MAX_CONFIGURATIONS:,}"
            )
        if self.bandit.bandwidth and len(self.bandit.bandwidth) != len(self.parameters):
            raise ValueError(
                f"bandit.bandwidth = {list(self.bandit.bandwidth)}: "
                f"one per parameter, {len(self.parameters)}"
            )
        if self.overview.size_um < self.imaging.region_size_um:
            raise ValueError(
                f"overview.size_um = {self.overview.size_um:g}: at least one region, "
                f"{self.imaging.region_size_um:g} µm"
            )
        if self.choice.rule == "weighted" and not any(o.weight for o in self.objectives):
            raise ValueError("objectives: weight = 0 for all: at least one above 0")
        return self

    def _check_limits(self) -> None:
        limits = {
            "excitation_power_uW": ("excitation.power_limit_uW", self.excitation.power_limit_uW),
            "depletion_power_mW": ("depletion.power_limit_mW", self.depletion.power_limit_mW),
        }
        fields = [
            ("imaging", "excitation_power_uW", self.imaging.excitation_power_uW),
            ("imaging", "depletion_power_mW", self.imaging.depletion_power_mW),
            (
                "imaging",
                "confocal_excitation_power_uW",
                self.imaging.confocal_excitation_power_uW,
            ),
            ("overview", "excitation_power_uW", self.overview.excitation_power_uW),
            *(("parameters", p.name, p.parameter.values[-1]) for p in self.parameters),
        ]
        for section, name, power in fields:
            if (key := name.removeprefix("confocal_")) in limits:
                field, limit = limits[key]
                if power > limit:
                    raise ValueError(
                        f"{section}.{name} = {power:g}: at most {limit:g} {PARAMETER_UNITS[key]} "
                        f"({field})"
                    )

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
            node = data
            for section in sections:
                node = node[section]
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
        raise ConfigError(prefix + one_line(error, ExperimentConfig)) from None


def _check_distinct(field: str, names: list[str]) -> None:
    repeated = sorted({n for n in names if names.count(n) > 1})
    if repeated:
        raise ValueError(f"{field}: {repeated[0]!r} is there twice: each name once")
