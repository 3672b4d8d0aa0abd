"""The sections of a configuration: every field with its unit, range and meaning."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stedopt_bluesky.config.errors import FieldError, allowed_text
from stedopt_bluesky.parameters import Parameter

# Each decision stores its cloud of options: 100,000 configurations × 4 objectives are 3.2 MB.
MAX_CONFIGURATIONS = 100_000

# What may be optimised, and its unit.
PARAMETER_UNITS = {
    "excitation_power_uW": "µW",
    "depletion_power_mW": "mW",
    "dwelltime_us": "µs",
    "line_steps": "lines",
    "gate_delay_ns": "ns",
    "gate_width_ns": "ns",
    "pinhole_um": "µm",
    "spectral_min_nm": "nm",
    "spectral_max_nm": "nm",
    "rescue_signal_level": "",
    "rescue_strength": "",
    "focus_um": "µm",
    "uncaging_power_uW": "µW",
    "uncaging_distance_um": "µm",
}
# Of these each further channel has its own: ``<channel>_excitation_power_uW``.
CHANNEL_PARAMETERS = (
    "excitation_power_uW",
    "depletion_power_mW",
    "gate_delay_ns",
    "gate_width_ns",
    "spectral_min_nm",
    "spectral_max_nm",
)

# What may be imaged with, both ends included; powers have the lasers' limits.
RANGES = {
    "dwelltime_us": (1.0, 1000.0),
    "line_steps": (1.0, 64.0),
    "gate_delay_ns": (0.0, 25.0),
    "gate_width_ns": (0.1, 25.0),
    "pinhole_um": (1.0, 500.0),
    "spectral_min_nm": (300.0, 1000.0),
    "spectral_max_nm": (300.0, 1000.0),
    "focus_um": (-100.0, 100.0),
    "uncaging_distance_um": (0.3, 5.0),
}


def split_parameter(name: str) -> tuple[str, str]:
    """Split a parameter's name into its channel's, ``""`` for the first one, and its own.

    Raises
    ------
    ValueError
        When there is no such parameter.
    """
    if name in PARAMETER_UNITS:
        return "", name
    channel, _, own = name.partition("_")
    if channel and own in CHANNEL_PARAMETERS:
        return channel, own
    raise ValueError(allowed_text(name, PARAMETER_UNITS))


def parameter_unit(name: str) -> str:
    """Unit of a parameter, of whichever channel; ValueError when there is no such parameter."""
    return PARAMETER_UNITS[split_parameter(name)[1]]


Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
# A TOML list; its entries are checked as strictly as any other field.
Numbers = Annotated[tuple[float, ...], Field(strict=False)]

# The strategies that `[bandit] strategy` and `--strategy` know.
StrategyName = Literal["kernel_ts", "kernel_ucb", "botorch", "nsga2", "grid_search", "random"]


class Section(BaseModel):
    """Fields that are checked, frozen, and refuse what they do not know.

    Strict: ``images = "60"`` and ``images = true`` are mistakes, not numbers.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, strict=True, allow_inf_nan=False
    )


class SampleConfig(Section):
    """What is under the objective."""

    name: str = Field(
        "actin",
        min_length=1,
        description="Name of the sample. On the twin: a generated structure (actin, tubulin, "
        "synapses, pores; dendrites with [uncaging]) or the path of a 2-D image (TIFF, .npy, .npz, "
        ".msr or .obf) whose counts become the fluorophores; FILE#NAME or FILE#2: one of several "
        "images in it.",
    )
    structure: str = Field("", description="Imaged structure, to search by; empty: the name.")
    pixel_size_nm: Positive | None = Field(
        None,
        description="Pixel size of an image file, nm; left out: as the file tells it, or else 20.",
    )


class LabelConfig(Section):
    """A further dye of the twin's sample, on a structure of its own."""

    sample: str = Field(
        min_length=1, description="What it labels: a structure or a file, as sample.name."
    )
    fluorophore: str = Field(description="The dye.")


