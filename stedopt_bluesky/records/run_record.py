"""One run, read straight from its journal: no server, no database, milliseconds."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.records.assets import read_frames
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.journal import Document, is_live, is_uid, read_journal
from stedopt_bluesky.records.schemas import why_invalid


@dataclass(frozen=True)
class DocumentKeys:
    """Names of the streams and data keys of an optimisation, as the devices give them."""

    decision_stream: str = "decision"
    decision_iteration: str = "decision_iteration"
    decision_index: str = "decision_index"
    decision_chosen_by: str = "decision_chosen_by"
    decision_cloud: str = "decision_cloud"
    image_stream: str = "primary"
    image_iteration: str = "image_iteration"
    image_configuration_index: str = "image_configuration_index"
    image_pixels: str = "microscope_image_pixels"
    image_exposure_s: str = "microscope_exposure_s"
    objective_prefix: str = "objective_"


@dataclass(frozen=True)
class RunRecord:
    """All documents of one run.

    Parameters
    ----------
    path : Path
        The journal.
    documents : tuple of (str, dict)
        Names and documents in the order in which the RunEngine emitted them.
    keys : DocumentKeys
        What the streams and data keys of an optimisation are called.
    """

    path: Path
    documents: tuple[tuple[str, Document], ...] = field(repr=False)
    keys: DocumentKeys = field(default_factory=DocumentKeys, repr=False)

    @classmethod
    def read(cls, path: Path, keys: DocumentKeys | None = None) -> RunRecord:
        """Read a journal, also of a run that is under way or was left open.

        Raises
        ------
        CatalogError
            When the journal is damaged, does not begin with a start document, or holds what is no
            document, or one before that to which it belongs.
        """
        documents = tuple(read_journal(path))
        if not documents or documents[0][0] != "start":
            raise CatalogError(f"the journal {path} does not begin with a start document")
        # It becomes the name of files.
        if not is_uid(documents[0][1].get("uid")):
            raise CatalogError(f"the journal {path}: its run's uid cannot be the name of a file")
        _check(path, documents)
        return cls(path, documents, keys or DocumentKeys())

    @property
    def start(self) -> Document:
        """The start document, with the run's metadata."""
        return self.documents[0][1]

    @property
    def uid(self) -> str:
        """The run's uid."""
        return str(self.start["uid"])

    @property
    def stop(self) -> Document | None:
        """The stop document; ``None`` when the run has none (yet)."""
        name, doc = self.documents[-1]
        return doc if name == "stop" else None

    @cached_property
    def descriptors(self) -> dict[str, list[Document]]:
        """Descriptors of each stream, in order."""
        found: dict[str, list[Document]] = {}
        for name, doc in self.documents:
            if name == "descriptor":
                found.setdefault(doc["name"], []).append(doc)
        return found

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams, in the order in which they appeared."""
        return tuple(self.descriptors)

    @cached_property
    def _stream_of(self) -> dict[str, str]:
        """Stream of each descriptor's uid."""
        return {d["uid"]: stream for stream, docs in self.descriptors.items() for d in docs}

    def events(self, stream: str) -> list[Document]:
        """Events of a stream, in order; pages are taken apart.

        Raises
        ------
        CatalogError
            When the run has no such stream.
        """
        if stream not in self.descriptors:
            raise CatalogError(
                f"run {self.uid} has no stream {stream!r}; it has {', '.join(self.streams) or '-'}"
            )
        return [event for name, event in self.all_events if name == stream]

    @cached_property
    def all_events(self) -> list[tuple[str, Document]]:
        """Events of all streams in the order of the run, each with the name of its stream."""
        events: list[tuple[str, Document]] = []
        for name, doc in self.documents:
            if name == "event":
                events.append((self._stream_of[doc["descriptor"]], doc))
            elif name == "event_page":
                from event_model import unpack_event_page

                stream = self._stream_of[doc["descriptor"]]
                events += [(stream, event) for event in unpack_event_page(cast(Any, doc))]
        return events

    def table(self, stream: str) -> dict[str, npt.NDArray[Any]]:
        """Scalars of a stream as columns, with ``seq_num`` and ``time`` (s since 1970) first.

        Parameters
        ----------
        stream : str
            Name of the stream, for example ``"primary"``.

        Returns
        -------
        dict of str to ndarray, each of shape (N, …)
            One entry per event; a value that is missing in some event is left out.

        Raises
        ------
        CatalogError
            When the run has no such stream.
        """
        return columns_of(self.events(stream))

    @property
    def array_keys(self) -> dict[str, str]:
        """Stream of each data key that is stored outside the documents."""
        return {
            key: stream
            for stream, docs in self.descriptors.items()
            for key, data_key in docs[0]["data_keys"].items()
            if data_key.get("external") == "STREAM:"
        }

    def arrays(self, key: str) -> list[npt.NDArray[Any]]:
        """Read the array of each event, in the order of the events.

        An image as it was taken: of one smaller than the run's largest, what fills its array up
        is left out.

        Parameters
        ----------
        key : str
            Data key, for example ``"microscope_sted1"``.

        Returns
        -------
        list of ndarray
            One per event; shapes may differ between events.

        Raises
        ------
        CatalogError
            When there is no such key, an event without array, or a file cannot be read.
        """
        self._check_array_key(key)
        resources, frames = self._frames[key]
        events = self.events(self.array_keys[key])
        missing = [e["seq_num"] for e in events if e["seq_num"] not in frames]
        if missing:
            raise CatalogError(f"event {missing[0]} of run {self.uid} has no {key!r}")
        wanted = [frames[e["seq_num"]] for e in events]
        read: dict[tuple[str, int], npt.NDArray[Any]] = {}
        for uid, resource in resources.items():  # one file is opened once, not once per image
            indices = [index for resource_uid, index in wanted if resource_uid == uid]
            if indices:
                found = self._read(resource, indices)
                read.update(zip([(uid, i) for i in indices], found, strict=True))
        arrays = [read[frame] for frame in wanted]
        return [self._cropped(a, event) for a, event in zip(arrays, events, strict=True)]

    def array(self, key: str, event: Document) -> npt.NDArray[Any]:
        """Read the array of one event, as `arrays` does.

        Parameters
        ----------
        key : str
            Data key, for example ``"microscope_sted1"``.
        event : dict
            Event of the key's stream.

        Raises
        ------
        CatalogError
            When there is no such key, the event has no array, or its file cannot be read.
        """
        self._check_array_key(key)
        resources, frames = self._frames[key]
        if event["seq_num"] not in frames:
            raise CatalogError(f"event {event['seq_num']} of run {self.uid} has no {key!r}")
        resource, index = frames[event["seq_num"]]
        return self._cropped(self._read(resources[resource], [index])[0], event)

    def _read(self, resource: Document, indices: list[int]) -> list[npt.NDArray[Any]]:
        # A run whose program died has no end either, and nobody writes its files any more.
        growing = self.stop is None and is_live(
            CatalogFolder(self._arrays_folder.parent), self.path
        )
        return read_frames(resource, indices, self._arrays_folder, growing=growing)

    def _cropped(self, array: npt.NDArray[Any], event: Document) -> npt.NDArray[Any]:
        """Leave out of an image's array what is none of its pixels."""
        pixels = event["data"].get(self.keys.image_pixels)
        if pixels is None or array.ndim != 2:
            return array
        return array[:pixels, :pixels]

    def _check_array_key(self, key: str) -> None:
        if key not in self.array_keys:
            raise CatalogError(
                f"run {self.uid} has no images {key!r}; it has {', '.join(self.array_keys) or '-'}"
            )

    def images(self, key: str) -> npt.NDArray[Any]:
        """Read the images of all events as one array of shape (N, Y, X).

        Raises
        ------
        CatalogError
            As :meth:`arrays`, and when the images differ in shape.
        """
        arrays = self.arrays(key)
        if len({a.shape for a in arrays}) > 1:
            raise CatalogError(
                f"the images {key!r} of run {self.uid} differ in shape; use arrays()"
            )
        return np.stack(arrays) if arrays else np.empty((0, *self._shape(key)))

    @property
    def clouds(self) -> npt.NDArray[np.float64]:
        """Clouds of options of all decisions, shape (N, G, M), in the objectives' units."""
        return self.images(self.keys.decision_cloud)

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of the objectives, in the order of the run's configuration.

        Raises
        ------
        CatalogError
            When the start document does not tell.
        """
        try:
            listed = self.start["stedopt"]["config"]["objectives"]
            # A configuration lists names, or tables with a name and more (a weight).
            return tuple(o["name"] if isinstance(o, Mapping) else str(o) for o in listed)
        except (KeyError, TypeError) as error:
            raise CatalogError(f"run {self.uid} does not tell its objectives") from error

    def observation(self, event: Document) -> tuple[int, dict[str, float]]:
        """Configuration's index and objectives of an event of the image stream.

        Returns
        -------
        int
            Row of the grid.
        dict of str to float
            Objectives by name, each in its unit; NaN where invalid.
        """
        data = event["data"]
        try:
            values = {o: float(data[self.keys.objective_prefix + o]) for o in self.objectives}
            return int(data[self.keys.image_configuration_index]), values
        except KeyError as error:
            raise CatalogError(
                f"event {event['seq_num']} of run {self.uid} has no {error.args[0]!r}"
            ) from error
        except (TypeError, ValueError, OverflowError) as error:
            raise CatalogError(
                f"event {event['seq_num']} of run {self.uid} has a value that is no number: {error}"
            ) from error

    def pixel_size_nm(self, event: Document) -> float | None:
        """Side of a pixel of an image Event's images, nm; None where the run does not tell."""
        told: dict[str, Any] = {}
        for descriptor in self.descriptors[self.keys.image_stream]:
            if descriptor["uid"] == event["descriptor"]:
                told = descriptor.get("configuration", {}).get("scanner", {}).get("data", {})
        config = (self.start.get("stedopt") or {}).get("config") or {}
        found = (
            event["data"].get("pixel_size_nm")
            or told.get("pixel_size_nm")
            or told.get("scanner_pixel_size_nm")  # its name until November 2026
            or (config.get("imaging") or {}).get("pixel_size_nm")
        )
        return float(found) if isinstance(found, int | float) else None

    @property
    def observations(self) -> list[tuple[int, dict[str, float]]]:
        """What was seen, image by image, for a strategy to learn from (see `observation`)."""
        if self.keys.image_stream not in self.descriptors:
            return []
        return [self.observation(event) for event in self.events(self.keys.image_stream)]

    @cached_property
    def _frames(self) -> dict[str, tuple[dict[str, Document], dict[int, tuple[str, int]]]]:
        """By data key: its resources by uid, and of each event the resource and frame's index."""
        found: dict[str, tuple[dict[str, Document], dict[int, tuple[str, int]]]] = {
            key: ({}, {}) for key in self.array_keys
        }
        keys: dict[str, str] = {}
        seq_nums: dict[str, list[int]] = {stream: [] for stream in self.streams}
        for stream, event in self.all_events:
            seq_nums[stream].append(event["seq_num"])
        for numbers in seq_nums.values():
            numbers.sort()
        for name, doc in self.documents:
            if name == "stream_resource" and doc["data_key"] in found:
                keys[doc["uid"]] = doc["data_key"]
                found[doc["data_key"]][0][doc["uid"]] = doc
            elif name == "stream_datum" and doc["stream_resource"] in keys:
                key = keys[doc["stream_resource"]]
                first, end = doc["seq_nums"]["start"], doc["seq_nums"]["stop"]
                offset = doc["indices"]["start"] - first
                # Of the Events that there are: the numbers of a journal may name 10¹² frames.
                known = seq_nums[self.array_keys[key]]
                for seq_num in known[bisect_left(known, first) : bisect_left(known, end)]:
                    found[key][1][seq_num] = (doc["stream_resource"], seq_num + offset)
        return found

    def _shape(self, key: str) -> tuple[int, ...]:
        return tuple(self.descriptors[self.array_keys[key]][0]["data_keys"][key]["shape"])

    @property
    def _arrays_folder(self) -> Path:
        """``DIR/arrays`` of a journal at ``DIR/journal/<yyyy>/<uid>.jsonl``."""
        return self.path.parent.parent.parent / "arrays"


