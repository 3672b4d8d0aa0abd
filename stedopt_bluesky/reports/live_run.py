"""What is known of a run under way: documents in, in whatever order; rows out. No terminal here."""

from __future__ import annotations

import copy
import math
import unicodedata
from bisect import bisect
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.records.journal import Document
from stedopt_bluesky.records.run_record import DocumentKeys, columns_of

_KEYS = DocumentKeys()
# The pace is that of so many images: the sample, and what is chosen, change.
_PACE_IMAGES = 20
_EXCITATION_DOSE, _DEPLETION_DOSE = "microscope_excitation_dose_uJ", "microscope_depletion_dose_mJ"
# A longer text of a document is cut off.
_LONGEST = 120
# Of why objectives are invalid: a line for each of three.
_LONGEST_REASONS = 3 * _LONGEST


class _Column:
    """Values in the order of their images; of copies, each has as many as when it was made."""

    def __init__(self, values: npt.NDArray[np.float64]) -> None:
        self._values = values
        self._size = len(values)

    def insert(self, at: int, value: float) -> None:
        """Put a value before another one, or at the end."""
        if at < self._size:  # elsewhere: copies keep what they have
            self._values = np.insert(self._values[: self._size], at, value)
        elif self._size < len(self._values):
            self._values[at] = value
        else:
            # Doubled, so that an image costs the same however many there are; at first 64.
            room = np.full(max(64, self._size), np.nan)
            self._values = np.concatenate([self._values, room])
            self._values[at] = value
        self._size += 1

    @property
    def array(self) -> npt.NDArray[np.float64]:
        """The values, shape (N,)."""
        return self._values[: self._size].copy()


