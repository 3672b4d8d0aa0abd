"""One scan: start it, be told by Imspector that it has ended, read its image.

Completion is the vendor's end-of-measurement signal, never a poll; a deadline
stands behind it for the day that the signal does not come.
"""

from __future__ import annotations

import threading
import time

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.imspector.api import MeasurementSignal
from stedopt_bluesky.imspector.instrument import Instrument

# Activation sometimes fails right after another change and works 50 ms later
# (seen in programs used with Imspector 16.3).
_ACTIVATION_TRIES = 3
_ACTIVATION_RETRY_S = 0.05


class ScanError(RuntimeError):
    """A scan that did not give an image."""


class Scans:
    """Runs scans of an instrument's measurement one after another.

    Between :meth:`connect` and :meth:`disconnect` Imspector tells when a scan ends.

    Parameters
    ----------
    instrument : Instrument
        What is scanned with.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._ended = threading.Event()
        self._stopped = threading.Event()
        self._running = threading.Event()

    def connect(self) -> None:
        """Ask Imspector to tell when a measurement ends."""
        self._stopped.clear()
        self._instrument.application.connect_measurement_cb(
            self._on_end, MeasurementSignal.end_measurement
        )

    def disconnect(self) -> None:
        """Stop being told."""
        self._instrument.application.disconnect_measurement_cb(
            self._on_end, MeasurementSignal.end_measurement
        )

    def _on_end(self, *_: object) -> None:
        self._ended.set()

    def acquire(self, configuration: str, deadline_s: float) -> npt.NDArray[np.int16]:
        """Scan once and return the image. Blocks; call it outside of the RunEngine's thread.

        Parameters
        ----------
        configuration : str
            Name of the configuration to scan with.
        deadline_s : float
            Longest time to wait for the end-of-measurement signal, s.

        Returns
        -------
        ndarray of int16, shape (Y, X)
            Photon counts.

        Raises
        ------
        ScanError
            When the scan was stopped, exceeded the deadline or left no 2-D image.
        """
        if self._stopped.is_set():
            raise ScanError(f"{configuration} scan: stopped before it began")
        application, measurement = self._instrument.application, self._instrument.measurement
        target = self._instrument.configuration(configuration)
        self._activate(configuration)
        self._ended.clear()
        self._running.set()
        try:
            application.start(measurement)
            if not self._ended.wait(deadline_s):
                application.pause(measurement)
                raise ScanError(
                    f"{configuration} scan: Imspector did not report its end "
                    f"within {deadline_s:.3g} s"
                )
        finally:
            self._running.clear()
        if self._stopped.is_set():
            raise ScanError(f"{configuration} scan: stopped")
        data = target.stack(0).data()
        if data.ndim != 4 or data.shape[0] < 1 or data.shape[1] < 1:
            raise ScanError(
                f"{configuration} scan: expected a stack (T, Z, Y, X), got {data.shape}"
            )
        # The vendor's array is a view of a buffer that the next scan overwrites.
        return np.array(data[0, 0], dtype=np.int16, order="C")

    def _activate(self, configuration: str) -> None:
        target = self._instrument.configuration(configuration)
        for attempt in range(_ACTIVATION_TRIES):
            try:
                self._instrument.measurement.activate(target)
            except RuntimeError as error:
                if attempt == _ACTIVATION_TRIES - 1:
                    raise ScanError(f"{configuration}: cannot be activated: {error}") from error
                time.sleep(_ACTIVATION_RETRY_S)
            else:
                return

    def stop(self) -> None:
        """Abandon the scan in progress, from any thread, and refuse later ones.

        :meth:`connect` allows scans again.
        """
        self._stopped.set()
        if self._running.is_set():
            self._instrument.application.pause(self._instrument.measurement)