def columns_of(events: list[Document]) -> dict[str, npt.NDArray[Any]]:
    """Scalars of events as columns, with ``seq_num`` and ``time`` (s since 1970) first.

    Returns
    -------
    dict of str to ndarray, each of shape (N, …)
        One entry per event; a value that is missing in some event is left out.
    """
    names = [k for k in (events[0]["data"] if events else ()) if _in_all(k, events)]
    return {
        "seq_num": np.array([e["seq_num"] for e in events], dtype=np.int64),
        "time": np.array([e["time"] for e in events], dtype=np.float64),
        **{name: np.array([e["data"][name] for e in events]) for name in names},
    }


def _check(path: Path, documents: Sequence[tuple[str, Document]]) -> None:
    """Raise where a document is none, or does not belong to what is there."""
    known: dict[str, set[str]] = {"descriptor": set(), "stream_resource": set()}
    for number, (name, doc) in enumerate(documents, start=1):
        reason = why_invalid(name, doc)
        for kind, uids in known.items():
            if not reason and name != kind and doc.get(kind, "") and doc[kind] not in uids:
                reason = f"its {kind} has not come"
        if not reason and name == "descriptor" and not doc.get("name"):
            reason = "it names no stream"
        if not reason and name == "stream_datum" and doc["indices"]["start"] < 0:
            reason = "it tells of a frame before the first"
        if reason:
            raise CatalogError(f"the journal {path} is damaged: line {number}, {name}: {reason}")
        if name in known:
            known[name].add(doc["uid"])


def _in_all(key: str, events: list[Document]) -> bool:
    return all(key in event["data"] for event in events)
