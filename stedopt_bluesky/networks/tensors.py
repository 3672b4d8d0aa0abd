"""Tensors of a file into a network, after a check of every name and shape."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from stedopt_bluesky.networks.weights import Tensors, WeightsError


def load_tensors(network: nn.Module, tensors: Tensors, source: str) -> None:
    """Give a network its parameters.

    Parameters
    ----------
    network : Module
        What gets them; its state says which names and shapes there are.
    tensors : mapping of str to ndarray
        Exactly those names, of those shapes.
    source : str
        Where they come from, for the message.

    Raises
    ------
    WeightsError
        When one is missing, unknown or of another shape.
    """
    wanted = network.state_dict()
    for name, tensor in wanted.items():
        if name not in tensors:
            raise WeightsError(f"{source}: tensor {name} is missing: another layout")
        if tuple(tensors[name].shape) != tuple(tensor.shape):
            raise WeightsError(
                f"{source}: tensor {name} has shape {tuple(tensors[name].shape)}, "
                f"expected {tuple(tensor.shape)}: another layout"
            )
    unknown = sorted(set(tensors) - set(wanted))
    if unknown:
        raise WeightsError(f"{source}: tensor {unknown[0]} is unknown: another layout")
    network.load_state_dict(
        {name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()}
    )


def tensors_of(network: nn.Module) -> dict[str, npt.NDArray[np.generic]]:
    """Parameters and buffers of a network as arrays, by their published names."""
    return {
        name: tensor.detach().cpu().contiguous().numpy()
        for name, tensor in network.state_dict().items()
    }
