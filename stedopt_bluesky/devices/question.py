"""A question that a person answers, from another thread and whenever that is."""

from __future__ import annotations

import logging
import math
import operator
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ophyd import Component as Cpt
from ophyd import Device, Signal
from ophyd.status import Status

logger = logging.getLogger(__name__)

# What the signals hold while there is no question, or no answer.
NONE = -1

AskedT = TypeVar("AskedT")
AnswerT = TypeVar("AnswerT")


class NoQuestionError(ValueError):
    """An answer to what was not asked."""


@dataclass(frozen=True)
class Answered(Generic[AnswerT]):
    """An answer, and how it came about.

    Parameters
    ----------
    answer : object
        The one that counted.
    took_s : float
        Time from the question to it, s.
    taken_back : int
        How many answers were taken back before it.
    """

    answer: AnswerT
    took_s: float
    taken_back: int


class Question(Device, Generic[AskedT, AnswerT]):
    """Set what is asked, and it is done when somebody has answered.

    Until the question is withdrawn, an answer can be taken back. Signal `asked` (number of the
    question that waits, -1 while there is none) is there to be watched.
    """

    asked = Cpt(Signal, value=NONE, kind="omitted")

    # What is waited for, and what questions are numbered by, in words.
    awaited, numbered_by = "answer", "question"

    def __init__(self, *, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        # Answers come from other threads than the plan's.
        self._lock = threading.Lock()
        self._what: AskedT | None = None
        self._suggestion: Any = None
        self._expected: Any = None
        self._reckoning: threading.Thread | None = None
        self._answer: AnswerT | None = None
        self._status: Status | None = None
        # Whether it was finished: twice is an error, and two threads may.
        self._told = False
        # Whether an answer is acted upon: it is not taken back any more.
        self._closed = False
        self._asked_s = self._answered_s = 0.0
        self._taken_back = 0
        # How long who asks waits on, s, and what happens then; told by who asks.
        self.left_s, self.then = math.inf, ""

    def number_of(self, what: AskedT) -> int:
        """Number of a question."""
        raise NotImplementedError

    def set(self, what: AskedT, *, suggestion: Any = None) -> Status:
        """Ask; the Status is done when an answer is there, or the question is withdrawn.

        Parameters
        ----------
        what : object
            What is asked about.
        suggestion : object, optional
            What is suggested.
        """
        with self._lock:
            # A pause may repeat the message of a question that waits already.
            if self._what is what and self._status is not None:
                return self._status
            self._what, self._answer, self._status = what, None, Status(self)
            self._told = self._closed = False
            self._suggestion, self._taken_back, self._expected = suggestion, 0, None
            self._asked_s = time.monotonic()
            self._show(None)
            self.asked.put(self.number_of(what))
            return self._status

    @property
    def question(self) -> tuple[AskedT, Any] | None:
        """What waits for an answer, and what is suggested; None when nothing waits."""
        with self._lock:
            if self._what is None or self._answer is not None:
                return None
            return self._what, self._suggestion

    def expect(self, what: AskedT, reckon: Callable[[], Any]) -> None:
        """Add to a question what is expected of its answer, in a thread of its own.

        Parameters
        ----------
        what : object
            What is asked; when another question has come meanwhile, it is dropped.
        reckon : callable
            Gives what is expected. What it reads must not change before `settle` has returned.
        """

        def work() -> None:
            try:
                expected = reckon()
            except Exception:
                logger.exception("what is expected of an answer is not known")
                return
            with self._lock:
                if self._what is what:
                    self._expected = expected

        self.settle()
        self._reckoning = threading.Thread(target=work, name=f"{self.name}-expect", daemon=True)
        self._reckoning.start()

    def settle(self) -> None:
        """Wait until what is expected has been reckoned."""
        if self._reckoning is not None:
            self._reckoning.join()
            self._reckoning = None

    @property
    def expected(self) -> Any:
        """What is expected of the answer that is waited for, where that is known."""
        with self._lock:
            return self._expected

    def take_back(self, number: int) -> None:
        """Take an answer back, while it has not been acted upon; the question waits again.

        Raises
        ------
        NoQuestionError
            When there is none to take back: it was acted upon, or something else is asked.
        """
        number = operator.index(number)
        with self._lock:
            self._asked_as(number)
            if self._answer is None or self._closed:
                raise NoQuestionError(
                    f"{self.numbered_by} = {number}: there is no {self.awaited} to take back"
                )
            self._answer = None
            self._taken_back += 1
            self._show(None)

    def answered_for_s(self) -> float | None:
        """Tell how long there has been an answer, s; None while there is none."""
        with self._lock:
            return None if self._answer is None else time.monotonic() - self._answered_s

    def close(self, after_s: float = 0.0) -> bool:
        """Act upon an answer that was there for so long, s; False when there is none.

        It cannot be taken back from then on.
        """
        with self._lock:
            if self._answer is None or time.monotonic() - self._answered_s < after_s:
                return False
            self._closed = True
            return True

    def end(self) -> Answered[AnswerT] | None:
        """End the question; the answer, None when there was none."""
        with self._lock:
            answer = self._answer
            self._finish()
            self._what = self._answer = self._status = self._suggestion = None
            self._expected = None
            self.asked.put(NONE)
            if answer is None:
                return None
            return Answered(answer, self._answered_s - self._asked_s, self._taken_back)

    def _reply(self, number: int, answer: Callable[[AskedT], AnswerT]) -> None:
        """Answer with what a function makes of what is asked, or it refuses by a ValueError."""
        with self._lock:
            what = self._asked_as(number)
            if self._answer is not None:
                raise self._nothing_asked(number)
            given = answer(what)
            self._answered_s = time.monotonic()
            self._answer = given
            self._show(given)
            self._finish()

    def _show(self, answer: AnswerT | None) -> None:
        """Have signals tell an answer, or that there is none; the lock is held."""

    def _finish(self) -> None:
        """Say, once, that the question is answered or withdrawn; the lock is held."""
        if self._status is not None and not self._told:
            self._told = True
            self._status.set_finished()

    def _asked_as(self, number: int) -> AskedT:
        """What is asked, when it is what somebody answers to; the lock is held."""
        if self._what is None:
            raise self._nothing_asked(number)
        waiting = self.number_of(self._what)
        if number != waiting:
            raise NoQuestionError(
                f"{self.numbered_by} = {number}: the {self.awaited} of {self.numbered_by} "
                f"{waiting} is waited for"
            )
        return self._what

    def _nothing_asked(self, number: int) -> NoQuestionError:
        return NoQuestionError(f"{self.numbered_by} = {number}: no {self.awaited} is waited for")


class RecordedQuestion(Question[AskedT, AnswerT]):
    """A question of which is read, once it has ended, what was said: an Event of its own.

    A field whose name ends in ``_percent`` or ``_s`` has that unit.
    """

    def __init__(self, *, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self._timestamp = 0.0
        self._kept: dict[str, bool | int | float | str] = {}

    def keep(self, fields: dict[str, bool | int | float | str]) -> None:
        """Have these fields read from now on."""
        self._kept = fields
        self._timestamp = time.time()

    def read(self) -> dict[str, Any]:
        """Read what was said the last time."""
        return {
            f"{self.name}_{key}": {"value": value, "timestamp": self._timestamp}
            for key, value in self._kept.items()
        }

    def describe(self) -> dict[str, Any]:
        """Describe what is read, with units."""
        described = {}
        for key, value in self._kept.items():
            entry = {"source": f"person:{key}", "dtype": _DTYPES[type(value)], "shape": []}
            units = "%" if key.endswith("_percent") else "s" if key.endswith("_s") else None
            described[f"{self.name}_{key}"] = entry | ({"units": units} if units else {})
        return described


_DTYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def named(who: str, field: str) -> str:
    """Name of who answers, without what surrounds it.

    Raises
    ------
    ValueError
        When nobody is named.
    """
    if not who.strip():
        raise ValueError(f"{field} = {who!r}: a name")
    return who.strip()
