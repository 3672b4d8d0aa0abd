"""One scan: start it, be told by Imspector that it has ended, read its images.

Completion is the vendor's end-of-measurement signal, not a poll; a deadline
stands behind it for the day that the signal does not come. The signal does not
say which scan has ended: one that comes while Imspector still scans is an
earlier scan's, and not believed. The interlock is looked at before a scan, whenever
Imspector reports progress, and after it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.imspector.api import MeasurementSignal
from stedopt_bluesky.imspector.instrument import Instrument
from stedopt_bluesky.imspector.interlock import InterlockOpenError

# Activation sometimes fails right after another change and works 50 ms later
# (seen in programs used with Imspector 16.3).
_ACTIVATION_TRIES = 3
_ACTIVATION_RETRY_S = 0.05
# After a signal that was not believed, Imspector is asked again: its status may lag.
_RECHECK_S = 0.2
# A scan that was told to stop has ended within a line; longer than this nobody waits.
_STOP_GRACE_S = 2.0
_LOOK_EVERY_S = 0.02


class ScanError(RuntimeError):
    """A scan that did not give an image."""


class ScanStoppedError(ScanError):
    """A scan that was abandoned by :meth:`Scans.stop`."""


class BadImageError(ScanError):
    """A scan that ended and left no usable image, or not one with the powers that were set."""


class Scans:
    """Runs scans of an instrument's measurement one after another.

    Between :meth:`connect` and :meth:`disconnect` Imspector tells when a scan ends.

    Parameters
    ----------
    instrument : Instrument
        What is scanned with.
    on_step : callable, optional
        Called, without arguments, when Imspector has reported a step of a scan.
    """

    def __init__(self, instrument: Instrument, on_step: Callable[[], None] | None = None) -> None:
        self._instrument = instrument
        self._on_step = on_step
        # Wakes up who waits for the end; whether Imspector has told of one.
        self._woken = threading.Event()
        self._told = False
        self._stopped = threading.Event()
        # Start and stop exclude one another: after a stop nothing starts.
        self._lock = threading.Lock()
        self._running = False
        # One object for both ways: each ``self._on_end`` is another one, and what
        # SpecPy compares when it disconnects is not documented.
        self._callbacks = {MeasurementSignal.end_measurement: self._on_end}
        if instrument.interlock.path or on_step is not None:
            self._callbacks[MeasurementSignal.upd_step] = self._on_progress

    def connect(self) -> None:
        """Ask Imspector to tell when a measurement ends; and of its steps, where somebody looks."""
        self._stopped.clear()
        for signal, callback in self._callbacks.items():
            self._instrument.application.connect_measurement_cb(callback, signal)

    def disconnect(self) -> None:
        """Stop being told."""
        with contextlib.ExitStack() as always:
            for signal, callback in self._callbacks.items():
                always.callback(
                    self._instrument.application.disconnect_measurement_cb, callback, signal
                )

    def _on_end(self, *_: object) -> None:
        self._told = True
        self._woken.set()

    def _on_progress(self, *_: object) -> None:
        # Imspector waits for its callbacks: it is not asked anything from here.
        self._woken.set()

    def acquire(
        self, configuration: str, deadline_s: float, frames: int = 1
    ) -> list[npt.NDArray[np.int16]]:
        """Scan once and return the images. Blocks; call it outside of the RunEngine's thread.

        Parameters
        ----------
        configuration : str
            Name of the configuration to scan with.
        deadline_s : float
            Longest time to wait for the end-of-measurement signal, s.
        frames : int
            Frames that the configuration scans, of which each image is the sum.

        Returns
        -------
        list of ndarray of int16, each of shape (Y, X)
            Photon counts, channel by channel; a sum beyond 32,767 is held there, as Imspector
            holds its own counts.

        Raises
        ------
        ScanStoppedError
            When :meth:`stop` was called, before or in the scan.
        BadImageError
            When the scan ended and left no stack, or one that is not of the shape that was
            asked for, or not of whole numbers; or when another program has changed a power.
        InterlockOpenError
            When the interlock is open, or was opened in the scan: the scan is over and all
            lasers are off.
        ScanError
            When the scan did not begin or exceeded the deadline.
        """
        stacks = self._scanned(configuration, deadline_s)
        for stack in stacks:
            if len(stack) != frames:
                raise BadImageError(
                    f"{configuration} scan: expected frames = {frames}, got {len(stack)}"
                )
        if frames == 1:
            return [stack[0].copy() for stack in stacks]
        most = np.iinfo(np.int16).max
        return [
            np.minimum(stack.sum(axis=0, dtype=np.int64), most).astype(np.int16) for stack in stacks
        ]

    def acquire_frames(self, configuration: str, deadline_s: float) -> npt.NDArray[np.int16]:
        """Scan all frames of a configuration and return the first channel's, as `acquire` does one.

        Returns
        -------
        ndarray of int16, shape (T, Y, X)
            Photon counts, in the order of scanning.

        Raises
        ------
        ScanStoppedError, BadImageError, ScanError, InterlockOpenError
            As `acquire`; also when frames are missing.
        """
        return self._scanned(configuration, deadline_s)[0]

    def _scanned(self, configuration: str, deadline_s: float) -> list[npt.NDArray[np.int16]]:
        """Scan and return the frames (T, Y, X) of each channel."""
        self._activate(configuration)
        try:
            self._start(configuration)
            ended = self._wait_for_end(deadline_s)
            if not self._stopped.is_set():
                self._check_interlock()
        except BaseException as error:
            # Whatever has gone wrong here: the scan must not go on without anybody.
            with contextlib.suppress(RuntimeError):
                self._instrument.application.pause(self._instrument.measurement)
            if isinstance(error, InterlockOpenError):
                self._instrument.lasers_off()
            self._wait_until_idle()
            raise
        finally:
            with self._lock:
                self._running = False
        if self._stopped.is_set():
            raise ScanStoppedError(f"{configuration} scan: stopped")
        if not ended:
            answer = ""
            try:
                self._instrument.application.pause(self._instrument.measurement)
            except RuntimeError as error:  # nothing else is to be expected of one that has died
                answer = f", and cannot be told to stop it: {error}"
            raise ScanError(
                f"{configuration} scan: Imspector did not report its end within "
                f"{deadline_s:.3g} s{answer}"
            )
        if why := self._instrument.application.gate.why_not():
            raise ScanError(f"{configuration} scan: not to be trusted: {why}")
        if why := self._instrument.powers_changed(configuration):
            raise BadImageError(f"{configuration} scan: {why}")
        channels = range(self._instrument.channels)
        return [self._frames(configuration, channel) for channel in channels]

    def _check_interlock(self) -> None:
        if why := self._instrument.interlock_open():
            raise InterlockOpenError(why)

    def _frames(self, configuration: str, channel: int) -> npt.NDArray[np.int16]:
        """Return the frames that the scan has left in a channel, after a look at them."""
        what = f"{configuration} scan" + (f", channel {channel}" if channel else "")
        try:
            data = self._instrument.configuration(configuration).stack(channel).data()
        except RuntimeError as error:
            raise BadImageError(f"{what}: no image: {error}") from error
        if data.ndim != 4 or data.shape[0] < 1 or data.shape[1] < 1:
            raise BadImageError(f"{what}: expected a stack (T, Z, Y, X), got {data.shape}")
        # The vendor's array is a view of a buffer that the next scan overwrites.
        # Time may be the third axis or the fourth.
        times = self._instrument.frames(configuration)
        image = np.array(data if times > 1 else data[:1, :1], order="C")
        image = image.reshape(-1, *data.shape[2:])
        if image.shape[1:] != (expected := self._instrument.image_shape(configuration)):
            raise BadImageError(
                f"{what}: expected {expected[0]} × {expected[1]} pixels, got "
                f"{image.shape[1]} × {image.shape[2]}: lines are missing"
            )
        if len(image) != times:
            raise BadImageError(f"{what}: expected {times} frames, got {len(image)}")
        if image.dtype == np.int16:
            return image
        counts = image.astype(np.int16) if np.isfinite(image).all() else image
        if not np.array_equal(counts, image):
            raise BadImageError(
                f"{what}: expected counts of 16 bits, got {image.dtype} from "
                f"{image.min():g} to {image.max():g}"
            )
        return counts.astype(np.int16, copy=False)

    def _start(self, configuration: str) -> None:
        with self._lock:
            if self._stopped.is_set():
                raise ScanStoppedError(f"{configuration} scan: stopped before it began")
            self._told = False
            self._woken.clear()
            # Before the start: it may have begun also when the call fails.
            self._running = True
            try:
                self._instrument.application.start(self._instrument.measurement)
            except InterlockOpenError:
                raise
            except RuntimeError as error:
                raise ScanError(f"{configuration} scan: cannot be started: {error}") from error

    def _wait_for_end(self, deadline_s: float) -> bool:
        """Wait until the scan in progress has ended; False when it has not in time.

        Raises
        ------
        InterlockOpenError
            When the interlock has been opened meanwhile.
        """
        until = time.monotonic() + deadline_s
        patience_s = deadline_s
        while (left_s := until - time.monotonic()) > 0:
            self._woken.wait(min(left_s, patience_s))
            self._woken.clear()
            if self._told and not self._instrument.scanning():
                return True
            if self._told:
                patience_s = _RECHECK_S
            elif self._on_step is not None:
                self._on_step()
            if self._stopped.is_set():
                until = min(until, time.monotonic() + _STOP_GRACE_S)
            else:
                self._check_interlock()
        return False

    def _wait_until_idle(self) -> None:
        """Wait until a scan that was told to stop has stopped, but not for ever."""
        until = time.monotonic() + _STOP_GRACE_S
        while self._instrument.scanning() and time.monotonic() < until:
            self._woken.wait(_LOOK_EVERY_S)
            self._woken.clear()

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
                self._told = True
                self._woken.set()
