"""Have a person answer while the plan waits: it can be paused, stopped or aborted meanwhile."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import IllegalMessageSequence, MsgGenerator

from stedopt_bluesky.acquisition import Choice, Options
from stedopt_bluesky.devices.decision import Choose
from stedopt_bluesky.devices.expert import Expert, Moments
from stedopt_bluesky.devices.question import Question

# How often the plan looks for an answer, s.
LOOK_EVERY_S = 0.05
# Of so many values, options times objectives, what is expected is reckoned: 0.1 s for 3,000.
MOST_EXPECTED = 50_000


class NobodyAnsweredError(RuntimeError):
    """No answer within the time that is allowed for it."""


@dataclass(frozen=True)
class Patience:
    """How long a person is waited for, and what is done then.

    Parameters
    ----------
    timeout_s : float
        How long is waited for each answer, s; time in which the plan is paused does not count.
        Infinite: as long as it takes.
    stops_if_late : bool
        Whether the run ends when nobody answered in time, in place of who answers otherwise.
    undo_s : float
        How long an answer can be taken back before it is acted upon, s.

    Raises
    ------
    ValueError
        When ``timeout_s`` is not above 0, or ``undo_s`` below it.
    """

    timeout_s: float = 600.0
    stops_if_late: bool = False
    undo_s: float = 0.0

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s = {self.timeout_s:g}: above 0 s")
        if not 0 <= self.undo_s < math.inf:
            raise ValueError(f"undo_s = {self.undo_s:g}: at least 0 s, finite")

    def wait_for(self, question: Question[Any, Any], otherwise: str) -> MsgGenerator[None]:
        """Wait until there is an answer that was not taken back, or it is late.

        Parameters
        ----------
        question : Question
            What was asked.
        otherwise : str
            What happens when nobody answers in time and the run does not end, in words.
        """
        waited_s = 0.0
        question.then = "the run ends" if self.stops_if_late else otherwise
        while waited_s < self.timeout_s:
            question.left_s = self.timeout_s - waited_s
            if question.close(self.undo_s):
                return
            answered = question.answered_for_s() is not None
            before_s = time.monotonic()
            yield from bps.checkpoint()
            yield from bps.sleep(LOOK_EVERY_S)
            if not answered:
                # All that is longer is a pause.
                waited_s += min(time.monotonic() - before_s, 2 * LOOK_EVERY_S)

    def check(self, what: str) -> None:
        """Refuse to go on without an answer, where the run is to end then.

        Raises
        ------
        NobodyAnsweredError
            With what nobody did.
        """
        if self.stops_if_late:
            raise NobodyAnsweredError(f"nobody {what} within {self.timeout_s:g} s")


def recorded(question: Question[Any, Any], stream: str) -> MsgGenerator[None]:
    """Record what was said; when the run is ended meanwhile, the Event is dropped as a whole."""
    try:
        yield from bps.create(stream)
        yield from bps.read(question)
        yield from bps.save()
    except Exception:
        with contextlib.suppress(IllegalMessageSequence):  # it was not begun, or is saved
            yield from bps.drop()
        raise


@dataclass(frozen=True)
class ExpertChoice:
    """A person who is asked to choose, how long is waited, and what is done then.

    Parameters
    ----------
    expert : Expert
        Whom the answer comes from.
    otherwise : callable
        From options to a choice: who chooses when nobody did in time.
    timeout_s, stops_if_late, undo_s
        See `Patience`.
    suggest : callable, optional
        From options to a choice: what is suggested to the person. ValueError: nothing is.

    Raises
    ------
    ValueError
        As `Patience` does.
    """

    expert: Expert
    otherwise: Choose
    timeout_s: float = 600.0
    stops_if_late: bool = False
    suggest: Choose | None = None
    undo_s: float = 0.0

    def __post_init__(self) -> None:
        _ = self.patience

    @property
    def patience(self) -> Patience:
        """How long is waited."""
        return Patience(self.timeout_s, self.stops_if_late, self.undo_s)

    def ask(
        self, options: Options, expect: Callable[[], Moments] | None = None
    ) -> MsgGenerator[Choice]:
        """Ask and wait; nothing is lit meanwhile.

        Parameters
        ----------
        options : Options
            What is chosen from.
        expect : callable, optional
            Gives mean and standard deviation of the options' objectives, each (G, M): shown
            beside what was sampled, where there are not too many. It is called in a thread;
            before what it reads is changed, ``expert.settle()`` is to be called.

        Raises
        ------
        NobodyAnsweredError
            When nobody did in time and the run is to end then.
        """
        try:
            status = yield from bps.abs_set(
                self.expert, options, suggestion=self._suggestion(options)
            )
            if status is None:  # nobody answers a plan that is only looked at
                return self.otherwise(options)
            # Beside the plan, which an answer may let go on meanwhile; see `optimise_one`.
            if expect is not None and options.values.size <= MOST_EXPECTED:
                self.expert.expect(options, expect)
            yield from self.patience.wait_for(self.expert, "the rule chooses")
        finally:
            choice = self.expert.withdraw()
        if choice is not None:
            return choice
        self.patience.check(f"chose for iteration {options.iteration}")
        return self.otherwise(options)

    def _suggestion(self, options: Options) -> Choice | None:
        """What is suggested; None when a rule can take none of the options, as a person can."""
        if self.suggest is None:
            return None
        try:
            return self.suggest(options)
        except ValueError:
            return None


Chooser = Choose | ExpertChoice
