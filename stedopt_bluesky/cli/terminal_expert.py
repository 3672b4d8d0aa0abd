"""A person chooses at the terminal, also over SSH: a table of options, an answer a line."""

from __future__ import annotations

import math
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.text import Text

from stedopt_bluesky.devices.expert import NoQuestionError
from stedopt_bluesky.reports.options_table import (
    MARKS,
    options_table,
    spread_out,
    standing_out,
)

if TYPE_CHECKING:
    from stedopt_bluesky.acquisition import Choice, Objective, Options
    from stedopt_bluesky.devices.expert import Expert

# Options in a table at first; all of them with `m`.
MOST = 12
# More than any row of a grid has; Python refuses to read thousands of them.
_MOST_DIGITS = 9
# How often it is looked whether a question waits, s.
_LOOK_EVERY_S = 0.05
_HELP = """\
  7      the option with this number
  Enter  the one marked *
  #123   row 123 of the whole grid, whether it stands in the table or not
  m      all options that stand out: that none is better than in every objective
  ?      this
Ctrl-C ends the run; nothing is lit while you choose."""


def lines_of_terminal() -> Iterator[str]:
    """Give the lines of standard input as they come.

    Unbuffered: a thread that waits in Python's own buffer makes the interpreter's end fail.
    """
    try:
        number = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # there is none
        return
    with open(number, "rb", buffering=0, closefd=False) as file:
        for line in file:
            yield line.decode(errors="replace")


class TerminalExpert:
    """Puts an expert's questions to who sits at the terminal, while entered.

    Parameters
    ----------
    expert : Expert
        Whose questions.
    objectives : sequence of Objective
        In the order of the cloud's columns.
    console : Console
        Where questions are shown.
    lines : iterable of str
        Answers as they come; see :func:`lines_of_terminal`.
    name : str
        Who answers.
    hide : callable
        Gives what clears the terminal of everything else while entered.
    undo_s : float
        How long an answer can be taken back, s.
    """

    def __init__(
        self,
        expert: Expert,
        objectives: Sequence[Objective],
        console: Console,
        lines: Iterable[str],
        *,
        name: str,
        hide: Callable[[], AbstractContextManager[None]],
        undo_s: float = 0.0,
    ) -> None:
        self._expert = expert
        self._objectives = tuple(objectives)
        self._console = console
        self._lines = lines
        self._name = name or "expert"
        self._hide = hide
        self._undo_s = undo_s
        self._read: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._no_more = False
        self._ended = threading.Event()
        self._asking = threading.Thread(target=self._ask_on, name="terminal-expert", daemon=True)

    def __enter__(self) -> TerminalExpert:
        threading.Thread(target=self._read_on, name="terminal-lines", daemon=True).start()
        self._asking.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._asking.join()

    def _read_on(self) -> None:
        """Read lines; who reads them is another thread, which a terminal does not hold up."""
        for line in self._lines:
            self._read.put(line)
        self._read.put(None)

    def _ask_on(self) -> None:
        while not self._ended.wait(_LOOK_EVERY_S):
            if (question := self._expert.question) is not None:
                with self._hide():
                    self._ask(*question)

    def _ask(self, options: Options, suggestion: Choice | None) -> None:
        """Ask until there is an answer that counts, or nobody waits for it any more."""
        suggested = None if suggestion is None else suggestion.index
        rows = standing_out(options, self._objectives, suggested)
        few = spread_out(options, rows, MOST, suggested)
        shown = self._show(options, few, suggested, of=len(rows))
        self._prompt(suggestion)
        while self._waits(options):
            line = self._line()
            if line is None:
                continue
            answer = line.strip()
            if answer == "?":
                self._say(_HELP)
            elif answer == "m":
                shown = self._show(options, rows, suggested, of=len(rows))
            elif (row := self._row(answer, shown, suggested)) is None and self._no_more:
                continue  # nobody is there, and nothing is suggested
            elif row is None:
                self._say(f"{answer!r}: a number from 1 to {len(shown)}, #ROW, Enter, m or ?")
            elif self._choose(options, row, f"terminal, {len(shown)} options"):
                return
            if self._waits(options):
                self._prompt(suggestion)
        self._say("\nthis choice is not waited for any more")

    def _choose(self, options: Options, row: int, shown: str) -> bool:
        """Answer; whether nobody waits for another one."""
        name, suggestion = self._name, self._suggestion(options)
        if self._no_more and suggestion is not None:
            name = suggestion.chosen_by
        try:
            self._expert.choose(options.iteration, row, name, shown=shown)
        except NoQuestionError:
            return False  # too late
        except ValueError as error:
            self._say(f"{error}")
            return False
        return self._undo_s <= 0 or self._kept(options)

    def _kept(self, options: Options) -> bool:
        """Wait until an answer counts, and take it back when that is asked for."""
        self._say(f"u takes it back, within {self._undo_s:g} s", end=" ")
        while self._expert.asked.get() == options.iteration and not self._ended.is_set():
            line = self._line()
            if line is not None and line.strip() == "u":
                try:
                    self._expert.take_back(options.iteration)
                except NoQuestionError:
                    self._say("too late: the image is taken")
                    return True
                return False
        self._say("")
        return True

    def _suggestion(self, options: Options) -> Choice | None:
        question = self._expert.question
        return question[1] if question is not None and question[0] is options else None

    def _waits(self, options: Options) -> bool:
        """Whether this is what an answer is waited for."""
        question = self._expert.question
        return not self._ended.is_set() and question is not None and question[0] is options

    def _line(self) -> str | None:
        """Return the next line; None: none has come yet. Without more lines: Enter, always."""
        if self._no_more:
            time.sleep(_LOOK_EVERY_S)
            return ""
        try:
            line = self._read.get(timeout=_LOOK_EVERY_S)
        except queue.Empty:
            return None
        if line is None:
            self._no_more = True
            self._say("\nno more answers come: what is suggested is taken from now on")
            return ""
        return line

    def _row(self, answer: str, shown: Sequence[int], suggested: int | None) -> int | None:
        """Row of the cloud that an answer means; None when it means none."""
        if not answer:
            return suggested
        number = answer.removeprefix("#")
        if not (number.isascii() and number.isdigit()) or len(number) > _MOST_DIGITS:
            return None
        if answer.startswith("#"):
            return int(number)
        return shown[int(number) - 1] if 1 <= int(number) <= len(shown) else None

    def _show(
        self, options: Options, rows: Sequence[int], suggested: int | None, *, of: int
    ) -> Sequence[int]:
        self._say(f"\nimage {options.iteration + 1}: {len(rows)} of {of} options that stand out")
        self._print(options_table(options, self._objectives, rows, suggested))
        self._say(MARKS)
        return rows

    def _prompt(self, suggestion: Choice | None) -> None:
        enter = "" if suggestion is None else f", Enter for * ({suggestion.chosen_by})"
        left_s, then = self._expert.left_s, self._expert.then
        late = f" within {left_s:.0f} s, or {then}" if math.isfinite(left_s) else ""
        self._say(f"which one{late}? number{enter}, ? for help:", end=" ")

    def _say(self, text: str, end: str = "\n") -> None:
        self._print(Text(text), end=end, soft_wrap=True)

    def _print(self, what: RenderableType, **how: Any) -> None:
        try:
            self._console.print(what, **how)
        except (OSError, SystemExit):  # as rich ends a program whose output nobody reads
            self._no_more = True
