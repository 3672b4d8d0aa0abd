"""Live view of a run: on a terminal, in a notebook, or as lines where neither is there.

Drawing is a best effort: it is done in a thread of its own, at most some times a second, and what
comes in between is drawn together. No document is left out, and whoever emits them never waits,
not for the last drawing of a run either.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from stedopt_bluesky.reports.live_run import LiveRun, plain_text
from stedopt_bluesky.reports.live_table import LiveTable, one_line, progress
from stedopt_bluesky.reports.notebook import cell_output, display_function, in_notebook

_log = logging.getLogger(__name__)

_LAST_NOTES = 3
# When a view is closed, and at the end of the program, so long the last drawing is waited for, s.
_LAST_DRAWING_S = 5.0


class Note(NamedTuple):
    """A line that is shown with a run; of two with the same text one has a later number."""

    number: int
    text: str


class Screen(Protocol):
    """Where a run is drawn."""

    def draw(self, run: LiveRun, notes: Sequence[Note]) -> None:
        """Draw the run in place of what was drawn of it before."""

    def close(self) -> None:
        """Leave what was drawn last; the next drawing begins below it."""


@dataclass
class _Drawn:
    """What one thread draws: what is known, and at last what was known at the end."""

    changed: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    last: tuple[LiveRun, tuple[Note, ...]] | None = None


class LiveView:
    """Shows a run as its documents come; a callback for a RunEngine, or for `look_on`.

    ``RE.subscribe(LiveView())`` shows every run of a session; one that begins is drawn anew.

    Parameters
    ----------
    screen : Screen, optional
        Where; what fits to this program's standard output when left out.
    per_s : float
        Most drawings a second.
    until_stop : bool
        Whether a run's stop document is the end of its drawing. Otherwise `finish` is, for
        documents that come later than the stop document.
    """

    def __init__(
        self, screen: Screen | None = None, *, per_s: float = 4.0, until_stop: bool = True
    ) -> None:
        self._until_stop = until_stop
        self._screen = screen or screen_for(Console(highlight=False))
        self._every_s = 1 / per_s
        self._lock = threading.Lock()  # of what is known
        self._drawing = threading.Lock()  # of the screen
        self._run = LiveRun()
        self._notes: deque[Note] = deque(maxlen=_LAST_NOTES)
        self._noted = 0
        self._drawn = _Drawn()
        self._thread: threading.Thread | None = None
        # Those that draw what came last. A program that ends waits for them: a terminal is to be
        # given back.
        self._ending: list[threading.Thread] = []
        weakref.finalize(self, _wait_for, self._ending)
        self.problem: Exception | None = None

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Observe one document."""
        with self._lock:
            self._run.take(name, dict(doc))
        self._draw_soon()
        if name == "stop" and self._until_stop:
            self._end()

    def note(self, line: str) -> None:
        """Show a line below the table."""
        with self._lock:
            self._noted += 1
            self._notes.append(Note(self._noted, plain_text(line)))
        self._draw_soon()

    @property
    def run(self) -> LiveRun:
        """What is known of the run, as a copy."""
        with self._lock:
            return self._run.copied()

    def finish(self) -> None:
        """Draw what came last, and leave it; the next document begins a new drawing."""
        self._end()
        _wait_for(self._ending)

    close = finish

    def _end(self) -> None:
        with self._lock:
            self._drawn.last = self._known()
            self._drawn.ended.set()
            self._drawn.changed.set()
            self._ending[:] = [thread for thread in self._ending if thread.is_alive()]
            if self._thread is not None:
                self._ending.append(self._thread)
            self._thread = None

    def __enter__(self) -> LiveView:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _draw_soon(self) -> None:
        with self._lock:
            if self._thread is None:
                # Its own: the last drawing of the run before may not be done yet.
                self._drawn = _Drawn()
                self.problem = None
                self._thread = threading.Thread(
                    target=self._draw, args=(self._drawn,), daemon=True, name="live view"
                )
                self._thread.start()
            self._drawn.changed.set()

    def _known(self) -> tuple[LiveRun, tuple[Note, ...]]:
        return self._run.copied(), tuple(self._notes)

    def _draw(self, drawn: _Drawn) -> None:
        with self._drawing:
            try:
                while True:
                    drawn.changed.wait()
                    drawn.changed.clear()
                    with self._lock:
                        last = drawn.last
                        run, notes = last or self._known()
                    self._screen.draw(run, notes)
                    if last:
                        break
                    drawn.ended.wait(self._every_s)
                self._screen.close()
            except Exception as error:  # a terminal that is gone, say: a run does not end for it
                self.problem = error
                _log.debug("the live view cannot be drawn", exc_info=True)


def _wait_for(threads: list[threading.Thread]) -> None:
    until = time.monotonic() + _LAST_DRAWING_S
    for thread in list(threads):
        if thread is not threading.current_thread():  # the last one that knows of the view
            thread.join(max(0.0, until - time.monotonic()))


def screen_for(console: Console) -> Screen:
    """Where to draw: the notebook's cell, the terminal, or lines where there is neither."""
    if in_notebook():
        return NotebookScreen()
    return TerminalScreen(console) if console.is_terminal else LinesScreen(console)


class TerminalScreen:
    """A table that is drawn anew in its place.

    Parameters
    ----------
    console : Console
        A terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def draw(self, run: LiveRun, notes: Sequence[Note]) -> None:
        """Draw the run in place of what was drawn of it before."""
        if self._live is None:
            # Other output is left alone: a session goes on printing what it prints.
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
                vertical_overflow="crop",
            )
            self._live.start()
        self._live.update(LiveTable(run, [note.text for note in notes]), refresh=True)

    def close(self) -> None:
        """Leave what was drawn last, and give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class NotebookScreen:
    """A cell's output that is replaced.

    Parameters
    ----------
    show : callable, optional
        ``IPython.display.display`` when left out.
    """

    def __init__(self, show: Callable[..., Any] | None = None) -> None:
        self._show = show
        self._handle: Any = None

    def draw(self, run: LiveRun, notes: Sequence[Note]) -> None:
        """Draw the run in place of what was drawn of it before."""
        bundle = cell_output(LiveTable(run, [note.text for note in notes]))
        if self._handle is None:
            self._handle = (self._show or display_function())(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)

    def close(self) -> None:
        """Leave what was drawn last."""
        self._handle = None


class LinesScreen:
    """A line for each image, for logs and pipes.

    Parameters
    ----------
    console : Console
        Where.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._uid = ""
        self._serial = 0
        self._written = 0
        self._noted = 0
        self._ended = False

    def draw(self, run: LiveRun, notes: Sequence[Note]) -> None:
        """Write what has not been written yet."""
        if run.serial != self._serial:
            self._serial, self._written, self._ended = run.serial, 0, False
        if run.uid != self._uid:
            self._uid = run.uid
            told = filter(None, (run.told(key) for key in ("sample", "preset", "operator")))
            self._print(" · ".join([f"run {run.uid[:8]}", *told]))
        for note in notes:
            if note.number > self._noted:
                self._noted = note.number
                self._print(note.text)
        new = run.arrived(self._written)
        self._written += len(new)
        for number in sorted(new):
            self._print(one_line(run, number))
        if run.exit_status and not self._ended:
            self._ended = True
            self._print(progress(run))

    def close(self) -> None:
        """Nothing is left to be done."""

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)
