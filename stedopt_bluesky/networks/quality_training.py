"""Train a quality network on rated images; the recipe is the paper's (Durand et al. 2018).

Adam, RMSE between the score and the rating, halved learning rates, reflections and rotations,
slight changes of intensity, and the epoch of the lowest validation error. Everything random in
epoch e is drawn from ``default_rng([seed, e])``: a training that is taken up again ends as one
that was never interrupted, on the same machine with as many threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stedopt_bluesky.networks.augmentation import augmented
from stedopt_bluesky.networks.datasets import DatasetError, RatedImages
from stedopt_bluesky.networks.history import (
    Checkpoint,
    Epoch,
    Observe,
)
from stedopt_bluesky.networks.mask import score_mask
from stedopt_bluesky.networks.quality import QualityNetwork, masked_mean
from stedopt_bluesky.networks.quality_recipe import QualityRecipe
from stedopt_bluesky.networks.rater import pad_to_stride
from stedopt_bluesky.networks.tensors import load_tensors
from stedopt_bluesky.networks.training_state import TrainingState
from stedopt_bluesky.networks.weights import Tensors, Weights, Whitening

# Below this a gradient of the root is lost in rounding.
_SMALLEST_MSE = 1e-12


@dataclass(frozen=True, eq=False)
class TrainedQuality:
    """A trained quality network.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Parameters of the best epoch.
    whitening : Whitening
        Of its input.
    history : list of Epoch
        Losses are RMSE.
    training, validation : RatedImages
        What it was trained on, and stopped by.
    """

    tensors: Tensors
    whitening: Whitening
    history: list[Epoch]
    training: RatedImages
    validation: RatedImages

    @property
    def rmse(self) -> float:
        """RMSE on the validation images in the best epoch."""
        return min(epoch.validation_loss for epoch in self.history)


def train_quality(
    dataset: RatedImages,
    recipe: QualityRecipe,
    *,
    validation: RatedImages | None = None,
    start: Weights | None = None,
    checkpoint: Path | None = None,
    observe: Observe = lambda _: None,
    device: str | None = None,
) -> TrainedQuality:
    """Train, or fine-tune, a quality network.

    Parameters
    ----------
    dataset : RatedImages
        What is learnt.
    recipe : QualityRecipe
        How.
    validation : RatedImages, optional
        What decides when to stop; a share of the dataset when left out.
    start : Weights, optional
        A network to fine-tune.
    checkpoint : Path, optional
        File from which an interrupted training goes on, and that is kept up to date.
    observe : callable
        Told each epoch when it has ended.
    device : str, optional
        torch's; a GPU when there is one.

    Raises
    ------
    DatasetError
        When images cannot be used, or there are too few to divide.
    WeightsError
        When the network to start from, or the checkpoint, does not fit.
    TrainingError
        When the error is not finite any more, or the checkpoint cannot be written.
    """
    training = dataset
    if validation is None:
        training, validation = dataset.split(recipe.validation_share, recipe.seed)
    learnt, checked = _Prepared(training), _Prepared(validation)
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    whitening = start.info.whitening if start else _whitening_of(training, recipe.whitening)
    assert whitening is not None  # noqa: S101  a quality network has one
    loop = _Loop(recipe, whitening, place, start)
    kept = Checkpoint(checkpoint, _identity(recipe, training, validation, start))
    history = loop.train(
        lambda number, before: loop.run(number, learnt, checked, before),
        kept,
        epochs=recipe.epochs,
        patience=recipe.patience,
        observe=observe,
    )
    return TrainedQuality(loop.best, whitening, history, training, validation)


def _identity(
    recipe: QualityRecipe, training: RatedImages, validation: RatedImages, start: Weights | None
) -> dict[str, Any]:
    """What tells one training from another; how long it goes on may be changed."""
    told = {k: v for k, v in asdict(recipe).items() if k not in {"epochs", "patience"}}
    return {
        **told,
        "data": training.fingerprint(),
        "validation data": validation.fingerprint(),
        "start": start.sha256 if start else "",
    }


def _whitening_of(dataset: RatedImages, kind: Literal["anscombe", "standard"]) -> Whitening:
    """Mean and standard deviation over all pixels of the training images."""
    plain = Whitening(kind, 0.0, 1.0)
    values = [plain(np.asarray(image)).astype(np.float64) for image in dataset.images]
    pixels = sum(v.size for v in values)
    mean = sum(float(v.sum()) for v in values) / pixels
    variance = sum(float(((v - mean) ** 2).sum()) for v in values) / pixels
    if variance <= 0:
        raise DatasetError("all pixels of the dataset are the same: nothing can be learnt")
    return Whitening(kind, mean, math.sqrt(variance))


class _Prepared:
    """Images as float32 with their masks, grouped by shape."""

    def __init__(self, dataset: RatedImages) -> None:
        self.ratings = dataset.ratings.astype(np.float32)
        self.images: list[npt.NDArray[np.float32]] = []
        self.masks: list[npt.NDArray[np.bool_]] = []
        self.shapes: dict[tuple[int, ...], list[int]] = {}
        for i, (image, name) in enumerate(zip(dataset.images, dataset.names, strict=True)):
            counts = np.asarray(image, dtype=np.float32)
            if counts.ndim != 2 or not counts.size or not np.isfinite(counts).all():
                raise DatasetError(f"{name}: expected a 2-D image of finite counts")
            self.images.append(counts)
            self.masks.append(score_mask(counts))
            self.shapes.setdefault(counts.shape, []).append(i)

    def batches(self, size: int, rng: np.random.Generator | None) -> Iterator[list[int]]:
        """Rows of alike images, shuffled where there is a generator."""
        parts: list[list[int]] = []
        for rows in self.shapes.values():
            order = rows if rng is None else [int(i) for i in rng.permutation(rows)]
            parts += [order[i : i + size] for i in range(0, len(order), size)]
        if rng is not None:
            # Normalisation needs two values: an image that is alone is taken in two variants.
            parts = [part * 2 if len(part) == 1 else part for part in parts]
        chosen = range(len(parts)) if rng is None else rng.permutation(len(parts))
        yield from (parts[int(i)] for i in chosen)


class _Loop(TrainingState):
    """Network and optimiser, epoch by epoch."""

    def __init__(
        self, recipe: QualityRecipe, whitening: Whitening, device: str, start: Weights | None
    ) -> None:
        self._recipe, self._whiten, self._device = recipe, whitening, device
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            network = QualityNetwork()
        if start is not None:
            load_tensors(network, start.tensors, str(start.path))
        layout = torch.channels_last  # twice as fast on a CPU
        network = network.to(device, memory_format=layout)  # type: ignore[call-overload]
        super().__init__(network, recipe.learning_rate)

    def run(
        self, number: int, training: _Prepared, validation: _Prepared, history: list[Epoch]
    ) -> Epoch:
        """Run one epoch."""
        recipe = self._recipe
        rate = recipe.learning_rate * 0.5 ** ((number - 1) // recipe.halve_every)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rng = np.random.default_rng([recipe.seed, number])
        self.network.train()
        squares = 0.0
        for rows in training.batches(recipe.batch, rng):
            squares += self._step(training, rows, rng) * len(set(rows))
        error = self._error(validation)
        best = self.is_best(error, history)
        return Epoch(number, math.sqrt(squares / len(training.images)), error, rate, best=best)

    def _step(self, data: _Prepared, rows: list[int], rng: np.random.Generator) -> float:
        """Learn from some images; return their mean squared error."""
        pairs = [
            augmented(
                data.images[i], data.masks[i], rng, self._recipe.intensity, self._recipe.rotation
            )
            for i in rows
        ]
        # A batch is of one shape again: a quarter turn may have swapped the sides.
        tall = [
            pair if pair[0].shape == data.images[rows[0]].shape else _turned(pair) for pair in pairs
        ]
        scores = self._scores([image for image, _ in tall], [mask for _, mask in tall])
        mse = ((scores - self._ratings(data, rows)) ** 2).mean()
        self.optimizer.zero_grad(set_to_none=True)
        torch.sqrt(mse + _SMALLEST_MSE).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return float(mse.detach())

    def _error(self, data: _Prepared) -> float:
        """RMSE over some images."""
        self.network.eval()
        squares = 0.0
        with torch.inference_mode():
            for rows in data.batches(self._recipe.batch, None):
                scores = self._scores([data.images[i] for i in rows], [data.masks[i] for i in rows])
                squares += float(((scores - self._ratings(data, rows)) ** 2).sum())
        return math.sqrt(squares / len(data.images))

    def _scores(
        self, images: list[npt.NDArray[np.float32]], masks: list[npt.NDArray[np.bool_]]
    ) -> Tensor:
        height, width = images[0].shape
        whitened = self._whiten(np.stack(images))
        padded = np.stack([pad_to_stride(image) for image in whitened])
        batch = torch.from_numpy(padded)[:, None].to(
            self._device, memory_format=torch.channels_last
        )
        maps = self.network(batch)[:, :height, :width]
        foreground = torch.from_numpy(np.stack(masks)).to(self._device, maps.dtype)
        return masked_mean(maps, foreground)

    def _ratings(self, data: _Prepared, rows: list[int]) -> Tensor:
        return torch.from_numpy(data.ratings[rows]).to(self._device)


def _turned(
    pair: tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    return pair[0].T, pair[1].T


__all__ = ["QualityRecipe", "TrainedQuality", "train_quality"]
