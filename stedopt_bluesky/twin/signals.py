"""Measurement signals: who is called when a measurement begins, advances and ends."""

from __future__ import annotations

import logging
import threading

from stedopt_bluesky.imspector.api import MeasurementCallback, MeasurementSignal

_log = logging.getLogger(__name__)


class MeasurementSignals:
    """The callbacks of one application, by signal.

    A callback gets no argument: SpecPy declares it as ``void ()``. It is called from the
    acquisition's thread; an exception in it is logged and stops nothing.
    """

    def __init__(self) -> None:
        self._callbacks: dict[MeasurementSignal, list[MeasurementCallback]] = {
            signal: [] for signal in MeasurementSignal
        }
        self._lock = threading.Lock()

    def connect(self, callback: MeasurementCallback, to: int) -> bool:
        """Add a callback; False when it is connected already.

        Raises
        ------
        RuntimeError
            When it cannot be called, or there is no such signal.
        """
        if not callable(callback):
            raise RuntimeError(f"a measurement callback must be callable, got {callback!r}")
        callbacks = self._of(to)
        with self._lock:
            if callback in callbacks:
                return False
            callbacks.append(callback)
            return True

    def disconnect(self, callback: MeasurementCallback, from_: int) -> bool:
        """Remove a callback; False when it was not connected."""
        callbacks = self._of(from_)
        with self._lock:
            if callback not in callbacks:
                return False
            callbacks.remove(callback)
            return True

    def emit(self, signal: MeasurementSignal) -> None:
        """Call the callbacks of a signal in the order they were connected."""
        with self._lock:
            callbacks = tuple(self._callbacks[signal])
        for callback in callbacks:
            try:
                callback()
            except Exception:
                _log.exception("callback %r of signal %s failed", callback, signal.name)

    def _of(self, signal: int) -> list[MeasurementCallback]:
        try:
            return self._callbacks[MeasurementSignal(signal)]
        except ValueError:
            raise RuntimeError(f"there is no measurement signal {signal!r}") from None


def end_signal(flag: int) -> MeasurementSignal:
    """Return the signal of a flag of the older ``connect_end``: measurement (0) or step (1).

    Raises
    ------
    RuntimeError
        When the flag is another one.
    """
    if flag not in (0, 1):
        raise RuntimeError(f"flag must be 0 (measurement) or 1 (step), got {flag!r}")
    return MeasurementSignal.end_step if flag else MeasurementSignal.end_measurement
