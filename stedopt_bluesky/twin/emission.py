"""What the twin's lasers emit, and a log of what they emitted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)  # a long run has tens of thousands of them
class EmissionRecord:
    """One laser, on without a break for one channel of one frame.

    Parameters
    ----------
    measurement, configuration : str
        Names of what was run.
    laser : str
        Laser id, for example ``"LAS6"``.
    power_W : float
        Power at the back aperture, in W.
    start_s, end_s : float
        Switched on and off, `time.monotonic`, in s.
    duration_s : float
        Scan time in between, in s: what the sample got, also when the twin computes faster
        than it would scan.
    """

    measurement: str
    configuration: str
    laser: str
    power_W: float
    start_s: float
    end_s: float
    duration_s: float


class Emission:
    """The state of the lasers: off, but for the time inside `switched_on`.

    Parameters
    ----------
    lasers : sequence of str
        Ids of all lasers.
    scan_clock : callable
        Gives the scan time that has passed, in s.
    """

    def __init__(self, lasers: Sequence[str], scan_clock: Callable[[], float]) -> None:
        self._lasers = tuple(lasers)
        self._scan_clock = scan_clock
        self._now: dict[str, float] = {}
        self._log: list[EmissionRecord] = []
        self._lock = threading.Lock()

    @property
    def emitting(self) -> dict[str, float]:
        """Power at the back aperture per laser id at this moment, in W."""
        with self._lock:
            return {laser: self._now.get(laser, 0.0) for laser in self._lasers}

    @property
    def log(self) -> list[EmissionRecord]:
        """A copy of the records so far, in the order the lasers went off."""
        with self._lock:
            return list(self._log)

    @contextmanager
    def switched_on(
        self, measurement: str, configuration: str, powers_W: Mapping[str, float]
    ) -> Iterator[None]:
        """Let the lasers emit inside the context; they are off however it is left.

        Parameters
        ----------
        measurement, configuration : str
            Names for the log.
        powers_W : mapping
            Power per laser id, in W; only those that emit.
        """
        start_s, scan_start_s = time.monotonic(), self._scan_clock()
        with self._lock:
            self._now = dict(powers_W)
        try:
            yield
        finally:
            end_s, duration_s = time.monotonic(), self._scan_clock() - scan_start_s
            with self._lock:
                self._now = {}
                self._log += [
                    EmissionRecord(
                        measurement, configuration, laser, power_W, start_s, end_s, duration_s
                    )
                    for laser, power_W in powers_W.items()
                ]
