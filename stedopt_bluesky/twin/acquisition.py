"""One acquisition of the twin: a thread that scans line by line, signals and stops when told."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.imspector.api import MeasurementResult, MeasurementSignal, ParameterValue
from stedopt_bluesky.twin.emission import Emission
from stedopt_bluesky.twin.instrument import LaserUnit, effective_powers
from stedopt_bluesky.twin.labels import Label
from stedopt_bluesky.twin.photophysics import (
    Exposure,
    LitLabel,
    Optics,
    expose_labels,
    scan_time_s,
)
from stedopt_bluesky.twin.scan import ChannelScan, ScanPlan
from stedopt_bluesky.twin.signals import MeasurementSignals
from stedopt_bluesky.twin.stack import TwinStack

_log = logging.getLogger(__name__)

# Blocks of lines per frame: as many updates of the progress, and chances to stop, as a scan
# has when it takes no time. The counts of all of them are computed together at the end:
# block by block, photobleaching would draw seams between them.
BLOCKS = 4

Expose = Callable[
    [Exposure, Sequence[LitLabel], Optics, np.random.Generator], npt.NDArray[np.int16]
]


# From the numbers of a frame and of a channel to the counts of a whole frame, shape (Y, X).
Frames = Callable[[int, int], npt.NDArray[np.int16]]


class Recording(Protocol):
    """Counts that come from elsewhere than from a sample."""

    def begin(
        self, configuration: str, parameters: Mapping[str, ParameterValue], plan: ScanPlan
    ) -> Frames:
        """Return what the scan of a configuration counts, by all configurations' parameters.

        Raises
        ------
        RuntimeError
            When there is nothing for it: the scan does not begin.
        """


class ScanClock:
    """Scan time that has passed, in s: what the scans so far would take at the microscope."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def __call__(self) -> float:
        """Return the scan time so far, in s."""
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Let scan time pass (one acquisition at a time does)."""
        self._seconds += seconds


@dataclass(frozen=True)
class Bench:
    """What every acquisition of an application shares.

    Parameters
    ----------
    labels : tuple of Label
        The sample, dye by dye; exposures photobleach it.
    lasers : tuple of LaserUnit
        The lasers.
    optics : Optics
        The microscope's optics.
    emission : Emission
        The lasers.
    clock : ScanClock
        Scan time.
    signals : MeasurementSignals
        Who is told.
    real_time : bool
        Whether scans take their true time.
    expose : callable
        The photophysics: `stedopt_bluesky.twin.photophysics.expose_labels`.
    """

    labels: tuple[Label, ...]
    lasers: tuple[LaserUnit, ...]
    optics: Optics
    emission: Emission
    clock: ScanClock
    signals: MeasurementSignals
    real_time: bool
    expose: Expose = expose_labels


class Acquisition:
    """One run of one configuration, in a thread of its own.

    The order of signals is ``beg_measurement``, per frame ``beg_step``, ``upd_step`` for every
    block of lines and ``end_step``, then ``end_measurement`` exactly once. When it comes, the
    lasers are off, the data are final and the next acquisition may start. Lines that a
    stop left out are zero and not photobleached.

    Parameters
    ----------
    bench : Bench
        Sample, lasers and the rest.
    names : tuple of str
        Names of the measurement and of the configuration, for the log.
    plan : ScanPlan
        What is scanned.
    stacks : sequence of TwinStack
        One per channel of the plan.
    rng : numpy.random.Generator
        The noise of this acquisition.
    frames : callable, optional
        What is counted, in place of the sample's light.
    """

    def __init__(
        self,
        bench: Bench,
        names: tuple[str, str],
        plan: ScanPlan,
        stacks: Sequence[TwinStack],
        rng: np.random.Generator,
        frames: Frames | None = None,
    ) -> None:
        self._frames = frames
        self._bench = bench
        self._names = names
        self._plan = plan
        self._stacks = tuple(stacks)
        self._rng = rng
        self._lines_done = 0
        self._cancelled = threading.Event()
        self._idle = threading.Event()
        self._done = threading.Event()
        self._error: Exception | None = None
        # A daemon: a session that ends does not wait for a scan.
        self.thread = threading.Thread(target=self._run, name="twin acquisition", daemon=True)

    @property
    def running(self) -> bool:
        """Whether it still scans; False from before the end signal on."""
        return not self._idle.is_set()

    @property
    def fraction(self) -> float:
        """Share of the lines that are scanned, 0 to 1."""
        plan = self._plan
        return self._lines_done / (plan.frames * len(plan.channels) * plan.shape[0])

    def start(self) -> None:
        """Begin to scan and return at once."""
        self.thread.start()

    def cancel(self) -> None:
        """Stop scanning and return at once; the end signal follows."""
        self._cancelled.set()

    def wait_idle(self) -> None:
        """Wait until the lasers are off and the data are final."""
        self._idle.wait()

    def result(self) -> MeasurementResult:
        """Wait for the end, callbacks included, and return how it came.

        Raises
        ------
        RuntimeError
            When the scan failed.
        """
        self._done.wait()
        if self._error is not None:
            raise RuntimeError(f"the acquisition failed: {self._error}") from self._error
        complete = self.fraction == 1
        return MeasurementResult.Success if complete else MeasurementResult.Cancelled

    def _run(self) -> None:
        emit = self._bench.signals.emit
        try:
            emit(MeasurementSignal.beg_measurement)
            for frame in range(self._plan.frames):
                if self._cancelled.is_set():
                    break
                emit(MeasurementSignal.beg_step)
                try:
                    self._scan_frame(frame)
                finally:
                    emit(MeasurementSignal.end_step)
        except Exception as error:
            _log.exception("acquisition of %s failed", "/".join(self._names))
            self._error = error
        finally:
            # Idle first: whoever hears of the end may start the next acquisition.
            self._idle.set()
            emit(MeasurementSignal.end_measurement)
            self._done.set()

    def _scan_frame(self, frame: int) -> None:
        """Scan the channels of a frame, one after the other."""
        for number, channel in enumerate(self._plan.channels):
            begin_s = self._bench.clock()
            with self._bench.emission.switched_on(*self._names, channel.powers_W):
                lines = self._scan_lines(channel)
                if not lines:
                    continue
                if self._frames is None:
                    counts = self._counts(channel, lines, begin_s)
                else:
                    counts = self._frames(frame, number)[:lines]
                self._stacks[number].write_lines(frame, counts)

    def _scan_lines(self, channel: ChannelScan) -> int:
        """Let the beam pass over a frame; return how many lines it came to before a stop."""
        height = self._plan.shape[0]
        line_s = scan_time_s(self._plan.exposure(channel, 1))
        scanned = 0
        # A frame of fewer lines than blocks has fewer blocks.
        for edge in sorted({height * (block + 1) // BLOCKS for block in range(BLOCKS)} - {0}):
            if self._cancelled.is_set():
                break
            lines = self._lines_in_time(edge - scanned, line_s)
            self._bench.clock.advance(lines * line_s)
            self._lines_done += lines
            scanned += lines
            self._bench.signals.emit(MeasurementSignal.upd_step)
        return scanned

    def _lines_in_time(self, lines: int, line_s: float) -> int:
        """Wait for lines to be scanned, in real time at need; return how many were."""
        if not self._bench.real_time:
            return lines
        begin = time.monotonic()
        if not self._cancelled.wait(lines * line_s):
            return lines
        return min(lines, int((time.monotonic() - begin) / line_s))

    def _counts(
        self, channel: ChannelScan, lines: int, scan_time_s: float
    ) -> npt.NDArray[np.int16]:
        """Expose the sample to the first lines of a frame and return the counts."""
        bench = self._bench
        exposure = self._plan.exposure(channel, lines)
        optics = channel.detection.optics(bench.optics)
        middle_s = (scan_time_s + bench.clock()) / 2
        lit = [self._lit(label, channel, middle_s) for label in bench.labels]
        counts = bench.expose(exposure, lit, optics, self._rng)
        by_wavelength = {
            laser.wavelength_nm: channel.powers_W[laser.id]
            for laser in bench.lasers
            if laser.id in channel.powers_W
        }
        for label in bench.labels:
            if label.activity is not None:
                label.activity.exposed(exposure, by_wavelength, scan_time_s)
        return counts

    def _lit(self, label: Label, channel: ChannelScan, scan_time_s: float) -> LitLabel:
        """Return a label with what it gets of the channel's light."""
        dye, activity = label.fluorophore, label.activity
        return LitLabel(
            label.sample,
            dye,
            *effective_powers(channel.powers_W, self._bench.lasers, dye.spectrum),
            detected=channel.detection.share(dye),
            brightness=None if activity is None else activity.brightness(scan_time_s),
        )
