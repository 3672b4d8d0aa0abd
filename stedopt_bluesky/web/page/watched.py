"""A session's run under way as the page has it: followed, its last images kept, and controlled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stedopt_bluesky.records.journal import Document
from stedopt_bluesky.web.page.followed import Followed
from stedopt_bluesky.web.page.run_images import KeptImages

if TYPE_CHECKING:
    from stedopt_bluesky.session import Session
    from stedopt_bluesky.session.run_control import RunControl


@dataclass(frozen=True)
class Watched:
    """A callback of the run's documents, called in the plan's thread.

    Parameters
    ----------
    followed : Followed
        What the documents tell.
    kept : KeptImages
        The images that were taken last.
    controls : RunControl
        Whom the page's buttons ask.
    """

    followed: Followed
    kept: KeptImages
    controls: RunControl

    @classmethod
    def of(cls, session: Session, controls: RunControl) -> Watched:
        """Make one of a session whose run has not begun."""
        microscope = session.station.microscope
        kept = KeptImages(lambda: microscope.images)
        return cls(Followed(kept.of, session.folder), kept, controls)

    def __call__(self, name: str, doc: Document) -> None:
        """Observe one document."""
        self.kept(name, doc)  # first: who sees the Event finds its images
        self.followed(name, doc)
