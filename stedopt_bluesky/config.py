"""The experiment's configuration: one TOML file, every field with its unit, nothing ignored.

A field that is misspelt, out of range or of the wrong type is refused with one
line that names it, its value and what is allowed (:class:`ConfigError`).
Presets are the paper's experiments (Durand et al., Nat. Commun. 9:5247, 2018).
"""

from __future__ import annotations

import difflib
import itertools
import math
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from stedopt_bluesky.parameters import Parameter, ParameterSpace

# Each decision stores its cloud of options: 100,000 configurations × 4 objectives are 3.2 MB.
MAX_CONFIGURATIONS = 100_000

DEFAULT_PRESET = "demo"

# What may be optimised, and its unit.
PARAMETER_UNITS = {
    "excitation_power_uW": "µW",
    "depletion_power_mW": "mW",
    "dwelltime_us": "µs",
    "line_steps": "lines",
}

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ConfigError(ValueError):
    """A configuration that cannot be used; the message is one line, ready to be shown."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def _increasing(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(values) < 2 or not all(b > a for a, b in itertools.pairwise(values)):
        raise ValueError("at least two values, strictly increasing")
    return values


def _check_calibration(
    percent: tuple[float, ...], power: tuple[float, ...], limit: float, unit: str
) -> None:
    _increasing(power)
    if len(percent) != len(power):
        raise ValueError(
            f"calibration has {len(percent)} percents and {len(power)} powers: as many of each"
        )
    if not all(math.isfinite(p) and p >= 0 for p in power):
        raise ValueError(f"calibrated powers {power}: finite, not negative")
    if limit > power[-1]:
        raise ValueError(
            f"power limit = {limit:g} {unit}: at most the highest calibrated power, {power[-1]:g}"
        )


class SampleConfig(_Section):
    """What is under the objective."""

    name: str = Field(
        "actin",
        min_length=1,
        description="Name of the sample. On the twin: a generated structure (actin, tubulin, "
        "synapses) or the path of a 2-D image (TIFF or .npy) whose counts become the fluorophores.",
    )
    structure: str = Field("", description="Imaged structure, to search by; empty: the name.")
    pixel_size_nm: Positive = Field(20.0, description="Pixel size of an image file, nm.")


class MicroscopeConfig(_Section):
    """Which microscope."""

    kind: Literal["twin", "specpy"] = Field(
        "twin", description="'twin': the digital twin; 'specpy': a running Imspector."
    )
    host: str = Field(
        "", description="Computer that Imspector runs on; empty: this one (specpy only)."
    )
    fluorophore: str = Field("STAR635P", description="Dye of the twin's sample (twin only).")
    field_um: Annotated[float, Field(gt=0, le=200)] = Field(
        80.0, description="Side of the twin's sample, µm, at most 200 (twin only)."
    )
    real_time: bool = Field(
        False, description="Scans take as long as on the microscope (twin only)."
    )


class _LaserConfig(_Section):
    laser: Annotated[int, Field(ge=0, le=15)]
    wavelength_nm: Annotated[int, Field(ge=300, le=1200)]
    calibration_percent: tuple[float, ...]

    @field_validator("calibration_percent")
    @classmethod
    def _percent(cls, percent: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= p <= 100 for p in percent):
            raise ValueError("each from 0 to 100 %")
        return _increasing(percent)


class ExcitationConfig(_LaserConfig):
    """The excitation laser; powers at the objective's back aperture."""

    laser: Annotated[int, Field(ge=0, le=15)] = Field(
        5, description="Number of the laser in Imspector's list, from 0."
    )
    wavelength_nm: Annotated[int, Field(ge=300, le=1200)] = Field(
        640, description="Wavelength, nm."
    )
    power_limit_uW: Positive = Field(
        30.0, description="Hard limit, µW: nothing above it is ever sent."
    )
    calibration_percent: tuple[float, ...] = Field(
        (0.0, 100.0), description="Measured calibration: Imspector's percent ..."
    )
    calibration_power_uW: tuple[float, ...] = Field(
        (0.0, 50.0), description="... and the power measured at each, µW."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_calibration(
            self.calibration_percent, self.calibration_power_uW, self.power_limit_uW, "µW"
        )
        return self


class DepletionConfig(_LaserConfig):
    """The depletion (STED) laser; powers at the objective's back aperture."""

    laser: Annotated[int, Field(ge=0, le=15)] = Field(
        6, description="Number of the laser in Imspector's list, from 0."
    )
    wavelength_nm: Annotated[int, Field(ge=300, le=1200)] = Field(
        775, description="Wavelength, nm."
    )
    power_limit_mW: Positive = Field(
        400.0, description="Hard limit, mW: nothing above it is ever sent."
    )
    calibration_percent: tuple[float, ...] = Field(
        (0.0, 100.0), description="Measured calibration: Imspector's percent ..."
    )
    calibration_power_mW: tuple[float, ...] = Field(
        (0.0, 450.0), description="... and the power measured at each, mW."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_calibration(
            self.calibration_percent, self.calibration_power_mW, self.power_limit_mW, "mW"
        )
        return self


class ImagingConfig(_Section):
    """The STED image and the confocal images before and after it."""

    region_size_um: Annotated[float, Field(ge=0.5, le=20)] = Field(
        4.48, description="Side of a region, µm, 0.5 to 20."
    )
    pixel_size_nm: Annotated[float, Field(ge=5, le=200)] = Field(
        20.0, description="Pixel size, nm, 5 to 200."
    )
    sted_images: Annotated[int, Field(ge=1, le=5)] = Field(
        1, description="STED images between the two confocal ones, 1 to 5."
    )
    excitation_power_uW: NotNegative = Field(
        10.0, description="STED excitation power, µW, unless optimised."
    )
    depletion_power_mW: NotNegative = Field(
        150.0, description="Depletion power, mW, unless optimised."
    )
    dwelltime_us: Annotated[float, Field(ge=1, le=1000)] = Field(
        20.0, description="STED pixel dwelltime, µs, 1 to 1000, unless optimised."
    )
    line_steps: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="How often each line is scanned, 1 to 64, unless optimised."
    )
    confocal_excitation_power_uW: Positive = Field(
        5.0, description="Excitation power of the confocal images, µW, fixed."
    )
    confocal_dwelltime_us: Annotated[float, Field(ge=1, le=1000)] = Field(
        10.0, description="Pixel dwelltime of the confocal images, µs, fixed."
    )

    @property
    def pixels(self) -> int:
        """Pixels along a side of a region."""
        return round(self.region_size_um * 1000 / self.pixel_size_nm)


class OverviewConfig(_Section):
    """The confocal overview on which the regions are laid."""

    size_um: Annotated[float, Field(gt=0, le=200)] = Field(
        80.0, description="Side of the overview, µm, at most 200."
    )
    pixel_size_nm: Annotated[float, Field(ge=20, le=2000)] = Field(
        160.0, description="Pixel size, nm, 20 to 2000."
    )
    excitation_power_uW: Positive = Field(2.0, description="Excitation power, µW.")
    dwelltime_us: Annotated[float, Field(ge=1, le=1000)] = Field(
        5.0, description="Pixel dwelltime, µs, 1 to 1000."
    )
    minimum_foreground: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="Least share of a region that must be foreground, 0 to 1."
    )


