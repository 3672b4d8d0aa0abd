"""A person is asked which option to image, and answers in lines: by number, by row, with Enter."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from stedopt_bluesky.acquisition import Choice, Objective, Options
from stedopt_bluesky.devices.expert import Expert, NoQuestionError
from stedopt_bluesky.reports.options_table import spread_out, standing_out

# Options that are shown at first; all of them with `m`.
MOST = 12
# How often it is looked whether a question still waits, s.
LOOK_EVERY_S = 0.05
# More than any row of a grid has; Python refuses to read thousands of them.
_MOST_DIGITS = 9
_HELP = """\
  7      the option with this number
  Enter  the one marked *
  #123   row 123 of the whole grid, whether it stands in the table or not
  m      all options that stand out: that none is better than in every objective
  ?      this"""


@dataclass(frozen=True)
class Shown:
    """What is shown of a question.

    Parameters
    ----------
    options : Options
        The cloud.
    objectives : sequence of Objective
        In the order of its columns.
    rows : sequence of int
        Those that are listed, numbered from 1.
    suggested : int or None
        Row that is suggested.
    of : int
        How many options stand out.
    """

    options: Options
    objectives: Sequence[Objective]
    rows: Sequence[int]
    suggested: int | None
    of: int

    @property
    def title(self) -> str:
        """The question in a line."""
        image = self.options.iteration + 1
        return f"image {image}: {len(self.rows)} of {self.of} options that stand out"


class Face(Protocol):
    """Where a question is shown, and lines are read.

    `name` stands in the record of a choice, `interrupting` in the help.
    """

    name: str
    interrupting: str

    def show(self, shown: Shown) -> None:
        """Show what is asked."""

    def say(self, text: str) -> None:
        """Show a line."""

    def line(self, prompt: str, waits: Callable[[], bool]) -> str | None:
        """Return the next line; None when it is not waited for any more.

        Raises
        ------
        EOFError
            When no more lines can come.
        """


class Conversation:
    """Puts an expert's questions to a person, one after the other.

    Parameters
    ----------
    expert : Expert
        Whose questions.
    objectives : sequence of Objective
        In the order of the cloud's columns.
    face : Face
        Where they are shown and answered.
    name : str
        Who answers.
    undo_s : float
        How long an answer can be taken back, s.
    """

    def __init__(
        self,
        expert: Expert,
        objectives: Sequence[Objective],
        face: Face,
        *,
        name: str = "",
        undo_s: float = 0.0,
    ) -> None:
        self._expert = expert
        self._objectives = tuple(objectives)
        self._face = face
        self._name = name or "expert"
        self._undo_s = undo_s
        self._no_more = False

    def ask(self, options: Options, suggestion: Choice | None, ended: Callable[[], bool]) -> None:
        """Ask until there is an answer that counts, or nobody waits for it any more.

        Parameters
        ----------
        options : Options
            What is chosen from.
        suggestion : Choice or None
            What is suggested, and by whom.
        ended : callable
            Tells whether no more is to be asked.
        """
        suggested = None if suggestion is None else suggestion.index
        rows = standing_out(options, self._objectives, suggested)
        few = spread_out(options, rows, MOST, suggested)

        def show(which: Sequence[int]) -> Sequence[int]:
            self._face.show(Shown(options, self._objectives, which, suggested, len(rows)))
            return which

        def waits() -> bool:
            question = self._expert.question
            return not ended() and question is not None and question[0] is options

        shown = show(few)
        while (answer := self._answer(suggestion, waits)) is not None:
            if answer == "?":
                self._face.say(f"{_HELP}\n{self._face.interrupting}")
            elif answer == "m":
                shown = show(rows)
            elif (row := _row(answer, shown, suggested)) is None:
                self._face.say(f"{answer!r}: a number from 1 to {len(shown)}, #ROW, Enter, m or ?")
            elif self._choose(options, row, suggestion, len(shown), ended):
                return
        if not ended():
            self._face.say("this choice is not waited for any more")

    def _answer(self, suggestion: Choice | None, waits: Callable[[], bool]) -> str | None:
        """Return what was answered, "" being the suggestion; None when nobody waits for it."""
        if not self._no_more:
            try:
                line = self._face.line(self._prompt(suggestion), waits)
                return None if line is None else line.strip()
            except EOFError:
                self._no_more = True
                self._face.say("no more answers come: what is suggested is taken from now on")
        while waits():
            time.sleep(LOOK_EVERY_S)
            if suggestion is not None:
                return ""
        return None

    def _prompt(self, suggestion: Choice | None) -> str:
        enter = "" if suggestion is None else f", Enter for * ({suggestion.chosen_by})"
        left_s, then = self._expert.left_s, self._expert.then
        late = f" within {left_s:.0f} s, or {then}" if math.isfinite(left_s) else ""
        return f"which one{late}? number{enter}, ? for help: "

    def _choose(
        self,
        options: Options,
        row: int,
        suggestion: Choice | None,
        listed: int,
        ended: Callable[[], bool],
    ) -> bool:
        """Answer; whether nobody waits for another one."""
        name = self._name
        if self._no_more and suggestion is not None:
            name = suggestion.chosen_by
        shown = f"{self._face.name}, {listed} options"
        try:
            self._expert.choose(options.iteration, row, name, shown=shown)
        except NoQuestionError:
            return False  # too late
        except ValueError as error:
            self._face.say(f"{error}")
            return False
        return self._undo_s <= 0 or self._no_more or self._kept(options, ended)

    def _kept(self, options: Options, ended: Callable[[], bool]) -> bool:
        """Wait until an answer counts, and take it back when that is asked for."""

        def waits() -> bool:
            return self._expert.asked.get() == options.iteration and not ended()

        line: str | None = ""
        while line is not None and line.strip() != "u":
            try:
                line = self._face.line(f"u takes it back, within {self._undo_s:g} s: ", waits)
            except EOFError:  # nobody is there to take it back
                return True
        if line is None:
            return True
        try:
            self._expert.take_back(options.iteration)
        except NoQuestionError:
            self._face.say("too late: the image is taken")
            return True
        return False


def _row(answer: str, shown: Sequence[int], suggested: int | None) -> int | None:
    """Row of the cloud that an answer means; None when it means none."""
    if not answer:
        return suggested
    number = answer.removeprefix("#")
    if not (number.isascii() and number.isdigit()) or len(number) > _MOST_DIGITS:
        return None
    if answer.startswith("#"):
        return int(number)
    return shown[int(number) - 1] if 1 <= int(number) <= len(shown) else None
