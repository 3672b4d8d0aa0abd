"""Have a person rate the images of a region, between the exposure and the models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from bluesky import plan_stubs as bps
from bluesky.utils import MsgGenerator

from stedopt_bluesky.acquisition import ImageSet, Invalid
from stedopt_bluesky.devices.expert_rater import ExpertRater, HandRating, ImagesToRate
from stedopt_bluesky.devices.rating import Rate
from stedopt_bluesky.plans.asking import Patience, recorded

RATING_STREAM = "rating"
# An image's score from 0 to 1, `Invalid` where it has none.
Scores = Callable[[npt.NDArray[np.float64]], float]


@dataclass(frozen=True)
class ExpertRating:
    """A person who is asked to rate, how long is waited, and who rates then.

    Parameters
    ----------
    rater : ExpertRater
        Whom the answer comes from.
    scored : callable
        From images to those that objectives ask a score of, by the objective's name.
    by_scores : callable
        From such images and scores of them, by the same names, to what rates images by all
        objectives with these scores.
    suggest : callable, optional
        A network: from an image to its score.
    suggested_by : str
        Its name.
    patience : Patience
        How long is waited; who is late is rated for by the network.
    """

    rater: ExpertRater
    scored: Callable[[ImageSet], Mapping[str, npt.NDArray[np.float64]]]
    by_scores: Callable[[Mapping[str, npt.NDArray[np.float64]], Mapping[str, float]], Rate]
    suggest: Scores | None = None
    suggested_by: str = ""
    patience: Patience = field(default_factory=Patience)

    def ask(
        self, images: ImageSet | None, iteration: int, objectives: Sequence[str]
    ) -> MsgGenerator[Rate]:
        """Ask, wait and record the answer, an Event of stream ``rating``; nothing is lit meanwhile.

        Parameters
        ----------
        images : ImageSet or None
            What is rated; None when the plan is only looked at.
        iteration : int
            Number of images before.
        objectives : sequence of str
            Names of all objectives: none of images that are discarded is valid.

        Returns
        -------
        callable
            What rates the images.

        Raises
        ------
        NobodyAnsweredError
            When nobody did in time and the run is to end then.
        """
        if images is None:
            return self.by_scores({}, {})
        try:
            scored = self.scored(images)
        except ValueError:  # images that do not fit one another: whoever rates them says so
            scored = {}
        asked = ImagesToRate(images, iteration, scored)
        try:
            yield from bps.abs_set(self.rater, asked)
            if self.suggest is not None and scored:
                self.rater.expect(asked, lambda: self._suggested(scored))
            otherwise = "the network rates" if self.suggest else "it stays without a rating"
            otherwise = otherwise if scored else "it is kept"
            yield from self.patience.wait_for(self.rater, otherwise)
        finally:
            rating = self.rater.withdraw(self.suggested_by)
        if rating is None:
            self.patience.check(f"rated image {iteration + 1}")
            return self._by_network(scored)
        yield from recorded(self.rater, RATING_STREAM)
        if rating.discarded_because:
            why = f"discarded by {rating.rated_by}: {rating.discarded_because}"
            return nothing_valid(objectives, why)
        return self._by_hand(scored, rating)

    def _by_hand(self, scored: Mapping[str, npt.NDArray[np.float64]], rating: HandRating) -> Rate:
        skipped = Invalid(f"skipped by {rating.rated_by}")
        rate = self.by_scores(scored, {n: rating.scores.get(n, skipped) for n in scored})
        return lambda images: rate(dataclasses.replace(images, lines=rating.lines))

    def _by_network(self, scored: Mapping[str, npt.NDArray[np.float64]]) -> Rate:
        def rate(images: ImageSet) -> Mapping[str, float]:
            # Not before: what fails where images are rated makes them invalid, and no more.
            return self.by_scores(scored, self._suggested(scored))(images)

        return rate

    def _suggested(self, scored: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, float]:
        if self.suggest is None:
            return {}
        return {name: self.suggest(image) for name, image in scored.items()}


def nothing_valid(objectives: Sequence[str], why: str) -> Rate:
    """Rate images by saying why none of their objectives is valid."""
    return lambda _: {name: Invalid(why) for name in objectives}