class LiveRun:
    """A run as far as its documents have come; none is needed before another.

    An event whose descriptor has not come is one of an image if it has an objective. A document
    that comes twice counts once. A start document of another run begins anew.

    What is drawn is kept as it comes, so that a drawing costs the same however many images there
    are. Copies share it: it is added to, and what is changed otherwise is made anew.
    """

    def __init__(self) -> None:
        self.serial = -1  # which run it is of those whose documents were taken
        self._forget()

    def _forget(self) -> None:
        self.serial += 1
        self._start: Document = {}
        self._stop: Document = {}
        self._streams: dict[str, str] = {}
        self._images: dict[int, Document] = {}
        self._arrived: list[int] = []
        self._numbers: list[int] = []
        self._count = 0
        self._objectives: dict[str, _Column] = {}
        self._doses = (0.0, 0.0)

    def take(self, name: str, doc: Document) -> None:
        """Take in a document, as a callback does."""
        if name == "start":
            if self._is_another(doc):
                self._forget()
            self._start = doc
        elif name == "descriptor":
            self._streams[doc["uid"]] = str(doc.get("name"))
        elif name == "event":
            default = _KEYS.image_stream if self._has_objective(doc) else ""
            if self._streams.get(doc["descriptor"], default) == _KEYS.image_stream:
                self._add(int(doc["seq_num"]), doc)
        elif name == "event_page":
            from event_model import unpack_event_page

            for event in unpack_event_page(doc):  # type: ignore[arg-type]
                self.take("event", dict(event))
        elif name == "stop":
            self._stop = doc

    def _add(self, number: int, event: Document) -> None:
        if number in self._images:
            return
        self._images[number] = event
        self._arrived.append(number)
        at = bisect(self._numbers, number)
        if at == self._count:
            self._numbers.append(number)
        else:
            self._numbers = [*self._numbers[:at], number, *self._numbers[at:]]
        data = event["data"]
        for key in data:
            if key.startswith(_KEYS.objective_prefix) and key not in self._objectives:
                self._objectives[key] = _Column(np.full(self._count, np.nan))
        for key, column in self._objectives.items():
            column.insert(at, _number(data.get(key)))
        doses = (_number(data.get(key)) for key in (_EXCITATION_DOSE, _DEPLETION_DOSE))
        excitation, depletion = (0.0 if math.isnan(dose) else dose for dose in doses)
        self._doses = self._doses[0] + excitation, self._doses[1] + depletion
        self._count += 1

    def _is_another(self, start: Document) -> bool:
        uid = self._start.get("uid") or self._stop.get("run_start")
        if uid:
            return bool(uid != start.get("uid"))
        # Events of no known run are another one's when they are older than this one.
        times = [event.get("time") for event in self._images.values()]
        return any(_number(t) < _number(start.get("time")) for t in times)

    @staticmethod
    def _has_objective(event: Document) -> bool:
        return any(key.startswith(_KEYS.objective_prefix) for key in event["data"])

    def copied(self) -> LiveRun:
        """Copy, for whoever draws it while further documents come."""
        other = copy.copy(self)
        other._objectives = {key: copy.copy(column) for key, column in self._objectives.items()}
        return other

    # --- the run ------------------------------------------------------------------------

    @property
    def uid(self) -> str:
        """The run's uid; ``""`` when no document has told it."""
        return plain_text(self._start.get("uid") or self._stop.get("run_start") or "")

    @property
    def start(self) -> Document:
        """The start document, as it came; empty while it has not come."""
        return self._start

    def told(self, key: str) -> str:
        """What the start document says, as a text that is safe to be shown."""
        return plain_text(self._start.get(key) or "")

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the optimised parameters; none while the start document has not come."""
        return self._names("parameters")

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of the objectives, also of those that only events tell."""
        prefix = _KEYS.objective_prefix
        found = dict.fromkeys(self._names("objectives"))
        if not found and self._count:
            newest = self._images[self.images]
            found = dict.fromkeys(
                key.removeprefix(prefix) for key in newest["data"] if key.startswith(prefix)
            )
        return tuple(found)

    def _names(self, key: str) -> tuple[str, ...]:
        listed = self._start.get(key)
        return tuple(str(name) for name in listed) if isinstance(listed, list | tuple) else ()

    @property
    def images(self) -> int:
        """How many images the run has taken, those included whose events have not come."""
        return self._numbers[self._count - 1] if self._count else 0

    @property
    def images_planned(self) -> int | None:
        """How many are to be taken; None when the start document does not tell."""
        planned = _number(self._start.get("images_planned"))
        return int(planned) if math.isfinite(planned) else None

    @property
    def missing(self) -> int:
        """How many images have been taken whose events have not come."""
        counts = self._stop.get("num_events") or {}
        taken = _number(counts.get(_KEYS.image_stream, 0))
        most = max(self.images, int(taken) if math.isfinite(taken) else 0)
        return most - self._count

    @property
    def exit_status(self) -> str:
        """``"success"``, ``"abort"`` or ``"fail"``; ``""`` while it goes on."""
        return plain_text(self._stop.get("exit_status") or "")

    @property
    def reason(self) -> str:
        """Why it ended so; may be empty."""
        return plain_text(self._stop.get("reason") or "")

    @property
    def left_s(self) -> float | None:
        """Time until the last planned image at the present pace, s; None when it is not known."""
        planned = self.images_planned
        last = self.numbers(_PACE_IMAGES)
        if planned is None or self._stop or len(last) < 2:
            return None
        begun, ended = (_number(self._images[n].get("time")) for n in (last[0], last[-1]))
        left = (planned - last[-1]) * (ended - begun) / (last[-1] - last[0])
        return max(0.0, left) if math.isfinite(left) else None

    @property
    def light_dose(self) -> tuple[float, float]:
        """Light on the images that have come: of the excitation, µJ, and the depletion, mJ."""
        return self._doses

    # --- the images ---------------------------------------------------------------------

    def numbers(self, last: int | None = None) -> list[int]:
        """Numbers of the images that have come, from 1, in order; the last ones if so asked."""
        first = 0 if last is None else max(0, self._count - last)
        return self._numbers[first : self._count]

    def arrived(self, since: int) -> list[int]:
        """Numbers of the images that came after so many others, as they came."""
        return self._arrived[since : self._count]

    def value(self, number: int, key: str) -> float:
        """Value of an image's event; NaN where there is none, or it is no number."""
        return _number(self._images[number]["data"].get(key))

    def invalid_because(self, number: int) -> str:
        """Why objectives of an image are invalid, as a text that is safe to be shown."""
        return reasons_in_short(self._images[number]["data"].get("invalid_because") or "")

    def objective(self, number: int, name: str) -> float:
        """Objective of an image; NaN where invalid."""
        return self.value(number, _KEYS.objective_prefix + name)

    def column(self, key: str) -> npt.NDArray[np.float64]:
        """Values of all images in order, shape (N,)."""
        return np.array([self.value(number, key) for number in self.numbers()], dtype=np.float64)

    def objective_column(self, name: str) -> npt.NDArray[np.float64]:
        """Objective of all images in order, shape (N,)."""
        column = self._objectives.get(_KEYS.objective_prefix + name)
        return np.full(self._count, np.nan) if column is None else column.array

    def table(self) -> dict[str, npt.NDArray[Any]]:
        """Scalars of all images as columns, as `RunRecord.table` has them."""
        return columns_of([self._images[number] for number in self.numbers()])


def plain_text(value: object, longest: int = _LONGEST) -> str:
    """Text of a document as it can be shown: in one line, not long, without control characters.

    A terminal takes escape sequences for orders, and others turn the direction of writing.
    """
    text = " ".join(str(value).split())
    text = "".join(c for c in text if unicodedata.category(c)[0] != "C")
    return text if len(text) <= longest else f"{text[:longest]}…"


def reasons_in_short(invalid_because: str) -> str:
    """Say why objectives are invalid, a reason that all of them have once.

    ``"snr: discarded by AD: drift; frc: discarded by AD: drift"`` → ``"discarded by AD: drift"``,
    as a text that is safe to be shown.
    """
    reasons = [part.partition(": ")[2] for part in invalid_because.split("; ")]
    alike = len(reasons) > 1 and len(set(reasons)) == 1
    return plain_text(reasons[0] if alike else invalid_because, _LONGEST_REASONS)


def _number(value: Any) -> float:
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            pass
    return math.nan
