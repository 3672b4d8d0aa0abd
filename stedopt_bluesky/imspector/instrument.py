"""The session's measurement in Imspector, and the last gate before the backend.

Every write of a power goes through :meth:`Instrument.set_power`, which refuses
what is above the laser's limit, and then through the gate in
:mod:`~stedopt_bluesky.imspector.guard`, which also stands before everybody who writes
to Imspector past this class. Units are this package's (µW, mW, µs, nm, µm);
Imspector's own (percent, s, m) appear only below this line.
"""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stedopt_bluesky.imspector import paths
from stedopt_bluesky.imspector.api import Application, Configuration, ValueTreeRoot
from stedopt_bluesky.imspector.calibration import PowerCalibration
from stedopt_bluesky.imspector.guard import (
    Gate,
    GuardedApplication,
    GuardedConfiguration,
    PowerLimitError,
    laser_lists,
)
from stedopt_bluesky.imspector.pulse import PulseRule
from stedopt_bluesky.parameters import as_number

# The channel that is imaged: the first one of the measurement.
CHANNEL = 0


# What Imspector may round a power to, of the power and in % of the calibrated power.
_READBACK_RELATIVE = 0.01
_READBACK_PERCENT = 0.05


class PowerReadbackError(RuntimeError):
    """A laser that reports another power than was set; it is off again."""


