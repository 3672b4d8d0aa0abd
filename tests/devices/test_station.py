"""The station: what can be optimised, by the names of the configuration."""

import dataclasses

import pytest

from stedopt_bluesky.config import PARAMETER_UNITS

# Of a station that uncages.
PULSE = {"uncaging_power_uW", "uncaging_distance_um"}


def test_every_parameter_of_the_configuration_is_a_setting(station):
    assert set(station.settings) == set(PARAMETER_UNITS) - PULSE


def test_the_units_are_those_of_the_configuration(station):
    for name, setting in station.settings.items():
        assert setting.unit == PARAMETER_UNITS[name]


def test_settings_are_the_devices_own(station):
    station.settings["depletion_power_mW"].put(33.0)
    assert station.depletion.read()["depletion_power_mW"]["value"] == 33.0
    station.settings["line_steps"].put(3)
    assert station.scanner.line_steps.get() == 3


def test_settings_begin_as_configured(station, config):
    assert {name: setting.get() for name, setting in station.settings.items()} == pytest.approx(
        {
            "excitation_power_uW": config.imaging.excitation_power_uW,
            "depletion_power_mW": config.imaging.depletion_power_mW,
            "dwelltime_us": config.imaging.dwelltime_us,
            "line_steps": config.imaging.line_steps,
            "frames": config.imaging.frames,
            "pixel_size_nm": config.imaging.pixel_size_nm,
            "region_size_um": config.imaging.region_size_um,
            # What is not told is as the twin begins with.
            "gate_delay_ns": 0.75,
            "gate_width_ns": 8.0,
            "spectral_min_nm": 650.0,
            "spectral_max_nm": 720.0,
            "pinhole_um": 50.0,
            "rescue_mode": 0,
            "rescue_probe_mode": 0,
            "rescue_signal_level": 0.0,
            "rescue_strength": 0.0,
            "rescue_lower_thresholds": 0,
            **{f"rescue_lower_threshold_{k}": 0 for k in (1, 2, 3, 4)},
            **{f"rescue_lower_time_percent_{k}": 0.0 for k in (1, 2, 3, 4)},
            "rescue_upper_threshold": 0,
            "focus_um": 0.0,
        }
    )


def test_a_station_is_frozen(station):
    with pytest.raises(dataclasses.FrozenInstanceError):
        station.microscope = None


def test_no_two_devices_share_a_data_key(station):
    devices = (*station.read, station.rating)
    keys = [key for device in devices for key in device.describe()]
    assert len(keys) == len(set(keys))
