"""A person chooses at the terminal, also over SSH: a table of options, an answer a line."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.text import Text

from stedopt_bluesky.reports.asking import LOOK_EVERY_S, Conversation
from stedopt_bluesky.reports.asking_faces import TerminalFace

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from stedopt_bluesky.acquisition import Objective
    from stedopt_bluesky.devices.expert import Expert


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
        self._face = _TypedLines(console, lines)
        self._talk = Conversation(expert, objectives, self._face, name=name, undo_s=undo_s)
        self._hide = hide
        self._ended = threading.Event()
        self._asking = threading.Thread(target=self._ask_on, name="terminal-expert", daemon=True)

    def __enter__(self) -> TerminalExpert:
        self._face.read()
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

    def _ask_on(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            if (question := self._expert.question) is not None:
                with self._hide():
                    self._talk.ask(*question, self._ended.is_set)


class _TypedLines(TerminalFace):
    """Lines that another thread reads, which a terminal does not hold up."""

    interrupting = "Ctrl-C ends the run; nothing is lit while you choose."

    def __init__(self, console: Console, lines: Iterable[str]) -> None:
        super().__init__(console)
        self._lines = lines
        self._read: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._broken = False

    def read(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._read_on, name="terminal-lines", daemon=True).start()

    def _read_on(self) -> None:
        for line in self._lines:
            self._read.put(line)
        self._read.put(None)

    def line(self, prompt: str, waits: Callable[[], bool]) -> str | None:
        """Return the next line; None when it is not waited for any more."""
        self._print(Text(prompt), end="", soft_wrap=True)
        while waits():
            if self._broken:
                raise EOFError
            try:
                line = self._read.get(timeout=LOOK_EVERY_S)
            except queue.Empty:
                continue
            if line is None:
                self._print("")
                raise EOFError
            return line
        self._print("")
        return None

    def _print(self, what: RenderableType, **how: Any) -> None:
        try:
            super()._print(what, **how)
        except (OSError, SystemExit):  # as rich ends a program whose output nobody reads
            self._broken = True
