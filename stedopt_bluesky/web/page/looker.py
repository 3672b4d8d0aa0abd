"""Runs of a catalogue looked on at in a thread, for the page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from stedopt_bluesky.records.folder import CatalogFolder
from stedopt_bluesky.records.journal import Document
from stedopt_bluesky.records.looking_on import look_on
from stedopt_bluesky.reports.live_run import plain_text

# After a run that cannot be followed it is looked again, s.
_AGAIN_S = 2.0
_LONGEST = 1000


class Looker:
    """Gives the documents of the run under way to a callback, while entered.

    Parameters
    ----------
    folder : CatalogFolder
        Whose runs.
    take : callable
        Called in a thread with name and document, each once and in order.
    uid : str
        Which run; ``""``: whichever is under way, then the next one, and so on.
    """

    def __init__(
        self, folder: CatalogFolder, take: Callable[[str, Document], object], uid: str = ""
    ) -> None:
        self._folder = folder
        self._take = take
        self._uid = uid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="looker", daemon=True)
        self.said = ""

    def __enter__(self) -> Looker:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
        self._thread.join(5)

    def end(self) -> None:
        """End soon; without waiting for it."""
        self._stop.set()

    def _look(self) -> None:
        while not self._stop.is_set():
            try:
                self._once()
            # Whatever a damaged journal makes a view fail by: the next run may be a good one.
            except Exception as error:
                self._say(f"the run cannot be followed: {error or type(error).__name__}")
            if self._uid:
                return
            self._stop.wait(_AGAIN_S)

    def _once(self) -> None:
        seen = look_on(
            self._folder, uid=self._uid, follow=not self._uid, stop=self._stop, say=self._say
        )
        for one in seen:
            self._take(one.name, one.doc)

    def _say(self, line: str) -> None:
        self.said = plain_text(line, longest=_LONGEST)
