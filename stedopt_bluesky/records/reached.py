"""What a run has come to, in numbers that runs are looked for by."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping
from typing import Any

from stedopt_bluesky.objective_table import known_objective
from stedopt_bluesky.records.journal import Document
from stedopt_bluesky.records.run_record import DocumentKeys

# What a run has reached is the median of so many images, its last: as the paper compares ten.
LAST_IMAGES = 10


class Reached:
    """Sums a run up from its documents, as they come; it keeps the last ten images alone.

    Parameters
    ----------
    keys : DocumentKeys
        What the streams and data keys of an optimisation are called.
    """

    def __init__(self, keys: DocumentKeys | None = None) -> None:
        self._keys = keys or DocumentKeys()
        self._primary: set[str] = set()
        self._settings: set[str] = set()
        self._last: deque[Mapping[str, float]] = deque(maxlen=LAST_IMAGES)
        self._best: dict[str, float] = {}
        self._exposure_s = 0.0
        self._images = 0
        self._networks = ""

    def __call__(self, name: str, doc: Document) -> None:
        """Take in one document."""
        if name == "start":
            config = (doc.get("stedopt") or {}).get("config") or {}
            self._settings = {*(doc.get("parameters") or ()), *(config.get("imaging") or ())}
            self._networks = network_names(doc.get("networks"))
        elif name == "descriptor" and doc["name"] == self._keys.image_stream:
            self._primary.add(doc["uid"])
        elif name == "event" and doc["descriptor"] in self._primary:
            self._add(doc["data"])
        elif name == "event_page" and doc["descriptor"] in self._primary:
            for row in range(len(doc["seq_num"])):
                self._add({key: column[row] for key, column in doc["data"].items()})

    def _add(self, data: Mapping[str, Any]) -> None:
        numbers = {key: float(v) for key, v in data.items() if _is_number(v)}
        self._images += 1
        self._last.append(numbers)
        self._exposure_s += numbers.get(self._keys.image_exposure_s, 0.0)
        for key, value in numbers.items():
            if name := self._objective(key):
                known = known_objective(name)
                better = max if known is not None and known.direction == "maximise" else min
                self._best[name] = better(self._best.get(name, value), value)

    def _objective(self, key: str) -> str:
        prefix = self._keys.objective_prefix
        return key.removeprefix(prefix) if key.startswith(prefix) else ""

    @property
    def images(self) -> int:
        """How many images there are."""
        return self._images

    def summary(self) -> dict[str, Any]:
        """What the run has come to, so far.

        Returns
        -------
        dict
            ``images``; ``exposure_s``, s, of all of them; ``reached``, of each objective the
            median of the last ten images; ``best``, of each the best one; ``used``, of each
            setting the median of the last ten images. Each in its unit; what is invalid in all
            is left out. ``networks``: as `network_names` has it.
        """
        columns: dict[str, list[float]] = {}
        for numbers in self._last:
            for key, value in numbers.items():
                columns.setdefault(key, []).append(value)
        medians = {key: statistics.median(values) for key, values in columns.items()}
        return {
            "images": self._images,
            "networks": self._networks,
            "exposure_s": self._exposure_s,
            "reached": {o: v for k, v in medians.items() if (o := self._objective(k))},
            "best": dict(self._best),
            "used": {key: v for key, v in medians.items() if key in self._settings},
        }


def network_names(networks: Any) -> str:
    """Names and hashes of a start document's networks, one per line: what they are found by."""
    if not isinstance(networks, Mapping):
        return ""
    said = [n.get(key) for n in networks.values() if isinstance(n, Mapping) for key in _NAMES]
    return "\n".join(text for text in said if isinstance(text, str))


_NAMES = ("name", "sha256")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
