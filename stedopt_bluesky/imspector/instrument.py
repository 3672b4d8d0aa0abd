"""The session's measurement in Imspector, and the last gate before the backend.

Every write of a power goes through :meth:`Instrument.set_power`, which refuses
what is above the laser's limit, and then through the gate in
:mod:`~stedopt_bluesky.imspector.guard`, which also stands before everybody who writes
to Imspector past this class. Units are this package's (µW, mW, µs, nm, µm);
Imspector's own (percent, s, m) appear only below this line.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from stedopt_bluesky.imspector import paths
from stedopt_bluesky.imspector.api import Application
from stedopt_bluesky.imspector.guard import (
    Gate,
)
from stedopt_bluesky.imspector.guarded import GuardedApplication, GuardedConfiguration
from stedopt_bluesky.imspector.interlock import NO_INTERLOCK, Interlock
from stedopt_bluesky.imspector.laser_line import LaserLine
from stedopt_bluesky.imspector.lasers_off import is_scanning, switch_off
from stedopt_bluesky.imspector.pulse import PulseRule

# The channel that is meant where none is named: the first one of the measurement.
CHANNEL = 0


# What Imspector may round a power to, of the power and in % of the calibrated power.
_READBACK_RELATIVE = 0.01
_READBACK_PERCENT = 0.05

# How long switching off is tried again at the end where no guard does it, and how often, s.
_OFF_PATIENCE_S = 2.0
_OFF_RETRY_S = 0.1


class NoMeasurementError(RuntimeError):
    """Imspector opens no measurement; the message is the vendor's."""


class TooFewChannelsError(RuntimeError):
    """A measurement in Imspector with fewer channels than are to be imaged."""


class PowerReadbackError(RuntimeError):
    """A laser that reports another power than was set; it is off again."""


class Guard(Protocol):
    """Switches the lasers off in this program's place, while it is armed."""

    def arm(self, measurement: str) -> None:
        """Be told that this measurement was made: lasers may be on from now on."""

    def release(self) -> None:
        """Be told that all lasers were read back as off, and the measurement is closed."""


