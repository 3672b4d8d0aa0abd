"""``stedopt run`` and ``stedopt resume``: what is to be run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.cli.options import Asks
from stedopt_bluesky.cli.output import console, warnings_in_one_line
from stedopt_bluesky.cli.performing import Task, perform
from stedopt_bluesky.config import (
    DEFAULT_PRESET,
    ConfigError,
    ExperimentConfig,
    load_config,
    preset,
)
from stedopt_bluesky.session import prior_observations, with_absolute_paths

if TYPE_CHECKING:
    from stedopt_bluesky.acquisition import PriorObservation


def begin(
    config_file: Path | None,
    preset_name: str | None,
    changes: Mapping[str, Any],
    *,
    catalog: Path,
    figure: Path | None,
    as_json: bool,
    regions: Path | None = None,
    reduce_to: str = "",
    reduce_share: float | None = None,
    asks: Asks = "",
) -> None:
    """Run an experiment from a file, a preset or the default.

    Parameters
    ----------
    config_file, preset_name : optional
        Where the configuration comes from.
    changes : mapping of dotted field to value
        Changed in it.
    catalog, figure, as_json
        As :class:`Task` has them.
    regions : Path, optional
        CSV of the regions or rectangles to image; all of them unless ``changes`` tell how many.
    reduce_to : str
        Run, by uid, to whose most chosen region the grid is reduced; empty: it is not.
    reduce_share : float, optional
        Share of that run's choices that the region holds; a half when left out.
    asks : {"", "page", "terminal"}
        Where a person chooses each option, if one does.

    Raises
    ------
    ConfigError, CatalogError, NoImspectorError
        Before anything is made.
    """
    if config_file and preset_name:
        raise ConfigError(f"preset = {preset_name!r}: not together with a file; say it in the file")
    base = load_config(config_file) if config_file else preset(preset_name or DEFAULT_PRESET)
    config = with_absolute_paths(base.updated(changes))
    if regions is not None:
        config = _with_regions(config, regions, all_of_them="images" not in changes)
    if "prior.weight" in changes and not (config.prior.runs or config.prior.csv):
        raise ConfigError("prior.weight: only together with earlier runs or a CSV file")
    config, reduced_from = _reduced(config, catalog, reduce_to, reduce_share)
    prior = _prior(config, catalog)
    perform(
        Task(
            config,
            catalog,
            figure,
            as_json,
            prior=prior,
            reduced_from=reduced_from,
            asks=asks,
        )
    )


def go_on(
    uid: str,
    images: int | None,
    *,
    catalog: Path,
    figure: Path | None,
    as_json: bool,
    asks: Asks = "",
) -> None:
    """Go on with a stored run.

    Raises
    ------
    ConfigError, CatalogError, NoImspectorError
        Before anything is made; a run that its program left open may have been closed.
    """
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.session import continuation_of, light_of

    earlier = continuation_of(CatalogFolder.open(catalog), uid, images)
    perform(
        Task(
            earlier.config,
            catalog,
            figure,
            as_json,
            earlier.history,
            earlier.places,
            earlier.md,
            earlier.prior,
            earlier.reduced_from,
            earlier.networks,
            earlier.stage_origin_um,
            light_of(earlier.chain),
            asks=asks,
        )
    )


def _with_regions(config: ExperimentConfig, path: Path, *, all_of_them: bool) -> ExperimentConfig:
    """Image the regions of a CSV file."""
    from stedopt_bluesky.config.regions_file import read_regions
    from stedopt_bluesky.session.places import places_of

    try:
        by_hand = {"regions": (), "rectangles": (), **read_regions(path)}
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not all_of_them:
        return config.updated(by_hand)
    places = places_of(config.updated({**by_hand, "images": 1})).regions
    return config.updated({**by_hand, "images": len(places or ())})


def _reduced(
    config: ExperimentConfig, catalog: Path, uid: str, share: float | None
) -> tuple[ExperimentConfig, str]:
    """Reduce the grid to what a run chose most and say so; return that run's whole uid."""
    if not uid:
        if share is not None:
            raise ConfigError("reduce-share: only together with a run, --reduce-to UID")
        return config, ""
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.journal import find_run
    from stedopt_bluesky.records.run_record import RunRecord
    from stedopt_bluesky.session.reduced import reduced

    record = RunRecord.read(find_run(CatalogFolder.open(catalog), uid))
    smaller = reduced(config, record) if share is None else reduced(config, record, share=share)
    changes = ", ".join(
        f"{old.name} {old.values[0]:g}-{old.values[-1]:g} "
        f"to {new.values[0]:g}-{new.values[-1]:g} {new.unit}"
        for old, new in zip(config.space, smaller.space, strict=True)
    )
    console.print(f"reduced to what run {record.uid[:8]} chose most: {changes}", soft_wrap=True)
    return smaller, record.uid


def _prior(config: ExperimentConfig, catalog: Path) -> Sequence[PriorObservation]:
    """Read the prior knowledge that a configuration names, and say how much it is."""
    with warnings_in_one_line():
        prior = prior_observations(config, catalog)
    if prior:
        weight = f", each counted as {config.prior.weight:g}" if config.prior.weight != 1 else ""
        console.print(f"prior knowledge: {len(prior)} observations{weight}")
    return prior
