"""Images of a run for the page: the last ones as they are taken, or those of a stored run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import ImageSet
from stedopt_bluesky.records.journal import Document
from stedopt_bluesky.records.run_record import DocumentKeys, RunRecord
from stedopt_bluesky.reports.image_panels import brightest

# By name: "confocal1", "sted1", "confocal2", and those of further channels, "orange_sted1".
Images = Mapping[str, npt.NDArray[Any]]
# From an image's number in its run, from 1, to its pictures; None where they are not there.
ImagesOf = Callable[[int], Images | None]

SHOWN = ("confocal1", "sted1", "confocal2")
_KEYS = DocumentKeys()


class KeptImages:
    """The last images of a run under way: a callback of its documents, called in the plan's thread.

    Parameters
    ----------
    newest : callable
        Gives the images that were taken last.
    most : int
        Of how many regions they are kept.
    """

    def __init__(self, newest: Callable[[], ImageSet | None], most: int = 5) -> None:
        self._newest = newest
        self._most = most
        self._descriptors: set[str] = set()
        # Never changed, but replaced: other threads read it.
        self._kept: dict[int, Images] = {}

    def __call__(self, name: str, doc: Document) -> None:
        """Observe one document."""
        if name == "start":
            self._descriptors, self._kept = set(), {}
        elif name == "descriptor" and doc.get("name") == _KEYS.image_stream:
            self._descriptors.add(doc["uid"])
        elif name == "event" and doc["descriptor"] in self._descriptors:
            images = self._newest()
            if images is not None:
                last = list(self._kept.items())[1 - self._most :] if self._most > 1 else []
                self._kept = dict([*last, (int(doc["seq_num"]), by_name(images))])

    def of(self, number: int) -> Images | None:
        """Pictures of an image, by its number from 1; None where they are not kept any more."""
        return self._kept.get(number)


def by_name(images: ImageSet) -> Images:
    """Pictures that are shown of a region, those of further channels last."""
    found = dict(zip(SHOWN, (images.confocal1, images.sted[0], images.confocal2), strict=True))
    for channel, others in images.channels.items():
        found |= {f"{channel}_{name}": image for name, image in by_name(others).items()}
    return found


def recorded_images(record: RunRecord, number: int) -> Images | None:
    """Read the pictures of an image of a stored run; None where it has no such image.

    Parameters
    ----------
    record : RunRecord
        The run.
    number : int
        From 1.

    Raises
    ------
    CatalogError
        When they cannot be read.
    """
    stream = record.keys.image_stream
    events = record.events(stream) if stream in record.streams else []
    event = next((event for event in events if event["seq_num"] == number), None)
    if event is None:
        return None
    device = "microscope_"
    keys = [key for key, of in record.array_keys.items() if of == stream and key.endswith(SHOWN)]
    found = {key.removeprefix(device): np.asarray(record.array(key, event)) for key in keys}
    return dict(sorted(found.items(), key=lambda item: item[0] not in SHOWN))


def titles_of(images: Images) -> dict[str, str]:
    """What images are called, by name: ``"orange_sted1"`` → ``"orange STED"``."""
    shots = dict(zip(SHOWN, ("confocal 1", "STED", "confocal 2"), strict=True))
    parts = {name: name.rpartition("_") for name in images}
    return {name: f"{channel} {shots[shot]}".strip() for name, (channel, _, shot) in parts.items()}


def scales_of(images: Images) -> dict[str, float]:
    """Upper ends of the scales of brightness, photons, by name.

    The two confocal images of a channel have one, so that bleaching is seen.
    """
    channels = {name: name.rpartition("_")[0] for name in images}
    found = {}
    for name, channel in channels.items():
        alike = [n for n, c in channels.items() if c == channel and "confocal" in n]
        found[name] = brightest(*(images[n] for n in (alike if name in alike else [name])))
    return found
