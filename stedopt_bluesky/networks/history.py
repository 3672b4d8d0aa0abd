"""How a training went: its epochs, when to stop it, and its checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stedopt_bluesky.errors import in_one_line
from stedopt_bluesky.networks.weights import WeightsError


@dataclass(frozen=True)
class Epoch:
    """One pass over the training data.

    Parameters
    ----------
    number : int
        From 1.
    training_loss, validation_loss : float
        In the loss's own unit; what is stopped by is the second.
    learning_rate : float
        Of the optimiser in this epoch.
    best : bool
        Whether the validation loss is the lowest so far.
    """

    number: int
    training_loss: float
    validation_loss: float
    learning_rate: float
    best: bool


Observe = Callable[[Epoch], None]


class TrainingError(ValueError):
    """A training that cannot begin or go on; one line that says what to change."""


def has_stalled(history: list[Epoch], patience: int) -> bool:
    """Whether the last ``patience`` epochs have brought nothing."""
    return len(history) > patience and not any(epoch.best for epoch in history[-patience:])


class Checkpoint:
    """The state of a training in a file, written after each epoch, whole or not at all.

    It is read with torch's ``weights_only=True``: tensors and plain data, nothing that runs.

    Parameters
    ----------
    path : Path or None
        The file; None: nothing is kept.
    identity : mapping
        What the training is: recipe and data. A checkpoint of another one is refused.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any]) -> None:
        self.path = path
        self._identity = dict(identity)

    def load(self) -> tuple[dict[str, Any], list[Epoch]] | None:
        """State and epochs of a training that was interrupted; None when there is none.

        Raises
        ------
        WeightsError
            When the file is damaged, or of a training with another recipe or other data.
        """
        if self.path is None or not self.path.exists():
            return None
        import torch

        try:
            kept = torch.load(self.path, map_location="cpu", weights_only=True)
            identity, state = dict(kept["identity"]), dict(kept["state"])
            history = [Epoch(**entry) for entry in kept["history"]]
        except Exception as error:  # whatever torch has against the file
            reason = in_one_line(error)[:200]
            raise WeightsError(
                f"{self.path}: a damaged checkpoint ({reason}); remove it to begin anew"
            ) from None
        for key, value in self._identity.items():
            if identity.get(key) != value:
                raise WeightsError(
                    f"{self.path}: of a training with {key} = {identity.get(key)!r}, this one has "
                    f"{value!r}; remove it to begin anew"
                )
        return state, history

    def save(self, state: Mapping[str, Any], history: list[Epoch]) -> None:
        """Replace the checkpoint.

        Raises
        ------
        TrainingError
            When it cannot be written.
        """
        if self.path is None:
            return
        import torch

        part = self.path.with_name(f"{self.path.name}.part")
        kept = {"identity": self._identity, "state": dict(state)}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            torch.save({**kept, "history": [asdict(epoch) for epoch in history]}, part)
            os.replace(part, self.path)
        except (OSError, RuntimeError) as error:  # torch has the second for a full disk
            reason = in_one_line(error)[:200]
            raise TrainingError(f"{self.path}: cannot be written ({reason})") from None

    def remove(self) -> None:
        """Remove the file, when the training has ended and its weights are written."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