@dataclass(frozen=True)
class LaserLine:
    """One laser as the instrument knows it.

    Parameters
    ----------
    name : str
        For example ``"excitation"``.
    number : int
        Position in Imspector's list of lasers, from 0.
    calibration : PowerCalibration
        Percent ↔ power at the back aperture.
    power_limit : float
        Hard limit, in the calibration's unit.
    pulsed_in : str
        Name of the only configuration in which it may be on, for one pulse; empty: any.
    longest_pulse_s : float
        Longest pulse, s.

    Raises
    ------
    ValueError
        When the limit is not above 0, or above what was calibrated.
    """

    name: str
    number: int
    calibration: PowerCalibration
    power_limit: float
    pulsed_in: str = ""
    longest_pulse_s: float = 0.0

    def __post_init__(self) -> None:
        highest = self.calibration.power[-1]
        if not 0 < self.power_limit <= highest:
            raise ValueError(
                f"{self.name} power limit = {self.power_limit:g} {self.calibration.unit}: above 0, "
                f"at most the highest calibrated power, {highest:g} {self.calibration.unit}"
            )

    def check(self, power: object) -> None:
        """Refuse a power that must not be sent.

        Raises
        ------
        PowerLimitError
            When the power is not a finite number from 0 to the limit.
        """
        unit = self.calibration.unit
        number = as_number(power)
        # The comparison refuses NaN and infinity too: the limit is finite.
        if number is None or not 0 <= number <= self.power_limit:
            shown = repr(power) if number is None else f"{number:g}"
            raise PowerLimitError(
                f"{self.name} power = {shown} {unit}: 0 to {self.power_limit:g} {unit} is allowed"
            )


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

    Raises
    ------
    ValueError
        When two lasers have the same name or number.
    RuntimeError
        When Imspector refuses; the message is the vendor's.
    """

    def __init__(
        self,
        application: Application,
        lasers: Sequence[LaserLine],
        configurations: Sequence[str],
    ) -> None:
        self.lasers: Mapping[str, LaserLine] = {laser.name: laser for laser in lasers}
        # Imspector's tree is read, changed and set back: one writer at a time.
        self._lock = threading.RLock()
        _check_different(lasers)
        self._layout = layout = paths.layout_for(application.version())
        limits = {line.number: line.calibration.to_percent(line.power_limit) for line in lasers}
        pulses = [
            PulseRule(line.number, line.pulsed_in, line.longest_pulse_s)
            for line in lasers
            if line.pulsed_in
        ]
        self.application = GuardedApplication(application, Gate(layout, limits, pulses))
        self.measurement = self.application.create_measurement()
        first = self.measurement.active_configuration()
        first.set_name(configurations[0])
        made = [first]
        for name in configurations[1:]:
            clone = self.measurement.clone(first)
            clone.set_name(name)
            made.append(clone)
        self._configurations = dict(zip(configurations, made, strict=True))
        for configuration in made:
            configuration.set_parameters(layout.path("scan_mode"), paths.XY_SCAN_MODE)
            configuration.set_parameters(layout.path("scan_axes"), list(paths.XY_SCAN_AXES))
        self.lasers_off()

    def configuration(self, name: str) -> GuardedConfiguration:
        """Imspector's configuration of that name, to be activated and read."""
        return self._configurations[name]

    def set_power(self, configuration: str, laser: str, power: float) -> None:
        """Set a laser's power in one configuration, after the last check.

        Parameters
        ----------
        configuration, laser : str
            Their names.
        power : float
            In the laser's unit, at the back aperture; 0 also switches the laser off.

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
        power_path, active_path = self._laser_paths(line)
        with self._lock:
            target = self._configurations[configuration]
            target.set_parameters(power_path, percent)
            target.set_parameters(active_path, on)
            told = float(target.parameters(power_path))
            if not abs(told - percent) <= _READBACK_PERCENT + _READBACK_RELATIVE * percent:
                self._read_back_wrong(target, line, percent, told)

    def _read_back_wrong(
        self, target: GuardedConfiguration, line: LaserLine, percent: float, told: float
    ) -> None:
        power_path, active_path = self._laser_paths(line)
        reason = f"{line.name} was set to {percent:g} % and reports {told:g} %"
        try:
            target.set_parameters(active_path, False)
            target.set_parameters(power_path, 0.0)
        finally:
            # Until `lasers_off` has seen that everything is at zero.
            self.application.gate.block(reason)
        raise PowerReadbackError(f"{reason}: switched off again, no scan may begin")

    def _laser_paths(self, line: LaserLine) -> tuple[str, str]:
        where = {"channel": CHANNEL, "laser": line.number}
        return (
            self._layout.path("laser_power_percent", **where),
            self._layout.path("laser_active", **where),
        )

    def power(self, configuration: str, laser: str) -> float:
        """Power read back from Imspector, in the laser's unit."""
        line = self.lasers[laser]
        target = self._configurations[configuration]
        power_path, active_path = self._laser_paths(line)
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
                    _switch_off(configuration)
                except Exception as error:
                    failures.append(f"{name}: {error}")
        reason = ""
        if failures:
            reason = "lasers may be on, Imspector refused: " + "; ".join(failures)
        self.application.gate.block(reason)
        if reason:
            raise RuntimeError(reason)

    def scanning(self) -> bool:
        """Whether Imspector says that it scans; False when it does not say."""
        try:
            progress = self.application.value_at(paths.PROGRESS, ValueTreeRoot.Status).get()
            return bool(progress["active"])
        except (RuntimeError, KeyError, TypeError):
            return False

    def set_dwelltime(self, configuration: str, dwelltime_us: float) -> None:
        """Set the pixel dwelltime, µs."""
        self._set_first(configuration, "dwelltime_us", dwelltime_us)

    def set_line_steps(self, configuration: str, line_steps: int) -> None:
        """Set how often each line is scanned."""
        self._set_first(configuration, "line_steps", int(line_steps))

    def _set_first(self, configuration: str, setting: str, value: float) -> None:
        # A list is set back whole: setting one element is ignored by some versions.
        row, path = paths.ROWS[setting], self._layout.path(setting)
        value = value * row.scale if row.kind is float else value
        with self._lock:
            target = self._configurations[configuration]
            steps = list(target.parameters(path))
            steps[0] = value
            target.set_parameters(path, steps)

    def set_field(self, configuration: str, size_um: float, pixel_size_nm: float) -> None:
        """Set a square field: its side (µm) and the pixel size (nm)."""
        with self._lock:
            target = self._configurations[configuration]
            for axis in ("x", "y"):
                for setting, value in (("pixel_size_nm", pixel_size_nm), ("field_um", size_um)):
                    path = self._layout.path(setting, axis=axis)
                    target.set_parameters(path, value * paths.ROWS[setting].scale)

    def image_shape(self, configuration: str) -> tuple[int, int]:
        """Shape (Y, X) of the image that a configuration will give, read from Imspector."""
        target = self._configurations[configuration]
        y, x = (
            int(target.parameters(self._layout.path("pixels", axis=axis))) for axis in ("y", "x")
        )
        return y, x

    def set_frames(self, configuration: str, frames: int) -> None:
        """Set how often the field is scanned, one frame after the other."""
        with self._lock:
            target = self._configurations[configuration]
            axes = paths.XY_SCAN_AXES if frames == 1 else paths.XYT_SCAN_AXES
            target.set_parameters(self._layout.path("scan_axes"), list(axes))
            target.set_parameters(self._layout.path("frames"), int(frames))

    def set_band(self, configuration: str, low_nm: float, high_nm: float) -> None:
        """Set the detector's band, nm."""
        where = {"channel": CHANNEL}
        with self._lock:
            target = self._configurations[configuration]
            for setting, value in (("spectral_min_nm", low_nm), ("spectral_max_nm", high_nm)):
                path = self._layout.path(setting, **where)
                target.set_parameters(path, value * paths.ROWS[setting].scale)

    def frames(self, configuration: str) -> int:
        """How often a configuration scans its field, read from Imspector."""
        target = self._configurations[configuration]
        axes = target.parameters(self._layout.path("scan_axes"))
        if paths.XYT_SCAN_AXES[2] not in axes:
            return 1
        return int(target.parameters(self._layout.path("frames")))

    def set_offset(self, configuration: str, axis: str, offset_um: float) -> None:
        """Set the offset of the field's centre along ``"x"`` or ``"y"``, µm."""
        with self._lock:
            self._configurations[configuration].set_parameters(
                self._layout.path("offset_um", axis=axis), offset_um * 1e-6
            )

    def parameters(self) -> dict[str, Any]:
        """Imspector's whole tree of each configuration, for the record."""
        return {name: c.parameters("") for name, c in self._configurations.items()}

    def close(self) -> None:
        """Switch the lasers off and close the measurement, whatever fails of the two.

        Raises
        ------
        RuntimeError
            When Imspector refuses; that lasers may be on is told before anything else.
        """
        try:
            self.lasers_off()
        except BaseException:
            with contextlib.suppress(Exception):
                self.application.close(self.measurement)
            raise
        self.application.close(self.measurement)


