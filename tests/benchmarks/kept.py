"""What is left of a stored run: images that can be read, rows of the catalogue."""

from __future__ import annotations

from stedopt_bluesky.records import Catalog, RunRecord
from stedopt_bluesky.records.folder import CatalogError
from stedopt_bluesky.records.journal import Document

SCANS = ("microscope_confocal1", "microscope_sted1", "microscope_confocal2")


def readable(record: RunRecord, side: int) -> set[str]:
    """Uids of the Events of images of which every pixel of every scan can be read.

    Parameters
    ----------
    record : RunRecord
        The run.
    side : int
        Pixels of a side that each scan must have.
    """
    stream = record.keys.image_stream
    events = record.events(stream) if stream in record.streams else []
    return {event["uid"] for event in events if _is_readable(record, event, side)}


def _is_readable(record: RunRecord, event: Document, side: int) -> bool:
    try:
        return all(record.array(key, event).shape == (side, side) for key in SCANS)
    except CatalogError:  # its file is missing, damaged or too short: counted, not the end
        return False


def is_catalogued(catalogue: Catalog, record: RunRecord) -> bool:
    """Whether an open catalogue has a closed run, with a row of each decision and image."""
    if record.uid not in catalogue.client:
        return False
    if not catalogue.client[record.uid].metadata.get("stop"):
        return False
    counts = {
        stream: len(record.events(stream))
        for stream in (record.keys.decision_stream, record.keys.image_stream)
        if stream in record.streams
    }
    try:
        return all(
            len(catalogue.table(record.uid, stream)) == count
            for stream, count in counts.items()
            if count
        )
    except CatalogError:  # it has no such table
        return False
