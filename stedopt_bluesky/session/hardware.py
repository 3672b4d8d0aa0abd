"""The microscope of a configuration: Imspector or the twin, and the instrument on it."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.errors import in_one_line
from stedopt_bluesky.session.address import address_of
from stedopt_bluesky.session.decisions import objectives_of
from stedopt_bluesky.session.twin import check_same_twin, start_twin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stedopt_bluesky.imspector.api import Application
    from stedopt_bluesky.imspector.instrument import Guard, Instrument
    from stedopt_bluesky.imspector.laser_line import LaserLine
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.session.watchdog import Watchdog

_log = logging.getLogger(__name__)


def connect_application(
    config: ExperimentConfig, tell: Callable[[str], None] = _log.warning
) -> Application:
    """Connect to Imspector or a served twin, or start a twin, as the configuration says.

    Parameters
    ----------
    config : ExperimentConfig
        ``microscope.connect_patience_s``: how long a refused connection is tried again.
    tell : callable
        Told, in a line, that it is.

    Raises
    ------
    NoImspectorError
        When the microscope does not answer; there is no silent fall back to another one.
    ConfigError
        When the twin's sample or dye is not one, or not that of the served twin.
    """
    from stedopt_bluesky.imspector.connect import connect_patiently

    address = address_of(config)
    if not address.is_private:
        # Asked first: a microscope that does not answer is reported at once.
        application = connect_patiently(address.connect, config.microscope.connect_patience_s, tell)
        objectives_of(config)
        if address.kind == "twin":
            check_same_twin(config, address.name, getattr(application, "about", {}))
        return application
    objectives_of(config)
    return start_twin(config)


def make_instrument(
    config: ExperimentConfig, application: Application, guard: Guard | None = None
) -> Instrument:
    """Make the instrument of a configuration: its lasers, with their limits, in Imspector.

    Raises
    ------
    ConfigError
        When Imspector has no laser of a configured number, or does not tell of the interlock.
    MicroscopeInUseError
        When Imspector scans, or opens no measurement: nothing was touched.
    """
    from stedopt_bluesky.devices.microscope import CONFOCAL, STED
    from stedopt_bluesky.devices.overview import OVERVIEW
    from stedopt_bluesky.devices.uncaging import CALCIUM, UNCAGING
    from stedopt_bluesky.imspector.instrument import (
        Instrument,
        NoMeasurementError,
        TooFewChannelsError,
    )
    from stedopt_bluesky.imspector.interlock import Interlock
    from stedopt_bluesky.imspector.lasers_off import is_scanning
    from stedopt_bluesky.imspector.paths import UnknownLayoutError
    from stedopt_bluesky.session.occupancy import MicroscopeInUseError

    interlock = Interlock(config.microscope.interlock_path, config.microscope.interlock_closed)
    try:
        if interlock.path:
            interlock.is_closed(application)
    except RuntimeError as error:
        raise ConfigError(
            f"microscope.interlock_path = {interlock.path!r}: Imspector has no such status "
            f"({in_one_line(error)})"
        ) from None
    where = address_of(config).name
    if is_scanning(application):
        raise MicroscopeInUseError(f"{where} is scanning: end that scan, or wait for its end")
    lines = {line.number: line for line in reversed(laser_lines(config))}
    configurations = [CONFOCAL, STED, OVERVIEW]
    if config.uncaging.enabled:
        configurations += [CALCIUM, UNCAGING]
    try:
        instrument = Instrument(
            application,
            list(lines.values()),
            configurations,
            channels=1 + len(config.channels),
            interlock=interlock,
            guard=guard,
        )
    except NoMeasurementError as error:
        words = in_one_line(error)
        raise MicroscopeInUseError(f"{where} opens no measurement: {words}") from None
    except TooFewChannelsError as error:
        raise ConfigError(f"channels: {error}") from None
    except UnknownLayoutError as error:
        raise ConfigError(f"microscope: {error}") from None
    for line in lines.values():
        try:
            instrument.set_power(STED, line.name, 0.0)
        except RuntimeError as error:
            instrument.close()
            raise ConfigError(
                f"{line.name}.laser = {line.number}: Imspector has no such laser ({error})"
            ) from None
    return instrument


def laser_lines(config: ExperimentConfig) -> list[LaserLine]:
    """Lasers of a configuration, as the instrument takes them; one may be there twice."""
    from stedopt_bluesky.config.lasers import DepletionConfig
    from stedopt_bluesky.devices.uncaging import UNCAGING
    from stedopt_bluesky.imspector.calibration import PowerCalibration
    from stedopt_bluesky.imspector.laser_line import LaserLine

    lines = []
    for name, laser in config.lasers:
        unit = "mW" if isinstance(laser, DepletionConfig) else "µW"
        field = unit.replace("µ", "u")
        powers = getattr(laser, f"calibration_power_{field}")
        pulse: dict[str, Any] = {}
        if name == UNCAGING:
            pulse = {
                "pulsed_in": UNCAGING,
                "longest_pulse_s": config.uncaging.pulse_ms * 1e-3,
                "pulse_energy_limit_uJ": config.uncaging.energy_limit_uJ,
            }
        lines.append(
            LaserLine(
                name,
                laser.laser,
                PowerCalibration(laser.calibration_percent, powers, unit),
                getattr(laser, f"power_limit_{field}"),
                **pulse,
            )
        )
    return lines


@contextlib.contextmanager
def watched(
    config: ExperimentConfig, folder: CatalogFolder | str | os.PathLike[str]
) -> Iterator[Watchdog | None]:
    """Have the microscope for oneself, with a watchdog; None where both are of no use."""
    address = address_of(config)
    if address.is_private:
        yield None
        return
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.session.occupancy import occupied
    from stedopt_bluesky.session.watchdog import Watchdog

    path = folder.path if isinstance(folder, CatalogFolder) else Path(folder)
    with occupied(address), Watchdog(address, path / "watchdog.log") as watchdog:
        yield watchdog


@contextlib.contextmanager
def open_instrument(
    config: ExperimentConfig, application: Application, watchdog: Watchdog | None
) -> Iterator[Instrument]:
    """Make the instrument and close it; the watchdog is released when the lasers are off."""
    if watchdog is None:
        with contextlib.closing(make_instrument(config, application)) as instrument:
            yield instrument
        return
    watchdog.wait_until_ready()
    # The instrument arms the watchdog when it has made its measurement, and releases it when
    # that is dark and closed: a session that could not begin leaves other people's scans alone.
    with contextlib.closing(make_instrument(config, application, watchdog)) as instrument:
        instrument.application.gate.require(watchdog.why_not)
        yield instrument