class MicroscopeConfig(Section):
    """Which microscope."""

    kind: Literal["twin", "specpy"] = Field(
        "twin", description="'twin': the digital twin; 'specpy': a running Imspector."
    )
    host: str = Field(
        "",
        description="specpy: computer that Imspector runs on; empty: this one. twin: "
        "127.0.0.1:PORT of 'stedopt serve twin'; empty: a twin of this program's own.",
    )
    interlock_path: str = Field(
        "",
        description="Path in Imspector's status tree that tells of the interlock, on the twin "
        "Interlock/closed; empty: nothing is asked.",
    )
    interlock_closed: bool = Field(
        True, description="What that path holds while the interlock is closed."
    )
    fluorophore: str = Field("STAR635P", description="Dye of the twin's sample (twin only).")
    field_um: Annotated[float, Field(gt=0, le=200)] = Field(
        80.0, description="Side of the twin's sample, µm, at most 200 (twin only)."
    )
    real_time: bool = Field(
        False, description="Scans take as long as on the microscope (twin only)."
    )
    labels: tuple[LabelConfig, ...] = Field(
        (), strict=False, description="Further dyes of the twin's sample (twin only)."
    )


class ImagingConfig(Section):
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


class OverviewConfig(Section):
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
    most_regions: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Most regions of a field before the next one; left out: all there are."
    )


class ParameterConfig(Section):
    """One optimised parameter: ``points`` values from ``low`` to ``high``, or ``values``."""

    name: str = Field(
        description="excitation_power_uW, depletion_power_mW, dwelltime_us, line_steps, "
        "gate_delay_ns, ...; the reference lists all. Of a further channel: its name before it, "
        "as orange_excitation_power_uW."
    )
    low: float | None = Field(None, description="Lowest value, in the unit of the name.")
    high: float | None = Field(None, description="Highest value, in the unit of the name.")
    points: Annotated[int, Field(ge=1, le=MAX_CONFIGURATIONS)] | None = Field(
        None, description="Number of values, both ends included."
    )
    spacing: Literal["linear", "log"] = Field(
        "linear", description="'linear', or 'log': equal ratios."
    )
    values: Numbers | None = Field(
        None, description="The values themselves, in place of low, high and points."
    )

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        split_parameter(name)
        return name

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.values is None:
            self._check_ends()
        else:
            self._check_values(self.values)
        self._check_range()
        if self.name == "line_steps":
            self._check_whole()
        return self

    def _check_ends(self) -> None:
        low, high, points = self.low, self.high, self.points
        if (low, high, points) == (None, None, None):
            raise ValueError("either low, high and points, or values")
        if low is None or high is None or points is None:
            raise ValueError("low, high and points are needed together")
        if low > high:
            raise FieldError("low", low, f"at most high, {high:g}")
        if self.spacing == "log" and low <= 0:
            raise FieldError("low", low, "above 0 where the spacing is log")
        if points == 1 and low != high:
            raise FieldError("points", points, f"at least 2 from {low:g} to {high:g}")
        try:
            _ = self.parameter
        except ValueError:
            raise FieldError(
                "points", points, f"there are not so many numbers from {low!r} to {high!r}"
            ) from None

    def _check_values(self, values: tuple[float, ...]) -> None:
        if (self.low, self.high, self.points) != (None, None, None):
            raise ValueError("either low, high and points, or values")
        if not values or any(b <= a for a, b in itertools.pairwise(values)):
            raise FieldError("values", values, "at least one, strictly increasing")

    def _check_range(self) -> None:
        minimum, maximum = RANGES.get(split_parameter(self.name)[1], (0.0, math.inf))
        unit = parameter_unit(self.name)
        for field, value in self.ends:
            if value < minimum:
                raise FieldError(field, value, f"at least {minimum:g} {unit}".rstrip())
            if value > maximum:
                raise FieldError(field, value, f"at most {maximum:g} {unit}".rstrip())

    def _check_whole(self) -> None:
        values = self.parameter.values
        if any(not v.is_integer() for v in values):
            field, value = ("points", self.points) if self.values is None else ("values", values)
            raise FieldError(field, value, "line steps are whole numbers")

    @property
    def ends(self) -> tuple[tuple[str, float], tuple[str, float]]:
        """Lowest and highest value, each with the field that says it."""
        low, high = self.parameter.values[0], self.parameter.values[-1]
        if self.values is None:
            return ("low", low), ("high", high)
        return ("values", low), ("values", high)

    @property
    def parameter(self) -> Parameter:
        """The parameter with its values."""
        unit = parameter_unit(self.name)
        if self.values is not None:
            return Parameter(self.name, unit, self.values)
        assert self.low is not None  # noqa: S101  _check has seen to it
        assert self.high is not None  # noqa: S101
        assert self.points is not None  # noqa: S101
        if self.points == 1:
            return Parameter(self.name, unit, (self.low,))
        if self.spacing == "log":
            return Parameter(self.name, unit, tuple(np.geomspace(self.low, self.high, self.points)))
        return Parameter.linear(self.name, unit, self.low, self.high, self.points)


