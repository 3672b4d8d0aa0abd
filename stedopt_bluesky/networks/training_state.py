"""What every training has: a network, its optimiser, and the best parameters so far."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from stedopt_bluesky.networks.history import (
    Checkpoint,
    Epoch,
    Observe,
    TrainingError,
    has_stalled,
)
from stedopt_bluesky.networks.tensors import tensors_of
from stedopt_bluesky.networks.weights import Tensors


class TrainingState:
    """Network, Adam, and the parameters of the epoch of the lowest validation loss.

    Parameters
    ----------
    network : Module
        With its first parameters.
    learning_rate : float
        Of Adam, at the beginning.
    """

    def __init__(self, network: nn.Module, learning_rate: float) -> None:
        self.network = network
        self.optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
        self.best: Tensors = copy.deepcopy(tensors_of(network))

    @property
    def state(self) -> dict[str, Any]:
        """All that a later process needs to go on."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": {name: torch.from_numpy(np.array(t)) for name, t in self.best.items()},
        }

    def resume(self, kept: Checkpoint) -> list[Epoch]:
        """Take up what a checkpoint holds; return its epochs."""
        found = kept.load()
        if found is None:
            return []
        state, history = found
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = {name: tensor.numpy() for name, tensor in state["best"].items()}
        return history

    def train(
        self,
        run: Callable[[int, list[Epoch]], Epoch],
        kept: Checkpoint,
        *,
        epochs: int,
        patience: int,
        observe: Observe,
    ) -> list[Epoch]:
        """Run epochs until nothing is gained, from where a checkpoint is.

        Parameters
        ----------
        run : callable
            Takes an epoch's number and the epochs before it, and runs it.
        kept : Checkpoint
            Is gone on with, and kept up to date.
        epochs, patience : int
            At most so many; so many at most without a lower validation loss.
        observe : callable
            Told each epoch when it has ended.

        Raises
        ------
        TrainingError
            When a loss is not finite any more, or the checkpoint cannot be written.
        WeightsError
            When the checkpoint is damaged, or of another training.
        """
        history = self.resume(kept)
        while len(history) < epochs and not has_stalled(history, patience):
            epoch = run(len(history) + 1, history)
            if not math.isfinite(epoch.training_loss + epoch.validation_loss):
                raise TrainingError(
                    f"epoch {epoch.number}: the error is not finite any more; learning_rate = "
                    f"{epoch.learning_rate:g} is too high for these data"
                )
            history.append(epoch)
            kept.save(self.state, history)
            observe(epoch)
        return history

    def is_best(self, loss: float, history: list[Epoch]) -> bool:
        """Whether a validation loss is the lowest so far; if so, the parameters are kept."""
        lowest = min((epoch.validation_loss for epoch in history), default=math.inf)
        if loss < lowest:
            self.best = copy.deepcopy(tensors_of(self.network))
        return loss < lowest
