"""A person who chooses from a cloud of options, from another thread and whenever that is."""

from __future__ import annotations

import dataclasses
import math
import operator
from typing import Any

import numpy as np
import numpy.typing as npt
from ophyd import Component as Cpt
from ophyd import Signal

from stedopt_bluesky.acquisition import Choice, Options
from stedopt_bluesky.devices.question import NONE, NoQuestionError, Question, named

# Mean and standard deviation of each option's objectives, each (G, M).
Moments = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


class Expert(Question[Options, Choice]):
    """Set a cloud of options, and it is done when somebody has called :meth:`choose`.

    Signals `asked` (iteration of the cloud that waits) and `answer` (index of the option) are
    there to be watched; both are -1 while there is none. What is suggested is a
    :class:`~stedopt_bluesky.acquisition.Choice`, and what is expected mean and standard deviation
    of the options' objectives, each (G, M).
    """

    answer = Cpt(Signal, value=NONE, kind="omitted")

    awaited, numbered_by = "choice", "iteration"

    def number_of(self, what: Options) -> int:
        """Iteration of a cloud."""
        return what.iteration

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

        def answer(options: Options) -> Choice:
            if not 0 <= index < len(options.values):
                raise ValueError(f"index = {index}: 0 to {len(options.values) - 1} are there")
            if np.isnan(options.values[index]).all():
                raise ValueError(f"index = {index}: this option is not on offer")
            return Choice(index, named(chosen_by, "chosen_by"), shown=shown)

        self._reply(iteration, answer)

    def withdraw(self) -> Choice | None:
        """End the question; the answer, None when there was none."""
        with self._lock:
            suggestion = self._suggestion
        answered = self.end()
        if answered is None:
            return None
        return dataclasses.replace(
            answered.answer,
            took_s=answered.took_s,
            taken_back=answered.taken_back,
            suggested_index=NONE if suggestion is None else suggestion.index,
            suggested_by="" if suggestion is None else suggestion.chosen_by,
        )

    def _show(self, answer: Choice | None) -> None:
        self.answer.put(NONE if answer is None else answer.index)


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


__all__ = ["NONE", "Expert", "Moments", "NoQuestionError"]
