"""A person who chooses from a cloud of options, from another thread and whenever that is."""

from __future__ import annotations

import dataclasses
import logging
import math
import operator
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from ophyd import Component as Cpt
from ophyd import Device, Signal
from ophyd.status import Status

from stedopt_bluesky.acquisition import Choice, Options

# Mean and standard deviation of each option's objectives, each (G, M).
Moments = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]

logger = logging.getLogger(__name__)

# What the signals hold while there is no question, or no answer.
NONE = -1


class NoQuestionError(ValueError):
    """An answer to what was not asked."""


class Expert(Device):
    """Set a cloud of options, and it is done when somebody has called :meth:`choose`.

    Until the question is withdrawn, an answer can be taken back. The signals `asked` (iteration of
    the cloud that waits) and `answer` (index of the option) are there to be watched; both are -1
    while there is none.
    """

    asked = Cpt(Signal, value=NONE, kind="omitted")
    answer = Cpt(Signal, value=NONE, kind="omitted")

    def __init__(self, *, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        # Answers come from other threads than the plan's.
        self._lock = threading.Lock()
        self._options: Options | None = None
        self._suggestion: Choice | None = None
        self._expected: Moments | None = None
        self._reckoning: threading.Thread | None = None
        self._choice: Choice | None = None
        self._status: Status | None = None
        # Whether it was finished: twice is an error, and two threads may.
        self._told = False
        self._asked_s = self._answered_s = 0.0
        self._taken_back = 0
        # How long who asks waits on, s, and what happens then; told by who asks.
        self.left_s, self.then = math.inf, ""

    def set(self, options: Options, *, suggestion: Choice | None = None) -> Status:
        """Ask; the Status is done when an answer is there, or the question is withdrawn.

        Parameters
        ----------
        options : Options
            What is chosen from.
        suggestion : Choice, optional
            What is suggested, and by whom.
        """
        with self._lock:
            # A pause may repeat the message of a question that waits already.
            if self._options is options and self._status is not None:
                return self._status
            self._options, self._choice, self._status = options, None, Status(self)
            self._told = False
            self._suggestion, self._taken_back, self._expected = suggestion, 0, None
            self._asked_s = time.monotonic()
            self.answer.put(NONE)
            self.asked.put(options.iteration)
            return self._status

    @property
    def question(self) -> tuple[Options, Choice | None] | None:
        """What waits for an answer, and what is suggested; None when nothing waits."""
        with self._lock:
            if self._options is None or self._choice is not None:
                return None
            return self._options, self._suggestion

    def expect(self, options: Options, reckon: Callable[[], Moments]) -> None:
        """Add to a question what is expected of its options, in a thread of its own.

        Parameters
        ----------
        options : Options
            What is asked; when another question has come meanwhile, it is dropped.
        reckon : callable
            Gives mean and standard deviation, each (G, M) and each column in its objective's unit.
            What it reads must not change before `settle` has returned.
        """

        def work() -> None:
            try:
                moments = reckon()
            except Exception:
                logger.exception("what is expected of the options is not known")
                return
            with self._lock:
                if self._options is options:
                    self._expected = moments

        self.settle()
        self._reckoning = threading.Thread(target=work, name=f"{self.name}-expect", daemon=True)
        self._reckoning.start()

    def settle(self) -> None:
        """Wait until what is expected has been reckoned."""
        if self._reckoning is not None:
            self._reckoning.join()
            self._reckoning = None

    @property
    def expected(self) -> Moments | None:
        """What is expected of the options that wait, where that is known."""
        with self._lock:
            return self._expected

    def pending(self) -> dict[str, Any] | None:
        """Tell what is asked, in plain data; None when nothing is.

        Returns
        -------
        dict or None
            ``iteration``; ``objectives`` and ``parameters``, the names of the columns of
            ``values`` (one row per option, None for what is not a number) and of
            ``configurations``; ``imaged``, rows that were imaged before; ``suggestion``, row and
            who suggests it, ``{"index": 3, "by": "preference_network"}``, or None.
        """
        if (question := self.question) is None:
            return None
        options, suggestion = question
        return {
            "iteration": int(options.iteration),
            "objectives": list(options.objectives),
            "parameters": list(options.parameters),
            "values": [[_plain(v) for v in row] for row in options.values.tolist()],
            "configurations": options.configurations.tolist(),
            "imaged": [int(row) for row in options.imaged],
            "suggestion": suggestion and {"index": suggestion.index, "by": suggestion.chosen_by},
        }

    def choose(
        self, iteration: int, index: int, chosen_by: str = "expert", *, shown: str = ""
    ) -> None:
        """Answer.

        Parameters
        ----------
        iteration : int
            Of the cloud that the choice is from: a click that comes late is no answer to the
            next question.
        index : int
            Row of the cloud.
        chosen_by : str
            Who chose; stands in the record.
        shown : str
            How the options were shown; stands in the record.

        Raises
        ------
        NoQuestionError
            When nothing is asked, or another cloud.
        ValueError
            When the row is not there or not on offer, or nobody is named.
        TypeError
            When a number is no whole one.
        """
        iteration, index = operator.index(iteration), operator.index(index)
        with self._lock:
            options = self._question(iteration)
            if self._choice is not None:
                raise NoQuestionError(f"iteration = {iteration}: no choice is waited for")
            if not 0 <= index < len(options.values):
                raise ValueError(f"index = {index}: 0 to {len(options.values) - 1} are there")
            if np.isnan(options.values[index]).all():
                raise ValueError(f"index = {index}: this option is not on offer")
            if not chosen_by.strip():
                raise ValueError(f"chosen_by = {chosen_by!r}: a name")
            self._answered_s = time.monotonic()
            self._choice = Choice(index, chosen_by.strip(), shown=shown)
            self.answer.put(index)
            self._finish()

    def take_back(self, iteration: int) -> None:
        """Take an answer back, while it has not been acted upon; the question waits again.

        Raises
        ------
        NoQuestionError
            When there is none to take back: it was acted upon, or another cloud is asked for.
        """
        iteration = operator.index(iteration)
        with self._lock:
            self._question(iteration)
            if self._choice is None:
                raise NoQuestionError(f"iteration = {iteration}: there is no choice to take back")
            self._choice = None
            self._taken_back += 1
            self.answer.put(NONE)

    def answered_for_s(self) -> float | None:
        """Tell how long there has been an answer, s; None while there is none."""
        with self._lock:
            return None if self._choice is None else time.monotonic() - self._answered_s

    def withdraw(self) -> Choice | None:
        """End the question; the answer, None when there was none."""
        with self._lock:
            choice, suggestion = self._choice, self._suggestion
            self._finish()
            if choice is not None:
                choice = dataclasses.replace(
                    choice,
                    took_s=self._answered_s - self._asked_s,
                    suggested_index=NONE if suggestion is None else suggestion.index,
                    suggested_by="" if suggestion is None else suggestion.chosen_by,
                    taken_back=self._taken_back,
                )
            self._options = self._choice = self._status = self._suggestion = None
            self._expected = None
            self.asked.put(NONE)
        return choice

    def _finish(self) -> None:
        """Say, once, that the question is answered or withdrawn; the lock is held."""
        if self._status is not None and not self._told:
            self._told = True
            self._status.set_finished()

    def _question(self, iteration: int) -> Options:
        """What is asked, when it is what somebody answers to; the lock is held."""
        if self._options is None:
            raise NoQuestionError(f"iteration = {iteration}: no choice is waited for")
        if iteration != self._options.iteration:
            raise NoQuestionError(
                f"iteration = {iteration}: the choice of iteration {self._options.iteration} is "
                "waited for"
            )
        return self._options


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
