"""What a run that goes on with an earlier one needs to know of it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.journal import find_run, is_live
from stedopt_bluesky.records.recovery import close_broken_run
from stedopt_bluesky.records.run_record import RunRecord

# The start document's key that names the run that is gone on with.
RESUMES = "resumes"
# The stream of the overview over which the regions of a run are laid.
OVERVIEW_STREAM = "overview"
# The stream of what a person has said of it; see `devices/expert_surveyor.py`.
REGIONS_STREAM = "regions"

Observation = tuple[int, dict[str, float]]


@dataclass(frozen=True)
class RunChain:
    """A run and those that it goes on with.

    Parameters
    ----------
    records : tuple of RunRecord
        The oldest first.
    """

    records: tuple[RunRecord, ...]

    @property
    def last(self) -> RunRecord:
        """The newest run."""
        return self.records[-1]

    @property
    def history(self) -> list[Observation]:
        """All observations, in the order of imaging."""
        return [o for record in self.records for o in record.observations]

    @property
    def history_before_last(self) -> list[Observation]:
        """Observations that the newest run began with."""
        return RunChain(self.records[:-1]).history

    @property
    def last_overview(self) -> tuple[npt.NDArray[np.int16], tuple[float, float]] | None:
        """The newest overview (Y, X) and where the stage was, (x, y) in µm; None without any."""
        surveyed = [r for r in self.records if _events(r, OVERVIEW_STREAM)]
        if not surveyed:
            return None
        data = surveyed[-1].events(OVERVIEW_STREAM)[-1]["data"]
        try:
            stage_um = (float(data.get("stage_x_um", 0.0)), float(data.get("stage_y_um", 0.0)))
        except (TypeError, ValueError, OverflowError) as error:
            raise CatalogError(
                f"run {surveyed[-1].uid} does not tell where the stage was: {error}"
            ) from None
        return surveyed[-1].images("overview_image")[-1], stage_um

    @property
    def regions_used(self) -> int:
        """Places of the newest overview that were imaged, or may have been.

        A decision precedes each exposure. Without any overview all decisions count.
        """
        used = 0
        for record in self.records:
            for stream, _ in record.all_events:
                if stream == OVERVIEW_STREAM:
                    used = 0
                used += stream == record.keys.decision_stream
        return used

    @property
    def last_places(self) -> list[dict[str, float]] | None:
        """Regions that a person chose in the newest overview; None where nobody did.

        Each with ``x_um`` and ``y_um``, and a spine with ``axis_x``, ``axis_y`` and ``free_um``.

        Raises
        ------
        CatalogError
            When the record is none of regions.
        """
        places = None
        for record in self.records:
            for stream, event in record.all_events:
                if stream == OVERVIEW_STREAM:
                    places = None
                elif stream == REGIONS_STREAM:
                    places = _places(record, event["data"].get("regions_places"))
        return places

    @property
    def images_left(self) -> int:
        """Images that the newest run was meant to take and did not."""
        return max(0, int(self.last.start["images_planned"]) - len(self.last.observations))


def _places(record: RunRecord, text: object) -> list[dict[str, float]]:
    try:
        places = [{k: float(v) for k, v in place.items()} for place in json.loads(str(text))]
        if not all({"x_um", "y_um"} <= set(place) for place in places):
            raise ValueError("a region has no position")
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise CatalogError(f"run {record.uid} does not tell its regions: {error}") from None
    return places


def _events(record: RunRecord, stream: str) -> int:
    return len(record.events(stream)) if stream in record.streams else 0


def read_chain(folder: CatalogFolder, uid_prefix: str) -> RunChain:
    """Read a run and, following its start document, those that it goes on with.

    Raises
    ------
    CatalogError
        When one of them is not there or damaged.
    """
    records: list[RunRecord] = []
    uid: str | None = uid_prefix
    while uid:
        record = _read(folder, uid, records)
        if record.uid in {r.uid for r in records}:
            raise CatalogError(f"run {record.uid} goes on with itself")
        records.insert(0, record)
        uid = record.start.get(RESUMES)
    return RunChain(tuple(records))


def _read(folder: CatalogFolder, uid: str, later: list[RunRecord]) -> RunRecord:
    """Read a run; when it is missing, tell which other one goes on with it."""
    try:
        return RunRecord.read(find_run(folder, uid))
    except CatalogError as error:
        if not later:
            raise
        raise CatalogError(
            f"run {later[0].uid} goes on with run {uid}, which cannot be read: {error}"
        ) from error


def close_for_resume(folder: CatalogFolder, uid_prefix: str) -> None:
    """Close a run that its program left open, so that another can go on with it.

    Raises
    ------
    CatalogError
        When a living program still writes it, or it cannot be found.
    """
    path = find_run(folder, uid_prefix)
    if is_live(folder, path):
        raise CatalogError(f"run {path.stem} is still being written: wait for its end")
    close_broken_run(folder, path)
