"""Where a question is shown and answered: a terminal, or the output of a notebook's cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.text import Text

from stedopt_bluesky.reports.asking import Face, Shown
from stedopt_bluesky.reports.cloud_picture import cloud_png
from stedopt_bluesky.reports.interruptible_input import read_line
from stedopt_bluesky.reports.notebook import cell_output, display_function, in_notebook
from stedopt_bluesky.reports.options_table import MARKS, options_table

_PAUSES = "pauses the plan, and RE.resume() asks again; nothing is lit while you choose"


class TerminalFace:
    """A terminal: tables in lines, answers by ``input()``.

    Parameters
    ----------
    console : Console, optional
        Where it is shown; standard output when left out.
    """

    name = "terminal"
    interrupting = f"Ctrl-C {_PAUSES}."

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    def show(self, shown: Shown) -> None:
        """Show what is asked."""
        self._print(Text(f"\n{shown.title}"))
        self._print(options_table(shown.options, shown.objectives, shown.rows, shown.suggested))
        self._print(Text(MARKS))

    def say(self, text: str) -> None:
        """Show a line."""
        self._print(Text(text), soft_wrap=True)

    def line(self, prompt: str, waits: Callable[[], bool]) -> str | None:
        """Return the next line; None when it is not waited for any more."""
        return read_line(prompt, waits)

    def _print(self, what: Any, **how: Any) -> None:
        self._console.print(what, **how)


class CellFace:
    """A cell's output: a picture of the cloud and the table; answers in the frontend's input box.

    Parameters
    ----------
    show : callable, optional
        ``IPython.display.display`` when left out.
    """

    name = "notebook"
    interrupting = f"Interrupting the kernel {_PAUSES}."

    def __init__(self, show: Callable[..., Any] | None = None) -> None:
        self._display = show or display_function()

    def show(self, shown: Shown) -> None:
        """Show what is asked."""
        from IPython.display import Image

        png = cloud_png(shown.options, shown.objectives, shown.rows, shown.suggested)
        self.say(shown.title)
        self._display(Image(data=png, format="png", alt=f"The cloud of {shown.title}"))
        table = options_table(shown.options, shown.objectives, shown.rows, shown.suggested)
        self._display(cell_output(table), raw=True)
        self.say(MARKS)

    def say(self, text: str) -> None:
        """Show a line."""
        print(text)

    def line(self, prompt: str, waits: Callable[[], bool]) -> str | None:
        """Return the next line; None when it is not waited for any more."""
        return read_line(prompt, waits)


def face_here() -> Face:
    """Where this program is used: a notebook's cell, or else a terminal."""
    return CellFace() if in_notebook() else TerminalFace()
