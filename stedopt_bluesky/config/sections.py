"""The sections of a configuration: every field with its unit, range and meaning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stedopt_bluesky.parameters import pixels_along

# Each decision stores its cloud of options: 100,000 configurations × 4 objectives are 3.2 MB.
MAX_CONFIGURATIONS = 100_000

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


def section_of(annotation: Any) -> type[Section] | None:
    """Section that a field holds, one or a list of them; None for a plain value."""
    inner = getattr(annotation, "__args__", (annotation,))[0]
    return inner if isinstance(inner, type) and issubclass(inner, Section) else None


class ImagingConfig(Section):
    """The STED image and the confocal images before and after it."""

    region_size_um: Annotated[float, Field(ge=0.5, le=20)] = Field(
        4.48, description="Side of a region, µm, 0.5 to 20; where optimised, the largest."
    )
    pixel_size_nm: Annotated[float, Field(ge=5, le=200)] = Field(
        20.0, description="Pixel size, nm, 5 to 200, unless optimised."
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
    frames: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="Frames that are summed to a STED image, 1 to 100, unless optimised."
    )
    confocal_excitation_power_uW: Positive = Field(
        5.0, description="Excitation power of the confocal images, µW, fixed."
    )
    confocal_dwelltime_us: Annotated[float, Field(ge=1, le=1000)] = Field(
        10.0, description="Pixel dwelltime of the confocal images, µs, fixed."
    )

    @property
    def pixels(self) -> int:
        """Pixels along a side of a region, where neither size is optimised."""
        return pixels_along(self.region_size_um, self.pixel_size_nm)


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
    minimum_signal: NotNegative = Field(
        0.0,
        description="Least mean of a region's foreground, photon counts per pixel of the overview; "
        "0: any.",
    )
    margin_um: NotNegative = Field(
        0.0,
        description="Free distance of a region from the overview's border and from other regions, "
        "µm.",
    )
    most_regions: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Most regions of a field before the next one; left out: all there are."
    )


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


def server_address(uri: str) -> str:
    """Return the address of a Tiled server, which must hold no key: it comes into logs.

    Raises
    ------
    ValueError
        One line that says what is allowed, and not what was given.
    """
    if not uri.startswith(("http://", "https://")):
        raise ValueError("http://HOST:PORT or https://...")
    if "@" in uri or "api_key" in uri:
        raise ValueError("without a key in it, which comes by the environment")
    return uri


class CatalogConfig(Section):
    """Where runs can be queried: Tiled, fed from the journals while images are taken."""

    background: bool = Field(
        True,
        description="Whether a process beside the run feeds the catalogue; else 'stedopt ingest'.",
    )
    uri: str = Field(
        "",
        description="Address of a Tiled server, http://HOST:PORT; empty: the catalogue's own, in "
        "its folder. The key to write comes by the environment, STEDOPT_CATALOG_KEY.",
    )
    server_folder: str = Field(
        "",
        description="Where the server finds the catalogue's folder, if not at the same path.",
    )

    @field_validator("uri")
    @classmethod
    def _address(cls, uri: str) -> str:
        return server_address(uri) if uri else uri


class LimitsConfig(Section):
    """How much light the sample may get; each limit left out: none."""

    dwelltime_us: Positive | None = Field(
        None, description="Longest pixel dwelltime of a STED image, µs."
    )
    sted_image_s: Positive | None = Field(
        None, description="Longest STED image (pixels, line steps, frames, dwelltime, channels), s."
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
