"""A stack of the twin: one channel's counts with SpecPy's surface."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.imspector.api import ParameterValue
from stedopt_bluesky.twin.scan import ScanPlan
from stedopt_bluesky.twin.value_tree import ParameterError, ParameterTree


class TwinStack:
    """Photon counts of one channel of one configuration.

    Running the configuration again replaces the data; what `data` returned before stays.

    Parameters
    ----------
    name : str
        For example ``"Ch1 {0}"``: the channel's name and the configuration's number.
    plan : ScanPlan
        What is scanned.
    parameters : mapping
        Parameter trees at the acquisition: ``doc`` (measurement) and ``hwr`` (hardware).
    """

    def __init__(self, name: str, plan: ScanPlan, parameters: Mapping[str, Any]) -> None:
        self._name = name
        self._lock = threading.Lock()
        self.begin(plan, parameters)

    def begin(self, plan: ScanPlan, parameters: Mapping[str, Any]) -> None:
        """Start anew with zeros and the parameters of a new acquisition."""
        with self._lock:
            self._plan = plan
            self._tree = ParameterTree(parameters, read_only=True)
            # The axes' order is reversed: the fastest one, X, is the last of the array.
            self._data = np.zeros(plan.sizes[::-1], dtype=np.int16)

    def write_lines(self, frame: int, counts: npt.NDArray[np.int16]) -> None:
        """Put the first lines of a frame, shape (lines, X), into it."""
        with self._lock:
            frames = self._data.reshape(-1, *self._plan.shape)
            frames[frame, : len(counts)] = counts

    def name(self) -> str:
        """Return the stack's name."""
        return self._name

    def data(self) -> npt.NDArray[np.int16]:
        """Return a copy of the counts, shape (T, Z, Y, X); lines not scanned are zero."""
        with self._lock:
            return self._data.copy()

    def shape(self) -> list[int]:
        """Return the number of pixels along X, Y, Z, T."""
        return list(self._plan.sizes)

    def lengths(self) -> list[float]:
        """Return the lengths along X, Y, Z, T, in m."""
        return list(self._plan.lengths)

    def offsets(self) -> list[float]:
        """Return the corner along X, Y, Z, T, in m."""
        return list(self._plan.offsets)

    def labels(self) -> list[str]:
        """Return the names of the axes."""
        return list(self._plan.axes)

    def parameters(self, at: str) -> ParameterValue:
        """Return a copy of the parameters at the acquisition, below ``doc`` and ``hwr``.

        Raises
        ------
        RuntimeError
            When there is no such parameter.
        """
        try:
            return self._tree.get(at)
        except ParameterError:
            # A stack says it otherwise than a measurement (seen with SpecPy 2026.20).
            raise RuntimeError(f"No property '{at}'") from None
