"""The whole configuration of an experiment, checked across its sections."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from stedopt_bluesky.config.errors import ConfigError, FieldError, one_line, shown
from stedopt_bluesky.config.lasers import DepletionConfig, ExcitationConfig
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

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_distinct("parameters", [p.name for p in self.parameters])
        _check_distinct("objectives", [o.name for o in self.objectives])
        self._check_lasers()
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

    def _check_lasers(self) -> None:
        """Refuse two lasers of one number."""
        names = ["excitation", "depletion"]
        names += ["calcium", "uncaging"] if self.uncaging.enabled else []
        for i, name in enumerate(names):
            number = getattr(self, name).laser
            for other in names[:i]:
                if getattr(self, other).laser == number:
                    raise FieldError(f"{name}.laser", number, f"another one than {other}.laser")

    def _check_uncaging(self) -> None:
        """Refuse what does not go together with uncaging, or without it."""
        uncaging, imaging = self.uncaging, self.imaging
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
        imaging = self.imaging
        fields = [
            ("imaging.excitation_power_uW", "excitation_power_uW", imaging.excitation_power_uW),
            ("imaging.depletion_power_mW", "depletion_power_mW", imaging.depletion_power_mW),
            (
                "imaging.confocal_excitation_power_uW",
                "excitation_power_uW",
                imaging.confocal_excitation_power_uW,
            ),
            (
                "overview.excitation_power_uW",
                # Spines are seen by the indicator that fills them.
                "calcium_power_uW" if self.uncaging.enabled else "excitation_power_uW",
                self.overview.excitation_power_uW,
            ),
        ]
        if self.uncaging.enabled:
            fields += [
                ("uncaging.power_uW", "uncaging_power_uW", self.uncaging.power_uW),
                ("calcium.power_uW", "calcium_power_uW", self.calcium.power_uW),
            ]
        for i, entry in enumerate(self.parameters):
            fields += [(f"parameters.{i}.{end}", entry.name, power) for end, power in entry.ends]
        for field, quantity, power in fields:
            if quantity in ("excitation_power_uW", "calcium_power_uW", "uncaging_power_uW"):
                name = quantity.removesuffix("_power_uW")
                laser: ExcitationConfig | UncagingConfig | CalciumConfig = getattr(self, name)
                limit, lowest = laser.power_limit_uW, laser.calibration_power_uW[0]
                self._check_power(field, power, limit, lowest, name, "uW")
            elif quantity == "depletion_power_mW":
                depletion = self.depletion
                limit, lowest = depletion.power_limit_mW, depletion.calibration_power_mW[0]
                self._check_power(field, power, limit, lowest, "depletion", "mW")

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
        imaging = self.imaging
        most = {
            name: float(getattr(imaging, name))
            for name in ("excitation_power_uW", "depletion_power_mW", "dwelltime_us", "line_steps")
        }
        most |= {p.name: p.parameter.values[-1] for p in self.parameters}
        image_s = most["dwelltime_us"] * 1e-6 * most["line_steps"] * imaging.pixels**2
        confocal_s = 2 * imaging.confocal_dwelltime_us * 1e-6 * imaging.pixels**2
        sted_mW = most["excitation_power_uW"] * 1e-3 + most["depletion_power_mW"]
        confocal_mW = imaging.confocal_excitation_power_uW * 1e-3
        dose_mJ = sted_mW * image_s * imaging.sted_images + confocal_mW * confocal_s
        if self.uncaging.enabled:
            calcium, pulse_s = self.calcium, self.uncaging.pulse_ms * 1e-3
            frames = calcium.baseline_frames + calcium.response_frames
            frames_s = frames * calcium.dwelltime_us * 1e-6 * calcium.pixels**2
            pulse_uW = most.get("uncaging_power_uW", self.uncaging.power_uW)
            dose_mJ += (calcium.power_uW * frames_s + pulse_uW * pulse_s) * 1e-3
        return image_s, dose_mJ

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
