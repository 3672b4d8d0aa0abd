"""The digital twin of an Imspector 16.3 at a STED microscope, with SpecPy's own surface.

What runs on `TwinApplication` runs on ``specpy.get_application()``: the same names, the
same order of arguments, `RuntimeError` for what Imspector refuses. Beyond SpecPy there
are only the means to see what a microscope does not show, `TwinApplication.emitting`,
`TwinApplication.emission_log` and `TwinApplication.scan_time_s`, and to open its interlock,
`TwinApplication.set_interlock`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from stedopt_bluesky.imspector.api import (
    Measurement,
    MeasurementCallback,
    ParameterValue,
    ValueTreeRoot,
)
from stedopt_bluesky.twin.acquisition import Acquisition, Bench, Expose, Recording, ScanClock
from stedopt_bluesky.twin.emission import Emission, EmissionRecord
from stedopt_bluesky.twin.fluorophores import FLUOROPHORES, Fluorophore
from stedopt_bluesky.twin.instrument import LASERS, LaserUnit
from stedopt_bluesky.twin.labels import Label
from stedopt_bluesky.twin.measurement import TwinMeasurement
from stedopt_bluesky.twin.parameters import (
    DRIVERS,
    VERSION,
    hardware_parameters,
    measurement_parameters,
)
from stedopt_bluesky.twin.photophysics import Optics, expose_labels
from stedopt_bluesky.twin.samples import Sample
from stedopt_bluesky.twin.scan import DETECTORS, plan_scan
from stedopt_bluesky.twin.signals import MeasurementSignals, end_signal
from stedopt_bluesky.twin.value_tree import ParameterTree, TreeValue


class TwinApplication:
    """An Imspector that scans a simulated sample.

    Parameters
    ----------
    sample : Sample or sequence of Label
        What lies under the objective; exposures photobleach it. With several dyes, a label for
        each.
    seed : int
        Seed of the noise: acquisition n draws from ``default_rng([seed, n])``.
    fluorophore : Fluorophore
        The dye of a sample that is not given as labels.
    optics : Optics, optional
        The microscope's optics.
    real_time : bool
        Scans take the time they would take at the microscope; otherwise as little as possible.
    lasers : sequence of LaserUnit
        The lasers, in the order of the parameter tree's lists.
    channels : sequence of str
        Names of the channels of a new measurement, each scanned with its own lasers.
    expose : callable
        The photophysics; another one for tests.
    recording : Recording, optional
        Where the counts come from in place of the sample and its photophysics.
    """

    def __init__(
        self,
        sample: Sample | Sequence[Label],
        *,
        seed: int = 0,
        fluorophore: Fluorophore = FLUOROPHORES["STAR635P"],
        optics: Optics | None = None,
        real_time: bool = False,
        lasers: Sequence[LaserUnit] = LASERS,
        channels: Sequence[str] = ("Ch1",),
        expose: Expose = expose_labels,
        recording: Recording | None = None,
    ) -> None:
        self._seed = seed
        self._recording = recording
        self._lasers = tuple(lasers)
        self._start = measurement_parameters(self._lasers, channels)
        self._hardware = ParameterTree(hardware_parameters(self._lasers), read_only=True)
        self._clock = ScanClock()
        self._emission = Emission([laser.id for laser in self._lasers], self._clock)
        self._signals = MeasurementSignals()
        self._bench = Bench(
            labels=((Label(sample, fluorophore),) if isinstance(sample, Sample) else tuple(sample)),
            lasers=self._lasers,
            optics=optics or Optics(),
            emission=self._emission,
            clock=self._clock,
            signals=self._signals,
            real_time=real_time,
            expose=expose,
        )
        self._lock = threading.RLock()
        self._names = count(1)
        self._acquisitions = count()
        self._measurements: list[TwinMeasurement] = []
        self._active: TwinMeasurement | None = None
        self._run: tuple[TwinMeasurement, Acquisition] | None = None
        self._interlock_closed = True
        # Where scanner and stage were left: a new measurement finds them there.
        self._position: Mapping[str, Any] = self._start

    # --- what a microscope does not show ------------------------------------------------

    @property
    def emitting(self) -> dict[str, float]:
        """Power at the back aperture per laser id at this moment, in W."""
        return self._emission.emitting

    @property
    def emission_log(self) -> list[EmissionRecord]:
        """What every laser emitted so far."""
        return self._emission.log

    @property
    def scan_time_s(self) -> float:
        """Scan time of all acquisitions so far, in s."""
        return self._clock()

    def set_interlock(self, closed: bool) -> None:
        """Open or close the interlock, as a door would: the status says so, nothing else happens.

        A real interlock cuts the light. This one leaves that to the program, so that the
        emission log shows what the program did.
        """
        self._interlock_closed = bool(closed)

    # --- SpecPy -------------------------------------------------------------------------

    def host(self) -> str:
        """Return "", as SpecPy does for an Imspector in the same process."""
        return ""

    def version(self) -> str:
        """Return the version of Imspector that the twin imitates."""
        return VERSION

    def device_drivers(self) -> ParameterValue:
        """Return the devices and the names of their drivers."""
        return dict(DRIVERS)

    def measurement_names(self) -> list[str]:
        """Return the names of the open measurements."""
        with self._lock:
            return [measurement.name() for measurement in self._measurements]

    def active_measurement(self) -> TwinMeasurement:
        """Return the active measurement (RuntimeError when none is)."""
        with self._lock:
            if self._active is None:
                raise RuntimeError("no measurement is active: create one or activate one")
            return self._active

    def measurement(self, name: str) -> TwinMeasurement:
        """Return an open measurement by its name (RuntimeError when there is none)."""
        with self._lock:
            for measurement in self._measurements:
                if measurement.name() == name:
                    return measurement
            raise RuntimeError(f"no measurement {name!r} is open, only {self.measurement_names()}")

    def create_measurement(self) -> TwinMeasurement:
        """Open and activate a new measurement with one configuration and all lasers off."""
        with self._lock:
            measurement = self._opened(self._start)
            scan_range = "ExpControl/scan/range"
            position = self._last_position()["ExpControl"]["scan"]["range"]
            measurement.set_parameters(
                scan_range,
                {
                    axis: {"g_off": position[axis]["g_off"]}
                    for axis in ("x", "y", "z", "coarse_x", "coarse_y", "coarse_z")
                },
            )
            self._activate(measurement)
            return measurement

    def clone_measurement(self, clone_source: Measurement) -> TwinMeasurement:
        """Open and activate a copy of a measurement's configurations, without its stacks."""
        with self._lock:
            source = self._own(clone_source)
            copies = [
                source.configuration(i).parameters("")
                for i in range(source.number_of_configurations())
            ]
            measurement = self._opened(copies[0])
            for parameters in copies[1:]:
                added = measurement.clone(measurement.configuration(0))
                added.set_parameters("", parameters)
            self._activate(measurement)
            return measurement

    def activate(self, that: Measurement) -> None:
        """Make an open measurement the active one."""
        with self._lock:
            self._activate(self._own(that))

    def start(self, that: Measurement) -> None:
        """Begin to acquire the active configuration and return at once.

        Raises
        ------
        RuntimeError
            When the measurement is closed or not active, one is running already, or the
            parameters ask for a scan that the twin does not simulate.
        """
        self._started(that)

    def run(self, that: Measurement) -> int:
        """Acquire the active configuration; return ``MeasurementResult`` at the end.

        Raises
        ------
        RuntimeError
            As `start`, or when the acquisition fails.
        """
        acquisition = self._started(that)
        try:
            return acquisition.result()
        except BaseException:
            # Nobody waits any longer (Ctrl-C): the lasers must not go on.
            acquisition.cancel()
            raise

    def pause(self, that: Measurement | None = None) -> None:
        """Stop a running measurement at once; its result is ``Cancelled``.

        The lines scanned so far stay. Nothing happens when it is not running.
        """
        with self._lock:
            if self._run is not None and (that is None or that is self._run[0]):
                self._run[1].cancel()

    def close(self, that: Measurement) -> None:
        """Close a measurement; a running one is stopped first. No other becomes active."""
        with self._lock:
            measurement = self._own(that)
            running = self._run if self._is_running(measurement) else None
        if running is not None:
            running[1].cancel()
            if threading.current_thread() is not running[1].thread:
                running[1].wait_idle()
        with self._lock:
            if measurement in self._measurements:
                self._measurements.remove(measurement)
            if self._active is measurement:
                self._position = measurement.parameters("")
                self._active = None
            measurement.mark_closed()

    def value_at(self, path: str, root: int = ValueTreeRoot.Measurement) -> TreeValue:
        """Return the node at ``path`` of a tree; the path is checked when it is used.

        Raises
        ------
        RuntimeError
            When there is no such tree.
        """
        if root == ValueTreeRoot.Measurement:
            return TreeValue(lambda: self.active_measurement().active_configuration().tree, path)
        if root == ValueTreeRoot.Status:
            return TreeValue(self._status, path)
        if root == ValueTreeRoot.Hardware:
            return TreeValue(lambda: self._hardware, path)
        raise RuntimeError(f"there is no value tree {root!r}")

    def connect_measurement_cb(self, cb: MeasurementCallback, to: int, timeout_ms: int = 0) -> bool:
        """Have ``cb()`` called at a signal; False when it is connected already.

        SpecPy declares the callback as ``void ()``: it gets no argument. ``timeout_ms``
        bounds the connection to a remote Imspector and means nothing here.
        """
        return self._signals.connect(cb, to)

    def disconnect_measurement_cb(self, cb: MeasurementCallback, _from: int) -> bool:
        """Have ``cb`` called no longer; False when it was not connected."""
        return self._signals.disconnect(cb, _from)

    def connect_end(self, to: MeasurementCallback, flag: int) -> None:
        """Have ``to()`` called at the end of the measurement (flag 0) or of a step (1)."""
        self._signals.connect(to, end_signal(flag))

    def disconnect_end(self, _from: MeasurementCallback, flag: int) -> None:
        """Undo `connect_end`."""
        self._signals.disconnect(_from, end_signal(flag))

    # --- inside -------------------------------------------------------------------------

    def _opened(self, parameters: Mapping[str, Any]) -> TwinMeasurement:
        self._check_idle("open another measurement")
        name = f"Measurement {next(self._names)}"
        measurement = TwinMeasurement(name, parameters, self._is_running)
        self._measurements.append(measurement)
        return measurement

    def _activate(self, measurement: TwinMeasurement) -> None:
        self._check_idle("activate another measurement")
        self._active = measurement

    def _own(self, that: Measurement) -> TwinMeasurement:
        for measurement in self._measurements:
            if measurement is that:
                return measurement
        raise RuntimeError(f"{that!r} is no open measurement")

    def _is_running(self, measurement: TwinMeasurement) -> bool:
        return self._run is not None and self._run[0] is measurement and self._run[1].running

    def _check_idle(self, action: str) -> None:
        if self._run is not None and self._run[1].running:
            raise RuntimeError(f"{self._run[0].name()} is running: cannot {action}")

    def _last_position(self) -> Mapping[str, Any]:
        return self._position if self._active is None else self._active.parameters("")

    def _status(self) -> ParameterTree:
        with self._lock:
            acquisition = None if self._run is None else self._run[1]
        active = acquisition is not None and acquisition.running
        fraction = acquisition.fraction if active and acquisition is not None else 0.0
        progress = {"active": active, "fraction": fraction}
        return ParameterTree(
            {
                "Interlock": {"closed": self._interlock_closed},
                "Measurement": {"timing": {"progress": progress}},
            },
            read_only=True,
        )

    def _started(self, that: Measurement) -> Acquisition:
        with self._lock:
            measurement = self._own(that)
            if measurement is not self._active:
                raise RuntimeError(f"{measurement.name()} is not the active measurement")
            self._check_idle("start")
            configuration = measurement.active_configuration()
            tree = configuration.parameters("")
            # What was recorded elsewhere has that microscope's detectors.
            detectors = DETECTORS if self._recording is None else None
            plan = plan_scan(tree, self._start, self._lasers, detectors)
            frames = None
            if self._recording is not None:
                count = measurement.number_of_configurations()
                every = [measurement.configuration(i) for i in range(count)]
                parameters = {c.name(): c.parameters("") for c in every}
                frames = self._recording.begin(configuration.name(), parameters, plan)
            stacks = configuration.begin_stacks(plan, {"doc": tree, "hwr": self._hardware.get("")})
            rng = np.random.default_rng([self._seed, next(self._acquisitions)])
            names = (measurement.name(), configuration.name())
            acquisition = Acquisition(self._bench, names, plan, stacks, rng, frames)
            self._run = (measurement, acquisition)
            acquisition.start()
            return acquisition
