"""A person who rates the images of a region; who, how long it took and how becomes an Event."""

from __future__ import annotations

import dataclasses
import json
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import ImageSet, Line
from stedopt_bluesky.devices.question import Answered, RecordedQuestion, named

# A person says percent.
PERCENT = 100.0


@dataclass(frozen=True, eq=False)
class ImagesToRate:
    """What a person is shown.

    Parameters
    ----------
    images : ImageSet
        Of one region.
    iteration : int
        Number of images before.
    scored : mapping of str to ndarray, shape (Y, X)
        Photon counts of the image that each objective asks a score of, by the objective's name.
        Empty: no objective does; then lines may be drawn, or the images discarded.
    """

    images: ImageSet
    iteration: int
    scored: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True)
class HandRating:
    """What a person says of images.

    Parameters
    ----------
    scores : mapping of str to float
        From 0 to 1, by the objective's name; one that is left out was skipped.
    rated_by : str
        Who says so.
    discarded_because : str
        Why nothing is to be learnt from these images; empty: they are not discarded.
    lines : tuple of Line
        Drawn on the STED image for the objectives of line profiles.
    suggestion_seen : bool
        Whether the network's score was shown before.
    shown : str
        How the images were shown.
    """

    scores: Mapping[str, float]
    rated_by: str
    discarded_because: str = ""
    lines: tuple[Line, ...] = ()
    suggestion_seen: bool = False
    shown: str = ""


class ExpertRater(RecordedQuestion[ImagesToRate, HandRating]):
    """Set images, and it is done when somebody has called :meth:`rate`, or :meth:`discard`.

    What is expected are a network's scores, by the objectives' names. Read it once the question
    has ended: what was said of the last images, percent where a score is meant.

    Parameters
    ----------
    scored : sequence of str
        Names of the objectives that need a score.
    """

    awaited, numbered_by = "rating", "iteration"

    def __init__(self, *, scored: Sequence[str] = (), name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.scored = tuple(scored)
        self.keep(self._entries(-1, None, {}, ""))

    def number_of(self, what: ImagesToRate) -> int:
        """Number of images before these."""
        return what.iteration

    def rate(self, iteration: int, rating: HandRating) -> None:
        """Answer.

        Parameters
        ----------
        iteration : int
            Of the images that are meant: what comes late is no answer to the next question.
        rating : HandRating
            What is said of them.

        Raises
        ------
        NoQuestionError
            When nothing is asked, or other images.
        ValueError
            When a score is none from 0 to 1 or of nothing that is asked, a line ends outside of
            the image, or nobody is named.
        """

        def answer(asked: ImagesToRate) -> HandRating:
            for name, score in rating.scores.items():
                if name not in asked.scored:
                    asks = ", ".join(asked.scored) or "no score"
                    raise ValueError(f"{name} = {score:g}: asked is {asks}")
                if not 0 <= score <= 1:
                    raise ValueError(f"{name} = {score:g}: 0 to 1")
            height, width = np.shape(asked.images.confocal1)
            for line in rating.lines:
                ends = (line.x0, line.y0), (line.x1, line.y1)
                if not all(0 <= x <= width - 1 and 0 <= y <= height - 1 for x, y in ends):
                    raise ValueError(f"lines: {ends} ends outside of the image")
            return dataclasses.replace(
                rating,
                rated_by=named(rating.rated_by, "rated_by"),
                discarded_because=rating.discarded_because.strip(),
            )

        self._reply(operator.index(iteration), answer)

    def withdraw(self, suggested_by: str = "") -> HandRating | None:
        """End the question and keep what is to be read of it; the answer, None without one.

        Parameters
        ----------
        suggested_by : str
            Whose scores are suggested.
        """
        self.settle()
        with self._lock:
            expected = self._expected or {}
            iteration = -1 if self._what is None else self._what.iteration
        answered = self.end()
        self.keep(self._entries(iteration, answered, expected, suggested_by if expected else ""))
        return None if answered is None else answered.answer

    def _entries(
        self,
        iteration: int,
        answered: Answered[HandRating] | None,
        suggested: Mapping[str, float],
        suggested_by: str,
    ) -> dict[str, Any]:
        said = HandRating({}, "") if answered is None else answered.answer
        return {
            "iteration": iteration,
            **{f"{n}_percent": _percent(said.scores.get(n, math.nan)) for n in self.scored},
            **{f"suggested_{n}_percent": _percent(suggested.get(n, math.nan)) for n in self.scored},
            "suggested_by": suggested_by,
            "suggestion_seen": said.suggestion_seen,
            "rated_by": said.rated_by,
            "discarded_because": said.discarded_because,
            "lines_px": json.dumps([[line.y0, line.x0, line.y1, line.x1] for line in said.lines]),
            "took_s": 0.0 if answered is None else answered.took_s,
            "taken_back": 0 if answered is None else answered.taken_back,
            "shown": said.shown,
        }


def _percent(score: float) -> float:
    return PERCENT * float(score)
