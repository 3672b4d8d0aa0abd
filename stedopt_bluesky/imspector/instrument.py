"""The session's measurement in Imspector, and the last gate before the backend.

Every write of a power goes through :meth:`Instrument.set_power`, which refuses
what is above the laser's limit, whoever asks. Units are this package's (µW,
mW, µs, nm, µm); Imspector's own (percent, s, m) appear only below this line.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stedopt_bluesky.imspector import paths
from stedopt_bluesky.imspector.api import Application, Configuration, ValueTreeRoot
from stedopt_bluesky.imspector.calibration import PowerCalibration
from stedopt_bluesky.parameters import as_number

# The channel that is imaged: the first one of the measurement.
CHANNEL = 0


class PowerLimitError(ValueError):
    """A power that must not reach the microscope."""


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

    Raises
    ------
    ValueError
        When the limit is not above 0, or above what was calibrated.
    """

    name: str
    number: int
    calibration: PowerCalibration
    power_limit: float

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
        self.application = application
        self.lasers: Mapping[str, LaserLine] = {laser.name: laser for laser in lasers}
        # Imspector's tree is read, changed and set back: one writer at a time.
        self._lock = threading.RLock()
        _check_different(lasers)
        self.measurement = application.create_measurement()
        first = self.measurement.active_configuration()
        first.set_name(configurations[0])
        made = [first]
        for name in configurations[1:]:
            clone = self.measurement.clone(first)
            clone.set_name(name)
            made.append(clone)
        self._configurations = dict(zip(configurations, made, strict=True))
        for configuration in made:
            configuration.set_parameters(paths.SCAN_MODE, paths.XY_SCAN_MODE)
            configuration.set_parameters(paths.SCAN_AXES, list(paths.XY_SCAN_AXES))
        self.lasers_off()

    def configuration(self, name: str) -> Configuration:
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
        with self._lock:
            target = self._configurations[configuration]
            target.set_parameters(paths.laser_power(CHANNEL, line.number), percent)
            target.set_parameters(paths.laser_active(CHANNEL, line.number), on)

    def power(self, configuration: str, laser: str) -> float:
        """Power read back from Imspector, in the laser's unit."""
        line = self.lasers[laser]
        target = self._configurations[configuration]
        if not target.parameters(paths.laser_active(CHANNEL, line.number)):
            return 0.0
        percent = float(target.parameters(paths.laser_power(CHANNEL, line.number)))
        return line.calibration.to_power(percent) if percent else 0.0

    def lasers_off(self) -> None:
        """Zero the power of every laser in every configuration, and switch it off.

        Also of lasers that this instrument does not use, and of configurations that the
        operator has added to its measurement. Every one is tried, also when another fails.

        Raises
        ------
        RuntimeError
            When Imspector refused at least one of the writes.
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
        if failures:
            raise RuntimeError("lasers may be on, Imspector refused: " + "; ".join(failures))

    def scanning(self) -> bool:
        """Whether Imspector says that it scans; False when it does not say."""
        try:
            progress = self.application.value_at(paths.PROGRESS, ValueTreeRoot.Status).get()
            return bool(progress["active"])
        except (RuntimeError, KeyError, TypeError):
            return False

    def set_dwelltime(self, configuration: str, dwelltime_us: float) -> None:
        """Set the pixel dwelltime, µs."""
        self._set_first(configuration, paths.PIXEL_STEPS, dwelltime_us * 1e-6)

    def set_line_steps(self, configuration: str, line_steps: int) -> None:
        """Set how often each line is scanned."""
        self._set_first(configuration, paths.LINE_STEPS, int(line_steps))

    def _set_first(self, configuration: str, path: str, value: float) -> None:
        # A list is set back whole: setting one element is ignored by some versions.
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
                target.set_parameters(paths.pixel_size(axis), pixel_size_nm * 1e-9)
                target.set_parameters(paths.scan_length(axis), size_um * 1e-6)

    def image_shape(self, configuration: str) -> tuple[int, int]:
        """Shape (Y, X) of the image that a configuration will give, read from Imspector."""
        target = self._configurations[configuration]
        return int(target.parameters(paths.scan_pixels("y"))), int(
            target.parameters(paths.scan_pixels("x"))
        )

    def set_offset(self, configuration: str, axis: str, offset_um: float) -> None:
        """Set the offset of the field's centre along ``"x"`` or ``"y"``, µm."""
        with self._lock:
            self._configurations[configuration].set_parameters(
                paths.scan_offset(axis), offset_um * 1e-6
            )

    def parameters(self) -> dict[str, Any]:
        """Imspector's whole tree of each configuration, for the record."""
        return {name: c.parameters("") for name, c in self._configurations.items()}

    def close(self) -> None:
        """Switch the lasers off and close the measurement, whatever fails of the two."""
        try:
            self.lasers_off()
        finally:
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
    """Zero and switch off every laser of a configuration, of each channel and in general."""
    channels = copy.deepcopy(configuration.parameters(paths.CHANNELS))
    lasers = copy.deepcopy(configuration.parameters(paths.LASERS))
    for laser in [*lasers, *(laser for channel in channels for laser in channel["lasers"])]:
        laser["power"]["calibrated"] = 0.0
        laser["active"] = False
    # A list is set back whole: setting one element is ignored by some versions.
    try:
        configuration.set_parameters(paths.CHANNELS, channels)
    finally:
        configuration.set_parameters(paths.LASERS, lasers)
