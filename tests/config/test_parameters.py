"""Names of the parameters, of the first channel and of further ones."""

import pytest

from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.config.parameters import (
    CHANNEL_PARAMETERS,
    PARAMETER_UNITS,
    RANGES,
    parameter_unit,
    split_parameter,
)


@pytest.mark.parametrize("name", PARAMETER_UNITS)
def test_the_first_channel_has_no_name(name):
    assert split_parameter(name) == ("", name)
    assert parameter_unit(name) == PARAMETER_UNITS[name]


@pytest.mark.parametrize("name", CHANNEL_PARAMETERS)
def test_a_further_channels_name_stands_before(name):
    assert split_parameter(f"orange_{name}") == ("orange", name)
    assert parameter_unit(f"orange_{name}") == PARAMETER_UNITS[name]


@pytest.mark.parametrize("name", ["", "power", "orange_dwelltime_us", "_gate_delay_ns", "orange_"])
def test_what_is_no_parameter(name):
    with pytest.raises(ValueError, match="allowed are excitation_power_uW, "):
        split_parameter(name)


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("beyond", [0, 1])
def test_ranges_hold_for_every_grid(name, beyond):
    low, high = RANGES[name]
    wrong = (low - 1, high + 1)[beyond]
    with pytest.raises(ConfigError, match=r"parameters\.0\.values .*at (least|most)"):
        preset("classical").updated({"parameters": [{"name": name, "values": [wrong]}]})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("gate_delay_ns", [0.5, 1, 2]),
        ("pinhole_um", [30, 50, 70]),
        ("spectral_max_nm", [700, 720]),
        ("rescue_strength", [1, 4]),
        ("focus_um", [-0.2, 0, 0.2]),
    ],
)
def test_every_setting_can_be_optimised(name, values):
    config = preset("classical").updated({"parameters": [{"name": name, "values": values}]})
    assert config.space.names == (name,)
    assert name not in config.fixed_parameters


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {
                "parameters": [{"name": "spectral_min_nm", "values": [650, 720]}],
                "detection.spectral_max_nm": 720.0,
            },
            "detection: spectral_min_nm reaches 720, spectral_max_nm 720 nm",
        ),
        (
            {
                "parameters": [{"name": "orange_spectral_max_nm", "values": [570, 630]}],
                "channels": [{"name": "orange", "detection": {"spectral_min_nm": 580.0}}],
            },
            "channels.0.detection: spectral_min_nm reaches 580, spectral_max_nm 570 nm",
        ),
        (
            {
                "parameters": [
                    {"name": "spectral_min_nm", "values": [650, 700]},
                    {"name": "spectral_max_nm", "values": [690, 720]},
                ]
            },
            "reaches 700, spectral_max_nm 690",
        ),
    ],
)
def test_no_configuration_of_the_grid_has_an_empty_band(changes, says):
    with pytest.raises(ConfigError, match=says):
        preset("classical").updated(changes)