def _check_different(lasers: Sequence[LaserLine]) -> None:
    for i, laser in enumerate(lasers):
        for other in lasers[:i]:
            if laser.number == other.number or laser.name == other.name:
                raise ValueError(
                    f"{laser.name} laser = {laser.number}: {other.name} is number {other.number}; "
                    "each laser has its own name and number"
                )


def _switch_off(configuration: Configuration) -> None:
    """Zero and switch off every laser of a configuration, of each channel and in general.

    Raises
    ------
    RuntimeError
        When Imspector refuses, or a laser reports afterwards that it is not at zero.
    """
    # A list is set back whole: setting one element is ignored by some versions. What a list
    # holds besides may keep it from being taken; then its lasers are written one by one.
    for at, of_list in ((paths.CHANNELS, _lasers_of_channels), (paths.LASERS, list)):
        with contextlib.suppress(Exception):
            everything = copy.deepcopy(configuration.parameters(at))
            for laser in of_list(everything):
                laser["power"]["calibrated"] = 0.0
                laser["active"] = False
            configuration.set_parameters(at, everything)
    for at, lasers in laser_lists(configuration):
        for number, laser in enumerate(lasers):
            if laser["power"]["calibrated"] != 0 or laser["active"]:
                configuration.set_parameters(f"{at}/{number}/power/calibrated", 0.0)
                configuration.set_parameters(f"{at}/{number}/active", False)
    for at, lasers in laser_lists(configuration):
        for number, laser in enumerate(lasers):
            power = laser["power"]["calibrated"]
            if power != 0 or laser["active"]:
                raise RuntimeError(f"{at}/{number} still reports {power:g} %")


def _lasers_of_channels(channels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [laser for channel in channels for laser in channel["lasers"]]
