"""Where a configuration images: regions by hand, or fields of the stage with an overview each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stedopt_bluesky.acquisition import Region, Spine
from stedopt_bluesky.config import ConfigError, ExperimentConfig

if TYPE_CHECKING:
    from stedopt_bluesky.config.places import SpineConfig
    from stedopt_bluesky.plans.regions import RegionLayout
    from stedopt_bluesky.plans.spines import SpineSites


@dataclass(frozen=True)
class Places:
    """Where is imaged: the regions first, then regions laid over overviews of the fields.

    Parameters
    ----------
    regions : tuple of Region or None
        In the order of imaging, each as often as it is imaged.
    fields_um : tuple of tuple of float
        Positions (x, y) of the stage, µm.
    """

    regions: tuple[Region, ...] | None
    fields_um: tuple[tuple[float, float], ...] = ()

    def check(self, images: int, run: str) -> None:
        """Refuse to go on with a run where there are too few regions for sure.

        Raises
        ------
        ConfigError
            With how many there are.
        """
        there = None if self.fields_um else self.regions
        if there is not None and len(there) < images:
            raise ConfigError(f"images = {images}: only {len(there)} regions of run {run} are left")


def sites_of(config: ExperimentConfig) -> RegionLayout | SpineSites:
    """Make what lays the regions of a configuration over an overview: squares, or spines."""
    return spines_of(config) if config.uncaging.enabled else tiles_of(config)


def spines_of(config: ExperimentConfig) -> SpineSites:
    """Make what finds the spines of an overview."""
    from stedopt_bluesky.plans.spines import SpineSites

    size_um = config.imaging.region_size_um
    given = tuple(_spine(spine, size_um) for spine in config.uncaging.spines)
    distances = [p.values[-1] for p in config.space if p.name == "uncaging_distance_um"]
    return SpineSites(size_um, max(distances or [config.uncaging.distance_um]), given)


def _spine(spine: SpineConfig, size_um: float) -> Spine:
    # How far its axis is free is not known before the overview.
    return Spine(
        spine.x_um,
        spine.y_um,
        size_um,
        *spine.axis,
        stage_x_um=spine.stage_x_um,
        stage_y_um=spine.stage_y_um,
    )


def tiles_of(config: ExperimentConfig) -> RegionLayout:
    """Make what lays square regions over the overview's foreground."""
    from stedopt_bluesky.plans.regions import RegionLayout

    return RegionLayout(
        config.imaging.region_size_um,
        config.overview.minimum_foreground,
        config.overview.most_regions,
        config.time_lapse.images_per_region,
        config.overview.margin_um,
        config.overview.minimum_signal,
        min(config.values_of("region_size_um")),
    )


def places_of(config: ExperimentConfig) -> Places:
    """Where a configuration images.

    Raises
    ------
    ConfigError
        When a rectangle is smaller than a region, a region is not inside of the scanner's
        field, or a spine by hand is at none of the fields.
    """
    from stedopt_bluesky.plans.regions import fill_rectangle, stage_fields

    if not (config.regions or config.rectangles):
        stage = config.stage
        step_um = config.overview.size_um if stage.step_um is None else stage.step_um
        farthest_um = (max(stage.columns, stage.rows) - 1) * step_um
        if not farthest_um <= stage.reach_um:
            raise ConfigError(
                f"stage.reach_um = {stage.reach_um:g}: at least {farthest_um:g} µm, the farthest "
                "of the fields"
            )
        fields_um = tuple(stage_fields(stage.columns, stage.rows, step_um))
        return Places(None, _of_spines(config, fields_um))
    if config.uncaging.enabled:
        raise ConfigError("regions: not with uncaging; list the spines in uncaging.spines")
    if config.stage.columns * config.stage.rows > 1:
        raise ConfigError(
            "stage: columns and rows are 1 with regions or rectangles by hand, which say for "
            "themselves where the stage goes"
        )
    size_um = config.imaging.region_size_um
    regions = [
        Region(r.x_um, r.y_um, size_um, stage_x_um=r.stage_x_um, stage_y_um=r.stage_y_um)
        for r in config.regions
    ]
    for i, rectangle in enumerate(config.rectangles):
        for field in ("width_um", "height_um"):
            if not getattr(rectangle, field) <= config.overview.size_um:
                raise ConfigError(
                    f"rectangles.{i}.{field} = {getattr(rectangle, field):g}: at most "
                    f"{config.overview.size_um:g} µm (overview.size_um)"
                )
        filled = fill_rectangle(
            (rectangle.x_um, rectangle.y_um),
            (rectangle.width_um, rectangle.height_um),
            size_um,
            (rectangle.stage_x_um, rectangle.stage_y_um),
        )
        if not filled:
            raise ConfigError(
                f"rectangles.{i}: {rectangle.width_um:g} × {rectangle.height_um:g} µm hold no "
                f"region of {size_um:g} µm"
            )
        regions += filled
    _check_reach(config, regions)
    repeats = config.time_lapse.images_per_region
    places = tuple(region for region in regions for _ in range(repeats))
    if len(places) < config.images:
        raise ConfigError(
            f"images = {config.images}: the regions by hand are {len(regions)}, imaged "
            f"{repeats} times each: at most {len(places)}"
        )
    return Places(places)


def _of_spines(
    config: ExperimentConfig, fields_um: tuple[tuple[float, float], ...]
) -> tuple[tuple[float, float], ...]:
    """Fields that have spines by hand; all of them where there are none by hand."""
    from stedopt_bluesky.plans.spines import is_at

    given = spines_of(config).given if config.uncaging.enabled else ()
    for i, spine in enumerate(given):
        if not any(is_at(spine, field_um) for field_um in fields_um):
            stage_um = (spine.stage_x_um, spine.stage_y_um)
            x_um, y_um = min(fields_um, key=lambda field_um: math.dist(field_um, stage_um))
            raise ConfigError(
                f"uncaging.spines.{i}.stage_x_um = {stage_um[0]:g}, stage_y_um = {stage_um[1]:g}: "
                f"no field of [stage]; the nearest one is ({x_um:g}, {y_um:g}) µm"
            )
    return tuple(f for f in fields_um if not given or any(is_at(spine, f) for spine in given))


def _check_reach(config: ExperimentConfig, regions: list[Region]) -> None:
    half_um, reach_um = config.overview.size_um / 2, config.stage.reach_um
    for number, region in enumerate(regions):
        for name, low_high, value in (
            ("x_um", half_um, region.x_um),
            ("y_um", half_um, region.y_um),
            ("stage_x_um", reach_um, region.stage_x_um),
            ("stage_y_um", reach_um, region.stage_y_um),
        ):
            if not (math.isfinite(value) and abs(value) <= low_high):
                raise ConfigError(
                    f"region {number}, {name} = {value:g}: -{low_high:g} to {low_high:g} µm"
                )
