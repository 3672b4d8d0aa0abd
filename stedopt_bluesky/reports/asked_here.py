"""A person chooses where the plan was started: in a notebook's cell, or at a prompt."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from bluesky.utils import DefaultDuringTask

from stedopt_bluesky.acquisition import Choice, Objective, Options
from stedopt_bluesky.devices.expert import Expert
from stedopt_bluesky.reports.asking import LOOK_EVERY_S, Conversation, Face
from stedopt_bluesky.reports.asking_faces import face_here
from stedopt_bluesky.reports.interruptible_input import InterruptHandled

if TYPE_CHECKING:
    from bluesky import RunEngine

_log = logging.getLogger(__name__)

# Within this time a plan that asks pauses when it is told to, s; else it asks again.
_PAUSES_WITHIN_S = 5.0


class AskedHere(DefaultDuringTask):
    """What a RunEngine's thread does while a plan runs: it puts what an expert is asked to you.

    ``RunEngine({}, during_task=AskedHere(expert, objectives))``; for a RunEngine that is there
    already see :func:`asked_here`. Without a RunEngine: :meth:`block` with an event of yours. The
    plan's thread is another one; reading here, in the main thread, is what can be interrupted.

    Parameters
    ----------
    expert : Expert
        Whose questions.
    objectives : sequence of Objective
        In the order of the cloud's columns.
    name : str
        Who answers.
    undo_s : float
        How long an answer can be taken back, s; as who asks has it.
    face : Face, optional
        Where it is shown; a cell's output or the terminal when left out.
    hide : callable, optional
        Gives what clears the terminal of everything else while a question is shown.

    Attributes
    ----------
    name : str
        Who answers, from the next cell on.
    silent : bool
        While set, nothing is asked here: the answers come from elsewhere.
    """

    def __init__(
        self,
        expert: Expert,
        objectives: Sequence[Objective],
        *,
        name: str = "",
        undo_s: float = 0.0,
        face: Face | None = None,
        hide: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> None:
        super().__init__()
        self._expert = expert
        self._objectives = tuple(objectives)
        self.name = name
        self._undo_s = undo_s
        self._face = face
        self.hide = hide
        self.silent = False
        # What cannot be shown is not tried again.
        self._left: Options | None = None

    def block(self, blocking_event: threading.Event) -> None:
        """Wait for an event; meanwhile, ask what is to be asked.

        Parameters
        ----------
        blocking_event : threading.Event
            Set when the plan has ended, or pauses.
        """
        # Anew in each cell: another one may have an input where this one has none.
        talk = Conversation(
            self._expert,
            self._objectives,
            self._face or face_here(),
            name=self.name,
            undo_s=self._undo_s,
        )
        while not blocking_event.is_set():
            self._wait(blocking_event)
            question = self._question()
            if blocking_event.is_set() or question is None:
                continue
            try:
                with self.hide():
                    talk.ask(*question, blocking_event.is_set)
            except InterruptHandled:
                blocking_event.wait(_PAUSES_WITHIN_S)
            except Exception:  # a plan does not lose who waits for it
                _log.exception("a question cannot be asked here: answer it by Expert.choose")
                self._left = question[0]

    def _wait(self, blocking_event: threading.Event) -> None:
        """Wait for the event or for a question, as a RunEngine waits: figures of Qt are drawn."""
        woken = threading.Event()

        def look() -> None:
            # The first look is not at once: a plan that is aborted withdraws its question.
            while not blocking_event.wait(LOOK_EVERY_S):
                if self._question() is not None:
                    break
            woken.set()

        threading.Thread(target=look, name="asked-here", daemon=True).start()
        super().block(woken)

    def _question(self) -> tuple[Options, Choice | None] | None:
        question = self._expert.question
        if self.silent or question is None or question[0] is self._left:
            return None
        return question


@contextlib.contextmanager
def asked_here(
    run_engine: RunEngine, expert: Expert, objectives: Sequence[Objective], **how: Any
) -> Iterator[AskedHere]:
    """Have what the plans of a RunEngine ask an expert be asked here, while entered.

    Parameters
    ----------
    run_engine : RunEngine
        One that is there already.
    expert, objectives, **how
        As :class:`AskedHere` has them.
    """
    engine: Any = run_engine  # its task can be given when it is made, and not be changed later
    before = engine._during_task
    engine._during_task = here = AskedHere(expert, objectives, **how)
    try:
        yield here
    finally:
        engine._during_task = before
