"""The quality network (FCN): a STED image in, a score between 0 and 1 and its map out.

The published layout (Durand et al., Nat. Commun. 9:5247, 2018, and its program), so that
published weights can be used: six 3 × 3 convolutions of 32-48-48-64-64-64 filters, each followed
by batch normalisation, 2 × 2 max pooling (but for the last) and ELU; the score map is put together
from the last three resolutions, 1/32, 1/16 and 1/8; the score is its mean over the foreground.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

FILTERS = (32, 48, 48, 64, 64, 64)
# The coarsest map has one value for so many pixels; sides are multiples of it.
STRIDE = 32
# The published stretch of the sigmoid, which lets the score come near 0 and 1.
STRETCH, SHIFT = 1.5, -0.25


class QualityNetwork(nn.Module):
    """The network. Its parameters have the published names, unused ones included."""

    def __init__(self) -> None:
        super().__init__()
        sizes = zip((1, *FILTERS), FILTERS, strict=False)
        for number, (before, after) in enumerate(sizes, start=1):
            self.add_module(f"conv{number}", nn.Conv2d(before, after, 3, padding=1))
            self.add_module(f"conv{number}_bn", nn.BatchNorm2d(after))
        self.map7x7 = nn.Conv2d(FILTERS[5], 1, 1)
        self.map14x14 = nn.Conv2d(FILTERS[3], 1, 1)
        self.map28x28 = nn.Conv2d(FILTERS[2], 1, 1)
        self.upscore2 = nn.ConvTranspose2d(1, 1, 4, stride=2, bias=False)
        self.upscore2b = nn.ConvTranspose2d(1, 1, 4, stride=2, bias=False)
        self.upscore8 = nn.ConvTranspose2d(1, 1, 8, stride=8, bias=False)
        # In the published files, but in no path from the image to the score.
        self.map56x56 = nn.Conv2d(FILTERS[1], 1, 1)
        self.upscore2c = nn.ConvTranspose2d(1, 1, 4, stride=2, bias=False)
        self.upscore4 = nn.ConvTranspose2d(1, 1, 4, stride=4, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Score map of whitened images.

        Parameters
        ----------
        images : Tensor, shape (N, 1, Y, X)
            Whitened; Y and X multiples of 32.

        Returns
        -------
        Tensor, shape (N, Y, X)
            Between 0 and 1.
        """
        features: list[Tensor] = []
        x = images
        for number in range(1, 7):
            x = self._normalised(number, x)  # (N, filters, ...)
            if number == 1:
                x = functional.max_pool2d(x, 2, padding=1, ceil_mode=True)  # Y / 2 + 1
            elif number < 6:
                x = functional.max_pool2d(x, 2)
            x = functional.elu(x)
            features.append(x)
        eighth, sixteenth, coarsest = features[2], features[3], features[5]
        score = self.map7x7(coarsest)  # (N, 1, Y / 32, X / 32)
        score = self.map14x14(sixteenth) + _cropped(self.upscore2(score))
        score = self.map28x28(eighth) + _cropped(self.upscore2b(score))
        score = self.upscore8(score)  # (N, 1, Y, X)
        return torch.sigmoid(STRETCH * score + SHIFT)[:, 0]

    def _normalised(self, number: int, x: Tensor) -> Tensor:
        convolved = self.get_submodule(f"conv{number}")(x)
        return cast(Tensor, self.get_submodule(f"conv{number}_bn")(convolved))


def masked_mean(maps: Tensor, masks: Tensor) -> Tensor:
    """Score of each image: ``Σ(s·m) / (Σm + 1)``, as published.

    Parameters
    ----------
    maps, masks : Tensor, shape (N, Y, X)
        Score maps, and foreground masks of 0 and 1.

    Returns
    -------
    Tensor, shape (N,)
    """
    return (maps * masks).sum((1, 2)) / (masks.sum((1, 2)) + 1)


def _cropped(x: Tensor) -> Tensor:
    """Cut one pixel off each side: a 4 × 4 kernel of stride 2 makes two too many."""
    return x[:, :, 1:-1, 1:-1]