class ParameterConfig(_Section):
    """One optimised parameter: ``points`` values from ``low`` to ``high``, or ``values``."""

    name: Literal["excitation_power_uW", "depletion_power_mW", "dwelltime_us", "line_steps"]
    low: float | None = None
    high: float | None = None
    points: Annotated[int, Field(ge=1, le=MAX_CONFIGURATIONS)] | None = None
    spacing: Literal["linear", "log"] = "linear"
    values: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        ends = (self.low, self.high, self.points)
        if (self.values is None) == (ends == (None, None, None)):
            raise ValueError("either low, high and points, or values")
        if self.values is None:
            if self.low is None or self.high is None or self.points is None:
                raise ValueError("low, high and points are needed together")
            if not (math.isfinite(self.low) and math.isfinite(self.high)) or self.low > self.high:
                raise ValueError(
                    f"low = {self.low:g}, high = {self.high:g}: low must be below high"
                )
            if self.spacing == "log" and self.low <= 0:
                raise ValueError(f"low = {self.low:g}: log spacing needs low above 0")
            if self.points > 1 and self.low == self.high:
                raise ValueError(f"low = high = {self.low:g}: points must be 1")
        try:
            parameter = self.parameter
        except ValueError as error:
            raise ValueError(str(error)) from None
        minimum, maximum = {"dwelltime_us": (1, 1000), "line_steps": (1, 64)}.get(
            self.name, (0, math.inf)
        )
        for value in (parameter.values[0], parameter.values[-1]):
            if not minimum <= value <= maximum:
                raise ValueError(f"{self.name} = {value:g}: {minimum} to {maximum}")
        if self.name == "line_steps" and any(v != int(v) for v in parameter.values):
            raise ValueError(f"line_steps = {parameter.values}: whole numbers")
        return self

    @property
    def parameter(self) -> Parameter:
        """The parameter with its values."""
        unit = PARAMETER_UNITS[self.name]
        if self.values is not None:
            return Parameter(self.name, unit, self.values)
        assert self.low is not None  # noqa: S101  _check has seen to it
        assert self.high is not None  # noqa: S101
        assert self.points is not None  # noqa: S101
        if self.points == 1:
            return Parameter(self.name, unit, (self.low,))
        if self.spacing == "log":
            return Parameter(
                self.name, unit, tuple(np.geomspace(self.low, self.high, self.points))
            )
        return Parameter.linear(self.name, unit, self.low, self.high, self.points)


