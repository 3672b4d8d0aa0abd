"""What a configuration fixes stands in Imspector, in the images that it holds for."""

import pytest

from stedopt_bluesky.devices.microscope import CONFOCAL, STED
from stedopt_bluesky.devices.overview import OVERVIEW
from stedopt_bluesky.imspector.instrument import Instrument
from stedopt_bluesky.session import make_station
from stedopt_bluesky.twin import TwinApplication

FIXED = {
    "detection": {"detector": "DET1", "gate_delay_ns": 1.5, "spectral_min_nm": 660.0},
    "optics.pinhole_um": 40.0,
    "rescue": {"mode": 4, "signal_level": 20.0},
    "channels": [
        {
            "name": "orange",
            "detection": {"detector": "DET2", "gate_width_ns": 6.0},
            "rescue": {
                "mode": 5,
                "lower_thresholds": 1,
                "lower_threshold_1": 3,
                "lower_time_percent_1": 20.0,
            },
        }
    ],
}


@pytest.fixture
def two_channels(sample, laser_lines):
    application = TwinApplication(sample, channels=("red", "orange"))
    return Instrument(application, laser_lines, (CONFOCAL, STED, OVERVIEW), channels=2)


@pytest.mark.parametrize("configuration", [CONFOCAL, STED, OVERVIEW])
def test_how_a_channel_detects_is_fixed_in_all_images(
    config, two_channels, tmp_path, configuration
):
    make_station(config.updated(FIXED), two_channels, tmp_path)
    tree = two_channels.configuration(configuration).parameters("")
    assert tree["Pinhole"]["pinhole_size"] == pytest.approx(40e-6)
    first, orange = tree["ExpControl"]["measurement"]["channels"]
    assert [first["detsel"]["detector"], orange["detsel"]["detector"]] == ["DET1", "DET2"]
    assert first["detsel"]["spectral_range"]["min"] == pytest.approx(660e-9)
    assert orange["detsel"]["spectral_range"]["min"] == pytest.approx(650e-9)
    assert first["gating"]["active"] is orange["gating"]["active"] is True
    assert first["gating"]["delay"] == pytest.approx(1.5e-9)
    assert orange["gating"]["width"] == pytest.approx(6e-9)


def test_rescue_is_for_the_sted_images_alone(config, two_channels, tmp_path):
    make_station(config.updated(FIXED), two_channels, tmp_path)
    modes = {
        name: [two_channels.value(name, "rescue_mode", channel=channel) for channel in (0, 1)]
        for name in (CONFOCAL, STED, OVERVIEW)
    }
    assert modes == {CONFOCAL: [0, 0], STED: [4, 5], OVERVIEW: [0, 0]}


def test_rescue_of_each_channel_is_its_own(config, two_channels, tmp_path):
    station = make_station(config.updated(FIXED), two_channels, tmp_path)
    tree = two_channels.configuration(STED).parameters("ExpControl/measurement/channels")
    first, orange = (channel["rescue"] for channel in tree)
    assert (first["signal_level"], first["LTh_auto"]) == (20.0, True)
    assert (orange["LTh_auto"], orange["LTh_num_times"]) == (False, 1)
    assert (orange["LTh_thresholds"], orange["LTh_times"]) == ([3, 0, 0, 0], [20.0, 0.0, 0.0, 0.0])
    assert station.settings["orange_rescue_lower_time_percent_1"].get() == 20.0
    assert station.settings["rescue_signal_level"].get() == 20.0


def test_what_is_not_fixed_is_as_imspector_has_it(config, two_channels, tmp_path):
    before = two_channels.configuration(CONFOCAL).parameters("ExpControl/measurement/channels/0")
    make_station(config, two_channels, tmp_path)
    after = two_channels.configuration(CONFOCAL).parameters("ExpControl/measurement/channels/0")
    for part in ("detsel", "gating", "rescue"):
        assert after[part] == before[part]
