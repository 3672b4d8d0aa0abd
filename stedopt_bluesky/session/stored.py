"""A stored run understood again: its configuration, its prior knowledge, the places it left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stedopt_bluesky.acquisition import PriorObservation, Region, Spine
from stedopt_bluesky.config import ConfigError, ExperimentConfig, parse_config
from stedopt_bluesky.session.places import Places, places_of, sites_of

if TYPE_CHECKING:
    from stedopt_bluesky.records.resume import RunChain
    from stedopt_bluesky.records.run_record import RunRecord


def config_of(record: RunRecord) -> ExperimentConfig:
    """Configuration that a stored run was made from.

    Raises
    ------
    ConfigError
        When the start document holds none that this version understands.
    """
    try:
        data = dict(record.start["stedopt"]["config"])
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"run {record.uid} was not made by stedopt: it has no configuration"
        ) from None
    # Runs of version 0.1 and before knew the published adaptation alone.
    bandit = data.get("bandit", {})
    if isinstance(bandit, dict):
        data["bandit"] = {"adaptation": "published", **bandit}
    return parse_config(data, source=f"run {record.uid[:8]}")


def prior_of(record: RunRecord) -> tuple[PriorObservation, ...]:
    """Prior knowledge that a stored run began with, as its start document holds it.

    Neither the table nor the earlier runs that it came from are looked at: whoever replays
    the run, or goes on with it, begins with just the same.

    Raises
    ------
    ConfigError
        When the start document holds what cannot be observations.
    """
    listed = (record.start.get("stedopt") or {}).get("prior_observations", [])
    try:
        return tuple(
            PriorObservation(
                {name: float(v) for name, v in entry["configuration"].items()},
                {name: float(v) for name, v in entry["values"].items()},
                float(entry["weight"]),
            )
            for entry in listed
        )
    except (KeyError, AttributeError, TypeError, ValueError):
        raise ConfigError(
            f"run {record.uid[:8]}: stedopt.prior_observations of its start document: "
            "expected a list of configuration, values and weight"
        ) from None


def reduced_from(record: RunRecord) -> str:
    """Uid of the run from whose choices a stored run's grid was reduced; empty if it was not."""
    return str((record.start.get("stedopt") or {}).get("reduced_from", ""))


def places_left(chain: RunChain, config: ExperimentConfig) -> Places:
    """Where a stored run has still to image: what its regions have left, and its other fields.

    Regions are laid anew over the run's own overview, unless a person chose them there. Where it
    had not come to an overview, or had one without a difference between its pixels, of a detector
    that counted nothing, or nobody had answered which regions are imaged, another one is taken.

    Raises
    ------
    ConfigError
        When the run imaged regions without an overview that its configuration does not name:
        they had been given in Python.
    """
    places = places_of(config)
    overview = chain.last_overview
    if overview is None:
        if places.regions is not None:
            return Places(places.regions[chain.regions_used :])
        if chain.regions_used:
            raise ConfigError(
                f"run {chain.last.uid[:8]} was given its regions by hand: go on with it in Python, "
                "session.optimize(regions=...)"
            )
        return places
    image, field_um = overview
    fields = places.fields_um
    # A run of an earlier version has no stage; it has one field.
    number = fields.index(field_um) if field_um in fields else 0
    if image.min() == image.max() and not chain.regions_used:
        return Places(None, fields[number:])
    placed = chain.last_places
    if placed is not None:
        repeats = config.time_lapse.images_per_region
        size_um = config.imaging.region_size_um
        by_hand = [_region(p, size_um, field_um) for p in placed for _ in range(repeats)]
        return Places(tuple(by_hand[chain.regions_used :]), fields[number + 1 :])
    if "regions" in config.expert.asks and not chain.regions_used:
        return Places(None, fields[number:])
    from stedopt_bluesky.plans.spines import SpineRefusedError

    try:
        regions = sites_of(config)(image, config.overview.pixel_size_nm, field_um)
    except SpineRefusedError as error:
        raise ConfigError(f"run {chain.last.uid[:8]}: {error}") from None
    return Places(tuple(regions[chain.regions_used :]), fields[number + 1 :])


def _region(
    place: Mapping[str, float], size_um: float, field_um: tuple[float, float]
) -> Region | Spine:
    at = {"stage_x_um": field_um[0], "stage_y_um": field_um[1]}
    if "axis_x" in place:
        axis = place["axis_x"], place["axis_y"]
        return Spine(place["x_um"], place["y_um"], size_um, *axis, place["free_um"], **at)
    return Region(place["x_um"], place["y_um"], size_um, **at)


def stage_origin_of(record: RunRecord) -> tuple[float, float] | None:
    """Position (x, y) of the stage that a run counts as zero, µm; None where it does not tell."""
    origin = (record.start.get("stedopt") or {}).get("stage_origin_um")
    return None if origin is None else (float(origin[0]), float(origin[1]))


def light_of(
    chain: RunChain, origin_um: tuple[float, float] | None = None
) -> list[tuple[tuple[float, float], float, float]]:
    """What each image of a run and of those before it has cost: place, side, µm, and mJ.

    Places count from ``origin_um`` (x, y), µm, in the stage's own coordinates; left out: from
    where they count in the runs. The side is that of the square that the light fell into; Events
    of earlier versions do not tell it, and all their images had the size that the configuration
    says.
    """
    spent = []
    region_um = config_of(chain.last).imaging.region_size_um
    for record in chain.records:
        if record.keys.image_stream not in record.descriptors:
            continue
        own_um = stage_origin_of(record)
        shift_um = {"x": 0.0, "y": 0.0}
        if own_um is not None and origin_um is not None:
            shift_um = {"x": own_um[0] - origin_um[0], "y": own_um[1] - origin_um[1]}
        for event in record.events(record.keys.image_stream):
            data = event["data"]
            x_um, y_um = (
                float(data[f"region_{axis}_um"])
                + float(data.get(f"stage_{axis}_um", 0.0))
                + shift_um[axis]
                for axis in "xy"
            )
            dose_mJ = (
                data["microscope_excitation_dose_uJ"] * 1e-3 + data["microscope_depletion_dose_mJ"]
            )
            lit_um = float(data.get("microscope_lit_um", region_um))
            spent.append(((x_um, y_um), lit_um, float(dose_mJ)))
    return spent
