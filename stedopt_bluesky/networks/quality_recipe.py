"""How a quality network is trained, in numbers; apart from the training, which needs torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from stedopt_bluesky.networks.history import TrainingError


@dataclass(frozen=True)
class QualityRecipe:
    """How a quality network is trained. The defaults are the paper's where it states them.

    Parameters
    ----------
    epochs : int
        At most.
    patience : int
        Epochs without a lower validation error after which it ends.
    batch : int
        Images of a step.
    learning_rate : float
        Of Adam, at the beginning.
    halve_every : int
        Epochs after which it is halved.
    validation_share : float
        Of the images, by specimen, when no validation images are given.
    intensity : float
        Images are made brighter or darker by up to this share.
    rotation : {"right_angles", "arbitrary"}
        Quarter turns are exact; other angles (the paper's) take the nearest pixel, so that photon
        noise stays what it is.
    whitening : {"anscombe", "standard"}
        See `Whitening`; a network that is fine-tuned keeps its own.
    seed : int
        Of all that is random.

    Raises
    ------
    TrainingError
        When a value is out of its range.
    """

    epochs: int = 200
    patience: int = 30
    batch: int = 96
    learning_rate: float = 0.002
    halve_every: int = 50
    validation_share: float = 0.2
    intensity: float = 0.1
    rotation: Literal["right_angles", "arbitrary"] = "right_angles"
    whitening: Literal["anscombe", "standard"] = "anscombe"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch", "halve_every"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} = {getattr(self, name)}: at least 1")
        if self.seed < 0:
            raise TrainingError(f"seed = {self.seed}: at least 0")
        if not 0 < self.learning_rate < math.inf:
            raise TrainingError(f"learning_rate = {self.learning_rate:g}: above 0, finite")
        if not 0 < self.validation_share < 1:
            raise TrainingError(f"validation_share = {self.validation_share:g}: above 0, below 1")
        if not 0 <= self.intensity < 1:
            raise TrainingError(f"intensity = {self.intensity:g}: at least 0, below 1")
        for name, allowed in (
            ("rotation", ("right_angles", "arbitrary")),
            ("whitening", ("anscombe", "standard")),
        ):
            if getattr(self, name) not in allowed:
                raise TrainingError(f"{name} = {getattr(self, name)!r}: {' or '.join(allowed)}")
