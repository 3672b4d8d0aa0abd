"""What the views of all questions share: who answers, taking back, and being told too late."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from stedopt_bluesky.devices.question import NoQuestionError, Question
from stedopt_bluesky.web.page.desk import Desk

AskedT = TypeVar("AskedT")


class QuestionView(ABC, Generic[AskedT]):
    """A question in one browser.

    Parameters
    ----------
    desk : Desk
        What the page is about.
    question : Question
        What is asked.
    who : callable
        Gives the name of who answers in this browser.
    """

    def __init__(self, desk: Desk, question: Question[AskedT, Any], who: Callable[[], str]) -> None:
        from nicegui import ui

        self.desk = desk
        self.question = question
        self._who = who
        self._what: AskedT | None = None
        self._suggestion: Any = None
        self._answered: int | None = None
        self._body = ui.column().classes("w-full")
        with self._body:
            self._actions = self.build()
        self._body.set_visibility(False)

    # --- of each view -------------------------------------------------------------------

    @abstractmethod
    def build(self) -> Any:
        """Make what is shown, and return where `buttons` are made."""

    @abstractmethod
    def buttons(self) -> None:
        """Make the buttons that answer; made anew for each question.

        A browser may be late: what it sends from a button of the question before means nothing.
        """

    @abstractmethod
    def heading(self, what: AskedT) -> str:
        """Say what is asked."""

    @abstractmethod
    def show(self, what: AskedT, suggestion: Any) -> None:
        """Show another question."""

    def look(self) -> None:
        """Show what has changed meanwhile; called some times a second."""

    @abstractmethod
    def enter(self) -> None:
        """Do what the key Enter means."""

    def key(self, key: Any, *, shift: bool = False) -> None:
        """Do what another key means."""

    # --- of all -------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show what is asked now, when that is another question."""
        asked = self.question.question
        what = None if asked is None else asked[0]
        if what is not self._what:
            self._tell_of(self._what)
            self._what = what
            self._suggestion = None if asked is None else asked[1]
            if what is not None:
                self._actions.clear()
                with self._actions:
                    self.buttons()
                self.show(what, self._suggestion)
        self._body.set_visibility(what is not None)
        self.look()

    def _tell_of(self, before: AskedT | None) -> None:
        """Say how a question has ended that somebody else has answered, or nobody."""
        from nicegui import ui

        if before is None or (number := self.question.number_of(before)) == self._answered:
            return
        of, words = self.desk.said.get(self.question.name, (None, ""))
        if of != number:
            words = f"Nobody has answered: {self.question.then}."
        with self._body:
            ui.notify(words, type="info", timeout=10_000, close_button="OK")

    @property
    def waiting(self) -> AskedT | None:
        """What waits for an answer."""
        return self._what

    @property
    def waits(self) -> bool:
        """Whether an answer is waited for."""
        return self._what is not None

    @property
    def says(self) -> str:
        """What is asked, in words; empty where nothing is."""
        return "" if self._what is None else self.heading(self._what)

    @property
    def left(self) -> str:
        """How long there is to answer, and what then."""
        return left_in_words(self.question) if self.waits else ""

    @property
    def said(self) -> str:
        """What was answered last, by whom; empty where nothing was."""
        return self.desk.said.get(self.question.name, (None, ""))[1]

    @property
    def can_take_back(self) -> bool:
        """Whether the answer of this browser can be taken back."""
        answered_s = self.question.answered_for_s()
        return (
            self._answered is not None and answered_s is not None and answered_s < self.desk.undo_s
        )

    def take_back(self) -> None:
        """Take the last answer back, while it has not been acted upon."""
        from nicegui import ui

        if self._answered is None:
            return
        try:
            self.question.take_back(self._answered)
        except NoQuestionError:
            ui.notify("Too late: the plan has gone on.")
        self._answered = None
        self.refresh()

    def answer(self, give: Callable[[AskedT, str], object], said: Callable[[str], str]) -> None:
        """Answer, and tell whoever was too late, or what is none.

        Parameters
        ----------
        give : callable
            Given what is asked and who answers.
        said : callable
            From who answers to what they have said, in words.
        """
        from nicegui import ui

        what = self._what
        if what is None:
            return
        name = self._who()
        try:
            give(what, name)
        except NoQuestionError:
            of, words = self.desk.said.get(self.question.name, (None, ""))
            late = words if of == self.question.number_of(what) else "the plan has gone on"
            ui.notify(f"Too late: {late}.", type="warning")
        except ValueError as error:
            ui.notify(str(error), type="warning")
        else:
            self._answered = self.question.number_of(what)
            self.desk.said[self.question.name] = (self._answered, said(name))
        self.refresh()


def left_in_words(question: Question[Any, Any]) -> str:
    """Say how long there is to answer, and what then: ``"2:05 left, then the run ends"``."""
    if not math.isfinite(question.left_s):
        return "It waits as long as you like."
    minutes, seconds = divmod(math.ceil(question.left_s), 60)
    return f"{minutes}:{seconds:02d} left, then {question.then}"
