"""Lasers off, and seen to be off: of a configuration, and of all that is open in Imspector."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

from stedopt_bluesky.imspector import paths
from stedopt_bluesky.imspector.api import (
    Application,
    Configuration,
    Measurement,
    ValueTreeRoot,
)
from stedopt_bluesky.imspector.guard import laser_lists


def switch_off(configuration: Configuration) -> None:
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
    for at, number, laser in _lasers(configuration):
        if laser["power"]["calibrated"] != 0 or laser["active"]:
            configuration.set_parameters(f"{at}/{number}/power/calibrated", 0.0)
            configuration.set_parameters(f"{at}/{number}/active", False)
    for at, number, laser in _lasers(configuration):
        power = laser["power"]["calibrated"]
        if power != 0 or laser["active"]:
            raise RuntimeError(f"{at}/{number} still reports {power:g} %")


def _lasers_of_channels(channels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [laser for channel in channels for laser in channel["lasers"]]


def _lasers(configuration: Configuration) -> Iterator[tuple[str, int, dict[str, Any]]]:
    for at, lasers in laser_lists(configuration):
        for number, laser in enumerate(lasers):
            yield at, number, laser


def is_scanning(application: Application) -> bool:
    """Whether Imspector says that it scans; False when it does not say."""
    return bool(scans(application))


def scans(application: Application) -> bool | None:
    """Whether Imspector says that it scans; None when it does not say."""
    try:
        active = application.value_at(paths.PROGRESS, ValueTreeRoot.Status).get()["active"]
    except (RuntimeError, KeyError, TypeError):
        return None
    return bool(active) if isinstance(active, bool | int | float) else None


def switch_everything_off(application: Application) -> list[str]:
    """Stop every scan, then zero and switch off every laser of everything that is open.

    Every one is tried, also when another fails, and read back.

    Parameters
    ----------
    application : Application
        A connected Imspector, or the twin.

    Returns
    -------
    list of str
        What could not be done; empty when no laser is on and nothing scans. Not to know whether
        a scan goes on is not to have stopped it.
    """
    failures: list[str] = []
    measurements = _open_measurements(application, failures)
    # Light first: it ends with the scan, faster than all lasers are zeroed.
    for measurement in measurements:
        # One that does not run need not like to be paused; whether one runs is asked below.
        with contextlib.suppress(Exception):
            application.pause(measurement)
    for measurement in measurements:
        try:
            name = measurement.name()
            count = measurement.number_of_configurations()
        except Exception as error:
            failures.append(f"a measurement: {error}")
            continue
        for number in range(count):
            try:
                switch_off(measurement.configuration(number))
            except Exception as error:
                failures.append(f"{name}, configuration {number}: {error}")
    scanning = scans(application)
    if scanning is None:
        failures.append("Imspector does not say whether a scan goes on")
    elif scanning:
        failures.append("a scan goes on")
    return failures


def any_laser_on(application: Application) -> bool:
    """Whether a laser is set to be on in anything that is open, or Imspector scans.

    Raises
    ------
    RuntimeError
        When Imspector does not say.
    """
    failures: list[str] = []
    measurements = _open_measurements(application, failures)
    if failures:
        raise RuntimeError("; ".join(failures))
    scanning = scans(application)
    if scanning is None:
        raise RuntimeError("Imspector does not say whether a scan goes on")
    return scanning or any(
        laser["active"] and laser["power"]["calibrated"] != 0
        for measurement in measurements
        for configuration in range(measurement.number_of_configurations())
        for _, _, laser in _lasers(measurement.configuration(configuration))
    )


def _open_measurements(application: Application, failures: list[str]) -> list[Measurement]:
    """Return the open measurements that can be had, the active one first: it may scan."""
    found: list[Measurement] = []
    with contextlib.suppress(RuntimeError):  # none is active
        found.append(application.active_measurement())
    try:
        active = [measurement.name() for measurement in found]
        for name in application.measurement_names():
            if name not in active:
                found.append(application.measurement(name))
    except Exception as error:
        failures.append(f"list of measurements: {error}")
    return found