class ObjectiveConfig(_Section):
    """One objective and its weight in the rule that chooses."""

    name: str
    weight: NotNegative = 1.0


class ChoiceConfig(_Section):
    """Who picks the trade-off from the cloud of options."""

    rule: Literal["weighted", "random"] = Field(
        "weighted", description="'weighted': the highest weighted utility; 'random'."
    )


class BanditConfig(_Section):
    """Kernel Thompson Sampling."""

    strategy: Literal["kernel_ts", "random"] = Field(
        "kernel_ts", description="'kernel_ts', or 'random' as a baseline."
    )
    norm_bound: Positive = Field(5.0, description="Bound C on the functions' norm.")
    bandwidth: tuple[Positive, ...] | None = Field(
        None,
        description="Kernel bandwidth per parameter, in its unit; "
        "left out: range × number of parameters / 3.",
    )


class ExperimentConfig(_Section):
    """Everything that a run needs to know. See ``stedopt config`` for a commented file."""

    preset: str = Field("", description="Preset that this file started from, to search by.")
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


def preset_names() -> tuple[str, ...]:
    """Names of the presets, the default first."""
    folder = resources.files("stedopt_bluesky") / "presets"
    names = sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if ".toml" in p.name)
    return (DEFAULT_PRESET, *(n for n in names if n != DEFAULT_PRESET))


def preset(name: str = DEFAULT_PRESET) -> ExperimentConfig:
    """Load a preset by name.

    Raises
    ------
    ConfigError
        When there is no such preset.
    """
    if name not in preset_names():
        raise ConfigError(f"preset = {name!r}: {_allowed(name, preset_names())}")
    text = (resources.files("stedopt_bluesky") / "presets" / f"{name}.toml").read_text("utf-8")
    return parse_config({"preset": name, **tomllib.loads(text)}, source=f"preset {name}")


def load_config(path: str | Path) -> ExperimentConfig:
    """Read a configuration from a TOML file.

    Raises
    ------
    ConfigError
        When the file cannot be read, is not TOML or holds a value that is not allowed.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}: expected a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    return parse_config(data, source=str(path))


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
    name = data.get("preset", "")
    if name and name not in preset_names():
        raise ConfigError(_prefix(source) + f"preset = {name!r}: {_allowed(name, preset_names())}")
    try:
        return ExperimentConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_prefix(source) + _one_line(error)) from None


def _prefix(source: str) -> str:
    return f"{source}: " if source else ""


def _allowed(name: object, allowed: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(str(name), allowed, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"allowed are {', '.join(allowed)}{hint}"


def _one_line(error: ValidationError) -> str:
    """Say the first error in the form ``field = value: what is allowed``."""
    first = error.errors()[0]
    # Union types add their member's name to the location; no field is called so.
    location = ".".join(str(part) for part in first["loc"] if part not in ("int", "float"))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        section = _section_at(first["loc"][:-1])
        fields = tuple(section.model_fields) if section else ()
        return f"{location}: unknown field; {_allowed(first['loc'][-1], fields)}"
    if first["type"] == "missing":
        return f"{location}: missing; it is needed"
    if first["type"] == "value_error" and not location:
        return message
    if first["type"] == "value_error" and isinstance(first["input"], Mapping):
        return f"{location}: {message}"
    value = first["input"]
    shown = value if isinstance(value, int | float | str) else type(value).__name__
    return f"{location} = {shown!r}: {message[0].lower()}{message[1:]}"


def _section_at(location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Find the model that describes a location of the configuration."""
    model: type[BaseModel] = ExperimentConfig
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        inner = getattr(annotation, "__args__", (annotation,))[0]
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return None
        model = inner
    return model


def _check_distinct(field: str, names: list[str]) -> None:
    repeated = sorted({n for n in names if names.count(n) > 1})
    if repeated:
        raise ValueError(f"{field}: {repeated[0]!r} is there twice: each name once")
