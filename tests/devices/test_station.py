"""The station: what can be optimised, by the names of the configuration."""

import dataclasses

import pytest

from stedopt_bluesky.config import PARAMETER_UNITS


def test_every_parameter_of_the_configuration_is_a_setting(station):
    assert set(station.settings) == set(PARAMETER_UNITS)


def test_the_units_are_those_of_the_configuration(station):
    assert {name: setting.unit for name, setting in station.settings.items()} == PARAMETER_UNITS


def test_settings_are_the_devices_own(station):
    station.settings["depletion_power_mW"].put(33.0)
    assert station.depletion.read()["depletion_power_mW"]["value"] == 33.0
    station.settings["line_steps"].put(3)
    assert station.scanner.line_steps.get() == 3


def test_settings_begin_as_configured(station, config):
    assert {name: setting.get() for name, setting in station.settings.items()} == {
        "excitation_power_uW": config.imaging.excitation_power_uW,
        "depletion_power_mW": config.imaging.depletion_power_mW,
        "dwelltime_us": config.imaging.dwelltime_us,
        "line_steps": config.imaging.line_steps,
    }


def test_a_station_is_frozen(station):
    with pytest.raises(dataclasses.FrozenInstanceError):
        station.microscope = None


def test_no_two_devices_share_a_data_key(station):
    devices = (
        station.label,
        station.excitation,
        station.depletion,
        station.scanner,
        station.rating,
    )
    keys = [key for device in devices for key in device.describe()]
    assert len(keys) == len(set(keys))