class Instrument:
    """A measurement of its own in Imspector, with one configuration per kind of image.

    Parameters
    ----------
    application : Application
        A connected Imspector, or the digital twin.
    lasers : sequence of LaserLine
        The lasers that may be used; all others are switched off.
    configurations : sequence of str
        Names of the configurations to make, for example ``("confocal", "sted")``.
    channels : int
        Channels that are imaged at once: the first ones of the measurement.
    interlock : Interlock
        Without which nothing is scanned.
    guard : Guard, optional
        Armed when the measurement has been made, released when it has been closed. When the
        instrument cannot be made, what was made is switched off and closed before the error
        is raised; only where that fails the guard stays armed.

    Raises
    ------
    ValueError
        When two lasers have the same name or number.
    UnknownLayoutError
        When Imspector is of a version whose lasers could not be switched off for sure.
    NoMeasurementError
        When Imspector opens no measurement, for example while it scans another one.
    TooFewChannelsError
        When a new measurement in Imspector has fewer channels.
    RuntimeError
        When Imspector refuses; the message is the vendor's.
    """

    def __init__(
        self,
        application: Application,
        lasers: Sequence[LaserLine],
        configurations: Sequence[str],
        *,
        channels: int = 1,
        interlock: Interlock = NO_INTERLOCK,
        guard: Guard | None = None,
    ) -> None:
        self.channels = channels
        self.lasers: Mapping[str, LaserLine] = {laser.name: laser for laser in lasers}
        # Imspector's tree is read, changed and set back: one writer at a time.
        self._lock = threading.RLock()
        _check_different(lasers)
        layout = self._layout = paths.layout_for(application.version())
        if layout.name != "16.3":
            raise paths.UnknownLayoutError(
                f"Imspector {application.version()!r}: its settings are known, but not how it "
                "switches each laser off: Imspector 16 is needed to image"
            )
        limits = {line.number: line.calibration.to_percent(line.power_limit) for line in lasers}
        self.interlock = interlock
        # What was set, in %, by configuration, channel and number of the laser; else 0.
        self._powers_set: dict[tuple[str, int, int], float] = {}
        pulses = [
            PulseRule(
                line.number,
                line.pulsed_in,
                line.longest_pulse_s,
                line.pulse_energy_limit_uJ,
                line.calibration.to_power,
            )
            for line in lasers
            if line.pulsed_in
        ]
        gate = Gate(layout, limits, interlock, pulses)
        self.application = GuardedApplication(application, gate)
        self._guard = guard
        self._configurations: dict[str, GuardedConfiguration] = {}
        try:
            self.measurement = self.application.create_measurement()
        except RuntimeError as error:
            raise NoMeasurementError(str(error)) from error
        try:
            if guard is not None:
                guard.arm(self.measurement.name())
            self._set_up(configurations)
        except BaseException as error:
            try:
                self.close()
            except Exception as left:
                error.add_note(str(left))
            raise

    def _set_up(self, configurations: Sequence[str]) -> None:
        layout = self._layout
        first = self.measurement.active_configuration()
        self._check_channels(first)
        first.set_name(configurations[0])
        made = [first]
        for name in configurations[1:]:
            clone = self.measurement.clone(first)
            clone.set_name(name)
            made.append(clone)
        self._configurations = dict(zip(configurations, made, strict=True))
        self.application.gate.keep_names(configurations)
        for configuration in made:
            configuration.set_parameters(layout.path("scan_mode"), paths.XY_SCAN_MODE)
            configuration.set_parameters(layout.path("scan_axes"), list(paths.XY_SCAN_AXES))
        self.lasers_off()

    def _check_channels(self, configuration: GuardedConfiguration) -> None:
        there = 1
        if self.channels > 1:
            there = len(configuration.parameters(paths.CHANNELS))
        if there < self.channels:
            raise TooFewChannelsError(
                f"a new measurement in Imspector has {there} channels, {self.channels} are needed: "
                "add them to the template that Imspector makes new measurements of"
            )

    def configuration(self, name: str) -> GuardedConfiguration:
        """Imspector's configuration of that name, to be activated and read."""
        return self._configurations[name]

    def set_power(
        self, configuration: str, laser: str, power: float, channel: int = CHANNEL
    ) -> None:
        """Set a laser's power in one channel of a configuration, after the last check.

        Parameters
        ----------
        configuration, laser : str
            Their names.
        power : float
            In the laser's unit, at the back aperture; 0 also switches the laser off.
        channel : int
            The channel's number, from 0.

        Raises
        ------
        PowerLimitError
            When the power is above the limit, negative or not a finite number.
        ValueError
            When it is above 0 and below the lowest calibrated power.
            Nothing is written in either case.
        """
        line = self.lasers[laser]
        line.check(power)
        on = bool(power > 0)
        percent = line.calibration.to_percent(float(power)) if on else 0.0
        power_path, active_path = self._laser_paths(line, channel)
        with self._lock:
            target = self._configurations[configuration]
            target.set_parameters(power_path, percent)
            target.set_parameters(active_path, on)
            told = float(target.parameters(power_path))
            if not abs(told - percent) <= _READBACK_PERCENT + _READBACK_RELATIVE * percent:
                reason = f"{line.name} was set to {percent:g} % and reports {told:g} %"
                self._read_back_wrong(target, (power_path, active_path), reason)
            self._powers_set[configuration, channel, line.number] = percent

    def _read_back_wrong(
        self, target: GuardedConfiguration, laser_paths: tuple[str, str], reason: str
    ) -> None:
        power_path, active_path = laser_paths
        try:
            target.set_parameters(active_path, False)
            target.set_parameters(power_path, 0.0)
        finally:
            # Until `lasers_off` has seen that everything is at zero.
            self.application.gate.block(reason)
        raise PowerReadbackError(f"{reason}: switched off again, no scan may begin")

    def powers_changed(self, configuration: str) -> str:
        """Say which laser has another power than was set, by whoever; ``""``: none."""
        channels = self._configurations[configuration].parameters(paths.CHANNELS)
        for line in self.lasers.values():
            for number, channel in enumerate(channels):
                laser = channel["lasers"][line.number]
                told = float(laser["power"]["calibrated"]) if laser["active"] else 0.0
                percent = self._powers_set.get((configuration, number, line.number), 0.0)
                if not abs(told - percent) <= _READBACK_PERCENT + _READBACK_RELATIVE * percent:
                    return (
                        f"{line.name} was set to {percent:g} % and has {told:g} % after it: "
                        "another program has changed it"
                    )
        return ""

    def _laser_paths(self, line: LaserLine, channel: int) -> tuple[str, str]:
        where = {"channel": channel, "laser": line.number}
        return (
            self._layout.path("laser_power_percent", **where),
            self._layout.path("laser_active", **where),
        )

    def power(self, configuration: str, laser: str, channel: int = CHANNEL) -> float:
        """Power read back from Imspector, in the laser's unit."""
        line = self.lasers[laser]
        target = self._configurations[configuration]
        power_path, active_path = self._laser_paths(line, channel)
        if not target.parameters(active_path):
            return 0.0
        percent = float(target.parameters(power_path))
        return line.calibration.to_power(percent) if percent else 0.0

    def lasers_off(self) -> None:
        """Zero the power of every laser in every configuration, and switch it off.

        Also of lasers that this instrument does not use, and of configurations that the
        operator has added to its measurement. Every one is tried, also when another fails,
        and read back. No scan begins afterwards unless all of them are off.

        Raises
        ------
        RuntimeError
            When Imspector refused at least one of the writes, or a laser is not at zero.
        """
        failures = []
        with self._lock:
            self._powers_set.clear()
            # Whatever the exception: the other lasers must still be switched off.
            try:
                count = self.measurement.number_of_configurations()
                everything = [self.measurement.configuration(i) for i in range(count)]
                configurations = [(c.name(), c) for c in everything]
            except Exception as error:
                failures.append(f"list of configurations: {error}")
                configurations = list(self._configurations.items())
            for name, configuration in configurations:
                try:
                    switch_off(configuration)
                except Exception as error:
                    failures.append(f"{name}: {error}")
        reason = ""
        if failures:
            reason = "lasers may be on, Imspector refused: " + "; ".join(failures)
        self.application.gate.block(reason)
        if reason:
            raise RuntimeError(reason)

    def _lasers_off_patiently(self, patience_s: float) -> None:
        until = time.monotonic() + patience_s
        while True:
            try:
                return self.lasers_off()
            except RuntimeError:
                if time.monotonic() >= until:
                    raise
            time.sleep(_OFF_RETRY_S)

    def scanning(self) -> bool:
        """Whether Imspector says that it scans; False when it does not say."""
        return is_scanning(self.application)

    def interlock_open(self) -> str:
        """Say why the interlock lets nothing be scanned; "" when it does, or there is none."""
        return self.interlock.why_open(self.application)

    def set_value(self, configuration: str, setting: str, value: Any, **where: object) -> None:
        """Write a setting of the table, in this package's unit.

        Of a list one element is set; the list is written back whole, since setting one element
        is ignored by some versions.

        Parameters
        ----------
        configuration : str
            Its name.
        setting : str
            Name of a row of :data:`~stedopt_bluesky.imspector.paths.TABLE`; no power.
        value : float, int, bool or str
            As the row's type and unit are.
        **where
            The setting's ``channel`` (left out: the first one) or ``axis``, and the ``index`` of
            the element of a list, from 0 (left out: the first one).

        Raises
        ------
        SettingRefusedError
            When the setting is one that is only read.
        IndexError
            When the list has no such element, or the setting is no list.
        RuntimeError
            When Imspector refuses.
        """
        row, path = self._row(setting, where)
        if row.kind in (int, float):
            value = row.kind(value * row.scale)
        with self._lock:
            target = self._configurations[configuration]
            if row.is_list:
                whole = list(target.parameters(path))
                whole[_index(row, where, whole)] = value
                value = whole
            target.set_parameters(path, value)

    def value(self, configuration: str, setting: str, **where: object) -> Any:
        """Read a setting of the table back, in this package's unit; see `set_value`."""
        row, path = self._row(setting, where)
        value = self._configurations[configuration].parameters(path)
        if row.is_list:
            value = value[_index(row, where, value)]
        # 50 µm is read as 50.0, not as 50.00000000000001.
        return float(f"{value / row.scale:.12g}") if row.kind is float else value

    def _row(self, setting: str, where: Mapping[str, object]) -> tuple[paths.ParameterPath, str]:
        row = paths.ROWS[setting]
        if "index" in where and not row.is_list:
            raise IndexError(f"{setting}: index = {where['index']!r}: it is no list")
        return row, self._layout.path(setting, **{"channel": CHANNEL, **where})

    def set_field(self, configuration: str, size_um: float, pixel_size_nm: float) -> None:
        """Set a square field: its side (µm) and the pixel size (nm)."""
        with self._lock:
            for axis in ("x", "y"):
                self.set_value(configuration, "pixel_size_nm", pixel_size_nm, axis=axis)
                self.set_value(configuration, "field_um", size_um, axis=axis)

    def image_shape(self, configuration: str) -> tuple[int, int]:
        """Shape (Y, X) of the image that a configuration will give, read from Imspector."""
        y, x = (int(self.value(configuration, "pixels", axis=axis)) for axis in ("y", "x"))
        return y, x

    def set_frames(self, configuration: str, frames: int) -> None:
        """Set how often the field is scanned, one frame after the other."""
        axes = paths.XY_SCAN_AXES if frames == 1 else paths.XYT_SCAN_AXES
        with self._lock:
            target = self._configurations[configuration]
            target.set_parameters(self._layout.path("scan_axes"), list(axes))
            self.set_value(configuration, "frames", frames)

    def frames(self, configuration: str) -> int:
        """How often a configuration scans its field, read from Imspector."""
        target = self._configurations[configuration]
        axes = target.parameters(self._layout.path("scan_axes"))
        if paths.XYT_SCAN_AXES[2] not in axes:
            return 1
        return int(self.value(configuration, "frames"))

    def parameters(self, configuration: str) -> dict[str, Any]:
        """Imspector's whole tree of a configuration, for the record."""
        return dict(self._configurations[configuration].parameters(""))

    def close(self) -> None:
        """Switch the lasers off and close the measurement, whatever fails of the two.

        Without a guard it is tried for two seconds: a connection may come back.

        Raises
        ------
        RuntimeError
            When Imspector refuses; that lasers may be on is told before anything else.
        """
        try:
            self._lasers_off_patiently(0.0 if self._guard else _OFF_PATIENCE_S)
        except BaseException:
            with contextlib.suppress(Exception):
                self.application.close(self.measurement)
            raise
        self.application.close(self.measurement)
        if self._guard is not None:
            self._guard.release()


def _index(row: paths.ParameterPath, where: Mapping[str, object], elements: Sequence[Any]) -> int:
    """Index of the element that is meant, in a list as Imspector has it."""
    index = where.get("index", 0)
    if type(index) is not int or not 0 <= index < len(elements):
        raise IndexError(
            f"{row.name}: index = {index!r}: the list in Imspector has {len(elements)} elements, "
            f"0 to {len(elements) - 1} is allowed"
        )
    return index


def _check_different(lasers: Sequence[LaserLine]) -> None:
    for i, laser in enumerate(lasers):
        for other in lasers[:i]:
            if laser.number == other.number or laser.name == other.name:
                raise ValueError(
                    f"{laser.name} laser = {laser.number}: {other.name} is number {other.number}; "
                    "each laser has its own name and number"
                )
