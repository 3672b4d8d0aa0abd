"""The preference network (SNN): an option's objectives in, a score out; the highest is chosen.

The published layout (Durand et al., Nat. Commun. 9:5247, 2018, and its program): two layers of
ten neurons, each followed by a rectifier, and a linear output.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from stedopt_bluesky.networks.tensors import load_tensors
from stedopt_bluesky.networks.weights import (
    ObjectiveScale,
    Weights,
    find_weights,
    load_weights,
)

FloatArray = npt.NDArray[np.float64]

NEURONS = 10
# Options of one pass: its 10 × 8192 intermediate results stay in a processor's cache.
PASS = 8192


class PreferenceNetwork(nn.Module):
    """The network. Its parameters have the published names.

    Parameters
    ----------
    objectives : int
        Number of inputs M.
    """

    def __init__(self, objectives: int) -> None:
        super().__init__()
        self.f1 = nn.Linear(objectives, NEURONS)
        self.f2 = nn.Linear(NEURONS, NEURONS)
        self.out = nn.Linear(NEURONS, 1)

    def forward(self, options: Tensor) -> Tensor:
        """Score of whitened options.

        Parameters
        ----------
        options : Tensor, shape (N, M)
            Objectives, whitened.

        Returns
        -------
        Tensor, shape (N,)
        """
        hidden = functional.relu(self.f1(options))
        hidden = functional.relu(self.f2(hidden))
        return cast(Tensor, self.out(hidden))[:, 0]


class PreferenceScorer:
    """Scores options by a preference network.

    It adds up in float64 and in the same order for each option: equal options have equal
    scores, wherever in a cloud they stand, and threads and BLAS change nothing.

    Parameters
    ----------
    weights : Weights
        Of a preference network.

    Raises
    ------
    WeightsError
        When the tensors are not those of the published layout for so many objectives.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        with torch.random.fork_rng(devices=[]):  # its first parameters, not used, are drawn
            layout = PreferenceNetwork(len(self.objectives))
        load_tensors(layout, weights.tensors, str(weights.path))
        self._layers = [
            (_float64(weights, f"{name}.weight"), _float64(weights, f"{name}.bias"))
            for name in ("f1", "f2", "out")
        ]
        self._offsets = np.array([objective.offset for objective in self.objectives])
        self._scales = np.array([objective.scale for objective in self.objectives])

    @classmethod
    def named(cls, reference: str) -> PreferenceScorer:
        """Scorer by the name of a shipped network, or by its file."""
        return cls(load_weights(find_weights(reference, "preference"), "preference"))

    @property
    def objectives(self) -> tuple[ObjectiveScale, ...]:
        """What the network sees, in the order of its inputs."""
        return self.weights.info.objectives

    def scores(self, values: npt.NDArray[np.floating]) -> FloatArray:
        """Score options; only the order of the scores means something.

        Parameters
        ----------
        values : ndarray, shape (G, M)
            Objectives in the order and the units of `objectives`.

        Returns
        -------
        ndarray of float64, shape (G,)
            NaN where an objective is NaN.

        Raises
        ------
        ValueError
            When the shape is another.
        """
        values = np.asarray(values, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.objectives):
            raise ValueError(
                f"expected options of shape (G, {len(self.objectives)}), got {values.shape}"
            )
        scores = np.empty(len(values))
        for begin in range(0, len(values), PASS):
            part = values[begin : begin + PASS]
            scores[begin : begin + PASS] = self._scored((part - self._offsets) / self._scales)
        return scores

    def _scored(self, whitened: FloatArray) -> FloatArray:
        x = np.ascontiguousarray(whitened.T)  # (inputs, G)
        (first, second, last) = self._layers
        for weight, bias in (first, second):
            # np.maximum passes NaN on.
            x = np.maximum(_linear(x, weight, bias), 0)
        scores: FloatArray = _linear(x, *last)[0]
        return scores


def _linear(x: FloatArray, weight: FloatArray, bias: FloatArray) -> FloatArray:
    """``weight @ x + bias`` added up input by input, shape (outputs, G)."""
    total = np.repeat(bias[:, None], x.shape[1], axis=1)
    for row, column in zip(x, weight.T, strict=True):
        total += column[:, None] * row
    return total


def _float64(weights: Weights, name: str) -> FloatArray:
    return np.asarray(weights.tensors[name], dtype=np.float64)