class ObjectiveConfig(Section):
    """One objective, its weight in the rule that chooses, and its noise."""

    name: str = Field(
        description="quality, photobleaching, snr, resolution_nm, ...; the reference lists all."
    )
    weight: NotNegative = Field(1.0, description="Weight in the rule; 0: watched only.")
    noise_upper_bound: Positive | None = Field(
        None,
        description="Upper bound of the noise's standard deviation, in the objective's unit; "
        "left out: the published one.",
    )


class LimitsConfig(Section):
    """How much light the sample may get; each limit left out: none."""

    dwelltime_us: Positive | None = Field(
        None, description="Longest pixel dwelltime of a STED image, µs."
    )
    sted_image_s: Positive | None = Field(
        None, description="Longest STED image (pixels, line steps, dwelltime, channels), s."
    )
    region_dose_mJ: Positive | None = Field(
        None,
        description="Most light of both lasers on one region, mJ, confocal images too; a region "
        "that would get more is left out.",
    )
    run_dose_mJ: Positive | None = Field(
        None,
        description="Most light of both lasers on all regions together, mJ; the run ends before "
        "the image that would exceed it.",
    )


class QualityConfig(Section):
    """Which network rates the quality of STED images, where quality is an objective."""

    network: str = Field(
        "auto",
        min_length=1,
        description="'auto': by the sample's structure, else 'general'; the name of a shipped "
        "network (`stedopt weights list`), or a .safetensors file.",
    )


class ChoiceConfig(Section):
    """Who picks the trade-off from the cloud of options."""

    rule: Literal["network", "weighted", "random", "hypervolume", "local"] = Field(
        "weighted",
        description="'network': a preference network; 'weighted': the highest weighted utility; "
        "'random'; 'hypervolume': what widens the Pareto front most, to map all trade-offs; "
        "'local': a Ca²⁺ response between none and widespread, and strong.",
    )
    network: str = Field(
        "auto",
        min_length=1,
        description="With rule = 'network'. 'auto': the shipped one for the objectives; the name "
        "of a shipped network, or a .safetensors file.",
    )


class BanditConfig(Section):
    """What draws the options: Kernel Thompson Sampling, or what it is compared with."""

    strategy: StrategyName = Field(
        "kernel_ts",
        description="'kernel_ts'; 'kernel_ucb' (one objective); 'botorch' (GP + TS, extra "
        "'botorch'); 'nsga2', 'grid_search' or 'random' as baselines.",
    )
    adaptation: Literal["published", "empirical_bayes"] = Field(
        "empirical_bayes",
        description="Noise and bandwidth: 'empirical_bayes' (both learned from the images) or "
        "'published' (bounds on the noise, fixed bandwidth).",
    )
    exploration: Annotated[float, Field(gt=0, le=10)] | None = Field(
        None,
        description="Factor of the models' uncertainty in the options (left out: 0.8 with "
        "empirical_bayes, 1 with published); β of kernel_ucb (2).",
    )
    norm_bound: Annotated[float, Field(gt=0, le=50)] | None = Field(
        None,
        description="Bound C on the functions' norm, in widths of the objectives' usual ranges, at "
        "most 50; left out: 5. Only with adaptation = 'published'.",
    )
    bandwidth: Annotated[tuple[Positive, ...], Field(strict=False)] | None = Field(
        None,
        description="Kernel bandwidth per parameter, in its unit; "
        "left out: range × number of parameters / 3.",
    )
    border_observations: bool = Field(
        False,
        description="Mirror an observation on a parameter's bound one range outside, "
        "as the published program does.",
    )
    repeats: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None,
        description="Images per configuration of grid_search (left out: 5) and nsga2 (3).",
    )
    population: Annotated[int, Field(ge=2, le=1000)] = Field(
        10, description="Configurations of one generation of nsga2, 2 to 1000."
    )


class PriorConfig(Section):
    """Observations of earlier experiments that the models begin with."""

    runs: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (), description="Runs of the catalogue, by uid or its first characters."
    )
    csv: str = Field(
        "", description="Table with one column per parameter and per objective, by name."
    )
    weight: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="What such an observation counts, in images of this run: above 0, to 1."
    )
