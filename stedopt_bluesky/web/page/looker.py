"""Runs of a catalogue looked on at in a thread, for the page."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

from stedopt_bluesky.errors import in_one_line
from stedopt_bluesky.records.folder import CatalogFolder
from stedopt_bluesky.records.journal import SUFFIX, find_run, is_live, is_uid
from stedopt_bluesky.records.looking_on import look_on
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.reports.live_run import plain_text
from stedopt_bluesky.web.page.followed import Followed
from stedopt_bluesky.web.page.run_images import Images, recorded_images

# After a run that cannot be followed it is looked again, s.
_AGAIN_S = 2.0
_LONGEST = 1000


class Looker:
    """Looks on at the run under way while entered: what it is stands in ``followed``.

    Parameters
    ----------
    folder : CatalogFolder
        Whose runs.
    uid : str
        Which run; ``""``: whichever is under way, then the next one, and so on.
    """

    def __init__(self, folder: CatalogFolder, uid: str = "") -> None:
        self.followed = Followed(self._images, folder)
        self._folder = folder
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

    def is_under_way(self) -> bool:
        """Whether a program is still making the run; asks the disk."""
        uid = str(self.followed.start.get("uid", ""))
        return is_uid(uid) and is_live(self._folder, Path(f"{uid}{SUFFIX}"))

    def _look(self) -> None:
        while not self._stop.is_set():
            try:
                self._once()
            # Whatever a damaged journal makes a view fail by: the next run may be a good one.
            except Exception as error:
                self._say(f"the run cannot be followed: {in_one_line(error)}")
            if self._uid:
                return
            self._stop.wait(_AGAIN_S)

    def _once(self) -> None:
        seen = look_on(
            self._folder, uid=self._uid, follow=not self._uid, stop=self._stop, say=self._say
        )
        for one in seen:
            self.followed(one.name, one.doc)

    def _images(self, number: int) -> Images | None:
        """Read pictures that another program has stored."""
        uid = str(self.followed.start.get("uid", ""))
        return recorded_images(RunRecord.read(find_run(self._folder, uid)), number) if uid else None

    def _say(self, line: str) -> None:
        self.said = plain_text(line, longest=_LONGEST)
