"""A person who chooses from a cloud of options, from another thread and whenever that is."""

from __future__ import annotations

import math
import operator
import threading
from typing import Any

import numpy as np
from ophyd import Component as Cpt
from ophyd import Device, Signal
from ophyd.status import Status

from stedopt_bluesky.acquisition import Choice, Options

# What the signals hold while there is no question, or no answer.
NONE = -1


class NoQuestionError(ValueError):
    """An answer to what was not asked."""


class Expert(Device):
    """Set a cloud of options, and it is done when somebody has called :meth:`choose`.

    The signals `asked` (iteration of the cloud that waits) and `answer` (index of the option)
    are there to be watched; both are -1 while there is none.
    """

    asked = Cpt(Signal, value=NONE, kind="omitted")
    answer = Cpt(Signal, value=NONE, kind="omitted")

    def __init__(self, *, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        # Answers come from other threads than the plan's.
        self._lock = threading.Lock()
        self._options: Options | None = None
        self._choice: Choice | None = None
        self._status: Status | None = None

    def set(self, options: Options) -> Status:
        """Ask; the Status is done when the answer is there, or the question is withdrawn."""
        with self._lock:
            # A pause may repeat the message of a question that waits already.
            if self._options is options and self._status is not None:
                return self._status
            self._options, self._choice, self._status = options, None, Status(self)
            self.answer.put(NONE)
            self.asked.put(options.iteration)
            return self._status

    def pending(self) -> dict[str, Any] | None:
        """Tell what is asked, in plain data; None when nothing is.

        Returns
        -------
        dict or None
            ``iteration``; ``objectives`` and ``parameters``, the names of the columns of
            ``values`` (one row per option, None for what is not a number) and of
            ``configurations``; ``imaged``, rows that were imaged before.
        """
        with self._lock:
            options = self._options
            if options is None or self._choice is not None:
                return None
            return {
                "iteration": int(options.iteration),
                "objectives": list(options.objectives),
                "parameters": list(options.parameters),
                "values": [[_plain(v) for v in row] for row in options.values.tolist()],
                "configurations": options.configurations.tolist(),
                "imaged": [int(row) for row in options.imaged],
            }

    def choose(self, iteration: int, index: int, chosen_by: str = "expert") -> None:
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
            options, status = self._options, self._status
            if options is None or status is None or self._choice is not None:
                raise NoQuestionError(f"iteration = {iteration}: no choice is waited for")
            if iteration != options.iteration:
                raise NoQuestionError(
                    f"iteration = {iteration}: the choice of iteration {options.iteration} is "
                    "waited for"
                )
            if not 0 <= index < len(options.values):
                raise ValueError(f"index = {index}: 0 to {len(options.values) - 1} are there")
            if np.isnan(options.values[index]).all():
                raise ValueError(f"index = {index}: this option is not on offer")
            if not chosen_by.strip():
                raise ValueError(f"chosen_by = {chosen_by!r}: a name")
            self._choice = Choice(index, chosen_by.strip())
            self.answer.put(index)
        status.set_finished()

    def withdraw(self) -> Choice | None:
        """End the question; the answer, None when there was none."""
        with self._lock:
            choice, status = self._choice, self._status
            self._options = self._choice = self._status = None
            self.asked.put(NONE)
        if choice is None and status is not None:
            status.set_finished()
        return choice


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
