"""The images of one region, converted once; what several objectives need, computed once."""

from __future__ import annotations

from functools import cached_property

from stedopt_bluesky.acquisition import ImageSet
from stedopt_bluesky.objectives.counts import FloatImage, Mask, as_counts, check_same_shape
from stedopt_bluesky.objectives.foreground import otsu_foreground
from stedopt_bluesky.objectives.photobleaching import STEDS
from stedopt_bluesky.objectives.quality import Score, quality

# What an objective of quality says without a score.
NO_SCORE = "needs a score of images, from a quality network or a person, and none is given"


class PreparedImages:
    """An image set as float64, with masks and scores computed at their first use.

    Of several STED images the first is rated, as in the published program, but where an
    objective says otherwise.

    Parameters
    ----------
    images : ImageSet
        The images of one region.
    score : callable, optional
        Gives an image a quality from 0 to 1; see `quality`.

    Raises
    ------
    ValueError
        When there is no STED image, an image does not have two axes, or the shapes differ.
    """

    def __init__(self, images: ImageSet, score: Score | None = None) -> None:
        if not images.sted:
            raise ValueError("an image set needs at least one STED image, got none")
        steds = {f"sted[{i}]": sted for i, sted in enumerate(images.sted)}
        check_same_shape({"confocal1": images.confocal1, **steds, "confocal2": images.confocal2})
        self.images = images
        self._score = score
        self._channels: dict[str, PreparedImages] = {}
        self.confocal1: FloatImage = as_counts(images.confocal1)
        self.sted: FloatImage = as_counts(images.sted[0])
        self.last_sted: FloatImage = as_counts(images.sted[-1])
        self.confocal2: FloatImage = as_counts(images.confocal2)

    def of_channel(self, name: str) -> PreparedImages:
        """Return the images of a further channel; ValueError when there are none."""
        if name not in self._channels:
            if name not in self.images.channels:
                raise ValueError(f"there are no images of channel {name!r}")
            self._channels[name] = PreparedImages(self.images.channels[name], self._score)
        return self._channels[name]

    @cached_property
    def confocal1_foreground(self) -> Mask:
        """Foreground of the confocal image before."""
        return otsu_foreground(self.confocal1)

    @cached_property
    def sted_foreground(self) -> Mask:
        """Foreground of the STED image within the confocal foreground."""
        return otsu_foreground(self.sted) & self.confocal1_foreground

    @cached_property
    def quality(self) -> float:
        """Score of the first STED image; ValueError when no score is given."""
        return self._quality(self.sted, STEDS[0])

    @cached_property
    def last_quality(self) -> float:
        """Score of the last STED image, which may be the first; asked for once."""
        if len(self.images.sted) == 1:
            return self.quality
        return self._quality(self.last_sted, STEDS[1])

    def _quality(self, image: FloatImage, name: str) -> float:
        if self._score is None:
            raise ValueError(f"the objective quality {NO_SCORE}")
        return quality(image, self._score, name)
