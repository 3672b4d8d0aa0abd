"""What networks can learn from stored runs: clouds with their choices, and images with ratings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Image
from stedopt_bluesky.networks.clouds import Clouds, joined, on_offer
from stedopt_bluesky.networks.datasets import RatedImages
from stedopt_bluesky.objectives import OBJECTIVES
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.journal import Document
from stedopt_bluesky.records.run_record import RunRecord

# The first STED image of a region; the quality is that of this image.
STED_IMAGE = "microscope_sted1"
# What persons have said of images; see `devices/expert_rater.py`.
RATING_STREAM = "rating"
# Who chooses without a person; what chance chose tells of no preference.
CHANCE = "random_choice"
PROGRAMS = frozenset(
    {CHANCE, "weighted_rule", "hypervolume_rule", "local_rule", "preference_network"}
)


def clouds_of(
    records: Sequence[RunRecord],
    *,
    chosen_by: Collection[str] | None = None,
    objectives: Sequence[str] | None = None,
) -> Clouds:
    """Collect the clouds of options of runs, with the options that were chosen.

    Clouds of a single option on offer, as a strategy that prescribes its images gives, are left
    out: nothing was chosen.

    Parameters
    ----------
    records : sequence of RunRecord
        The runs.
    chosen_by : collection of str, optional
        Whose choices, as the Events of stream ``decision`` name them. Left out: those of
        persons, where there are any, or else of everybody but chance.
    objectives : sequence of str, optional
        Which columns, in this order; all of the first run when left out.

    Raises
    ------
    CatalogError
        When there is no such choice, a run lacks an objective or its unit is not known, or two
        runs differ in a unit.
    DatasetError
        When a cloud cannot be used: an infinite value, or a choice that was not on offer.
    """
    chosen_by = chosen_by or _whose(records)
    parts = [part for record in records for part in _clouds_of_run(record, chosen_by, objectives)]
    if not parts:
        found = ", ".join(sorted(_choosers(records))) or "nobody"
        raise CatalogError(
            f"no cloud of options was chosen from by {', '.join(sorted(chosen_by)) or 'anybody'} "
            f"in {_told(records)}; there it was {found}"
        )
    first = parts[0][1]
    for record, part in parts:
        if (part.objectives, part.units) != (first.objectives, first.units):
            raise CatalogError(
                f"run {record.uid} has the objectives {_columns(part)}, run {parts[0][0].uid} has "
                f"{_columns(first)}: the same are needed"
            )
    return joined([part for _, part in parts])


def rated_images_of(
    records: Sequence[RunRecord],
    objective: str = "quality",
    rated_by: Collection[str] | None = None,
) -> RatedImages:
    """Collect the first STED images of runs with their ratings.

    Images whose rating is invalid are left out, and so are those that a person has skipped or
    discarded. Images of one run are of one specimen.

    Parameters
    ----------
    records : sequence of RunRecord
        The runs. Where persons have rated in some of them, those are taken; else all, and what
        is learnt is another network's opinion.
    objective : str
        What rates: a number from 0 to 1 per image.
    rated_by : collection of str, optional
        Whose ratings, as the Events of stream ``rating`` name them. Left out: of all persons.

    Raises
    ------
    CatalogError
        When no run has such a rating, images cannot be read, or their pixels differ in size.
    DatasetError
        When a rating is not from 0 to 1.
    """
    images: list[Image] = []
    ratings: list[float] = []
    runs: list[tuple[str, str]] = []
    names: list[str] = []
    sizes_nm: set[float | None] = set()
    by_persons = _by_persons(records, objective, rated_by)
    for record in by_persons or ([] if rated_by else records):
        for event, image, rating in _rated(record, objective, rated_by):
            sizes_nm.add(record.pixel_size_nm(event))
            images.append(image)
            ratings.append(rating)
            runs.append((str(record.start.get("structure") or ""), record.uid))
            names.append(f"image {event['seq_num']} of run {record.uid}")
    if not images and rated_by:
        found = ", ".join(sorted(_raters(records))) or "nobody"
        raise CatalogError(
            f"no image was rated by {', '.join(sorted(rated_by))} in {_told(records)}; there it "
            f"was {found}"
        )
    if not images:
        raise CatalogError(f"no image has a valid objective {objective!r} in {_told(records)}")
    told_nm = sorted(size for size in sizes_nm if size is not None)
    if len(told_nm) > 1:
        raise CatalogError(
            f"images of {_told(records)} have pixels of {', '.join(f'{s:g}' for s in told_nm)} nm: "
            "of one size are needed"
        )
    structures, specimens = zip(*runs, strict=True)
    return RatedImages(
        images,
        np.array(ratings),
        structures,
        specimens,
        tuple(names),
        told_nm[0] if told_nm else None,
    )


def _told(records: Sequence[RunRecord]) -> str:
    uids = ", ".join(record.uid[:8] for record in records[:3])
    return f"{len(records)} runs ({uids}{', ...' if len(records) > 3 else ''})"


def _columns(clouds: Clouds) -> str:
    pairs = zip(clouds.objectives, clouds.units, strict=True)
    return ", ".join(f"{name} ({unit or 'no unit'})" for name, unit in pairs)


# --- clouds ---------------------------------------------------------------------------------


def _decisions(record: RunRecord) -> list[Document]:
    stream = record.keys.decision_stream
    return record.events(stream) if stream in record.descriptors else []


def _chooser(record: RunRecord, event: Document) -> str:
    return str(_value(record, event, record.keys.decision_chosen_by))


def _choosers(records: Sequence[RunRecord]) -> set[str]:
    return {_chooser(record, event) for record in records for event in _decisions(record)}


def _whose(records: Sequence[RunRecord]) -> set[str]:
    """Persons where there are any, or else everybody but chance."""
    everybody = _choosers(records)
    return everybody - PROGRAMS or everybody - {CHANCE}


def _clouds_of_run(
    record: RunRecord, chosen_by: Collection[str], objectives: Sequence[str] | None
) -> list[tuple[RunRecord, Clouds]]:
    """No or one element: the run and its clouds."""
    events = _decisions(record)
    kept = [i for i, event in enumerate(events) if _chooser(record, event) in chosen_by]
    if not kept:
        return []
    names = tuple(objectives or record.objectives)
    missing = [name for name in names if name not in record.objectives]
    if missing:
        raise CatalogError(
            f"run {record.uid} has no objective {missing[0]!r}; it has "
            f"{', '.join(record.objectives)}"
        )
    columns = [record.objectives.index(name) for name in names]
    clouds: list[npt.NDArray[np.float64]] = []
    chosen: list[int] = []
    stored = record.arrays(record.keys.decision_cloud)
    for i in kept:
        cloud = np.asarray(stored[i], dtype=np.float64)
        if cloud.ndim != 2 or cloud.shape[1] != len(record.objectives):
            raise CatalogError(
                f"decision {i + 1} of run {record.uid} has a cloud of shape {cloud.shape}: "
                f"(options, {len(record.objectives)}) is needed"
            )
        if on_offer(cloud[:, columns]).sum() > 1:
            clouds.append(cloud[:, columns])
            chosen.append(int(_value(record, events[i], record.keys.decision_index)))
    if not clouds:
        return []
    units = tuple(_unit(record, name) for name in names)
    return [(record, Clouds(tuple(clouds), np.array(chosen), names, units))]


def _unit(record: RunRecord, objective: str) -> str:
    """Unit of an objective as the run tells it, or else as this program measures it."""
    key = record.keys.objective_prefix + objective
    for descriptor in record.descriptors.get(record.keys.image_stream, []):
        told = descriptor["data_keys"].get(key, {}).get("units")
        if told is not None:
            return str(told)
    if objective not in OBJECTIVES:
        raise CatalogError(f"run {record.uid} does not tell the unit of {objective!r}")
    return OBJECTIVES[objective].objective.unit


# --- images ---------------------------------------------------------------------------------


def _by_persons(
    records: Sequence[RunRecord], objective: str, rated_by: Collection[str] | None
) -> list[RunRecord]:
    """Runs that persons have rated on the page, or whose start document names no network."""

    def is_one(record: RunRecord) -> bool:
        if _hand_ratings(record, objective, rated_by):
            return True
        if rated_by or "quality" in (record.start.get("networks") or {}):
            return False
        return not all(np.isnan(_ratings(record, objective, None)))

    return [record for record in records if is_one(record)]


def _hand_ratings(
    record: RunRecord, objective: str, rated_by: Collection[str] | None
) -> dict[int, float]:
    """Ratings that persons have given, 0 to 1, by the number of images before each."""
    found = {}
    for event in record.events(RATING_STREAM) if RATING_STREAM in record.descriptors else ():
        data = event["data"]
        percent = float(data.get(f"rating_{objective}_percent", np.nan))
        asked_for = rated_by is None or data.get("rating_rated_by") in rated_by
        if asked_for and not np.isnan(percent) and not data.get("rating_discarded_because"):
            found[int(data["rating_iteration"])] = percent / 100
    return found


def _raters(records: Sequence[RunRecord]) -> set[str]:
    """Who has rated on the page."""
    return {
        str(event["data"].get("rating_rated_by"))
        for record in records
        if RATING_STREAM in record.descriptors
        for event in record.events(RATING_STREAM)
    }


def _ratings(record: RunRecord, objective: str, rated_by: Collection[str] | None) -> list[float]:
    """Rating of each image of a run, by a person if there is one; NaN where it has none."""
    stream = record.keys.image_stream
    events = record.events(stream) if stream in record.descriptors else []
    if by_hand := _hand_ratings(record, objective, rated_by):
        iterations = [int(event["data"][record.keys.image_iteration]) for event in events]
        return [by_hand.get(iteration, np.nan) for iteration in iterations]
    key = record.keys.objective_prefix + objective
    return [float(event["data"].get(key, np.nan)) for event in events]


def _rated(
    record: RunRecord, objective: str, rated_by: Collection[str] | None
) -> Iterator[tuple[Document, Image, float]]:
    """Event, image and rating of each image that has one."""
    rated = _ratings(record, objective, rated_by)
    if all(np.isnan(rated)):
        return
    events = record.events(record.keys.image_stream)
    images = record.arrays(STED_IMAGE)
    for event, image, rating in zip(events, images, rated, strict=True):
        if not np.isnan(rating):
            yield event, image, rating


def _value(record: RunRecord, event: Document, key: str) -> Any:
    try:
        return event["data"][key]
    except KeyError:
        raise CatalogError(
            f"decision {event['seq_num']} of run {record.uid} has no {key!r}"
        ) from None
