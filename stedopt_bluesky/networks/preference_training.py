"""Train a preference network on clouds and choices; the recipe is the paper's (Durand et al. 2018).

Margin ranking loss over pairs of the chosen and each other option of a cloud, Adam, batches of 128
pairs, 80/10/10 by cloud, and the epoch of the lowest validation loss. The loss is
``max(0, s_other - s_chosen + m)``: a chosen option must lead by the margin m (the paper prints -m,
its program has +m). Every objective is whitened by itself. The pairs of epoch e are shuffled by
``default_rng([seed, e])``: a training that is taken up again ends as one that was never
interrupted.

Of few clouds none is held out, see :func:`recipe_for`: each tells much, and one of them alone would
tell neither when to stop nor how well it chooses.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from stedopt_bluesky.networks.clouds import Clouds, on_offer
from stedopt_bluesky.networks.datasets import DatasetError
from stedopt_bluesky.networks.history import (
    Checkpoint,
    Epoch,
    Observe,
    TrainingError,
)
from stedopt_bluesky.networks.preference import PreferenceNetwork, PreferenceScorer
from stedopt_bluesky.networks.preference_evaluation import (
    Evaluation,
    columns_of,
    evaluate_preference,
)
from stedopt_bluesky.networks.tensors import load_tensors, tensors_of
from stedopt_bluesky.networks.training_state import TrainingState
from stedopt_bluesky.networks.weights import ObjectiveScale, Tensors, Weights, WeightsInfo

# From so many clouds on, a tenth of them is three or more.
FEW_CLOUDS = 30
_LEARNING_RATE_OF_FEW = 0.01

# Pairs that are gathered at once: of 3 objectives 3 MB.
_GATHERED = 128 * 1024


@dataclass(frozen=True)
class PreferenceRecipe:
    """How a preference network is trained. The defaults are the paper's and its program's.

    Parameters
    ----------
    epochs : int
        At most.
    patience : int
        Epochs without a lower validation loss after which it ends.
    batch : int
        Pairs of a step.
    learning_rate : float
        Of Adam, in all epochs.
    margin : float
        By how much the chosen option is to score higher than another.
    seed : int
        Of the division, the first parameters and the order of the pairs.
    holds_out : bool
        Whether clouds are kept for validation and test; else all are learnt from, and the loss on
        them takes the place of the validation loss.

    Raises
    ------
    TrainingError
        When a value is out of its range.
    """

    epochs: int = 100
    patience: int = 10
    batch: int = 128
    learning_rate: float = 0.001
    margin: float = 0.1
    seed: int = 0
    holds_out: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} = {getattr(self, name)}: at least 1")
        for name in ("learning_rate", "margin"):
            if not 0 < getattr(self, name) < math.inf:
                raise TrainingError(f"{name} = {getattr(self, name):g}: above 0, finite")
        if self.seed < 0:
            raise TrainingError(f"seed = {self.seed}: at least 0")


def recipe_for(clouds: int, told: Mapping[str, Any]) -> PreferenceRecipe:
    """Make the recipe for so many clouds; what is told is as it is told.

    Parameters
    ----------
    clouds : int
        With fewer than 30, all are learnt from in all epochs, with a learning rate of 0.01.
    told : mapping
        Fields of the recipe; None: what fits.

    Raises
    ------
    TrainingError
        When a value is out of its range.
    """
    given = {name: value for name, value in told.items() if value is not None}
    if clouds >= FEW_CLOUDS:
        return PreferenceRecipe(**given)
    epochs = given.get("epochs", PreferenceRecipe.epochs)
    few = {"learning_rate": _LEARNING_RATE_OF_FEW, "patience": max(1, epochs), "holds_out": False}
    return PreferenceRecipe(**{**few, **given})


@dataclass(frozen=True, eq=False)
class TrainedPreference:
    """A trained preference network.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Parameters of the best epoch.
    objectives : tuple of ObjectiveScale
        Its inputs: mean and standard deviation over the training's options, in their units.
    history : list of Epoch
        Losses are mean ranking losses of a pair.
    training, validation, test : Clouds
        What it was trained on, stopped by, and evaluated on: one and the same where the recipe
        holds none out.
    evaluation : Evaluation
        On the test's clouds.
    """

    tensors: Tensors
    objectives: tuple[ObjectiveScale, ...]
    history: list[Epoch]
    training: Clouds
    validation: Clouds
    test: Clouds
    evaluation: Evaluation

    @property
    def held_out(self) -> bool:
        """Whether it was evaluated on clouds that it was not trained on."""
        return self.test is not self.training

    @property
    def scorer(self) -> PreferenceScorer:
        """The network, ready to choose."""
        return _scorer(self.tensors, self.objectives)


def train_preference(
    clouds: Clouds,
    recipe: PreferenceRecipe,
    *,
    checkpoint: Path | None = None,
    observe: Observe = lambda _: None,
    start: Weights | None = None,
) -> TrainedPreference:
    """Train, or fine-tune, a preference network.

    Parameters
    ----------
    clouds : Clouds
        What is learnt; 80 % for training, 10 % to stop by, 10 % for the evaluation, or all for
        all where the recipe says so.
    recipe : PreferenceRecipe
        How.
    checkpoint : Path, optional
        File from which an interrupted training goes on, and that is kept up to date.
    observe : callable
        Told each epoch when it has ended.
    start : Weights, optional
        A network to fine-tune; it keeps its inputs and how they are whitened.

    Raises
    ------
    DatasetError
        When there are fewer than three clouds, an objective is the same in all options, or the
        clouds are not of the objectives and units of the network to start from.
    TrainingError
        When the loss grows beyond all bounds, or the checkpoint cannot be written.
    WeightsError
        When the network to start from, or the checkpoint, does not fit.
    """
    parts = clouds.split(recipe.seed)
    training, validation, test = parts if recipe.holds_out else (clouds, clouds, clouds)
    scales = start.info.objectives if start else _scales_of(training)
    columns = columns_of(scales, clouds)
    loop = _Loop(recipe, _first_tensors(len(scales), recipe.seed, start))
    kept = Checkpoint(checkpoint, _identity(recipe, clouds, start))
    learnt, checked = _Pairs(training, scales, columns), _Pairs(validation, scales, columns)
    with _one_thread():
        history = loop.train(
            lambda number, before: loop.run(number, learnt, checked, before),
            kept,
            epochs=recipe.epochs,
            patience=recipe.patience,
            observe=observe,
        )
    evaluation = evaluate_preference(_scorer(loop.best, scales), test)
    return TrainedPreference(loop.best, scales, history, training, validation, test, evaluation)


def _identity(recipe: PreferenceRecipe, clouds: Clouds, start: Weights | None) -> dict[str, Any]:
    """What tells one training from another; how long it goes on may be changed."""
    told = {k: v for k, v in asdict(recipe).items() if k not in {"epochs", "patience"}}
    return {**told, "data": clouds.fingerprint(), "start": start.sha256 if start else ""}


def _scales_of(training: Clouds) -> tuple[ObjectiveScale, ...]:
    """Mean and standard deviation of each objective over all options on offer."""
    offered = np.concatenate([cloud[on_offer(cloud)] for cloud in training.values])
    scales = []
    for name, unit, column in zip(training.objectives, training.units, offered.T, strict=True):
        deviation = float(column.std())
        # Equal values may differ by rounding after they were added up for the mean.
        if not deviation > 1e-12 * np.abs(column).max():
            raise DatasetError(f"objective {name} is the same in all options: leave it out")
        scales.append(ObjectiveScale(name, unit, float(column.mean()), deviation))
    return tuple(scales)


def _first_tensors(objectives: int, seed: int, start: Weights | None) -> Tensors:
    with torch.random.fork_rng(devices=[]):  # the process's own generator stays as it is
        torch.manual_seed(seed)
        network = PreferenceNetwork(objectives)
    if start is not None:
        load_tensors(network, start.tensors, str(start.path))
    return tensors_of(network)


def _scorer(tensors: Tensors, objectives: tuple[ObjectiveScale, ...]) -> PreferenceScorer:
    info = WeightsInfo("preference", "in training", "", objectives=objectives)
    return PreferenceScorer(Weights(info, tensors, "", Path("the network in training")))


class _Pairs:
    """All pairs of the chosen and another option on offer, whitened."""

    def __init__(
        self, clouds: Clouds, scales: Sequence[ObjectiveScale], columns: Sequence[int]
    ) -> None:
        offsets = np.array([scale.offset for scale in scales])
        widths = np.array([scale.scale for scale in scales])
        options, others, chosen, begin = [], [], [], 0
        for cloud, row in zip(clouds.values, clouds.chosen, strict=True):
            offered = np.flatnonzero(on_offer(cloud))
            rejected = offered[offered != row]
            options.append((cloud[:, columns] - offsets) / widths)
            others.append(begin + rejected)
            chosen.append(np.full(len(rejected), begin + row))
            begin += len(cloud)
        self._options = torch.from_numpy(np.concatenate(options).astype(np.float32))  # (T, M)
        self._others, self._chosen = np.concatenate(others), np.concatenate(chosen)

    def __len__(self) -> int:
        return len(self._others)

    def batches(
        self, size: int, order: npt.NDArray[np.intp] | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Chosen and other options of so many pairs, each (size, M)."""
        order = np.arange(len(self)) if order is None else order
        # Gathering is cheap in large pieces, and whole numbers of batches lose no pair.
        piece = size * max(1, _GATHERED // size)
        for begin in range(0, len(order), piece):
            rows = order[begin : begin + piece]
            chosen = self._options[torch.from_numpy(self._chosen[rows])]
            others = self._options[torch.from_numpy(self._others[rows])]
            for at in range(0, len(rows), size):
                yield chosen[at : at + size], others[at : at + size]


class _Loop(TrainingState):
    """Network and optimiser, epoch by epoch, and the best network so far."""

    def __init__(self, recipe: PreferenceRecipe, tensors: Tensors) -> None:
        self._recipe = recipe
        with torch.random.fork_rng(devices=[]):
            network = PreferenceNetwork(tensors["f1.weight"].shape[1])
        load_tensors(network, tensors, "the first parameters")
        super().__init__(network, recipe.learning_rate)

    def run(self, number: int, training: _Pairs, validation: _Pairs, history: list[Epoch]) -> Epoch:
        """Run one epoch."""
        recipe = self._recipe
        order = np.random.default_rng([recipe.seed, number]).permutation(len(training))
        total = 0.0
        for chosen, others in training.batches(recipe.batch, order):
            loss = self._losses(chosen, others)
            self.optimizer.zero_grad(set_to_none=True)
            loss.mean().backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += float(loss.detach().sum())
        with torch.inference_mode():
            parts = [float(self._losses(*b).sum()) for b in validation.batches(_GATHERED)]
        error = sum(parts) / len(validation)
        best = self.is_best(error, history)
        rate = recipe.learning_rate
        return Epoch(number, total / len(training), error, rate, best=best)

    def _losses(self, chosen: Tensor, others: Tensor) -> Tensor:
        """Loss of each pair, shape (B,)."""
        scores = self.network(torch.cat([chosen, others]))
        return functional.margin_ranking_loss(
            scores[: len(chosen)],
            scores[len(chosen) :],
            torch.ones(1),  # the first is to score higher
            margin=self._recipe.margin,
            reduction="none",
        )


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Threads would sum in another order, and are slower on matrices of 10 × 256."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
