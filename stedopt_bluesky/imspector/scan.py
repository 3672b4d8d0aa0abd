"""One scan: start it, be told by Imspector that it has ended, read its image.

Completion is the vendor's end-of-measurement signal, not a poll; a deadline
stands behind it for the day that the signal does not come. The signal does not
say which scan has ended: one that comes while Imspector still scans is an
earlier scan's, and not believed.
"""

from __future__ import annotations

import contextlib
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
# After a signal that was not believed, Imspector is asked again: its status may lag.
_RECHECK_S = 0.2
# A scan that was told to stop has ended within a line; longer than this nobody waits.
_STOP_GRACE_S = 2.0


class ScanError(RuntimeError):
    """A scan that did not give an image."""


class ScanStoppedError(ScanError):
    """A scan that was abandoned by :meth:`Scans.stop`."""


class BadImageError(ScanError):
    """A scan that ended and left no usable image; the next one may."""


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
        # Start and stop exclude one another: after a stop nothing starts.
        self._lock = threading.Lock()
        self._running = False
        # One object for both ways: each ``self._on_end`` is another one, and what
        # SpecPy compares when it disconnects is not documented.
        self._callback = self._on_end

    def connect(self) -> None:
        """Ask Imspector to tell when a measurement ends."""
        self._stopped.clear()
        self._instrument.application.connect_measurement_cb(
            self._callback, MeasurementSignal.end_measurement
        )

    def disconnect(self) -> None:
        """Stop being told."""
        self._instrument.application.disconnect_measurement_cb(
            self._callback, MeasurementSignal.end_measurement
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
        ScanStoppedError
            When :meth:`stop` was called, before or in the scan.
        BadImageError
            When the scan ended and left no stack, or one that is not of the shape that was
            asked for, or not of whole numbers.
        ScanError
            When the scan did not begin or exceeded the deadline.
        """
        frames = self.acquire_frames(configuration, deadline_s)
        if len(frames) != 1:
            raise BadImageError(f"{configuration} scan: expected one frame, got {len(frames)}")
        image: npt.NDArray[np.int16] = frames[0].copy()
        return image

    def acquire_frames(self, configuration: str, deadline_s: float) -> npt.NDArray[np.int16]:
        """Scan all frames of a configuration and return them, as `acquire` does one.

        Returns
        -------
        ndarray of int16, shape (T, Y, X)
            Photon counts, in the order of scanning.

        Raises
        ------
        ScanStoppedError, BadImageError, ScanError
            As `acquire`; also when frames are missing.
        """
        self._activate(configuration)
        self._start(configuration)
        try:
            ended = self._wait_for_end(deadline_s)
        finally:
            with self._lock:
                self._running = False
        if self._stopped.is_set():
            raise ScanStoppedError(f"{configuration} scan: stopped")
        if not ended:
            # Of an Imspector that has died nothing else is to be expected.
            with contextlib.suppress(RuntimeError):
                self._instrument.application.pause(self._instrument.measurement)
            raise ScanError(
                f"{configuration} scan: Imspector did not report its end within {deadline_s:.3g} s"
            )
        return self._frames(configuration)

    def _frames(self, configuration: str) -> npt.NDArray[np.int16]:
        """Return the frames that the scan has left, after a look at them."""
        try:
            data = self._instrument.configuration(configuration).stack(0).data()
        except RuntimeError as error:
            raise BadImageError(f"{configuration} scan: no image: {error}") from error
        if data.ndim != 4 or data.shape[0] < 1 or data.shape[1] < 1:
            raise BadImageError(
                f"{configuration} scan: expected a stack (T, Z, Y, X), got {data.shape}"
            )
        # The vendor's array is a view of a buffer that the next scan overwrites.
        # Time may be the third axis or the fourth.
        times = self._instrument.frames(configuration)
        image = np.array(data if times > 1 else data[:1, :1], order="C")
        image = image.reshape(-1, *data.shape[2:])
        if image.shape[1:] != (expected := self._instrument.image_shape(configuration)):
            raise BadImageError(
                f"{configuration} scan: expected {expected[0]} × {expected[1]} pixels, got "
                f"{image.shape[1]} × {image.shape[2]}: lines are missing"
            )
        if len(image) != times:
            raise BadImageError(f"{configuration} scan: expected {times} frames, got {len(image)}")
        counts = image.astype(np.int16) if np.isfinite(image).all() else image
        if not np.array_equal(counts, image):
            raise BadImageError(
                f"{configuration} scan: expected counts of 16 bits, got {image.dtype} from "
                f"{image.min():g} to {image.max():g}"
            )
        return counts.astype(np.int16, copy=False)

    def _start(self, configuration: str) -> None:
        with self._lock:
            if self._stopped.is_set():
                raise ScanStoppedError(f"{configuration} scan: stopped before it began")
            self._ended.clear()
            try:
                self._instrument.application.start(self._instrument.measurement)
            except RuntimeError as error:
                raise ScanError(f"{configuration} scan: cannot be started: {error}") from error
            self._running = True

    def _wait_for_end(self, deadline_s: float) -> bool:
        """Wait until the scan in progress has ended; False when it has not in time."""
        until = time.monotonic() + deadline_s
        patience_s = deadline_s
        told = False
        while (left_s := until - time.monotonic()) > 0:
            told |= self._ended.wait(min(left_s, patience_s))
            self._ended.clear()
            if told and not self._instrument.scanning():
                return True
            patience_s = _RECHECK_S
            if self._stopped.is_set():
                until = min(until, time.monotonic() + _STOP_GRACE_S)
        return False

    def _activate(self, configuration: str) -> None:
        target = self._instrument.configuration(configuration)
        for attempt in range(_ACTIVATION_TRIES):
            try:
                self._instrument.measurement.activate(target)
            except RuntimeError as error:
                if attempt == _ACTIVATION_TRIES - 1:
                    raise ScanError(
                        f"{configuration} scan: cannot be activated: {error}"
                    ) from error
                time.sleep(_ACTIVATION_RETRY_S)
            else:
                return

    def stop(self) -> None:
        """Abandon the scan in progress, from any thread, and refuse later ones.

        :meth:`connect` allows scans again.
        """
        self._stopped.set()
        with self._lock:
            if self._running:
                self._instrument.application.pause(self._instrument.measurement)
                # Imspector need not report the end of a scan that was paused.
                self._ended.set()
