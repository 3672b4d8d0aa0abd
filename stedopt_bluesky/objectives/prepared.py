"""The images of one region, converted once; what several objectives need, computed once."""

from __future__ import annotations

from functools import cached_property

from stedopt_bluesky.acquisition import ImageSet
from stedopt_bluesky.objectives.counts import FloatImage, Mask, as_counts, check_same_shape
from stedopt_bluesky.objectives.foreground import otsu_foreground


class PreparedImages:
    """An image set as float64, with its foreground masks computed at their first use.

    Of several STED images the first is rated, as in the published program.

    Parameters
    ----------
    images : ImageSet
        The images of one region.

    Raises
    ------
    ValueError
        When there is no STED image, an image does not have two axes, or the shapes differ.
    """

    def __init__(self, images: ImageSet) -> None:
        if not images.sted:
            raise ValueError("an image set needs at least one STED image, got none")
        steds = {f"sted[{i}]": sted for i, sted in enumerate(images.sted)}
        check_same_shape({"confocal1": images.confocal1, **steds, "confocal2": images.confocal2})
        self.images = images
        self.confocal1: FloatImage = as_counts(images.confocal1)
        self.sted: FloatImage = as_counts(images.sted[0])
        self.confocal2: FloatImage = as_counts(images.confocal2)

    @cached_property
    def confocal1_foreground(self) -> Mask:
        """Foreground of the confocal image before."""
        return otsu_foreground(self.confocal1)

    @cached_property
    def sted_foreground(self) -> Mask:
        """Foreground of the STED image within the confocal foreground."""
        return otsu_foreground(self.sted) & self.confocal1_foreground
