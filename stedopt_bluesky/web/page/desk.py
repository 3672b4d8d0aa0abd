"""What the page is about: one for all browsers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stedopt_bluesky.acquisition import Objective

if TYPE_CHECKING:
    from stedopt_bluesky.devices.expert import Expert
    from stedopt_bluesky.devices.expert_rater import ExpertRater
    from stedopt_bluesky.devices.expert_surveyor import ExpertSurveyor
    from stedopt_bluesky.networks.rater import QualityRater
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.session.run_control import RunControl
    from stedopt_bluesky.web.page.followed import Followed
    from stedopt_bluesky.web.page.looker import Looker


@dataclass
class Desk:
    """What the page is about: one for all browsers.

    Parameters
    ----------
    expert : Expert or None
        Whose questions of which option are answered.
    objectives : sequence of Objective
        In the order of the cloud's columns.
    name : str
        Who answers, unless a browser says otherwise.
    seed : int
        Of the draw among options that lie at the same place.
    undo_s : float
        How long an answer can be taken back, s.
    folder : CatalogFolder, optional
        Whose runs can be looked at.
    looker : Looker, optional
        Looks on at the run that another program makes.
    rater, surveyor : ExpertRater, ExpertSurveyor, optional
        Whose questions of how good images are, and where is imaged.
    quality : QualityRater, optional
        What else would rate the images: shown where somebody wants it.
    followed : Followed or None
        The run under way, to be watched.
    controls : RunControl or None
        Who is asked to pause, resume, stop and abort it.
    """

    expert: Expert | None = None
    objectives: Sequence[Objective] = ()
    name: str = "expert"
    seed: int = 0
    undo_s: float = 0.0
    rater: ExpertRater | None = field(default=None, kw_only=True)
    surveyor: ExpertSurveyor | None = field(default=None, kw_only=True)
    quality: QualityRater | None = field(default=None, kw_only=True)
    followed: Followed | None = field(default=None, kw_only=True)
    controls: RunControl | None = field(default=None, kw_only=True)
    folder: CatalogFolder | None = field(default=None, kw_only=True)
    looker: Looker | None = field(default=None, kw_only=True)
    # By a question's name: which one was answered last, and what was said.
    said: dict[str, tuple[int, str]] = field(default_factory=dict, init=False)
