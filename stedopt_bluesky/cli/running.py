"""``stedopt run`` and ``stedopt resume``: what is to be run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.cli.output import console, warnings_in_one_line
from stedopt_bluesky.cli.performing import Task, perform
from stedopt_bluesky.config import (
    DEFAULT_PRESET,
    ConfigError,
    ExperimentConfig,
    load_config,
    preset,
)
from stedopt_bluesky.image_files import split_address
from stedopt_bluesky.session import prior_observations

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

    Raises
    ------
    ConfigError, CatalogError, NoImspectorError
        Before anything is made.
    """
    if config_file and preset_name:
        raise ConfigError(f"preset = {preset_name!r}: not together with a file; say it in the file")
    base = load_config(config_file) if config_file else preset(preset_name or DEFAULT_PRESET)
    config = _with_absolute_paths(base.updated(changes))
    if regions is not None:
        config = _with_regions(config, regions, all_of_them="images" not in changes)
    if "prior.weight" in changes and not (config.prior.runs or config.prior.csv):
        raise ConfigError("prior.weight: only together with earlier runs or a CSV file")
    config, reduced_from = _reduced(config, catalog, reduce_to, reduce_share)
    prior = _prior(config, catalog)
    perform(Task(config, catalog, figure, as_json, prior=prior, reduced_from=reduced_from))


def go_on(
    uid: str, images: int | None, *, catalog: Path, figure: Path | None, as_json: bool
) -> None:
    """Go on with a stored run.

    Raises
    ------
    ConfigError, CatalogError, NoImspectorError
        Before anything is made; a run that its program left open may have been closed.
    """
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.replay import REPLAYS
    from stedopt_bluesky.records.resume import RESUMES, close_for_resume, read_chain
    from stedopt_bluesky.session import (
        check_complete,
        config_of,
        light_of,
        networks_of,
        places_left,
        prior_of,
        reduced_from,
        stage_origin_of,
    )

    folder = CatalogFolder.open(catalog)
    chain = read_chain(folder, uid)
    if REPLAYS in chain.last.start:
        raise ConfigError(
            f"run {chain.last.uid[:8]} was replayed from recorded images: there is no sample to go "
            f"on with; go on with run {str(chain.last.start[REPLAYS])[:8]}"
        )
    config, prior, reduced_to = (
        config_of(chain.last),
        prior_of(chain.last),
        reduced_from(chain.last),
    )
    networks = networks_of(chain.last, config, folder)
    check_complete(chain.last, config, networks)
    close_for_resume(folder, chain.last.uid)
    count = chain.images_left if images is None else images
    if count < 1 and images is None:
        raise ConfigError(
            f"run {chain.last.uid[:8]} has all its images: say how many more, --images N"
        )
    config = config.updated({"images": count})
    places = places_left(chain, config)
    places.check(count, chain.last.uid[:8])
    md = {RESUMES: chain.last.uid}
    perform(
        Task(
            config,
            catalog,
            figure,
            as_json,
            chain.history,
            places,
            md,
            prior,
            reduced_to,
            networks,
            stage_origin_of(chain.last),
            light_of(chain),
        )
    )


def _with_absolute_paths(config: ExperimentConfig) -> ExperimentConfig:
    """Name files by their absolute paths: the sample's, so that a run is resumed from any folder.

    That of the prior knowledge is named so for whoever looks for it later.
    """
    changes: dict[str, Any] = {"sample.name": _absolute(config.sample.name)}
    labels = [label.model_dump() for label in config.microscope.labels]
    changes["microscope.labels"] = [{**x, "sample": _absolute(x["sample"])} for x in labels]
    table = config.prior.csv
    if table and not Path(table).is_absolute():
        changes["prior.csv"] = str(Path(table).resolve())
    for field, network in (
        ("quality.network", config.quality.network),
        ("choice.network", config.choice.network),
    ):
        if Path(network).suffix and Path(network).is_file():
            changes[field] = str(Path(network).resolve())
    return config.updated(changes)


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


def _absolute(sample: str) -> str:
    """Path of a sample from the root; the name of a structure as it is."""
    path, image = split_address(sample)
    return str(path.resolve()) + (f"#{image}" if image else "") if path.is_file() else sample


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
