"""Names of the parameters, of the first channel and of further ones."""

import re

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
        ("rescue_mode", [0, 4]),
        ("rescue_probe_mode", [0, 2]),
        ("rescue_signal_level", [10, 20.5]),
        ("rescue_strength", [1, 4]),
        ("rescue_upper_threshold", [10, 100]),
        ("focus_um", [-0.2, 0, 0.2]),
    ],
)
def test_every_setting_can_be_optimised(name, values):
    changes = {"parameters": [{"name": name, "values": values}]}
    if name.startswith("rescue_") and name != "rescue_mode":
        changes["rescue.mode"] = 4  # which switches it on
    config = preset("classical").updated(changes)
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


LOWER = {
    "mode": 4,
    "lower_thresholds": 2,
    "lower_threshold_1": 2,
    "lower_time_percent_1": 10.0,
    "lower_threshold_2": 5,
    "lower_time_percent_2": 40.0,
}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rescue_lower_thresholds", [0, 1, 2]),
        ("rescue_lower_threshold_1", [1, 2, 3]),
        ("rescue_lower_time_percent_1", [10, 39.9]),
        ("rescue_lower_time_percent_2", [10.1, 90]),
    ],
)
@pytest.mark.parametrize("channel", ["", "orange_"])
def test_thresholds_of_every_channel_can_be_optimised(name, values, channel):
    channels = [{"name": "orange", "rescue": LOWER}]
    changes = {"rescue": LOWER, "channels": channels}
    changes["parameters"] = [{"name": channel + name, "values": values}]
    config = preset("classical").updated(changes)
    assert config.space.names == (channel + name,)
    fixed = {f"{c}rescue_{n}": v for c in ("", "orange_") for n, v in LOWER.items()}
    del fixed[channel + name]
    found = {n: v for n, v in config.fixed_parameters.items() if "rescue" in n}
    assert found == fixed


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rescue_mode", [0, 0.5]),
        ("rescue_lower_thresholds", [0.5, 2]),
        ("rescue_lower_threshold_4", [2.5]),
        ("orange_rescue_upper_threshold", [1, 1.5]),
    ],
)
def test_counts_and_modes_are_whole_numbers(name, values):
    changes = {"parameters": [{"name": name, "values": values}]}
    with pytest.raises(ConfigError, match=rf"parameters\.0\.values \({name}\) = .*: whole num"):
        preset("classical").updated(changes)


TOLD = [
    (
        LOWER | {"strength": 5.0},
        {},
        "{where}.strength{of} = 5: for automatic thresholds, not together with {where}.lower_",
    ),
    (
        LOWER,
        {"rescue_signal_level": [10, 20]},
        "parameters.0.values ({name}) = 20: for automatic thresholds, not together with",
    ),
    (
        {"mode": 4, "lower_threshold_1": 3},
        {},
        "{where}.lower_threshold_1{of} = 3: only with {where}.lower_thresholds, their number",
    ),
    (
        LOWER | {"lower_thresholds": 3},
        {},
        "{where}.lower_thresholds{of} = 3: {where}.lower_threshold_3 is needed with it",
    ),
    (
        LOWER,
        {"rescue_lower_thresholds": [1, 3]},
        "parameters.0.values ({name}) = 3: {where}.lower_threshold_3 is needed with it",
    ),
    (
        LOWER | {"lower_thresholds": 1},
        {},
        "{where}.lower_threshold_2{of} = 5: left out, with at most 1 lower thresholds",
    ),
    (
        LOWER,
        {"rescue_lower_time_percent_1": [10, 40]},
        "{where}.lower_time_percent_2{of} = 40: above 40 %, the time before it (parameters.0",
    ),
    (
        {"lower_thresholds": 0},
        {},
        "{where}.lower_thresholds{of} = 0: only with {where}.mode, which switches RESCue on",
    ),
    (
        {},
        {"rescue_upper_threshold": [10, 20]},
        "parameters.0.values ({name}) = 20: only with {where}.mode",
    ),
]


@pytest.mark.parametrize(("rescue", "parameters", "says"), TOLD)
@pytest.mark.parametrize("channel", ["", "orange_"])
def test_settings_of_rescue_go_together(rescue, parameters, says, channel):
    where = "channels.0.rescue" if channel else "rescue"
    names = [f"{channel}{name}" for name in parameters]
    changes = (
        {"channels": [{"name": "orange", "rescue": rescue}]} if channel else {"rescue": rescue}
    )
    if names:
        values = list(parameters.values())
        changes["parameters"] = [
            {"name": name, "values": v} for name, v in zip(names, values, strict=True)
        ]
    of = " (orange)" if channel else ""  # which entry of the list
    told = says.format(where=where, of=of, name=names[0] if names else "")
    with pytest.raises(ConfigError, match="^" + re.escape(told)):
        preset("classical").updated(changes)


def test_a_number_of_points_that_gives_no_whole_numbers():
    entry = {"name": "frames", "low": 1, "high": 4, "points": 3}
    says = r"parameters\.0\.points \(frames\) = 3: so many that all values are whole numbers"
    with pytest.raises(ConfigError, match=says):
        preset("classical").updated({"parameters": [entry]})
