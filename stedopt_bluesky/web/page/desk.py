"""What the page is about: one for all browsers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.devices.expert import Expert

if TYPE_CHECKING:
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.web.page.followed import Followed
    from stedopt_bluesky.web.page.looker import Looker


@dataclass
class Desk:
    """What the page is about: one for all browsers.

    Parameters
    ----------
    expert : Expert, optional
        Whose questions are answered; None: nobody is asked.
    objectives : sequence of Objective
        In the order of the cloud's columns.
    name : str
        Who answers, unless a browser says otherwise.
    seed : int
        Of the draw among options that lie at the same place.
    undo_s : float
        How long an answer can be taken back, s.
    followed : Followed or None
        The run under way, to be watched.
    folder : CatalogFolder, optional
        Whose runs can be looked at.
    looker : Looker, optional
        Looks on at the run that another program makes.
    """

    expert: Expert | None = None
    objectives: Sequence[Objective] = ()
    name: str = "expert"
    seed: int = 0
    undo_s: float = 0.0
    followed: Followed | None = None
    folder: CatalogFolder | None = field(default=None, kw_only=True)
    looker: Looker | None = field(default=None, kw_only=True)
    last: str = field(default="", init=False)
